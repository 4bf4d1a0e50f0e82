from __future__ import annotations

from pathlib import Path

import pytest

from tests.assemblers.arrivals import arrived
from tusjumbo.application import Arrival, Assembled
from tusjumbo.assemblers.by_words import WORDS, assembler, assemblers, found
from tusjumbo.assemblers.chain import Chain
from tusjumbo.assemblers.compressing import Compress
from tusjumbo.assemblers.manifest import Manifest
from tusjumbo.assemblers.moving import MoveTo
from tusjumbo.assemblers.pushing import Push
from tusjumbo.assemblers.rows import Rows
from tusjumbo.errors import ConfigurationError
from tusjumbo.processing.tables import Row

HERE = __name__
NOT_CALLABLE = 1


def take(rows: list[Row], row_count: int) -> None:
    """A callback."""


def place(arrival: Arrival) -> str:
    return "placed/"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("move:{owner}/{date}/{filename}", MoveTo),
        ("push:s3://bucket/{owner}/{filename}", Push),
        ("copy:file:///tmp/{id}", Push),
        (f"csv:{HERE}:take", Rows),
        ("zstd", Compress),
        ("zstd:19", Compress),
        (" sha256 ", Manifest),
    ],
)
def test_words(text: str, kind: type) -> None:
    assert type(assembler(text)) is kind


async def test_a_function(tmp_path: Path) -> None:
    assert await assembler(f"{HERE}:place")(arrived(tmp_path)) == Assembled(path="placed/")


async def test_arguments_arrive(tmp_path: Path) -> None:
    moved = await assembler("move:a:b/{id}")(arrived(tmp_path))
    assert moved == Assembled(path="a:b/jumbo_1")
    chain = assemblers(["zstd:19", "move:{stem}"])
    assert isinstance(chain, Chain)
    made = await chain(arrived(tmp_path, upload_id="jumbo_2"))
    assert made.path == "film.mp4"
    assert made.content is not None


@pytest.mark.parametrize(("word", "stays"), [("push", False), ("copy", True)])
async def test_push_and_copy(tmp_path: Path, word: str, stays: bool) -> None:
    made = await assembler(f"{word}:file://{tmp_path}/out/{{id}}")(arrived(tmp_path))
    assert made is not None
    assert made.elsewhere == (None if stays else f"file://{tmp_path}/out/jumbo_1")
    assert (tmp_path / "out" / "jumbo_1").read_bytes() == b"content"


def test_several() -> None:
    assert assemblers([]) is None
    assert isinstance(assemblers(["sha256"]), Manifest)


def test_more_words() -> None:
    heard: list[str] = []

    def constructor(argument: str) -> Manifest:
        heard.append(argument)
        return Manifest()

    assembler("https://host/x", {**WORDS, "https": constructor})
    assert heard == ["//host/x"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there are move, push, copy, csv, zstd, sha256 and module:function"),
        ("zip", "'zip' is no assembler; there are move"),
        (":x", "there are move"),
        ("x:", "there are move"),
        ("https://host/x", "there are move"),
        ("move", "a path like"),
        ("move:{who}", "there is no {who}"),
        ("push", "has to be like s3://"),
        ("push:nowhere", "has to be like s3://"),
        ("csv", "not like package.module:function"),
        ("csv:x", "not like package.module:function"),
        ("zstd:much", "the level is a number"),
        ("zstd:99", "1 to 22"),
        ("sha256:x", "no argument"),
        ("no_such_module:f", "No module named"),
        (f"{HERE}:no_such", "no_such"),
        (f"{HERE}:NOT_CALLABLE", "cannot be called"),
        (".relative:f", "relative"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        assembler(text)
    assert said in str(caught.value)


def test_found_in_objects() -> None:
    assert found("pathlib:Path.cwd")() == Path.cwd()
