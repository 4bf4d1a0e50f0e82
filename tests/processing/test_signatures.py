from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processing.samples import SAMPLES
from tusjumbo.processing import signatures
from tusjumbo.processing.kinds import APK, JAR, OLE, OOXML, ZIP, Danger, danger


def _zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return file.getvalue()


def _typed(kind: bytes, name: str = "mimetype", first: str | None = None) -> bytes:
    """An archive that says its type, in an entry that may have another name or come second."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        if first:
            archive.writestr(first, kind)
        archive.writestr(name, kind)
        archive.writestr("content.xml", b"<a/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (_zip("a.txt"), ZIP),
        (_zip("META-INF/MANIFEST.MF", "A.class"), JAR),
        (_zip("deep/B.class"), JAR),
        (_zip("META-INF/MANIFEST.MF", "AndroidManifest.xml"), APK),
        (_zip("classes.dex"), APK),
        (_zip("[Content_Types].xml", "word/document.xml"), OOXML + "wordprocessingml.document"),
        (_zip("_rels/.rels", "xl/workbook.xml"), OOXML + "spreadsheetml.sheet"),
        (_zip("[Content_Types].xml", "other/x.xml"), ZIP),
        (_zip("word/document.xml"), ZIP),
        (_zip("META-INF/MANIFEST.MF", "[Content_Types].xml", "word/document.xml"), JAR),
        (_typed(b"application/epub+zip"), "application/epub+zip"),
        (_typed(b"application/vnd.oasis.opendocument.text"),
         "application/vnd.oasis.opendocument.text"),
        (_typed(b"application/java-archive"), ZIP),
        (_typed(b"image/png"), ZIP),
        (_typed(b"application/epub+zip", name="mimetypes"), ZIP),
        (_typed(b"application/epub+zip", first="document"), ZIP),
        (b"PK\x03\x04", ZIP),
    ],
)  # fmt: skip
def test_what_is_in_an_archive(head: bytes, expected: str) -> None:
    assert signatures.inside(head, ZIP) == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("WordDocument", "application/msword"),
        ("Workbook", "application/vnd.ms-excel"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("__properties_version1.0", "application/vnd.ms-outlook"),
        ("Something", OLE),
    ],
)
def test_what_is_in_a_compound_file(stream: str, expected: str) -> None:
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + stream.encode("utf-16-le")
    assert signatures.inside(head, OLE) == expected
    installer = bytes.fromhex("84100c0000000000c000000000000046")
    assert signatures.inside(head + installer, OLE) == "application/x-msi"


@pytest.mark.parametrize(
    ("major", "compatible", "expected"),
    [
        (b"mif1", b"mif1heic", "image/heic"),
        (b"mif1", b"mif1avif", "image/avif"),
        (b"mif1", b"mif1", "image/heif"),
        (b"mif1", b"xxxx", "image/heif"),
        (b"avis", b"", "image/avif"),
        (b"3gp4", b"isom", "video/3gpp"),
        (b"isom", b"isomavif", "video/mp4"),
        (b"new!", b"", "video/mp4"),
    ],
)
def test_brands(major: bytes, compatible: bytes, expected: str) -> None:
    size = (16 + len(compatible)).to_bytes(4, "big")
    head = size + b"ftyp" + major + bytes(4) + compatible + b"heicavif"  # not in the box any more
    assert signatures.other(head) == expected


def test_every_program_among_the_samples_is_found_without_a_library() -> None:
    found = {
        sample.name: signatures.program(sample.content)
        for sample in SAMPLES
        if signatures.program(sample.content)
    }
    programs = {
        sample.name: sample.media_type
        for sample in SAMPLES
        if danger(sample.media_type) is Danger.PROGRAM and sample.media_type != JAR
    }
    assert found == programs


@pytest.mark.parametrize(
    "head",
    [
        b"!<arch>\ndebian-binary   1410122664",
        b"\xed\xab\xee\xdb\x03\0",
        b"Cr24\x03\0\0\0",
        b"dex\n035\0",
        b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F\x9b",
        b"CWS\x0a\0\0",
        b"\xfe\xed\xfa\xcf\x01",
        b"\xca\xfe\xba\xbe\0\0\0\x02",
        b"\xca\xfe\xba\xbe\0\0\0\x34",
        b"MZ\x90",
    ],
)
def test_programs(head: bytes) -> None:
    found = signatures.program(head)
    assert found is not None
    assert danger(found) is Danger.PROGRAM


def test_what_only_begins_like_a_program() -> None:
    assert signatures.program(b"CWS\x7f") is None
    assert signatures.program(b"\xca\xfe\xba") is None
    assert signatures.program(b"") is None


@given(st.sampled_from(SAMPLES), st.integers(0, 2000))
def test_a_cut_head_is_no_error(sample: object, size: int) -> None:
    head = next(one.content for one in SAMPLES if one is sample)[:size]
    signatures.program(head)
    signatures.other(head)
    for container in (ZIP, OLE, "application/ogg", "image/png"):
        assert signatures.inside(head, container)
    assert "/" in signatures.by_filetype(head)
