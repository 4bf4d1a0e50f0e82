from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from tests.assemblers.arrivals import arrived
from tusjumbo.application import FINAL_NAME, Arrival, Assembled, Assembler
from tusjumbo.assemblers.chain import Chain, of_function
from tusjumbo.assemblers.compressing import Compress
from tusjumbo.assemblers.manifest import Manifest
from tusjumbo.assemblers.moving import MoveTo
from tusjumbo.assemblers.pushing import Push
from tusjumbo.errors import ConfigurationError, UploadRejected
from tusjumbo.sessions.session import Answer


@dataclass
class Made:
    """Makes the same each time."""

    result: Assembled | None = None
    seen: list[Arrival] = field(default_factory=list)

    async def __call__(self, arrival: Arrival) -> Assembled | None:
        await checkpoint()
        self.seen.append(arrival)
        return self.result


async def test_each_sees_what_was_made(tmp_path: Path) -> None:
    arrival = arrived(tmp_path)
    content = arrival.workspace / "x"
    first, second = Made(Assembled(path="a/b.mp4", content=content)), Made()
    third = Made(Assembled(path="c/"))
    last = Made()
    made = await Chain(first, second, third, last)(arrival)
    assert first.seen == [arrival]
    for one in (second, third):
        assert [(a.path, a.name) for a in one.seen] == [(content, "a/b.mp4")]
    assert [(a.path, a.name) for a in last.seen] == [(content, "c/b.mp4")]
    assert last.seen[0].session is arrival.session
    assert made == Assembled(path="c/", content=content)


async def test_merged(tmp_path: Path) -> None:
    one = Assembled(
        path="one",
        content=tmp_path / "one",
        beside={".a": b"1", ".b": b"1"},
        elsewhere="one:",
        answer=Answer(201, {"Content-Type": "text/plain", "X-One": "1"}, b"one"),
    )
    two = Assembled(
        path="two",
        content=tmp_path / "two",
        beside={".b": b"2"},
        elsewhere="two:",
        answer=Answer(None, {"content-type": "text/html"}, b"two"),
    )
    nothing = Assembled(answer=Answer())
    assert await Chain(Made(one), Made(two), Made(), Made(nothing))(arrived(tmp_path)) == Assembled(
        path="two",
        content=tmp_path / "two",
        beside={".a": b"1", ".b": b"2"},
        elsewhere="two:",
        answer=Answer(201, {"X-One": "1", "content-type": "text/html"}, b"two"),
    )
    (tmp_path / "again").mkdir()
    arrival = arrived(tmp_path / "again")
    assert await Chain(Made(one), Made(Assembled()), Made(nothing))(arrival) == one
    assert await Chain()(arrival) == Assembled()


async def test_a_rejection_ends_it(tmp_path: Path) -> None:
    async def refuse(arrival: Arrival) -> Assembled:
        raise UploadRejected("no")

    after = Made()
    with pytest.raises(UploadRejected):
        await Chain(Made(), refuse, after)(arrived(tmp_path))
    assert after.seen == []


async def test_compressed_moved_and_listed(tmp_path: Path) -> None:
    chain = Chain(Compress(), MoveTo("{owner}/{filename}"), Manifest())
    made = await chain(arrived(tmp_path))
    assert made.path == "alice/film.mp4.zst"
    assert made.content is not None
    (tmp_path / "film.mp4.zst").write_bytes(made.content.read_bytes())
    line = made.beside[".sha256"].replace(FINAL_NAME, b"film.mp4.zst")
    (tmp_path / "manifest").write_bytes(line)
    subprocess.run(["sha256sum", "--check", "--strict", "manifest"], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    "order",
    [
        (Manifest(), Compress()),
        (Manifest(), Made(), Compress()),
    ],
)
def test_a_manifest_has_to_be_true(order: tuple[Assembler, ...]) -> None:
    with pytest.raises(ConfigurationError, match="after zstd"):
        Chain(*order)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_manifest_has_to_be_kept(is_first: bool) -> None:
    push = Push("file:///srv/{id}")
    with pytest.raises(ConfigurationError, match="use copy"):
        Chain(*((Manifest(), push) if is_first else (push, Manifest())))
    Chain(Manifest(), Push("file:///srv/{id}", keep=True))


# --- functions -----------------------------------------------------------------------------------


def plain(arrival: Arrival) -> Assembled:
    return Assembled(path=f"{threading.get_ident()}")


async def asynchronous(arrival: Arrival) -> Assembled:
    await checkpoint()
    return Assembled(path=f"{threading.get_ident()}")


def returns_awaitable(arrival: Arrival) -> Awaitable[Assembled]:
    return asynchronous(arrival)


class Callable:
    async def __call__(self, arrival: Arrival) -> Assembled:
        return await asynchronous(arrival)


@pytest.mark.parametrize(
    ("work", "is_in_loop"),
    [
        pytest.param(plain, False, id="plain"),
        pytest.param(asynchronous, True, id="async"),
        pytest.param(returns_awaitable, True, id="returns_awaitable"),
        pytest.param(Callable(), True, id="object"),
        pytest.param(functools.partial(asynchronous), True, id="partial"),
    ],
)
async def test_where_functions_run(tmp_path: Path, work: Any, is_in_loop: bool) -> None:
    made = await of_function(work)(arrived(tmp_path))
    assert made is not None
    assert (made.path == str(threading.get_ident())) is is_in_loop


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ("alice/film", Assembled(path="alice/film")),
        (None, None),
        (Assembled(elsewhere="x:"), Assembled(elsewhere="x:")),
    ],
)
async def test_what_functions_say(tmp_path: Path, said: Any, made: Assembled | None) -> None:
    assert await of_function(lambda _: said)(arrived(tmp_path)) == made


async def test_what_functions_may_not_say(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"returned \{\}"):
        await of_function(lambda _: {})(arrived(tmp_path))  # type: ignore[arg-type]


def test_those_that_a_chain_knows() -> None:
    """Wrapped, a manifest that is wrong would not be found out."""
    with pytest.raises(ConfigurationError, match="after zstd"):
        Chain(of_function(Manifest()), of_function(Compress()))


def test_no_function() -> None:
    with pytest.raises(ConfigurationError, match="callable"):
        of_function("move")  # type: ignore[arg-type]


SCANNER = f"""#!{sys.executable}
import sys
if b"EICAR" in open(sys.argv[1], "rb").read():
    print("Eicar-Signature FOUND")
    sys.exit(1)
"""


async def test_scan_before_accepting(tmp_path: Path) -> None:
    """The README's recipe, with a scanner that says what clamdscan does."""
    scanner = tmp_path / "scanner"
    scanner.write_text(SCANNER)
    os.chmod(scanner, 0o700)

    def scan(arrival: Arrival) -> None:
        found = subprocess.run([scanner, arrival.path], capture_output=True, text=True)
        if found.returncode == 1:
            raise UploadRejected(f"Not taken: {found.stdout.strip()}")
        found.check_returncode()

    moved = Chain(of_function(scan), MoveTo("{owner}/{filename}"))
    assert await moved(arrived(tmp_path)) == Assembled(path="alice/film.mp4")
    with pytest.raises(UploadRejected, match="Not taken: Eicar-Signature FOUND"):
        await moved(arrived(tmp_path, b"..EICAR..", upload_id="jumbo_2"))
    scanner.unlink()
    with pytest.raises(FileNotFoundError):
        await moved(arrived(tmp_path, upload_id="jumbo_3"))
