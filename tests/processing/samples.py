"""Small files of many types, made here: no binary is kept, and each is as its format wants it.

Media are headers with noise behind them: enough to be recognised, none to be played.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import sqlite3
import struct
import tarfile
import wave
import zipfile
import zlib
from dataclasses import dataclass

_NOISE = random.Random(59).randbytes(16384)


@dataclass(frozen=True)
class Sample:
    name: str
    content: bytes
    media_type: str


def _zip(*entries: tuple[str, bytes], stored: bool = False) -> bytes:
    file = io.BytesIO()
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries:
            plain = zipfile.ZipInfo(name)
            plain.compress_type = zipfile.ZIP_STORED if name == "mimetype" else method
            archive.writestr(plain, content)
    return file.getvalue()


def _office(folder: str, part: str, kind: str) -> bytes:
    types = (
        '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/'
        f'package/2006/content-types"><Override PartName="/{folder}/{part}" ContentType="'
        f'application/vnd.openxmlformats-officedocument.{kind}.main+xml"/></Types>'
    )
    return _zip(
        ("[Content_Types].xml", types.encode()),
        ("_rels/.rels", b"<Relationships/>"),
        (f"{folder}/{part}", b"<a/>" * 300),
        ("docProps/app.xml", b"<b/>"),
    )


def _ole(stream: str, clsid: bytes = bytes(16)) -> bytes:
    """Header, one sector of the table, one of the directory (MS-CFB 2.2, 2.6)."""
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 0)
    header += b"\xff" * (512 - len(header))
    table = struct.pack("<II", 0xFFFFFFFD, 0xFFFFFFFE) + b"\xff" * 504

    def entry(name: str, kind: int, child: int, clsid: bytes, start: int, size: int) -> bytes:
        text = (name + "\0").encode("utf-16-le")
        facts = struct.pack("<HBBIII", len(text), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
        return text.ljust(64, b"\0") + facts + clsid + bytes(20) + struct.pack("<IQ", start, size)

    root = entry("Root Entry", 5, 1, clsid, 0xFFFFFFFE, 0)
    directory = root + entry(stream, 2, 0xFFFFFFFF, bytes(16), 2, 4096) + bytes(256)
    return header + table + directory + bytes(4096)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png() -> bytes:
    pixels = zlib.compress(b"\0" + bytes(range(24)) * 32)
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 32, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _riff(kind: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + kind + body


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + kind + data


def _iso(major: bytes, *compatible: bytes) -> bytes:
    brands = _box(b"ftyp", major + bytes(4) + b"".join(compatible))
    return brands + _box(b"moov", _box(b"mvhd", bytes(100))) + _box(b"mdat", _NOISE[:2000])


def _ebml(doctype: bytes) -> bytes:
    fields = b"\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08"
    fields += b"\x42\x82" + bytes([0x80 | len(doctype)]) + doctype + b"\x42\x87\x81\x04"
    head = b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(fields)]) + fields
    return head + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + _NOISE[:1500]


def _ogg(packet: bytes) -> bytes:
    page = b"OggS\0\x02" + bytes(8) + struct.pack("<III", 7, 0, 0)
    return page + bytes([1, len(packet)]) + packet + _NOISE[:1500]


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    return file.getvalue()


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(2000))
    return file.getvalue()


def _sqlite() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE elephants (name TEXT)")
        content = database.serialize()
    database.close()
    return content


def _elf() -> bytes:
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    facts = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 2000, 2000, 4096)
    return ident + facts + load + _NOISE[:2000]


def _pe() -> bytes:
    dos = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0".ljust(60, b"\0") + struct.pack("<I", 128)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22)
    return dos.ljust(128, b"\0") + coff + struct.pack("<H", 0x20B).ljust(240, b"\0") + bytes(1000)


def _java_class() -> bytes:
    return b"\xca\xfe\xba\xbe" + struct.pack(">HHH", 0, 61, 9) + b"\x0a\0\x02\0\x03" + _NOISE[:600]


def _font(mark: bytes) -> bytes:
    names = (b"OS/2", b"cmap", b"glyf", b"head", b"hhea", b"hmtx", b"loca", b"maxp", b"name")
    tables = b"".join(
        name + struct.pack(">III", 1, 200 + 64 * at, 60) for at, name in enumerate(names)
    )
    return mark + struct.pack(">HHHH", len(names), 128, 3, 16) + tables + bytes(800)


def _mpeg_ts() -> bytes:
    return b"".join(b"G\x40\x11\x10" + _NOISE[:184] for _ in range(12))


def _ico() -> bytes:
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 40 + 1024, 22)
    return b"\0\0\x01\0\x01\0" + entry + struct.pack("<IiiHH", 40, 16, 32, 1, 32) + bytes(1100)


def _bmp() -> bytes:
    header = b"BM" + struct.pack("<IHHI", 54 + 3072, 0, 0, 54)
    return (
        header + struct.pack("<IiiHHIIiiII", 40, 32, 32, 1, 24, 0, 3072, 0, 0, 0, 0) + bytes(3072)
    )


def _tiff() -> bytes:
    tags = ((256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1))
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(700)


def _flac() -> bytes:
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + b"\x0a\xc4\x42\xf0" + bytes(20)
    return b"fLaC\x80\0\0\x22" + info + _NOISE[:1000]


def _mp3() -> bytes:
    tag = b"ID3\x03\0\0\0\0\0\x0aTIT2\0\0\0\0\0\0"
    return tag + (b"\xff\xfb\x90\x64" + bytes(413)) * 4


_JPEG = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xdb\0\x43\0"
    + bytes(64)
    + _NOISE[:900]
)
_GIF = b"GIF89a\x08\0\x08\0\xf7\0\0" + _NOISE[:900] + b"\0;"
_WEBP = _riff(b"WEBP", (b"VP8 ", b"\x30\x01\0\x9d\x01\x2a\x08\0\x08\0" + _NOISE[:600]))
_AVI = _riff(b"AVI ", (b"LIST", b"hdrlavih\x38\0\0\0" + bytes(56)), (b"JUNK", _NOISE[:600]))
_PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n" + _NOISE[:900]
_HTML = b"<!DOCTYPE html>\n<html><head><title>x</title></head><body><p>hello</p></body></html>\n"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8"><circle r="4"/></svg>\n'
_XML = b'<?xml version="1.0"?>\n<elephants><elephant name="Jumbo"/></elephants>\n'
_CSV = "name,weight,köder\n" + "".join(f"Rüssel {n},{n * 7},ja\n" for n in range(40))
_TEXT = "The elephant never forgets.\nNor does its server: what has arrived stays, and is kept.\n"
_JSON = b'{"name": "Jumbo", "tags": ["big", "grey"], "weight": 6150.5, "tame": true}\n'
_JPEG_XL = b"\0\0\0\x0cJXL \r\n\x87\n" + _box(b"ftyp", b"jxl \0\0\0\0jxl ") + _NOISE[:900]
_ZIPPED = _zip(("photo.jpg", _NOISE[:700]), ("notes.txt", b"hello"))
_EPUB = _zip(("mimetype", b"application/epub+zip"), ("META-INF/container.xml", b"<c/>" * 200))
_ODT = _zip(
    ("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", b"<a/>" * 300)
)
_JAR = _zip(
    ("META-INF/", b""),
    ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n"),
    ("A.class", _java_class()),
)
_OOXML = "application/vnd.openxmlformats-officedocument."

SAMPLES: tuple[Sample, ...] = (
    Sample("png", _png(), "image/png"),
    Sample("jpg", _JPEG, "image/jpeg"),
    Sample("gif", _GIF, "image/gif"),
    Sample("webp", _WEBP, "image/webp"),
    Sample("bmp", _bmp(), "image/bmp"),
    Sample("tiff", _tiff(), "image/tiff"),
    Sample("ico", _ico(), "image/vnd.microsoft.icon"),
    Sample("heic", _iso(b"heic", b"mif1", b"heic"), "image/heic"),
    Sample("avif", _iso(b"avif", b"mif1", b"avif"), "image/avif"),
    Sample("psd", b"8BPS\0\x01" + bytes(6) + b"\0\x03" + bytes(800), "image/vnd.adobe.photoshop"),
    Sample("pdf", _PDF, "application/pdf"),
    Sample("junk.pdf", b"\0\x01\x02 junk \xff\n" * 9 + _PDF, "application/pdf"),
    Sample(
        "docx",
        _office("word", "document.xml", "wordprocessingml.document"),
        _OOXML + "wordprocessingml.document",
    ),
    Sample(
        "xlsx", _office("xl", "workbook.xml", "spreadsheetml.sheet"), _OOXML + "spreadsheetml.sheet"
    ),
    Sample(
        "pptx",
        _office("ppt", "presentation.xml", "presentationml.presentation"),
        _OOXML + "presentationml.presentation",
    ),
    Sample("doc", _ole("WordDocument"), "application/msword"),
    Sample("xls", _ole("Workbook"), "application/vnd.ms-excel"),
    Sample("odt", _ODT, "application/vnd.oasis.opendocument.text"),
    Sample("epub", _EPUB, "application/epub+zip"),
    Sample("jar", _JAR, "application/java-archive"),
    Sample("zip", _ZIPPED, "application/zip"),
    Sample("gz", gzip.compress(_NOISE[:600], mtime=0), "application/gzip"),
    Sample("bz2", bz2.compress(_NOISE[:600]), "application/x-bzip2"),
    Sample("xz", lzma.compress(_NOISE[:600]), "application/x-xz"),
    Sample("zst", b"\x28\xb5\x2f\xfd\x24\x05" + _NOISE[:600], "application/zstd"),
    Sample("7z", b"7z\xbc\xaf\x27\x1c\0\x04" + _NOISE[:600], "application/x-7z-compressed"),
    Sample("rar", b"Rar!\x1a\x07\x01\0" + _NOISE[:600], "application/vnd.rar"),
    Sample("tar", _tar(), "application/x-tar"),
    Sample("mp4", _iso(b"isom", b"isom", b"mp42"), "video/mp4"),
    Sample("frag.mp4", _iso(b"iso5", b"iso5", b"dash"), "video/mp4"),
    Sample("mov", _iso(b"qt  ", b"qt  "), "video/quicktime"),
    Sample("m4a", _iso(b"M4A ", b"M4A ", b"mp42"), "audio/mp4"),
    Sample("mkv", _ebml(b"matroska"), "video/x-matroska"),
    Sample("webm", _ebml(b"webm"), "video/webm"),
    Sample("avi", _AVI, "video/x-msvideo"),
    Sample("ts", _mpeg_ts(), "video/mp2t"),
    Sample("mp3", _mp3(), "audio/mpeg"),
    Sample("ogg", _ogg(b"\x01vorbis" + bytes(4) + b"\x02\x44\xac\0\0" + bytes(14)), "audio/ogg"),
    Sample("ogv", _ogg(b"\x80theora\x03\x02\x01" + bytes(32)), "video/ogg"),
    Sample("flac", _flac(), "audio/flac"),
    Sample("wav", _wav(), "audio/wav"),
    Sample(
        "woff2", b"wOF2\0\x01\0\0" + struct.pack(">IHH", 900, 9, 0) + _NOISE[:900], "font/woff2"
    ),
    Sample("ttf", _font(b"\0\x01\0\0"), "font/sfnt"),
    Sample("elf", _elf(), "application/x-executable"),
    Sample("exe", _pe(), "application/vnd.microsoft.portable-executable"),
    Sample(
        "wasm",
        b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f" + _NOISE[:600],
        "application/wasm",
    ),
    Sample("class", _java_class(), "application/java-vm"),
    Sample("sqlite", _sqlite(), "application/vnd.sqlite3"),
    Sample("parquet", b"PAR1\x15\0\x15" + _NOISE[:900] + b"PAR1", "application/vnd.apache.parquet"),
    Sample("csv", _CSV.encode(), "text/csv"),
    Sample("utf16.csv", _CSV.encode("utf-16"), "text/csv"),
    Sample("latin1.csv", _CSV.replace(",", ";").encode("latin-1"), "text/csv"),
    Sample("txt", _TEXT.encode() * 9, "text/plain"),
    Sample("json", _JSON, "application/json"),
    Sample("xml", _XML, "application/xml"),
    Sample("svg", b'<?xml version="1.0"?>\n<!-- by hand -->\n' + _SVG, "image/svg+xml"),
    Sample("html-as.jpg", b"\n " + _HTML, "text/html"),
    Sample("sh", b"#!/usr/bin/env bash\nset -eu\necho hello\n", "text/x-shellscript"),
    Sample("noise", _NOISE, "application/octet-stream"),
)
