"""Two writers and HEADs at one upload, from two server processes on one directory.

Whoever asks gets the upload soon: the running PATCH commits what it has, answers 423 and leaves. At
each place of the file one byte stream wins, and it wins whole ranges: two writers' contents differ
in every byte, so whose byte is where can be read off the result, and the owner may only change at
offsets that some PATCH began at. How long a hand-over takes is printed, not asserted.
"""

from __future__ import annotations

import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.campaign import CAMPAIGN, MIB
from tests.harness.process import Server
from tests.harness.tus import Tus, patch_headers
from tests.harness.wire import GoneError

pytestmark = pytest.mark.wire


@pytest.fixture(scope="module", params=["two servers", "two workers"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """Two servers on one directory; or one with two workers, twice."""
    directory = tmp_path_factory.mktemp("pair") / "data"
    if request.param == "two workers":
        with Server(directory, workers=2) as server:
            yield server, server
    else:
        with Server(directory, name="one") as one, Server(directory, name="two") as two:
            yield one, two


@pytest.mark.parametrize("sent", [0, 1, 70_000, 3 * MIB + 11])
@pytest.mark.parametrize("asks", ["HEAD", "PATCH", "DELETE"])
def test_who_asks_gets_it_and_who_is_asked_hears_423(
    pair: tuple[Server, Server], content: bytes, sent: int, asks: str
) -> None:
    one, two = pair
    path = one.tus.create(len(content))
    with one.tus.begin_patch(path, 0, len(content), {"Expect": "100-continue"}) as wire:
        assert wire.read_next().status == 100  # so it has the lock
        wire.send(content[:sent])
        wire.until_read()
        if asks == "HEAD":
            offset = int(two.tus.head(path).expect(200)["Upload-Offset"])
            assert offset == sent
            two.tus.finish(path, content)
        elif asks == "PATCH":
            # The right offset for a client that knows what it sent.
            response = two.tus.patch(path, sent, content[sent:]).expect(204)
            assert int(response["Upload-Offset"]) == len(content)
        else:
            two.tus.delete(path).expect(204)
        assert wire.send_until_answered(content[sent:]) < len(content) - sent
        assert wire.read().status == 423
    if asks == "DELETE":
        assert one.tus.head(path).status == 404
        assert not list(one.directory.glob(f"sessions/{path.rsplit('/', 1)[1]}*"))
    else:
        assert one.tus.get(path) == content


def test_chunked_body_is_handed_over_too(pair: tuple[Server, Server], content: bytes) -> None:
    one, two = pair
    path = one.tus.create(len(content))
    with one.tus.begin_patch(path, 0, None) as wire:
        wire.send_chunk(content[:100_000])
        wire.send(b"%x\r\n" % MIB + content[100_000:100_500])
        wire.until_read()
        assert two.tus.offset(path) == 100_500
        assert wire.read().status == 423
    two.tus.finish(path, content)
    assert one.tus.get(path) == content


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two servers that wait for a lock for half a second."""
    directory = tmp_path_factory.mktemp("impatient") / "data"
    options = ("--lock-timeout", "500ms")
    with (
        Server(directory, *options, name="one") as one,
        Server(directory, *options, name="two") as two,
    ):
        yield one, two


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_a_holder_that_cannot_leave_is_423_before_the_body(
    impatient: tuple[Server, Server], content: bytes, method: str
) -> None:
    """Its process is stopped. Nothing is forced: when it runs again, it goes on as the holder."""
    one, two = impatient
    path = one.tus.create(len(content))
    with one.tus.begin_patch(path, 0, len(content), {"Expect": "100-continue"}) as wire:
        assert wire.read_next().status == 100
        wire.send(content[:50_000])
        wire.until_read()
        one.main.send_signal(signal.SIGSTOP)
        try:
            with two.endpoint.connect() as other:
                headers = {"Tus-Resumable": "1.0.0", "Expect": "100-continue"}
                if method == "PATCH":
                    headers |= patch_headers(50_000) | {"Content-Length": "100"}
                other.head(method, path, headers)
                refused = other.read().expect(423)
                assert refused.interim == ()
                assert refused.get("Upload-Offset") is None
        finally:
            one.main.send_signal(signal.SIGCONT)
        # It was asked to leave meanwhile, and hears of it now; or the ring was lost.
        wire.send_until_answered(content[50_000:])
        wire.read().expect(204, 423)
    two.tus.finish(path, content)
    assert one.tus.get(path) == content


def test_a_holder_that_is_killed_leaves_at_once(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "data"
    with Server(directory, name="one") as one, Server(directory, name="two") as two:
        path = one.tus.create(len(content))
        with one.tus.begin_patch(path, 0, len(content)) as wire:
            wire.send(content[:50_000])
            wire.until_read()
            one.kill()
            assert two.tus.offset(path) <= 50_000
        two.tus.finish(path, content)
        assert two.tus.get(path) == content


def test_a_server_that_stops_keeps_what_arrived_and_says_so(tmp_path: Path, content: bytes) -> None:
    with Server(tmp_path / "data") as server:
        path = server.tus.create(len(content))
        with server.tus.begin_patch(path, 0, len(content)) as wire:
            wire.send(content[: MIB + 5])
            wire.until_read()
            assert server.stop() == 0
            assert wire.read().status == 503
        server.start()
        assert server.tus.offset(path) == MIB + 5
        server.tus.finish(path, content)
        assert server.tus.get(path) == content


@dataclass
class Writer:
    """A client that wants to have its own bytes everywhere, and does not give up."""

    tus: Tus
    path: str
    stream: bytes
    chance: random.Random
    starts: set[int] = field(default_factory=set)
    statuses: dict[int, int] = field(default_factory=dict)
    heads: list[int] = field(default_factory=list)
    failure: BaseException | None = None

    def run(self) -> None:
        try:
            while self._go_on():
                pass
        except BaseException as error:
            self.failure = error

    def _go_on(self) -> bool:
        head = self.tus.head(self.path).expect(200, 423)
        if head.status == 423:
            return True
        offset = int(head["Upload-Offset"])
        self.heads.append(offset)
        if offset == len(self.stream):
            return False
        stop = min(len(self.stream), offset + self.chance.randrange(1, 4 * MIB))
        self.starts.add(offset)
        status = 0
        with self.tus.begin_patch(self.path, offset, stop - offset) as wire:
            if self.chance.random() < 0.1:
                wire.send(self.stream[offset : (offset + stop) // 2])
                (wire.close if self.chance.random() < 0.5 else wire.reset)()
            else:
                try:
                    wire.send_until_answered(memoryview(self.stream)[offset:stop])
                    response = wire.read().expect(204, 409, 423)
                    status = response.status
                except GoneError:
                    status = -1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return True


@pytest.mark.campaign
def test_many_writers_never_interleave(pair: tuple[Server, Server]) -> None:
    for round_ in range(CAMPAIGN):
        _fight(pair, random.Random(round_))


def _fight(pair: tuple[Server, Server], chance: random.Random) -> None:
    size = 24 * MIB
    first = chance.randbytes(size)
    streams = [first.translate(bytes((b + n) % 256 for b in range(256))) for n in range(4)]
    path = pair[0].tus.create(size)
    writers = [
        Writer(pair[n % 2].tus, path, stream, random.Random(chance.random()))
        for n, stream in enumerate(streams)
    ]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a writer hangs"
    for writer in writers:
        if writer.failure is not None:
            raise writer.failure
        assert writer.heads == sorted(writer.heads), "an offset went back"
        assert writer.statuses.get(-1, 0) == 0, f"hung up on without an answer: {writer.statuses}"
    result = pair[1].tus.get(path)
    assert len(result) == size
    changes = _changes_of_owner(result, streams)
    starts = set().union(*(writer.starts for writer in writers))
    assert set(changes) <= starts
    print(f"{len(changes)} changes of owner; answers:", *(writer.statuses for writer in writers))
    pair[0].tus.delete(path).expect(204)


def _changes_of_owner(result: bytes, streams: list[bytes]) -> list[int]:
    """Where one stream's bytes end and another's begin; AssertionError for a byte of nobody's."""
    changes: list[int] = []
    at = 0
    while at < len(result):
        runs = [_common(result, stream, at) for stream in streams]
        longest = max(runs)
        assert longest > 0, f"the byte at {at} is nobody's"
        at += longest
        changes.append(at)
    return changes[:-1]


def _common(result: bytes, stream: bytes, at: int) -> int:
    """How many bytes from `at` on are equal; by halving, as comparing is fast and looking slow."""
    low, high = 0, len(result) - at
    while low < high:
        middle = (low + high + 1) // 2
        if result[at + low : at + middle] == stream[at + low : at + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def test_owner_changes_are_found() -> None:
    streams = [b"abcdefgh", b"bcdefghi"]
    assert _changes_of_owner(b"abcdfghi", streams) == [4]
    assert _changes_of_owner(b"abcdfggh", streams) == [4, 6]
    with pytest.raises(AssertionError, match="at 2 is nobody's"):
        _changes_of_owner(b"abXdefgh", streams)


def test_how_long_a_hand_over_takes(pair: tuple[Server, Server], content: bytes) -> None:
    one, two = pair
    times: list[float] = []
    for round_ in range(15):
        path = one.tus.create(len(content))
        with one.tus.begin_patch(path, 0, len(content)) as wire:
            wire.send(content[: MIB + round_])
            wire.until_read()
            began = time.perf_counter()
            assert two.tus.offset(path) == MIB + round_
            times.append(time.perf_counter() - began)
            assert wire.read().status == 423
        two.tus.delete(path).expect(204)
    print(
        f"hand-over by HEAD: median {statistics.median(times) * 1000:.1f} ms, "
        f"worst {max(times) * 1000:.1f} ms"
    )


def test_locks_leave_nothing_behind(pair: tuple[Server, Server], content: bytes) -> None:
    """What the lock needs on disk does not grow with the uploads that came and went."""
    one, two = pair
    for _ in range(10):
        path = one.tus.create(100)
        two.tus.patch(path, 0, content[:100]).expect(204)
        one.tus.delete(path).expect(204)
    left = [entry for entry in Path(one.directory / "locks").glob("**/*") if entry.is_file()]
    assert len(left) < 10, left
