"""CatalogContract: what every catalog promises, as tests.

Subclass it, give it the fixture `catalog` (empty, and closed after the test), and say how sessions
get into what the catalog keeps and out of it behind its back: `plant` and `recorded`. They run in a
worker thread. `rival` is a second catalog on the same sessions, as another process would have it;
for a catalog of one process it is the catalog itself.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from tusjumbo.errors import UploadNotFound
from tusjumbo.ports import Catalog
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.rules import MAX_LENGTH
from tusjumbo.sessions.session import Answer, Kind, Phase, Receipt, UploadSession
from tusjumbo.testing.records import RecordsContract

PATIENT = 30.0
"""Seconds; only a broken catalog makes a test wait for so long."""

NEW = UploadSession(id="a", created_at=1.0, updated_at=1.0)

SESSIONS = {
    "new": NEW,
    "deferred": replace(NEW, ranges=RangeSet(((0, 7),)), expires_at=1763832000.123456),
    "in pieces": replace(NEW, length=100, ranges=RangeSet(((0, 5), (10, 20), (99, 100)))),
    "empty": replace(NEW, length=0, phase=Phase.SEALED),
    "largest": replace(
        NEW, length=MAX_LENGTH, ranges=RangeSet(((0, MAX_LENGTH),)), phase=Phase.SEALED
    ),
    "done": replace(
        NEW,
        length=3,
        ranges=RangeSet(((0, 3),)),
        phase=Phase.DONE,
        receipt=Receipt("completed/na\u00efve \u8c61 \U0001f418 'quoted'.csv"),
    ),
    "abandoned": replace(NEW, phase=Phase.ABANDONED, expires_at=2.5),
    "metadata": replace(
        NEW,
        metadata={"filename": "\u8c61.csv".encode(), "none": b"", "binary": bytes(range(256))},
        echo={"upload-metadata": 'filename 6LGhLmNzdg==,none, "binary"\t\xff'},
    ),
    "partial": replace(NEW, length=3, ranges=RangeSet(((0, 3),)), kind=Kind.PARTIAL),
    "pending": replace(NEW, kind=Kind.FINAL, parts=("b", "a", "b"), expires_at=3.5),
    "joined": replace(NEW, length=0, kind=Kind.FINAL, parts=("b",), phase=Phase.SEALED),
    "other chunks": replace(NEW, id="A-b_c" + "0" * 120, chunk_size=1),
    "rate": replace(NEW, rate=1e9 / 7),
    "owner": replace(NEW, owner="\u8c61 'o' \U0001f418", length=5, destination="in/na\u00efve.csv"),
    "nobody's name": replace(NEW, owner="", destination=""),
    "tried again": replace(NEW, length=0, phase=Phase.SEALED, attempts=7, retry_at=9.125),
    "assembling": replace(
        NEW,
        length=0,
        phase=Phase.ASSEMBLING,
        receipt=Receipt("", Answer(None, {"ETag": '"\xe9"'}, bytes(range(256)))),
    ),
    "stopped": replace(NEW, length=9, ranges=RangeSet(((0, 7),)), phase=Phase.STOPPED, owner="o"),
    "elsewhere": replace(
        NEW, length=0, phase=Phase.DONE, receipt=Receipt("s3://b/k", Answer(201), is_here=False)
    ),
}


def longer(session: UploadSession) -> UploadSession:
    """One more byte is in."""
    return replace(session, ranges=session.ranges.add(session.offset, session.offset + 1))


def ids(sessions: Sequence[UploadSession]) -> list[str]:
    return [session.id for session in sessions]


class Refused(Exception):
    """What a rule raises."""


class Watched:
    """The rule `longer`, and every session it was given."""

    def __init__(self) -> None:
        self.seen: list[UploadSession] = []

    def __call__(self, session: UploadSession) -> UploadSession:
        self.seen.append(session)
        return longer(session)


@pytest.mark.anyio
class CatalogContract(RecordsContract, ABC):
    @abstractmethod
    def plant(self, session: UploadSession) -> None:
        """Record a session without the catalog. Its id is free."""

    @abstractmethod
    def recorded(self, upload_id: str) -> UploadSession | None:
        """What is recorded, read without the catalog."""

    @pytest.fixture
    def rival(self, catalog: Catalog) -> Catalog:
        """Another way to the same sessions."""
        return catalog

    async def _planted(self, *sessions: UploadSession) -> None:
        for session in sessions:
            await to_thread.run_sync(self.plant, session)

    async def _recorded(self, upload_id: str) -> UploadSession | None:
        return await to_thread.run_sync(self.recorded, upload_id)

    # --- one session ---

    @pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
    async def test_what_is_created_is_recorded(
        self, catalog: Catalog, session: UploadSession
    ) -> None:
        await catalog.create(session)
        assert await self._recorded(session.id) == session

    @pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
    async def test_what_is_recorded_is_loaded(
        self, catalog: Catalog, session: UploadSession
    ) -> None:
        await self._planted(session)
        assert await catalog.load(session.id) == session

    @pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
    async def test_everything_can_change_but_the_id_and_the_owner(
        self, catalog: Catalog, session: UploadSession
    ) -> None:
        before = replace(
            NEW, id=session.id, created_at=9.0, updated_at=9.0, length=9, owner=session.owner
        )
        await self._planted(before)
        assert await catalog.update(session.id, lambda _: session) == session
        assert await self._recorded(session.id) == session
        assert await catalog.load(session.id) == session

    async def test_an_id_is_given_once(self, catalog: Catalog) -> None:
        await self._planted(NEW)
        with pytest.raises(ValueError, match=r"\ba\b"):
            await catalog.create(replace(NEW, length=5))
        assert await self._recorded("a") == NEW
        await catalog.create(replace(NEW, id="A"))
        assert await self._recorded("a") == NEW

    async def test_an_unknown_upload_is_not_found(self, catalog: Catalog) -> None:
        await self._planted(replace(NEW, id="ab"), replace(NEW, id="A"))
        with pytest.raises(UploadNotFound) as caught:
            await catalog.load("a")
        assert caught.value.upload_id == "a"
        change = Watched()
        with pytest.raises(UploadNotFound) as caught:
            await catalog.update("a", change)
        assert caught.value.upload_id == "a"
        assert change.seen == []
        assert await self._recorded("a") is None

    async def test_what_was_deleted_is_gone(self, catalog: Catalog) -> None:
        await self._planted(NEW, replace(NEW, id="b"))
        assert await catalog.delete("a") is True
        assert await self._recorded("a") is None
        assert await catalog.delete("a") is False
        with pytest.raises(UploadNotFound):
            await catalog.load("a")
        assert await self._recorded("b") is not None
        await catalog.create(replace(NEW, length=5))
        assert (await catalog.load("a")).length == 5

    # --- changes ---

    async def test_a_change_sees_the_session_as_last_recorded(
        self, catalog: Catalog, rival: Catalog
    ) -> None:
        await self._planted(NEW)
        change = Watched()
        for number, way in enumerate((catalog, rival, rival, catalog), 1):
            after = await way.update("a", change)
            assert after.offset == number
            assert await catalog.load("a") == await rival.load("a") == after
        assert [session.offset for session in change.seen] == [0, 1, 2, 3]

    @pytest.mark.parametrize(
        "error",
        [Refused("no"), UploadNotFound("b"), ValueError(), OSError()],
        ids=lambda error: type(error).__name__,
    )
    async def test_what_a_rule_raises_is_raised_and_nothing_recorded(
        self, catalog: Catalog, error: Exception
    ) -> None:
        def refuse(_: UploadSession) -> UploadSession:
            raise error

        await self._planted(NEW)
        with pytest.raises(type(error)) as caught:
            await catalog.update("a", refuse)
        assert caught.value is error
        assert await self._recorded("a") == NEW
        assert (await catalog.update("a", longer)).offset == 1

    async def test_a_change_that_changes_nothing(self, catalog: Catalog) -> None:
        await self._planted(NEW)
        assert await catalog.update("a", lambda session: session) == NEW
        assert await self._recorded("a") == NEW

    async def test_a_change_cannot_turn_one_upload_into_another(self, catalog: Catalog) -> None:
        await self._planted(NEW, replace(NEW, id="b", length=5))
        with pytest.raises(ValueError, match="b"):
            await catalog.update("a", lambda session: replace(session, id="b"))
        assert await self._recorded("a") == NEW
        assert await self._recorded("b") == replace(NEW, id="b", length=5)

    @pytest.mark.parametrize(("owner", "other"), [("o", "p"), ("o", None), (None, "o")])
    async def test_a_change_gives_nothing_to_somebody_else(
        self, catalog: Catalog, owner: str | None, other: str | None
    ) -> None:
        theirs = replace(NEW, owner=owner)
        await self._planted(theirs)
        with pytest.raises(ValueError, match="a"):
            await catalog.update("a", lambda session: replace(session, owner=other))
        assert await self._recorded("a") == theirs

    async def test_changes_from_everywhere_are_never_lost(
        self, catalog: Catalog, rival: Catalog
    ) -> None:
        await self._planted(NEW, replace(NEW, id="b"))

        async def lengthen(way: Catalog, upload_id: str) -> None:
            for _ in range(10):
                await way.update(upload_id, longer)

        async with anyio.create_task_group() as tasks:
            for way in (catalog, rival) * 3:
                for upload_id in ("a", "b"):
                    tasks.start_soon(lengthen, way, upload_id)
        assert (await catalog.load("a")).offset == 60
        assert (await rival.load("b")).offset == 60

    async def test_a_refused_change_spoils_no_other(self, catalog: Catalog) -> None:
        await self._planted(NEW)
        refusals: list[Exception] = []

        def refuse(_: UploadSession) -> UploadSession:
            raise Refused

        async def try_in_vain(work: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises((Refused, UploadNotFound, ValueError)) as caught:
                await work()
            refusals.append(caught.value)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(catalog.update, "a", longer)
                tasks.start_soon(try_in_vain, partial(catalog.update, "a", refuse))
                tasks.start_soon(try_in_vain, partial(catalog.update, "b", longer))
                tasks.start_soon(try_in_vain, partial(catalog.create, NEW))
        assert (await catalog.load("a")).offset == 10
        assert len(refusals) == 30

    async def test_a_cancelled_change_is_whole_or_not_there(self, catalog: Catalog) -> None:
        await self._planted(NEW)
        change = Watched()
        for patience in range(40):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(catalog.update, "a", change)
                for _ in range(patience):
                    await checkpoint()
                tasks.cancel_scope.cancel()
            # Whatever began is over now, and what was changed is recorded.
            assert (await catalog.load("a")).offset == len(change.seen)
        await catalog.update("a", change)
        assert [session.offset for session in change.seen] == list(range(len(change.seen)))

    # --- many sessions ---

    async def test_listing_goes_by_id_in_pages(self, catalog: Catalog) -> None:
        names = ["0", "A", "Z", "a", "a-", "a0", "a_", "b", "jumbo_1", "jumbo_10", "jumbo_2"]
        await self._planted(*(replace(NEW, id=name) for name in reversed(names)))
        names.sort()
        assert ids(await catalog.listing()) == names
        assert ids(await catalog.listing(limit=3)) == names[:3]
        assert ids(await catalog.listing(after=names[2], limit=3)) == names[3:6]
        assert ids(await catalog.listing(after=names[-2])) == names[-1:]
        assert ids(await catalog.listing(after=names[-1])) == []
        assert ids(await catalog.listing(after="a~")) == [name for name in names if name > "a~"]
        assert ids(await catalog.listing(limit=0)) == []

    async def test_listing_by_phase(self, catalog: Catalog) -> None:
        phases = {f"{name}{phase.value}": phase for name in "abc" for phase in Phase}
        await self._planted(*(replace(NEW, id=name, phase=phases[name]) for name in phases))
        for phase in Phase:
            names = sorted(name for name in phases if phases[name] is phase)
            found = await catalog.listing(phase=phase)
            assert ids(found) == names
            assert {session.phase for session in found} == {phase}
            assert ids(await catalog.listing(phase=phase, after=names[0], limit=1)) == names[1:2]
        await catalog.update("bopen", lambda session: replace(session, phase=Phase.SEALED))
        assert ids(await catalog.listing(phase=Phase.OPEN)) == ["aopen", "copen"]
        assert ids(await catalog.listing(phase=Phase.SEALED)) == [
            "asealed",
            "bopen",
            "bsealed",
            "csealed",
        ]

    async def test_many_are_gathered_at_once(self, catalog: Catalog) -> None:
        assert await catalog.gather([]) == {}
        assert await catalog.gather(["a"]) == {}
        many = {f"a{number}": replace(NEW, id=f"a{number}") for number in range(2000)}
        await self._planted(NEW, *many.values())
        assert await catalog.gather(list(many)) == many
        found = await catalog.gather(["a", "A", "none", "a7", "a", "' OR 1"])
        assert found == {"a": NEW, "a7": many["a7"]}

    async def test_pending_ones_are_found_by_their_parts(self, catalog: Catalog) -> None:
        twice = replace(NEW, id="y", kind=Kind.FINAL, parts=("a", "b", "a"))
        await self._planted(twice, replace(NEW, id="b", kind=Kind.PARTIAL))
        await catalog.create(replace(twice, id="x", parts=("b", "c")))
        await catalog.create(replace(twice, id="done", phase=Phase.DONE))
        await catalog.create(replace(twice, id="whole", kind=Kind.WHOLE))
        assert await catalog.awaiting("a") == [twice]
        assert ids(await catalog.awaiting("b")) == ["x", "y"]
        assert ids(await catalog.awaiting("c")) == ["x"]
        for nothing in ("y", "B", "", '["a"]'):
            assert await catalog.awaiting(nothing) == []

    @pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.OPEN])
    async def test_who_awaits_follows_changes(self, catalog: Catalog, phase: Phase) -> None:
        await catalog.create(replace(NEW, kind=Kind.FINAL, parts=("b",)))
        await catalog.update("a", longer)
        assert await catalog.awaiting("b") == [await catalog.load("a")]
        await catalog.update("a", lambda session: replace(session, parts=("c",)))
        assert ids(await catalog.awaiting("b")) == []
        assert ids(await catalog.awaiting("c")) == ["a"]
        await catalog.update("a", lambda session: replace(session, phase=phase))
        assert ids(await catalog.awaiting("c")) == []
        await catalog.update("a", lambda session: replace(session, phase=Phase.OPEN))
        assert ids(await catalog.awaiting("c")) == ["a"]
        await catalog.delete("a")
        assert ids(await catalog.awaiting("c")) == []
        await catalog.create(NEW)
        assert ids(await catalog.awaiting("c")) == []

    async def test_due_are_those_whose_time_has_come_longest_first(self, catalog: Catalog) -> None:
        await self._planted(
            replace(NEW, id="expires at 30", expires_at=30.0),
            replace(NEW, id="never"),
            replace(NEW, id="sealed at 10", phase=Phase.SEALED, updated_at=10.0, expires_at=99.0),
            replace(NEW, id="done", phase=Phase.DONE, updated_at=1.0, expires_at=1.0),
            replace(NEW, id="goes at 20", phase=Phase.ABANDONED, expires_at=20.0),
            replace(NEW, id="waits since 25", kind=Kind.FINAL, updated_at=25.0, expires_at=99.0),
        )
        for now, expected in (
            (9.999, []),
            (10.0, ["sealed at 10"]),
            (24.999, ["sealed at 10", "goes at 20"]),
            (29.999, ["sealed at 10", "goes at 20", "waits since 25"]),
            (1e12, ["sealed at 10", "goes at 20", "waits since 25", "expires at 30"]),
        ):
            assert ids(await catalog.due(now, 10)) == expected
        assert ids(await catalog.due(1e12, 2)) == ["sealed at 10", "goes at 20"]
        assert await catalog.due(1e12, 0) == []
        some = (Phase.SEALED, Phase.ABANDONED)
        assert ids(await catalog.due(1e12, 10, some)) == ["sealed at 10", "goes at 20"]
        assert ids(await catalog.due(1e12, 10, [Phase.ABANDONED])) == ["goes at 20"]

    async def test_due_follows_changes(self, catalog: Catalog) -> None:
        await catalog.create(replace(NEW, expires_at=10.0))
        await catalog.create(replace(NEW, id="b", expires_at=11.0))
        await catalog.update("a", lambda session: replace(session, expires_at=12.0))
        assert ids(await catalog.due(20.0, 10)) == ["b", "a"]
        await catalog.update("b", lambda session: replace(session, phase=Phase.DONE))
        assert ids(await catalog.due(20.0, 10)) == ["a"]
        await catalog.delete("a")
        assert ids(await catalog.due(20.0, 10)) == []

    # --- coming and going ---

    async def test_a_closed_catalog_opens_again(self, catalog: Catalog) -> None:
        await catalog.aclose()
        await catalog.create(NEW)
        for _ in range(2):
            await catalog.aclose()
        assert await self._recorded("a") == NEW
        assert await catalog.load("a") == NEW
        await catalog.aclose()
        assert await catalog.update("a", longer) == longer(NEW)
        await catalog.aclose()
        assert ids(await catalog.listing()) == ["a"]
        assert await catalog.delete("a") is True

    async def test_closing_disturbs_nobody(self, catalog: Catalog) -> None:
        await self._planted(NEW)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(catalog.update, "a", longer)
                tasks.start_soon(catalog.aclose)
                tasks.start_soon(catalog.load, "a")
        assert (await catalog.load("a")).offset == 10

    async def test_any_number_of_event_loops(
        self, catalog: Catalog, anyio_backend_name: str
    ) -> None:
        """Loops one after the other, and at the same time."""
        await self._planted(NEW)
        together = threading.Barrier(3, timeout=PATIENT)

        async def lengthen(times: int) -> None:
            for _ in range(times):
                await catalog.update("a", longer)
                await catalog.load("a")

        def in_loops_of_its_own() -> None:
            together.wait()
            for _ in range(3):
                anyio.run(lengthen, 3, backend=anyio_backend_name)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(to_thread.run_sync, in_loops_of_its_own)
            await lengthen(9)
        assert (await catalog.load("a")).offset == 36
