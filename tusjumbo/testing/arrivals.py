"""ArrivalsContract: what every store promises of uploads that have arrived, and of what is made
of them on their way to their place.

Subclass it as `tusjumbo.testing.stores` says, which has the promises for those that go there as
they came. The engine's part is played here: a session is sealed, then assembling with the receipt
that an assembler's work came to, then done with the one that `publish` returned.
"""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import to_thread

from tusjumbo.application import FINAL_NAME, NOBODY, Arrival, Assembled, Origin
from tusjumbo.errors import StorageLost, UploadElsewhere
from tusjumbo.ports import Store
from tusjumbo.sessions.session import Answer, Phase, Receipt, UploadSession
from tusjumbo.testing.keeping import KeepingContract, digest, examined
from tusjumbo.testing.stores import DATA, done, opened, read, sealed

MADE = DATA.upper() + b"and more"
"""What an assembler has made of `DATA`; of another length."""

OTHERS = b"somebody else's"

SUMS = {".sha256": b"0123", ".tar.gz.asc": b""}

SESSION = sealed(DATA, "a", "film.mp4")


def assembling(session: UploadSession, assembled: Assembled) -> UploadSession:
    is_here = assembled.elsewhere is None
    receipt = Receipt(assembled.elsewhere or assembled.path or "", assembled.answer, is_here)
    return replace(session, phase=Phase.ASSEMBLING, receipt=receipt)


async def made_of(arrival: Arrival, content: bytes | None, *, at: str = "made") -> Path | None:
    """A file in the workspace, if there is anything to be in it."""
    if content is None:
        return None
    path = arrival.workspace / at
    await to_thread.run_sync(lambda: path.parent.mkdir(parents=True, exist_ok=True))
    await to_thread.run_sync(path.write_bytes, content)
    return path


