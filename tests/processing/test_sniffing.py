from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processing.samples import SAMPLES, Sample
from tusjumbo.processing import signatures, sniffing
from tusjumbo.processing.kinds import OCTETS, canonical, danger, is_text
from tusjumbo.processing.sniffing import HEAD, Backend, Sniffed, examined, sniff


def _libmagic() -> Backend:
    found = sniffing.libmagic()
    assert found is not None, "install libmagic (Debian: libmagic1) and python-magic"
    return found


LIBMAGIC = _libmagic()
BACKENDS = (LIBMAGIC, signatures.by_filetype)
both = pytest.mark.parametrize("backend", BACKENDS, ids=("libmagic", "filetype"))
every = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def test_the_samples_are_of_many_types() -> None:
    assert len(SAMPLES) == 59
    assert len({sample.media_type for sample in SAMPLES}) >= 55
    assert {canonical(sample.media_type) for sample in SAMPLES} == {s.media_type for s in SAMPLES}


@both
@every
def test_a_sample_is_known_by_its_content(sample: Sample, backend: Backend) -> None:
    assert sniff(sample.content, backend) == sample.media_type


@both
@every
def test_what_is_settled_stays(sample: Sample, backend: Backend) -> None:
    padded = sample.content.ljust(HEAD + 1, b"\0" if not is_text(sample.media_type) else b" ")
    for size in range(0, HEAD + 1, 64):
        if (found := examined(padded[:size], is_whole=False)).is_settled:
            assert size >= 512
            assert found.media_type == examined(padded, is_whole=False).media_type
    assert examined(padded, is_whole=False).is_settled


@pytest.mark.parametrize(
    ("head", "is_whole", "is_settled"),
    [
        (b"", False, False),
        (b"", True, True),
        (b"\x89PNG\r\n\x1a\n" + bytes(503), False, False),
        (b"\x89PNG\r\n\x1a\n" + bytes(504), False, True),
        (b"\x89PNG\r\n\x1a\n", True, True),
        (b"PK\x03\x04" + bytes(8000), False, False),
        (b"PK\x03\x04" + bytes(8188), False, True),
        (b"x" * 8191, False, False),
        (b"x" * 8192, False, True),
        (b"<html>" + b"x" * 8000, False, False),
        (b"#!/bin/sh\n" + b"x" * 8000, False, False),
        (b"\x7fELF" + bytes(600), False, True),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else value,
)
def test_when_it_is_settled(head: bytes, is_whole: bool, is_settled: bool) -> None:
    assert examined(head, is_whole=is_whole) == Sniffed(sniff(head), is_settled)


def test_no_more_than_the_head_is_looked_at() -> None:
    assert sniff(b"x" * HEAD + b"\0") == "text/plain"
    assert sniff(b"x" * (HEAD - 1) + b"\0") == OCTETS


@both
@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", "text/plain"),
        (b"\0", OCTETS),
        (b"hello\0", OCTETS),
        (b"BMI,age\n", "text/plain"),
        (b"MZ is what DOS programs begin with.\n", "text/plain"),
        (b"GIF89 is a format, said Rar! to OggS.\n", "text/plain"),
        (b"<html>\0\0\0" + bytes(99), "text/html"),
        (b"\x89PNG\r\n\x1a\n%PDF-1.4 \n" + bytes(500), "image/png"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"The header %PDF-1.4 begins a PDF.\n", "application/pdf"),
        (b"The header %PDF- begins a PDF.\n", "text/plain"),
        (b"\n" * 1030 + b"%PDF-1.4 \n", "text/plain"),
        (b"PK\x05\x06" + bytes(18), "application/zip"),
        (b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07" + bytes(600), "application/x-mach-binary"),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01" + bytes(600), "application/x-mach-binary"),
        (b"\xce\xb2\xcf\x81\xce\xb1", "text/plain"),  # Greek letters, not Brotli
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else value,
)
def test_what_is_easily_mistaken(content: bytes, media_type: str, backend: Backend) -> None:
    assert sniff(content, backend) == media_type


def _echo(said: str, head: bytes) -> str:
    return said


def test_no_backend_makes_a_text_dangerous_or_binary_data_text() -> None:
    for said in ("text/html", "text/x-shellscript", "application/x-executable", "image/svg+xml"):
        assert sniff(b"hello", partial(_echo, said)) == "text/plain"
    assert sniff(b"hello", lambda head: "text/x-c") == "text/x-c"
    assert sniff(b"\0\0\0", lambda head: "text/html") == OCTETS
    assert sniff(b"\0\0\0", lambda head: "cannot open `x' (No such file)") == OCTETS
    assert sniff(b"\0\0\0", lambda head: "image/x-ms-bmp") == "image/bmp"


heads = st.binary(max_size=600) | st.builds(
    lambda start, sample, noise: start + sample.content[:200] + noise,
    st.sampled_from([b"", b"\xff\xfe", b"\xef\xbb\xbf", b"<!--", b"<?xml ", b"PK\x03\x04", b"MZ"]),
    st.sampled_from(SAMPLES),
    st.binary(max_size=100),
)


@given(heads)
def test_any_bytes_have_a_type_and_one_danger(head: bytes) -> None:
    by_libmagic, by_filetype = (sniff(head, backend) for backend in BACKENDS)
    assert canonical(by_libmagic) == by_libmagic
    assert canonical(by_filetype) == by_filetype
    assert "/" in by_libmagic
    if danger(by_filetype):
        assert by_libmagic == by_filetype


def test_each_thread_has_its_own_libmagic() -> None:
    found: list[str] = []

    def work() -> None:
        found.extend(sniff(sample.content, LIBMAGIC) for sample in SAMPLES)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {sample.media_type for sample in SAMPLES}
    assert len(found) == 4 * len(SAMPLES)


@pytest.mark.parametrize(
    "lack",
    [
        "sys.modules['magic'] = None",  # python-magic is not installed
        "import types; sys.modules['magic'] = types.ModuleType('magic')",  # file-magic is
        "import ctypes; ctypes.CDLL = lambda name: open('/no such library')",  # the library is not
    ],
    ids=("package", "another", "library"),
)
def test_without_libmagic_filetype_does(lack: str) -> None:
    script = f"""
import sys
from tusjumbo.processing import signatures, sniffing
print("magic" in sys.modules, "filetype" in sys.modules)
{lack}
print(sniffing.libmagic(), sniffing.best() is signatures.by_filetype)
print(sniffing.sniff(b"GIF89a" + bytes(20)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False", "None", "True", "image/gif"], done.stderr


def test_what_libmagic_cannot_do_is_unknown() -> None:
    script = """
import magic
from tusjumbo.processing import sniffing
ask = sniffing.libmagic()
def fail(self, head):
    raise magic.MagicException("too deep")
magic.Magic.from_buffer = fail
print(ask(b"GIF89a"), sniffing.best() is not None)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == [OCTETS, "True"], done.stderr
