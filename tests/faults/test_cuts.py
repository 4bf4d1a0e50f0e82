"""A PATCH of n bytes is cut after k of them: afterwards the offset is k, and the prefix exact.

What a client may hold the server to: every byte that the server's kernel has acknowledged. With FIN
that is everything that was sent, because TCP delivers it before the end. A reset throws away what
the client's own kernel had not sent yet; so before a reset the tests wait until everything is
acknowledged (not: read). Linux keeps acknowledged bytes readable after a reset, so a server that
reads to the error gets them, and k is asked for there too, also of a server that was busy (stopped)
all the while.

The offset is asked for when the server has closed its end: a HEAD asks a running PATCH to leave,
and would end it before the cut does. What comes of that is `test_handover`'s matter.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.campaign import CAMPAIGN, MIB
from tests.harness.process import Server
from tests.harness.wire import Wire

pytestmark = pytest.mark.wire

N = 5 * MIB
CUTS = ("fin", "half", "reset")
FRAMINGS = ("length", "chunked")


def _cut(wire: Wire, cut: str) -> None:
    if cut == "fin":
        wire.close()
    elif cut == "half":
        wire.half_close()
    else:
        wire.until_acknowledged()
        wire.reset()


def _begin(server: Server, framing: str, length: int = N, at: int = 0) -> tuple[str, Wire]:
    path = server.tus.create(length)
    return path, server.tus.begin_patch(path, at, length - at if framing == "length" else None)


def _send_part(wire: Wire, framing: str, part: bytes) -> None:
    """Bytes of a body that is cut before its end: of the chunked one, in the middle of a chunk."""
    if framing == "chunked":
        wire.send(b"%x\r\n" % N)
    wire.send(part)


def _holds(server: Server, path: str, content: bytes, kept: int) -> None:
    """The offset is `kept`, the stored file has that prefix, and the upload can be finished."""
    assert server.tus.offset(path) == kept
    stored = server.directory / "sessions" / path.rsplit("/", 1)[1]
    if 0 < kept < len(content):
        assert stored.read_bytes()[:kept] == content[:kept]
    server.tus.finish(path, content)
    assert server.tus.get(path) == content
    server.tus.delete(path).expect(204)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "k", [0, 1, 1023, 65536, 65537, MIB - 1, MIB, MIB + 1, 2 * MIB + 77, N - 1]
)
def test_cut_after_k_bytes(server: Server, content: bytes, k: int, cut: str, framing: str) -> None:
    path, wire = _begin(server, framing)
    with wire:
        _send_part(wire, framing, content[:k])
        _cut(wire, cut)
        wire.until_dropped()
    _holds(server, path, content[:N], k)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("cut", CUTS)
def test_cut_after_the_last_byte(server: Server, content: bytes, cut: str, framing: str) -> None:
    """All bytes are in, though a chunked body's end is not: nothing of them may be lost."""
    path, wire = _begin(server, framing)
    with wire:
        _send_part(wire, framing, content[:N])
        _cut(wire, cut)
        wire.until_dropped()
    _holds(server, path, content[:N], N)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "lost", [b"8000", b"8000\r\n", b"8000\r\nabc"], ids=["size", "line", "data"]
)
def test_cut_inside_a_later_chunk(server: Server, content: bytes, cut: str, lost: bytes) -> None:
    path, wire = _begin(server, "chunked")
    begun = lost.partition(b"\r\n")[2]
    whole = content[:70_000] + begun + content[70_000 + len(begun) : N]
    with wire:
        wire.send_chunk(whole[:30_000])
        wire.send_chunk(whole[30_000:70_000])
        wire.send(lost)
        _cut(wire, cut)
        wire.until_dropped()
    _holds(server, path, whole, 70_000 + len(begun))


@pytest.mark.parametrize("cut", CUTS)
def test_cut_of_a_patch_in_the_middle(server: Server, content: bytes, cut: str) -> None:
    path = server.tus.create(N)
    server.tus.patch(path, 0, content[: 2 * MIB]).expect(204)
    with server.tus.begin_patch(path, 2 * MIB, N - 2 * MIB) as wire:
        wire.send(content[2 * MIB : 3 * MIB + 5])
        _cut(wire, cut)
        wire.until_dropped()
    _holds(server, path, content[:N], 3 * MIB + 5)