class ArrivalsContract(KeepingContract):
    @abstractmethod
    def finished(self) -> Mapping[str, bytes]:
        """Every finished file, and those beside them, by what a receipt would call it."""

    @abstractmethod
    def occupy(self, path: str) -> None:
        """Put a file with `OTHERS` there: a receipt might call it `path`."""

    async def _finished(self) -> Mapping[str, bytes]:
        return await to_thread.run_sync(self.finished)

    async def _arrived(self, store: Store, session: UploadSession = SESSION) -> Arrival:
        """An upload of `DATA` for an assembler."""
        await self._plant(session.id, DATA)
        return await store.arrival(session, NOBODY)

    async def _kept(
        self,
        store: Store,
        session: UploadSession = SESSION,
        content: bytes | None = None,
        beside: Mapping[str, bytes] | None = None,
        path: str | None = None,
    ) -> UploadSession:
        """An upload of `DATA` as it is when this was made of it."""
        arrival = await self._arrived(store, session)
        assembled = Assembled(path, await made_of(arrival, content), beside or {})
        await store.keep(session, assembled)
        return assembling(session, assembled)

    async def _published(self, store: Store, session: UploadSession) -> UploadSession:
        session = done(session, await store.publish(session))
        await store.settle(session)
        return session

    async def _is_gone(self, store: Store, upload_id: str = "a") -> bool:
        """Whether nothing is left of it but finished files."""
        there = (await self._unfinished(upload_id), await self._abandoned(upload_id))
        return there == (None, None) and upload_id not in await store.strays(1e12)

    # --- arriving ---

    async def test_an_assembler_gets_the_bytes_and_room(self, store: Store) -> None:
        await self._plant("a", DATA + b"left behind")
        origin = Origin("PATCH", "/files/a")
        arrival = await store.arrival(SESSION, origin)
        assert (arrival.session, arrival.origin) == (SESSION, origin)
        assert await read(arrival.path) == DATA
        assert await to_thread.run_sync(arrival.workspace.is_dir)
        assert arrival.name == "film.mp4"
        assert await self._finished() == {}

    @pytest.mark.parametrize(
        ("destination", "filename", "name"),
        [
            (None, "../x y.csv", "x y.csv"),
            (None, "", "a"),
            ("alice/2026/x.mp4", "film.mp4", "alice/2026/x.mp4"),
            ("/alice//./../x.mp4", "film.mp4", "alice/x.mp4"),
            ("alice/", "film.mp4", "alice/film.mp4"),
            ("..", "", "a"),
        ],
    )
    async def test_it_is_told_where_the_file_goes(
        self, store: Store, destination: str | None, filename: str, name: str
    ) -> None:
        session = replace(sealed(DATA, "a", filename), destination=destination)
        assert (await self._arrived(store, session)).name == name
        finished = await self._published(store, session)
        assert await self._finished() == {f"completed/{name}": DATA}
        assert finished.receipt == Receipt(f"completed/{name}")

    async def test_what_was_made_before_is_gone(self, store: Store) -> None:
        for _ in range(3):
            arrival = await self._arrived(store)
            assert await to_thread.run_sync(os.listdir, arrival.workspace) == []
            made = await made_of(arrival, MADE, at="deep/down/made")
            await made_of(arrival, MADE)
            await store.keep(SESSION, Assembled(content=made, beside=SUMS))
        await store.arrival(SESSION, NOBODY)
        await self._published(store, assembling(SESSION, Assembled()))
        assert await self._finished() == {"completed/film.mp4": DATA}

    async def test_an_upload_without_bytes_arrives(self, store: Store) -> None:
        for _ in range(2):
            arrival = await store.arrival(sealed(b""), NOBODY)
            assert await read(arrival.path) == b""

    @pytest.mark.parametrize("stored", [None, b"", DATA[:-1]], ids=["none", "empty", "too few"])
    async def test_what_is_missing_does_not_arrive(
        self, store: Store, stored: bytes | None
    ) -> None:
        if stored is not None:
            await self._plant("a", stored)
        with pytest.raises(StorageLost) as caught:
            await store.arrival(SESSION, NOBODY)
        assert caught.value.upload_id == "a"

    async def test_what_a_crash_has_published_arrives_again(self, store: Store) -> None:
        """There was no assembler then, and there must not be two files."""
        session = replace(SESSION, destination="alice/x")
        await self._plant("a", DATA)
        await store.publish(session)
        arrival = await store.arrival(session, NOBODY)
        assert await read(arrival.path) == DATA
        assert await self._finished() == {}
        await self._published(store, assembling(session, Assembled("bob/y")))
        assert await self._finished() == {"completed/bob/y": DATA}

    # --- what was made ---

    @pytest.mark.parametrize("content", [None, b"", MADE], ids=["as it came", "empty", "changed"])
    @pytest.mark.parametrize("beside", [{}, SUMS], ids=["alone", "with others"])
    @pytest.mark.parametrize("path", [None, "alice/2026/x.mp4"], ids=["anywhere", "there"])
    async def test_what_was_made_is_published(
        self, store: Store, content: bytes | None, beside: Mapping[str, bytes], path: str | None
    ) -> None:
        answer = Answer(202, {"X-Film": "yes"}, b"made")
        session = await self._kept(store, SESSION, content, beside, path)
        assert await self._finished() == {}
        assert session.receipt is not None
        session = replace(session, receipt=replace(session.receipt, answer=answer))
        receipt = await store.publish(session)
        assert await store.publish(session) == receipt
        place = f"completed/{path or 'film.mp4'}"
        assert receipt == Receipt(place, answer)
        finished = done(session, receipt)
        for _ in range(2):
            await store.settle(finished)
            assert await self._is_gone(store)
        data = DATA if content is None else content
        expected = {place: data} | {place + suffix: text for suffix, text in beside.items()}
        assert await self._finished() == expected
        assert await read(await store.locate(finished)) == data
        for _ in range(2):
            await store.remove(finished)
            assert await self._finished() == {}
            with pytest.raises(StorageLost):
                await store.locate(finished)

    async def test_keeping_twice_comes_to_the_same(self, store: Store) -> None:
        arrival = await self._arrived(store)
        assembled = Assembled(content=await made_of(arrival, MADE), beside=SUMS)
        for _ in range(3):
            await store.keep(SESSION, assembled)
        await self._published(store, assembling(SESSION, assembled))
        place = "completed/film.mp4"
        assert await self._finished() == {place: MADE} | {place + s: t for s, t in SUMS.items()}

    async def test_what_is_left_in_the_workspace_goes(self, store: Store) -> None:
        arrival = await self._arrived(store)
        for name in ("content", "record", "deep/down", "film.mp4"):
            await made_of(arrival, OTHERS, at=name)
        await store.keep(SESSION, Assembled())
        await self._published(store, assembling(SESSION, Assembled()))
        assert await self._finished() == {"completed/film.mp4": DATA}
        assert await self._is_gone(store)

    async def test_content_that_has_another_name_is_copied(self, store: Store) -> None:
        """Whatever becomes of the other one, and were it the file of another upload."""
        other = await self._finish(store, sealed(MADE, "b", "film.mp4"), MADE)
        arrival = await self._arrived(store)
        content = arrival.workspace / "made"
        await to_thread.run_sync(content.hardlink_to, await store.locate(other))
        await store.keep(SESSION, Assembled(content=content))
        finished = await self._published(store, assembling(SESSION, Assembled()))
        assert len(await self._finished()) == 2
        await store.remove(other)
        assert await read(await store.locate(finished)) == MADE

    @pytest.mark.parametrize(
        "lie", ["outside", "the upload", "up", "nothing", "a directory", "a link", "a link up"]
    )
    async def test_content_is_a_file_in_the_workspace(
        self, store: Store, lie: str, tmp_path: Path
    ) -> None:
        arrival = await self._arrived(store)
        room = arrival.workspace

        def lying() -> Path:
            (tmp_path / "outside").write_bytes(OTHERS)
            (room / "made").write_bytes(MADE)
            (room / "link").symlink_to(room / "made")
            (room / "up").symlink_to(tmp_path)
            return {
                "outside": tmp_path / "outside",
                "the upload": arrival.path,
                "up": room / ".." / ".." / "a",
                "nothing": room / "not there",
                "a directory": room,
                "a link": room / "link",
                "a link up": room / "up" / "outside",
            }[lie]

        content = await to_thread.run_sync(lying)
        with pytest.raises(ValueError, match="workspace"):
            await store.keep(SESSION, Assembled(content=content))
        assert await read(tmp_path / "outside") == OTHERS
        assert await read(arrival.path) == DATA

    @pytest.mark.parametrize(
        "suffix",
        [
            *("", ".", "..", "sha", "./x", "/x", ".x/..", ".x/y", ".x\0", ".x\n", ".x ", ".x."),
            *("." + "x" * 64, ".x..y", ".x\\y", ".x:y", ".ü"),
        ],
    )
    async def test_what_is_beside_has_a_safe_name(self, store: Store, suffix: str) -> None:
        await self._arrived(store)
        with pytest.raises(ValueError, match="added"):
            await store.keep(SESSION, Assembled(beside={".sha256": b"", suffix: b""}))

    async def test_what_is_beside_has_names_that_differ_for_everybody(self, store: Store) -> None:
        await self._arrived(store)
        with pytest.raises(ValueError, match="added"):
            await store.keep(SESSION, Assembled(beside={".sum": b"", ".SUM": b""}))

    async def test_the_uploads_bytes_are_examined_and_no_others(self, store: Store) -> None:
        changed = DATA[::-1]  # as long as they are
        session = await self._kept(store, content=changed)
        assert await examined(store, session, 5, 100) == digest(DATA[5:100])
        receipt = await store.publish(session)
        assert await examined(store, session, 5, 100) == digest(DATA[5:100])
        finished = done(session, receipt)
        for _ in range(2):
            with pytest.raises(StorageLost):
                await store.examine(finished, 5, 100, hashlib.sha256())
            await store.settle(finished)

    async def test_bytes_that_stay_as_they_came_are_examined(self, store: Store) -> None:
        session = await self._kept(store, beside=SUMS, path="alice/x")
        assert await examined(store, session, 5, 100) == digest(DATA[5:100])
        finished = await self._published(store, session)
        assert await examined(store, finished, 5, 100) == digest(DATA[5:100])

    # --- elsewhere ---

    @pytest.mark.parametrize("elsewhere", ["s3://bucket/film.mp4", "completed/film.mp4"])
    async def test_a_file_that_is_elsewhere_is_not_here(self, store: Store, elsewhere: str) -> None:
        await to_thread.run_sync(self.occupy, "completed/film.mp4")
        arrival = await self._arrived(store)
        content = await made_of(arrival, MADE)
        assembled = Assembled(content=content, beside=SUMS, elsewhere=elsewhere)
        await store.keep(SESSION, assembled)
        session = assembling(SESSION, assembled)
        assert await examined(store, session, 5, 100) == digest(DATA[5:100])
        with pytest.raises(ValueError, match="not here"):
            await store.publish(session)
        assert session.receipt is not None
        finished = done(session, session.receipt)
        for _ in range(2):
            await store.settle(finished)
            assert await self._is_gone(store)
            with pytest.raises(UploadElsewhere) as caught:
                await store.locate(finished)
            assert caught.value.upload_id == "a"
            with pytest.raises(StorageLost):
                await store.examine(finished, 0, 10, hashlib.sha256())
            await store.remove(finished)
        assert await self._finished() == {"completed/film.mp4": OTHERS}

    # --- places ---

    async def test_uploads_share_directories_and_no_names(self, store: Store) -> None:
        finished = {}
        for number in range(5):
            session = replace(sealed(DATA, f"a{number}", "x"), destination="alice/2026/x.csv")
            finished[f"a{number}"] = await self._published(
                store, await self._kept(store, session, MADE + bytes([number]), SUMS)
            )
        assert len(await self._finished()) == 5 * (1 + len(SUMS))
        for number, session in enumerate(finished.values()):
            assert session.receipt is not None
            assert session.receipt.path.startswith("completed/alice/2026/x")
            assert await read(await store.locate(session)) == MADE + bytes([number])
        for left, session in reversed(list(enumerate(finished.values()))):
            await store.remove(session)
            assert len(await self._finished()) == left * (1 + len(SUMS))

    @pytest.mark.parametrize(
        ("path", "taken"),
        [
            ("x.csv", ["x.csv"]),
            ("x.csv", ["x.csv.sha256"]),
            ("x.csv", ["x.csv.tar.gz.asc"]),
            ("x.csv", ["x.csv", "x-23456789.csv.sha256", "x-0123456789.csv.tar.gz.asc"]),
            ("x.csv", ["x.csv/below"]),
            ("x.csv", ["x.csv.sha256/below"]),
            ("alice/x.csv", ["alice/x.csv"]),
            ("alice/x.csv", ["alice"]),
            ("alice/x.csv", ["alice", "alice-23456789", "alice-0123456789/x.csv"]),
            ("alice/bob/x.csv", ["alice/bob", "alice/bob-23456789/x.csv.sha256"]),
        ],
    )
    async def test_what_is_there_stays_as_it_is(
        self, store: Store, path: str, taken: list[str]
    ) -> None:
        session = sealed(DATA, "0123456789", "film.mp4")
        for each in taken:
            await to_thread.run_sync(self.occupy, f"completed/{each}")
        others = {f"completed/{each}": OTHERS for each in taken}
        session = await self._kept(store, session, MADE, SUMS, path)
        receipt = await store.publish(session)
        assert await store.publish(session) == receipt
        finished = await self._published(store, session)
        assert finished.receipt == receipt
        ours = {receipt.path: MADE} | {receipt.path + end: data for end, data in SUMS.items()}
        assert not ours.keys() & others.keys()
        assert await self._finished() == others | ours
        await store.remove(finished)
        assert await self._finished() == others

    @pytest.mark.parametrize("taken", [[], ["x.csv"], ["x.csv", "x-23456789.csv"]])
    async def test_what_is_beside_it_has_the_final_name(
        self, store: Store, taken: list[str]
    ) -> None:
        for each in taken:
            await to_thread.run_sync(self.occupy, f"completed/alice/{each}")
        session = sealed(DATA, "0123456789", "film.mp4")
        beside = {".sha256": FINAL_NAME + b"  " + FINAL_NAME}
        session = await self._kept(store, session, None, beside, "alice/x.csv")
        receipt = await store.publish(session)
        assert await store.publish(session) == receipt
        name = receipt.path.rpartition("/")[2].encode()
        finished = await self._finished()
        assert finished[receipt.path + ".sha256"] == name + b"  " + name
        assert len(finished) == len(taken) + 2
        await store.remove(await self._published(store, session))
        assert len(await self._finished()) == len(taken)

    # --- removing ---

    @pytest.mark.parametrize("content", [None, MADE], ids=["as it came", "changed"])
    @pytest.mark.parametrize(
        "when",
        ["arrived", "kept", "assembling", "stopped", "published", "done", "settled"],
    )
    async def test_it_is_removed_whenever(
        self, store: Store, when: str, content: bytes | None
    ) -> None:
        place = "completed/alice/2026/x.csv"
        for name in ("x.csv.sha", "x.csv.sha256x", "x.cs", "x-b.csv.sha256"):
            await to_thread.run_sync(self.occupy, f"completed/alice/2026/{name}")
        before = await self._finished()
        sealed_one = replace(SESSION, destination="alice/2026/x.csv")
        session = await self._kept(store, sealed_one, content, SUMS)
        match when:
            case "arrived":
                session = sealed_one
                await store.arrival(session, NOBODY)
            case "kept":
                session = sealed_one
            case "stopped":
                session = replace(sealed_one, phase=Phase.STOPPED)
            case "published":
                await store.publish(session)
            case "done":
                session = done(session, await store.publish(session))
            case "settled":
                session = await self._published(store, session)
        assert (place in await self._finished()) is (when in ("published", "done", "settled"))
        for _ in range(2):
            await store.remove(session)
            assert await self._is_gone(store)
            assert await self._finished() == before

    async def test_what_a_crash_has_published_is_removed(self, store: Store) -> None:
        await self._plant("a", DATA)
        session = replace(SESSION, destination="alice/x")
        await store.publish(session)
        await store.remove(session)
        assert await self._finished() == {}
        assert await self._is_gone(store)

    async def test_what_was_kept_for_nobody_takes_nothing_along(self, store: Store) -> None:
        """A crash kept from being recorded what an assembler made, and then there was none."""
        await self._kept(store, SESSION, MADE, SUMS)
        finished = done(SESSION, await store.publish(SESSION))
        assert await read(await store.locate(finished)) == DATA
        assert await examined(store, finished, 0, 10) == digest(DATA[:10])
        await to_thread.run_sync(self.occupy, "completed/film.mp4.sha256")
        await store.remove(finished)
        assert await self._finished() == {"completed/film.mp4.sha256": OTHERS}
        assert await self._is_gone(store)

    # --- strays ---

    async def test_workspaces_of_nobody_are_strays(self, store: Store) -> None:
        await self._kept(store, SESSION, MADE, SUMS)
        await store.settle(replace(SESSION, id="other"))
        assert list(await store.strays(1e12)) == ["a"]
        assert list(await store.strays(1.0)) == []
        await store.remove(opened("a"))
        assert list(await store.strays(1e12)) == []
        assert await self._finished() == {}
