from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.assemblers.arrivals import arrived
from tests.assemblers.cancelling import Cut, cut_reading
from tusjumbo.application import Assembled
from tusjumbo.assemblers.chain import Chain
from tusjumbo.assemblers.compressing import Compress
from tusjumbo.errors import ConfigurationError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONTENTS = {"empty": b"", "small": b"content", "large": bytes(range(256)) * 20_000}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("level", [1, 3, 19])
async def test_a_frame(tmp_path: Path, name: str, level: int) -> None:
    content = CONTENTS[name]
    arrival = arrived(tmp_path, content)
    made = await Compress(level)(arrival)
    assert made.content is not None
    assert made == Assembled(path="film.mp4.zst", content=made.content)
    assert list(arrival.workspace.iterdir()) == [made.content]
    frame = made.content.read_bytes()
    assert zstd.get_frame_info(frame).decompressed_size == len(content)
    assert zstd.decompress(frame) == content
    assert arrival.path.read_bytes() == content


async def test_twice(tmp_path: Path) -> None:
    made = await Chain(Compress(), Compress())(arrived(tmp_path))
    assert made.path == "film.mp4.zst.zst"
    assert made.content is not None
    assert zstd.decompress(zstd.decompress(made.content.read_bytes())) == b"content"


@pytest.mark.parametrize("level", [0, 23, -1])
def test_no_level(level: int) -> None:
    with pytest.raises(ConfigurationError, match="1 to 22"):
        Compress(level)


def test_nothing_that_compresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tusjumbo.assemblers.compressing._MODULE", "no_such_module")
    with pytest.raises(ConfigurationError, match=r"tusjumbo\[zstd\]"):
        Compress()


@pytest.mark.parametrize("cut", Cut)
async def test_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: Cut) -> None:
    arrival = arrived(tmp_path, bytes(5 * 1024 * 1024))
    before = set(tmp_path.iterdir())
    pieces = await cut_reading(cut, Compress(), arrival, monkeypatch, "compressing")
    assert pieces == 2
    assert set(tmp_path.iterdir()) == before