@contextmanager
def _busy(server: Server) -> Iterator[None]:
    """The server's processes do not get to run at all."""
    processes = server.tree()
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("read", "unread"), [(0, 40_000), (1, 60_000), (MIB + 1, 50_000)])
def test_cut_while_the_server_is_busy(
    server: Server, content: bytes, read: int, unread: int, cut: str, framing: str
) -> None:
    """Bytes and cut both wait in the kernel when the server gets to look."""
    path, wire = _begin(server, framing)
    with wire:
        _send_part(wire, framing, content[:read])
        wire.until_read()
        with _busy(server):
            wire.send(content[read : read + unread])
            wire.until_acknowledged()
            _cut(wire, cut)
        wire.until_dropped()
    _holds(server, path, content[:N], read + unread)


@pytest.mark.parametrize("cut", CUTS)
def test_head_and_all_while_the_server_is_busy(server: Server, content: bytes, cut: str) -> None:
    """The whole connection has come and gone before the server looks."""
    path = server.tus.create(N)
    with _busy(server), server.tus.begin_patch(path, 0, N) as wire:
        wire.send(content[:50_000])
        wire.until_acknowledged()
        _cut(wire, cut)
    wire.until_dropped()
    kept = server.tus.offset(path)
    if cut == "reset":
        # accept() fails for a connection that was reset while it waited to be accepted; then the
        # server never had anything in hand.
        assert kept in (0, 50_000)
    else:
        assert kept == 50_000
    _holds(server, path, content[:N], kept)


def _burn(over: Event) -> None:
    while not over.is_set():
        sum(range(10_000))


@pytest.mark.parametrize("cut", CUTS)
def test_cut_under_load(server: Server, content: bytes, cut: str) -> None:
    """More processes want the CPU than there are cores."""
    context = multiprocessing.get_context("spawn")
    over = context.Event()
    burners = [
        context.Process(target=_burn, args=(over,)) for _ in range(multiprocessing.cpu_count() * 2)
    ]
    for burner in burners:
        burner.start()
    try:
        for k in (10, MIB + 3, 3 * MIB):
            path, wire = _begin(server, "length")
            with wire:
                wire.send(content[:k])
                _cut(wire, cut)
                wire.until_dropped()
            _holds(server, path, content[:N], k)
    finally:
        over.set()
        for burner in burners:
            burner.join(30)


@pytest.mark.campaign
@settings(max_examples=40 * CAMPAIGN, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 700_000), max_size=6),
    cut=st.sampled_from(CUTS),
    framing=st.sampled_from(FRAMINGS),
    busy=st.booleans(),
)
def test_cut_anywhere(
    server: Server, content: bytes, pieces: list[int], cut: str, framing: str, busy: bool
) -> None:
    path, wire = _begin(server, framing)
    k = 0
    with wire:
        if framing == "chunked":
            wire.send(b"%x\r\n" % N)
        for piece in pieces:
            wire.send(content[k : k + piece])
            k += piece
        if busy:
            wire.until_read()
            with _busy(server):
                wire.send(content[k : k + 30_000])
                wire.until_acknowledged()
                _cut(wire, cut)
            k += 30_000
        else:
            _cut(wire, cut)
        wire.until_dropped()
    _holds(server, path, content[:N], k)


@pytest.mark.campaign
@settings(max_examples=20 * CAMPAIGN, deadline=None)
@given(k=st.integers(0, N - 1), cut=st.sampled_from(CUTS))
def test_asking_at_once_never_sees_more_than_was_sent(
    server: Server, content: bytes, k: int, cut: str
) -> None:
    """A client that comes back before the server has noticed anything (PATCH-12, LOCK-03)."""
    path, wire = _begin(server, "length")
    with wire:
        wire.send(content[:k])
        _cut(wire, cut)
        offset = server.tus.offset(path)
        assert offset <= k
        server.tus.patch(path, offset, content[offset:N]).expect(204)
    assert server.tus.get(path) == content[:N]
    server.tus.delete(path)


def test_cut_on_a_unix_socket(tmp_path: Path, content: bytes) -> None:
    socket = tmp_path / "s"
    with Server(tmp_path / "data", "--unix-socket", str(socket)) as server:
        server.endpoint = replace(server.endpoint, path="/files/", unix=socket)
        path, wire = _begin(server, "length")
        with wire:
            wire.send(content[: MIB + 9])
            wire.half_close()
            wire.read_to_end()
        _holds(server, path, content[:N], MIB + 9)
