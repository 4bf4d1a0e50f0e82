"""KeepingContract: what every store promises, of bytes on their way and of those that it keeps.

Subclass it as `tusjumbo.testing.stores` says. Kept bytes are looked at wherever they are, and what
was set aside comes back as it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from anyio import to_thread

from tusjumbo.errors import StorageLost
from tusjumbo.ports import Store
from tusjumbo.sessions.session import Phase, UploadSession
from tusjumbo.testing.stores import DATA, StoreContract, done, opened, put, read, sealed

PARTLY = opened("a", (0, 100), (200, 300))
"""Committed bytes of `DATA`, with others around them that nobody has recorded."""

ASIDE = replace(PARTLY, phase=Phase.ABANDONED)


async def examined(store: Store, session: UploadSession, start: int, stop: int) -> bytes:
    hasher = hashlib.sha256(b"before")
    await store.examine(session, start, stop, hasher)
    return hasher.digest()


def digest(data: bytes) -> bytes:
    return hashlib.sha256(b"before" + data).digest()


class KeepingContract(StoreContract):
    # --- drawing ---

    @pytest.mark.parametrize("limit", [1, 100, len(DATA), 10**6])
    async def test_what_is_drawn_is_stored(self, store: Store, limit: int) -> None:
        waiting = bytearray(DATA)

        def read(buffer: memoryview) -> int:
            count = min(len(buffer), len(waiting), 77)
            buffer[:count] = waiting[:count]
            del waiting[:count]
            return count

        at = 0
        counts: list[int] = []
        memory, hasher = memoryview(bytearray(60)), hashlib.sha256()
        async with store.writing(opened()) as writer:
            draw = writer.draw
            assert draw is not None
            while waiting:
                counts.clear()
                await draw(at, read, memory, limit, counts.append, hasher)
                assert 0 < sum(counts) <= limit
                at += sum(counts)
            await draw(at, read, memory, limit, counts.append, None)
        assert at == len(DATA)
        assert hasher.digest() == hashlib.sha256(DATA).digest()
        assert await self._unfinished() == DATA

    # --- examining ---

    async def _stored(self, store: Store, state: str, data: bytes) -> UploadSession:
        """A session whose bytes are all in, and where that state has them."""
        await self._plant("a", data + b"left behind")
        session = replace(sealed(data, filename="x.csv"), phase=Phase.OPEN)
        match state:
            case "set aside":
                await store.abandon(session)
                return replace(session, phase=Phase.ABANDONED)
            case "put back":
                await store.abandon(session)
                await store.recover(session)
                return session
            case "sealed" | "half published" | "done" | "settled":
                session = replace(session, phase=Phase.SEALED)
        if state in ("half published", "done", "settled"):
            receipt = await store.publish(session)
            if state != "half published":
                session = done(session, receipt)
            if state == "settled":
                await store.settle(session)
        return session

    @pytest.mark.parametrize(
        "state",
        ["open", "set aside", "put back", "sealed", "half published", "done", "settled"],
    )
    async def test_bytes_are_examined_wherever_they_are(self, store: Store, state: str) -> None:
        data = DATA * 150  # more than fits into a buffer
        session = await self._stored(store, state, data)
        await self._plant("b", b"other")
        size = len(data)
        for start, stop in ((0, size), (0, 1), (size - 1, size), (7, size - 7), (5, 5), (0, 0)):
            assert await examined(store, session, start, stop) == digest(data[start:stop])

    async def test_examining_changes_nothing(self, store: Store) -> None:
        await self._plant("a", DATA)
        async with store.writing(PARTLY) as writer:
            assert await examined(store, PARTLY, 200, 300) == digest(DATA[200:300])
            await writer.write(300, memoryview(b"more"), None)
            assert await examined(store, PARTLY, 200, 300) == digest(DATA[200:300])
        await store.abandon(ASIDE)
        assert await examined(store, ASIDE, 200, 300) == digest(DATA[200:300])
        assert await self._unfinished() is None
        assert await self._abandoned() == DATA[:300] + b"more" + DATA[304:]

    @pytest.mark.parametrize("phase", [Phase.OPEN, Phase.SEALED, Phase.ABANDONED])
    @pytest.mark.parametrize("stored", [None, b"", DATA[:299]], ids=["none", "empty", "too few"])
    async def test_what_is_not_there_is_not_examined(
        self, store: Store, phase: Phase, stored: bytes | None
    ) -> None:
        session = replace(PARTLY, phase=phase, length=300)
        await self._plant("b", DATA)
        if stored is not None:
            await self._plant("a", stored)
            if phase is Phase.ABANDONED:
                await store.abandon(session)
        with pytest.raises(StorageLost) as caught:
            await examined(store, session, 200, 300)
        assert caught.value.upload_id == "a"

    async def test_a_finished_file_that_is_gone_is_not_examined(self, store: Store) -> None:
        """What others have left under the id of the upload is not it."""
        finished = await self._finish(store, sealed(DATA), DATA)
        await to_thread.run_sync(self.lose, finished)
        await self._plant("a", DATA)
        with pytest.raises(StorageLost) as caught:
            await examined(store, finished, 0, 10)
        assert caught.value.upload_id == "a"

    # --- recovering ---

    async def test_what_was_set_aside_comes_back(self, store: Store) -> None:
        await self._plant("a", DATA)
        await self._plant("b", DATA)
        for upload_id in ("a", "b"):
            await store.abandon(opened(upload_id, (0, 100)))
        for _ in range(2):
            await store.recover(ASIDE)
            assert await self._unfinished() == DATA
            assert await self._abandoned() is None
        assert await self._unfinished("b") is None
        assert await self._abandoned("b") == DATA
        await put(store, PARTLY, {100: b"!" * 100, 300: b"?"})
        assert (
            await self._unfinished() == DATA[:100] + b"!" * 100 + DATA[200:300] + b"?" + DATA[301:]
        )

    async def test_it_comes_and_goes_and_is_finished(self, store: Store) -> None:
        await self._plant("a", DATA)
        for _ in range(3):
            await store.abandon(PARTLY)
            await store.recover(ASIDE)
        session = sealed(DATA)
        finished = done(session, await store.publish(session))
        await store.settle(finished)
        assert await read(await store.locate(finished)) == DATA
        assert await self._abandoned() is None

    async def test_what_nobody_has_set_aside_stays(self, store: Store) -> None:
        await self._plant("a", DATA)
        await store.recover(ASIDE)
        assert await self._unfinished() == DATA

    async def test_an_upload_without_bytes_comes_back(self, store: Store) -> None:
        for _ in range(2):
            await store.recover(replace(opened(), phase=Phase.ABANDONED))
            assert await self._unfinished() is None
        await self._plant("a", b"")
        await store.abandon(opened())
        await store.recover(replace(opened(), phase=Phase.ABANDONED))
        assert await self._unfinished() == b""
        assert await self._abandoned() is None

    async def test_what_lies_in_the_way_is_nobodys(self, store: Store) -> None:
        """Too short to be what is committed, so it is not what was put aside."""
        await self._plant("a", DATA)
        await store.abandon(PARTLY)
        await self._plant("a", DATA[:299].upper())
        await store.recover(ASIDE)
        assert await self._unfinished() == DATA

    @pytest.mark.parametrize("stored", [None, b"", DATA[:299]], ids=["none", "empty", "too few"])
    @pytest.mark.parametrize("aside", [True, False], ids=["set aside", "not set aside"])
    async def test_what_is_lost_does_not_come_back(
        self, store: Store, stored: bytes | None, *, aside: bool
    ) -> None:
        if stored is not None:
            await self._plant("a", stored)
        if aside:
            await store.abandon(ASIDE)
        before = (await self._unfinished(), await self._abandoned())
        for _ in range(2):
            with pytest.raises(StorageLost) as caught:
                await store.recover(ASIDE)
            assert caught.value.upload_id == "a"
            assert (await self._unfinished(), await self._abandoned()) == before
