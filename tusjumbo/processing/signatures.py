"""Signatures: what binary content is by its first bytes, where names alone do not settle it.

Four parts. `program`: whatever a machine runs, by our own hand, so that no library's gap lets one
through. `other`: what `filetype` has not, or sees less of. `inside`: what a container holds (zip by
its entries, OLE and Ogg by their streams), for whoever found only the container. `by_filetype`: the
hundred usual signatures of that package.

Invariant: nothing is unpacked; all is read from the head, and cut heads are fine.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from tusjumbo.processing.kinds import APK, ELF, ISO_MEDIA, JAR, OCTETS, OLE, OOXML, PE, ZIP

_MACH = ("cefaedfe", "cffaedfe", "feedface", "feedfacf")
_PROGRAMS = (
    (b"\x7fELF", ELF),
    (b"\0asm", "application/wasm"),
    (b"dex\n", "application/x-dex"),
    (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", "application/x-ms-shortcut"),
    (b"!<arch>\ndebian-binary", "application/x-debian-package"),
    (b"\xed\xab\xee\xdb", "application/x-rpm"),
    (b"Cr24", "application/x-google-chrome-extension"),
    *((bytes.fromhex(mark), "application/x-mach-binary") for mark in _MACH),
)
_FIRST_JAVA = 45
"""The oldest class file's version. A fat Mach-O file has the number of its parts there."""

_OTHERS = (
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ARROW1\0\0", "application/vnd.apache.arrow.file"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (b"wOF2", "font/woff2"),
    (b"ttcf", "font/collection"),
    (b"OTTO", "font/otf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"OggS", "application/ogg"),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),  # an archive of nothing
    (b"8BPS", "image/vnd.adobe.photoshop"),
)

_ENTRY = re.compile(rb"PK\x03\x04.{22}(..)..", re.DOTALL)
_OFFICE = {
    "word/": OOXML + "wordprocessingml.document",
    "xl/": OOXML + "spreadsheetml.sheet",
    "ppt/": OOXML + "presentationml.presentation",
    "visio/": "application/vnd.ms-visio.drawing.main+xml",
}
_STREAMS = {
    "WordDocument": "application/msword",
    "Workbook": "application/vnd.ms-excel",
    "PowerPoint Document": "application/vnd.ms-powerpoint",
    "__properties_version1.0": "application/vnd.ms-outlook",
    "VisioDocument": "application/vnd.visio",
}
_MSI = bytes.fromhex("84100c0000000000c000000000000046")
_CODECS = (
    (re.compile(rb"\x80theora|BBCD\0"), "video/ogg"),
    (re.compile(rb"\x01vorbis|OpusHead|Speex   |\x7fFLAC"), "audio/ogg"),
)
_HEIF = "image/heif"
_PICTURES = ("image/heic", "image/avif")
# ISO/IEC 14496-12: the major brand says what to expect, and the compatible ones what is promised.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), _HEIF),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "audio/mp4"),
    **dict.fromkeys((b"3gp4", b"3gp5", b"3gp6", b"3gp7", b"3ge6", b"3g2a"), "video/3gpp"),
    b"qt  ": "video/quicktime",
    b"crx ": "image/x-canon-cr3",
    b"jp2 ": "image/jp2",
}
_BOXES = {
    b"moov": "video/quicktime",
    b"wide": "video/quicktime",
    b"styp": ISO_MEDIA,
    b"moof": ISO_MEDIA,
    b"sidx": ISO_MEDIA,
}
_TS_PACKET = 188


def program(head: bytes) -> str | None:
    """What a machine would run, by whatever name it comes."""
    if head.startswith(b"\xca\xfe\xba\xbe") and len(head) >= 8:
        is_class = int.from_bytes(head[6:8], "big") >= _FIRST_JAVA
        return "application/java-vm" if is_class else "application/x-mach-binary"
    if head[:3] in (b"FWS", b"CWS", b"ZWS") and len(head) > 3 and head[3] < 64:
        return "application/vnd.adobe.flash.movie"
    if head.startswith(b"MZ"):
        return PE
    return next((kind for mark, kind in _PROGRAMS if head.startswith(mark)), None)


def other(head: bytes) -> str | None:
    """What `filetype` does not know, or knows less well."""
    box = head[4:8]
    if box == b"ftyp":
        return _brand(head)
    if box in _BOXES and int.from_bytes(head[:4], "big") >= 8:
        return _BOXES[box]
    packets = head[: 5 * _TS_PACKET : _TS_PACKET]
    if len(packets) > 2 and packets == b"G" * len(packets):
        return "video/mp2t"
    return next((kind for mark, kind in _OTHERS if head.startswith(mark)), None)


def _brand(head: bytes) -> str:
    size = int.from_bytes(head[:4], "big")
    major, compatible = head[8:12], head[16 : max(16, min(size, 256))]
    kind = _BRANDS.get(major, ISO_MEDIA)
    if kind != _HEIF:
        return kind
    # It says that it is a picture, and the others by which codec.
    brands = (_BRANDS.get(compatible[at : at + 4]) for at in range(0, len(compatible), 4))
    return next((brand for brand in brands if brand in _PICTURES), kind)


def inside(head: bytes, container: str) -> str:
    """`container`, or what it is more exactly."""
    if container == ZIP:
        return _zipped(head)
    if container == OLE:
        if _MSI in head:
            return "application/x-msi"
        streams = _STREAMS.items()
        return next((kind for name, kind in streams if name.encode("utf-16-le") in head), OLE)
    if container == "application/ogg":
        return next((kind for codec, kind in _CODECS if codec.search(head, 0, 512)), container)
    return container


def _zipped(head: bytes) -> str:
    # OCF 4.3 and OpenDocument 3.3: the first entry is called `mimetype` and stored as it is.
    names = _entries(head)
    if names[:1] == ["mimetype"] and (kind := _stored(head)):
        return kind
    if "AndroidManifest.xml" in names or "classes.dex" in names:
        return APK
    if "META-INF/MANIFEST.MF" in names or any(name.endswith(".class") for name in names):
        return JAR
    if any(name in ("[Content_Types].xml", "_rels/.rels") for name in names):
        for name in names:
            for folder, kind in _OFFICE.items():
                if name.startswith(folder):
                    return kind
    return ZIP


def _stored(head: bytes) -> str | None:
    size = int.from_bytes(head[18:22], "little")
    extra = int.from_bytes(head[28:30], "little")
    kind = head[38 + extra : 38 + extra + min(size, 100)]
    known = re.fullmatch(rb"application/(?:epub\+zip|vnd\.[a-z0-9.+-]+)", kind)
    return kind.decode() if known else None


def _entries(head: bytes) -> list[str]:
    names = []
    for entry in _ENTRY.finditer(head):
        size = int.from_bytes(entry[1], "little")
        names.append(head[entry.end() : entry.end() + size].decode("utf-8", "replace"))
    return names


def by_filetype(head: bytes) -> str:
    """What the package knows the first bytes for; `application/octet-stream` if it does not."""
    match: Any = import_module("filetype").guess(head)
    if match is None:
        return OCTETS
    return str(match.mime)
