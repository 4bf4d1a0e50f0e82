"""StoreContract: what every store promises of bytes on their way, as tests.

Subclass `tusjumbo.testing.arrivals.ArrivalsContract`, which goes on from here. Give it the fixture
`store` (empty), and say how bytes get into the store and out of it behind its back: `plant`,
`unfinished`, `abandoned`, `lose` and `finished`. They run in a worker thread.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tusjumbo.errors import StorageFailed, StorageLost
from tusjumbo.ports import Store
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Kind, Phase, Receipt, UploadSession

NEW = UploadSession(id="a", created_at=1.0, updated_at=1.0)

DATA = bytes(range(256)) * 33


def opened(upload_id: str = "a", *runs: tuple[int, int]) -> UploadSession:
    """An unfinished session with these bytes committed."""
    return replace(NEW, id=upload_id, ranges=RangeSet(runs))


def full(upload_id: str, data: bytes) -> UploadSession:
    """A partial upload that is waiting to be joined."""
    return replace(opened(upload_id, (0, len(data))), length=len(data), kind=Kind.PARTIAL)


def sealed(data: bytes, upload_id: str = "a", filename: str = "") -> UploadSession:
    """A session that is full of `data`, and waits to be finished."""
    return replace(
        NEW,
        id=upload_id,
        length=len(data),
        ranges=RangeSet().add(0, len(data)),
        phase=Phase.SEALED,
        metadata={"filename": filename.encode()} if filename else {},
    )


def done(session: UploadSession, receipt: Receipt) -> UploadSession:
    return replace(session, phase=Phase.DONE, receipt=receipt)


async def put(store: Store, session: UploadSession, pieces: Mapping[int, bytes]) -> None:
    """Write pieces at their offsets and sync them."""
    async with store.writing(session) as writer:
        for at, piece in pieces.items():
            await writer.write(at, memoryview(piece), None)
        await writer.sync()


async def read(path: Path) -> bytes:
    return await anyio.Path(path).read_bytes()


@pytest.mark.anyio
class StoreContract(ABC):
    @abstractmethod
    def plant(self, upload_id: str, data: bytes, *, touched_at: float | None = None) -> None:
        """Make `data` the unfinished bytes of an upload, last touched then (or now)."""

    @abstractmethod
    def unfinished(self, upload_id: str) -> bytes | None:
        """The unfinished bytes of an upload, committed or not; None if it holds none."""

    @abstractmethod
    def abandoned(self, upload_id: str) -> bytes | None:
        """The bytes of an upload that were set aside; None if there are none."""

    @abstractmethod
    def lose(self, session: UploadSession) -> None:
        """Take the finished bytes of `session` away."""

    async def _plant(self, upload_id: str, data: bytes, *, touched_at: float | None = None) -> None:
        await to_thread.run_sync(lambda: self.plant(upload_id, data, touched_at=touched_at))

    async def _unfinished(self, upload_id: str = "a") -> bytes | None:
        return await to_thread.run_sync(self.unfinished, upload_id)

    async def _abandoned(self, upload_id: str = "a") -> bytes | None:
        return await to_thread.run_sync(self.abandoned, upload_id)

    async def _finish(self, store: Store, session: UploadSession, data: bytes) -> UploadSession:
        """The session with its bytes in their final place."""
        await self._plant(session.id, data)
        finished = done(session, await store.publish(session))
        await store.settle(finished)
        return finished

    # --- writing ---

    async def test_nothing_is_stored_before_something_is_written(self, store: Store) -> None:
        async with store.writing(opened()):
            pass
        assert await self._unfinished() is None
        async with store.writing(opened()) as writer:
            await writer.sync()
        assert await self._unfinished() is None

    async def test_what_is_written_is_stored(self, store: Store) -> None:
        async with store.writing(opened()) as writer:
            await writer.write(0, memoryview(DATA), None)
            assert await self._unfinished() == DATA
            await writer.sync()
            assert await self._unfinished() == DATA
        assert await self._unfinished() == DATA

    async def test_writing_goes_on_where_it_ended(self, store: Store) -> None:
        await self._plant("a", DATA[:100])
        await put(store, opened("a", (0, 100)), {100: DATA[100:150], 150: DATA[150:]})
        assert await self._unfinished() == DATA

    async def test_pieces_come_in_any_order(self, store: Store) -> None:
        await put(store, opened(), {200: DATA[200:], 0: DATA[:100]})
        runs = ((0, 100), (200, len(DATA)))
        await put(store, opened("a", *runs), {100: DATA[100:200]})
        assert await self._unfinished() == DATA

    async def test_bytes_that_were_not_committed_are_overwritten(self, store: Store) -> None:
        await self._plant("a", DATA[:100] + b"left behind by somebody" * 10)
        await put(store, opened("a", (0, 100)), {100: DATA[100:]})
        stored = await self._unfinished()
        assert stored is not None
        assert stored[: len(DATA)] == DATA

    async def test_committed_bytes_stay_however_little_is_written(self, store: Store) -> None:
        await self._plant("a", DATA)
        session = opened("a", (0, len(DATA)))
        async with store.writing(session):
            pass
        assert await self._unfinished() == DATA
        await put(store, session, {len(DATA): b"!"})
        assert await self._unfinished() == DATA + b"!"

    async def test_a_writer_who_knows_less_than_is_stored_shortens_nothing(
        self, store: Store
    ) -> None:
        """Another writer was faster, and the catalog is about to refuse this one."""
        await self._plant("a", DATA)
        await put(store, opened("a"), {0: DATA[:10]})
        await put(store, opened("a", (0, 10)), {10: DATA[10:20]})
        assert await self._unfinished() == DATA

    async def test_a_piece_of_a_larger_buffer(self, store: Store) -> None:
        buffer = bytearray(b"?" + DATA + b"?")
        async with store.writing(opened()) as writer:
            await writer.write(0, memoryview(buffer)[1:-1], None)
            buffer[:] = bytes(len(buffer))
        assert await self._unfinished() == DATA

    async def test_nothing_to_write(self, store: Store) -> None:
        await self._plant("a", DATA)
        await put(store, opened("a", (0, 100)), {100: b""})
        assert await self._unfinished() == DATA

    async def test_the_hasher_is_fed_what_is_written(self, store: Store) -> None:
        hasher = hashlib.sha256(b"before")
        async with store.writing(opened()) as writer:
            await writer.write(0, memoryview(DATA)[:1000], hasher)
            await writer.write(1000, memoryview(DATA)[1000:], hasher)
        assert hasher.digest() == hashlib.sha256(b"before" + DATA).digest()

    async def test_what_was_written_is_read_back(self, store: Store) -> None:
        await self._plant("a", DATA[:100])
        async with store.writing(opened("a", (0, 100))) as writer:
            await writer.write(100, memoryview(DATA)[100:], None)
            for start, stop in ((100, len(DATA)), (100, 101), (300, 2000), (100, 100), (0, 150)):
                hasher = hashlib.sha256(b"before")
                await writer.read_back(start, stop, hasher)
                assert hasher.digest() == hashlib.sha256(b"before" + DATA[start:stop]).digest()
            await writer.write(200, memoryview(b"changed"), None)
            hasher = hashlib.sha256()
            await writer.read_back(150, 210, hasher)
            expected = DATA[150:200] + b"changed" + DATA[207:210]
            assert hasher.digest() == hashlib.sha256(expected).digest()

    async def test_reading_back_more_than_fits_into_a_buffer(self, store: Store) -> None:
        data = DATA * 150
        async with store.writing(opened()) as writer:
            await writer.write(0, memoryview(data), None)
            hasher = hashlib.sha256()
            await writer.read_back(1, len(data) - 1, hasher)
        assert hasher.digest() == hashlib.sha256(data[1:-1]).digest()

    async def test_what_is_gone_is_not_read_back(self, store: Store) -> None:
        async with store.writing(opened()) as writer:
            await writer.write(0, memoryview(DATA), None)
            with pytest.raises(StorageFailed):
                await writer.read_back(10, len(DATA) + 1, hashlib.sha256())
            await self._plant("a", DATA[:20])
            with pytest.raises(StorageFailed):
                await writer.read_back(10, len(DATA), hashlib.sha256())

    async def test_uploads_are_kept_apart(self, store: Store) -> None:
        names = ["a", "A", "ab", "a-", "a_b", "0" * 128]
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(put, store, opened(name), {0: name.encode() * 100})
        for name in names:
            assert await self._unfinished(name) == name.encode() * 100

    @pytest.mark.parametrize("stored", [None, b"", DATA[:99]], ids=["none", "empty", "too few"])
    async def test_committed_bytes_that_are_missing(
        self, store: Store, stored: bytes | None
    ) -> None:
        if stored is not None:
            await self._plant("a", stored)
        with pytest.raises(StorageLost) as caught:
            async with store.writing(opened("a", (0, 50), (60, 100))):
                raise AssertionError("writing after what is not there")
        assert caught.value.upload_id == "a"
        assert await self._unfinished() == stored

    async def test_a_failing_caller_leaves_what_was_written(self, store: Store) -> None:
        async def fail() -> None:
            async with store.writing(opened()) as writer:
                await writer.write(0, memoryview(DATA), None)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await self._unfinished() == DATA
        await put(store, opened("a", (0, len(DATA))), {len(DATA): b"!"})
        assert await self._unfinished() == DATA + b"!"

    async def test_a_cancelled_writer_leaves_a_prefix(self, store: Store) -> None:
        for patience in range(12):
            name = f"a{patience}"
            with anyio.CancelScope() as scope:
                async with (
                    store.writing(opened(name)) as writer,
                    anyio.create_task_group() as tasks,
                ):
                    for _ in range(patience):
                        await anyio.lowlevel.checkpoint()
                    tasks.start_soon(writer.write, 0, memoryview(DATA), None)
                    await anyio.lowlevel.checkpoint()
                    scope.cancel()
            stored = await self._unfinished(name)
            assert stored is None or stored == DATA[: len(stored)]
            await put(store, opened(name), {0: b"0", 1: DATA[1:]})
            assert await self._unfinished(name) == b"0" + DATA[1:]

    # --- copying ---

    async def test_bytes_of_a_part_are_copied(self, store: Store) -> None:
        await self._plant("b", DATA)
        await self._plant("c", b"-")
        async with store.writing(opened()) as writer:
            await writer.copy(full("b", DATA), 0, 100, 0)
            await writer.copy(full("c", b"-"), 0, 1, 100)
            await writer.copy(full("b", DATA), 50, len(DATA), 101)
            await writer.copy(full("b", DATA), 7, 7, 0)
            await writer.sync()
        assert await self._unfinished() == DATA[:100] + b"-" + DATA[50:]
        assert await self._unfinished("b") == DATA

    async def test_copies_come_in_any_order_beside_what_is_written(self, store: Store) -> None:
        await self._plant("a", DATA[:10])
        await self._plant("b", DATA)
        async with store.writing(opened("a", (0, 10))) as writer:
            await writer.copy(full("b", DATA), 200, len(DATA), 200)
            await writer.write(10, memoryview(DATA)[10:100], None)
            await writer.copy(full("b", DATA), 100, 200, 100)
        assert await self._unfinished() == DATA

    async def test_a_copy_is_one_of_its_own(self, store: Store) -> None:
        """Whatever becomes of the part: it may be written on, set aside or removed."""
        await self._plant("b", DATA)
        async with store.writing(opened()) as writer:
            await writer.copy(full("b", DATA), 0, len(DATA), 0)
        await put(store, opened("b"), {0: b"changed"})
        assert await self._unfinished() == DATA
        await store.remove(full("b", DATA))
        session = sealed(DATA)
        assert await read(await store.locate(done(session, await store.publish(session)))) == DATA

    @pytest.mark.parametrize("stored", [None, b"", DATA[:99]], ids=["none", "empty", "too few"])
    async def test_bytes_of_a_part_that_are_missing(
        self, store: Store, stored: bytes | None
    ) -> None:
        if stored is not None:
            await self._plant("b", stored)
        async with store.writing(opened()) as writer:
            with pytest.raises(StorageLost) as caught:
                await writer.copy(full("b", DATA), 0, 100, 0)
            assert caught.value.upload_id == "b"
            await writer.write(0, memoryview(DATA), None)
        assert await self._unfinished() == DATA

    # --- finishing ---

    @pytest.mark.parametrize("data", [b"", b"0", DATA], ids=["empty", "one byte", "many"])
    async def test_a_full_upload_is_published(self, store: Store, data: bytes) -> None:
        await self._plant("a", data)
        session = sealed(data)
        finished = done(session, await store.publish(session))
        assert await read(await store.locate(finished)) == data
        await store.settle(finished)
        assert await self._unfinished() is None
        assert await read(await store.locate(finished)) == data

    async def test_an_upload_without_bytes_is_published(self, store: Store) -> None:
        session = sealed(b"")
        finished = done(session, await store.publish(session))
        assert done(session, await store.publish(session)) == finished
        await store.settle(finished)
        assert await read(await store.locate(finished)) == b""

    async def test_publishing_twice_comes_to_the_same(self, store: Store) -> None:
        await self._plant("a", DATA)
        session = sealed(DATA, filename="data.bin")
        receipt = await store.publish(session)
        assert await store.publish(session) == receipt
        finished = done(session, receipt)
        assert await read(await store.locate(finished)) == DATA
        for _ in range(2):
            await store.settle(finished)
        assert await read(await store.locate(finished)) == DATA

    async def test_what_was_not_committed_is_not_published(self, store: Store) -> None:
        session = sealed(DATA)
        finished = await self._finish(store, session, DATA + b"left behind")
        assert await read(await store.locate(finished)) == DATA

    async def test_no_upload_takes_the_place_of_another(self, store: Store) -> None:
        """The same name, names that differ only for some, and names that end in another's id."""
        names = ["x.csv", "x.csv", "X.CSV", "x.csv", "x-a3.csv", "x-a0.csv", "x-a1-2.csv", "x.csv"]
        finished = {}
        for number, name in enumerate(names):
            data = f"{number}".encode() * 100
            finished[data] = await self._finish(store, sealed(data, f"a{number}", name), data)
        places = [await store.locate(session) for session in finished.values()]
        assert len(set(places)) == len(names)
        assert [await read(place) for place in places] == list(finished)

    @pytest.mark.parametrize("stored", [None, b"", DATA[:-1]], ids=["none", "empty", "too few"])
    async def test_what_is_missing_is_not_published(
        self, store: Store, stored: bytes | None
    ) -> None:
        if stored is not None:
            await self._plant("a", stored)
        with pytest.raises(StorageLost) as caught:
            await store.publish(sealed(DATA))
        assert caught.value.upload_id == "a"
        assert await self._unfinished() == stored

    async def test_settling_leaves_others_alone(self, store: Store) -> None:
        finished = await self._finish(store, sealed(DATA), DATA)
        await self._plant("b", DATA)
        await store.settle(finished)
        assert await self._unfinished("b") == DATA

    async def test_a_finished_file_that_somebody_took(self, store: Store) -> None:
        finished = await self._finish(store, sealed(DATA), DATA)
        await to_thread.run_sync(self.lose, finished)
        for _ in range(2):
            with pytest.raises(StorageLost) as caught:
                await store.locate(finished)
            assert caught.value.upload_id == "a"
        await store.remove(finished)

    # --- abandoning and removing ---

    async def test_an_expired_upload_is_set_aside(self, store: Store) -> None:
        await self._plant("a", DATA)
        await self._plant("b", DATA)
        for _ in range(2):
            await store.abandon(opened("a", (0, 100)))
            assert await self._unfinished() is None
            assert await self._abandoned() == DATA
        assert await self._unfinished("b") == DATA
        assert await self._abandoned("b") is None

    async def test_an_expired_upload_without_bytes(self, store: Store) -> None:
        for _ in range(2):
            await store.abandon(opened())
        assert await self._abandoned() is None

    @pytest.mark.parametrize("state", ["never written", "unfinished", "abandoned"])
    async def test_an_upload_is_removed(self, store: Store, state: str) -> None:
        session = opened("a", (0, 100))
        await self._plant("b", DATA)
        if state != "never written":
            await self._plant("a", DATA)
        if state == "abandoned":
            await store.abandon(session)
        for _ in range(2):
            await store.remove(session)
            assert await self._unfinished() is None
            assert await self._abandoned() is None
        assert await self._unfinished("b") == DATA

    async def test_a_finished_upload_is_removed(self, store: Store) -> None:
        other = await self._finish(store, sealed(DATA, "b", "x.csv"), DATA)
        finished = await self._finish(store, sealed(DATA, "a", "x.csv"), DATA)
        place = await store.locate(finished)
        for _ in range(2):
            await store.remove(finished)
            with pytest.raises(StorageLost):
                await store.locate(finished)
        assert not await anyio.Path(place).exists()
        assert await read(await store.locate(other)) == DATA

    @pytest.mark.parametrize("settled", [False, True])
    async def test_an_upload_is_removed_in_the_middle_of_finishing(
        self, store: Store, settled: bool
    ) -> None:
        await self._plant("a", DATA)
        session = sealed(DATA, filename="x.csv")
        finished = done(session, await store.publish(session))
        place = await store.locate(finished)
        for _ in range(2):
            await store.remove(finished if settled else session)
            assert await self._unfinished() is None
            assert not await anyio.Path(place).exists()

    # --- strays ---

    async def test_strays_are_what_nobody_has_touched(self, store: Store) -> None:
        now = time.time()
        assert await store.strays(now + 1000.0) == []
        await self._plant("old", DATA, touched_at=now - 100.0)
        await self._plant("older", b"", touched_at=now - 200.0)
        await self._plant("new", DATA)
        await self._plant("aside", DATA, touched_at=now - 200.0)
        await store.abandon(opened("aside"))
        finished = await self._finish(store, sealed(DATA, "finished"), DATA)
        assert sorted(await store.strays(now - 300.0)) == []
        assert sorted(await store.strays(now - 150.0)) == ["older"]
        assert sorted(await store.strays(now - 50.0)) == ["old", "older"]
        await put(store, opened("old", (0, 100)), {100: b"!"})
        assert sorted(await store.strays(now - 50.0)) == ["older"]
        assert sorted(await store.strays(now + 1000.0)) == ["new", "old", "older"]
        assert await read(await store.locate(finished)) == DATA
