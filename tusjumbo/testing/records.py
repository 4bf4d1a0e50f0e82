"""RecordsContract: what every catalog promises of chunks and figures. Part of `CatalogContract`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from functools import partial

import anyio
import pytest

from tusjumbo.errors import UploadNotFound
from tusjumbo.ports import Catalog
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.rules import MAX_LENGTH
from tusjumbo.sessions.session import ChunkDigest, Kind, Phase, UploadSession

_NEW = UploadSession(id="a", created_at=1.0, updated_at=1.0)
_HOUR = 3600.0


def _digest(number: int, byte: int = 7, at: float = 2.5) -> ChunkDigest:
    return ChunkDigest(number, bytes([byte]) * 32, at)


def _same(session: UploadSession) -> UploadSession:
    return session


def _turned(phase: Phase, session: UploadSession) -> UploadSession:
    return replace(session, phase=phase)


def _by_number(*digests: ChunkDigest) -> Mapping[int, ChunkDigest]:
    return {digest.number: digest for digest in digests}


class _Refused(Exception):
    """What a rule raises."""


def _refuses(session: UploadSession) -> UploadSession:
    raise _Refused(session.id)


@pytest.mark.anyio
class RecordsContract:
    # --- chunks ---

    async def test_digests_are_recorded_with_the_change(self, catalog: Catalog) -> None:
        await catalog.create(_NEW)
        assert await catalog.digests("a") == {}
        first, second, far = _digest(3), _digest(1, 8, 1763832000.123456), _digest(2**62 - 1, 9)
        await catalog.update("a", _same, digests=[first])
        await catalog.update("a", _same, digests=[second, far])
        assert await catalog.digests("a") == _by_number(second, first, far)
        assert list(await catalog.digests("a")) == [1, 3, 2**62 - 1]
        await catalog.aclose()
        assert await catalog.digests("a") == _by_number(second, first, far)

    async def test_digests_are_asked_for_by_number(self, catalog: Catalog) -> None:
        await catalog.create(_NEW)
        await catalog.update("a", _same, digests=[_digest(number) for number in range(10)])
        assert list(await catalog.digests("a", 3, 6)) == [3, 4, 5]
        assert list(await catalog.digests("a", 8)) == [8, 9]
        assert list(await catalog.digests("a", 0, 1)) == [0]
        assert list(await catalog.digests("a", 5, 5)) == []

    async def test_a_later_digest_replaces_the_one_before(self, catalog: Catalog) -> None:
        await catalog.create(_NEW)
        await catalog.update("a", _same, digests=[_digest(1, 1), _digest(2, 1)])
        await catalog.update("a", _same, digests=[_digest(1, 2, 9.0)])
        assert await catalog.digests("a") == _by_number(_digest(1, 2, 9.0), _digest(2, 1))

    async def test_what_is_refused_records_no_digest(self, catalog: Catalog) -> None:
        await catalog.create(_NEW)
        with pytest.raises(_Refused):
            await catalog.update("a", _refuses, digests=[_digest(1)])
        with pytest.raises(UploadNotFound):
            await catalog.update("b", _same, digests=[_digest(1)])
        assert await catalog.digests("a") == await catalog.digests("b") == {}

    async def test_digests_go_with_their_upload(self, catalog: Catalog) -> None:
        for name in ("a", "b"):
            await catalog.create(replace(_NEW, id=name))
            await catalog.update(name, _same, digests=[_digest(1), _digest(2)])
        await catalog.delete("a")
        await catalog.create(_NEW)
        assert await catalog.digests("a") == {}
        assert list(await catalog.digests("b")) == [1, 2]

    async def test_many_record_digests_of_one_upload(
        self, catalog: Catalog, rival: Catalog
    ) -> None:
        await catalog.create(_NEW)

        async def record(number: int) -> None:
            def one_more(session: UploadSession) -> UploadSession:
                return replace(session, ranges=session.ranges.add(number, number + 1))

            who = rival if number % 2 else catalog
            await who.update("a", one_more, digests=[_digest(number, number)])

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(record, number)
        expected = _by_number(*(_digest(number, number) for number in range(50)))
        assert await catalog.digests("a") == expected
        assert (await catalog.load("a")).ranges == RangeSet(((0, 50),))

    # --- figures ---

    async def _figures(self, catalog: Catalog, today: float, week: float) -> tuple[float, ...]:
        return astuple(await catalog.statistics(today, week))

    async def test_nothing_comes_to_nothing(self, catalog: Catalog) -> None:
        assert await self._figures(catalog, 0.0, 0.0) == (0,) * 8

    async def test_open_uploads_are_counted_with_their_lengths(self, catalog: Catalog) -> None:
        await catalog.create(replace(_NEW, length=10))
        await catalog.create(replace(_NEW, id="b", length=5))
        await catalog.create(replace(_NEW, id="deferred"))
        await catalog.create(replace(_NEW, id="sealed", length=7, phase=Phase.SEALED))
        await catalog.create(replace(_NEW, id="gone", length=7, phase=Phase.ABANDONED))
        await catalog.create(replace(_NEW, id="made", length=7, phase=Phase.ASSEMBLING))
        await catalog.create(replace(_NEW, id="stopped", length=7, phase=Phase.STOPPED))
        assert (await self._figures(catalog, 0.0, 0.0))[:2] == (3, 15)
        await catalog.update("deferred", lambda session: replace(session, length=1))
        await catalog.update("a", lambda session: replace(session, phase=Phase.SEALED))
        assert (await self._figures(catalog, 0.0, 0.0))[:2] == (2, 6)
        await catalog.update("gone", lambda session: replace(session, phase=Phase.OPEN))
        await catalog.delete("b")
        assert (await self._figures(catalog, 0.0, 0.0))[:2] == (2, 8)

    async def test_hostile_lengths_have_a_sum(self, catalog: Catalog) -> None:
        for name in "abc":
            await catalog.create(replace(_NEW, id=name, length=MAX_LENGTH))
        active, size = (await self._figures(catalog, 0.0, 0.0))[:2]
        assert active == 3
        assert size == pytest.approx(3 * MAX_LENGTH)

    async def test_uploads_count_when_they_began_and_ended(self, catalog: Catalog) -> None:
        today, week = 100 * _HOUR, 10 * _HOUR
        for name, began in (("a", week - 1), ("b", week), ("c", today - 1), ("d", today)):
            await catalog.create(replace(_NEW, id=name, created_at=began, length=100))
        for name, ended in (("a", week + 99), ("b", today - 1), ("c", today + 1000)):

            def finish(session: UploadSession, ended: float = ended) -> UploadSession:
                return replace(session, phase=Phase.DONE, updated_at=ended)

            await catalog.update(name, finish)
            # Whatever happens to a finished upload, it was finished once.
            await catalog.update(name, lambda session: replace(session, updated_at=9e9))
        expected = (1, 3, 1, 3, 300)
        assert (await self._figures(catalog, today, week))[2:7] == expected
        seconds = (await catalog.statistics(today, week)).seconds_this_week
        assert seconds == pytest.approx(100 + (today - week - 1) + 1001)
        # Those that are gone were there.
        for name in "abcd":
            await catalog.delete(name)
        assert (await self._figures(catalog, today, week))[2:7] == expected

    async def test_parts_are_no_files(self, catalog: Catalog) -> None:
        await catalog.create(replace(_NEW, kind=Kind.PARTIAL, length=5))
        await catalog.create(replace(_NEW, id="f", kind=Kind.FINAL, parts=("a",), length=5))
        assert (await self._figures(catalog, 0.0, 0.0))[2:4] == (1, 1)

    async def test_those_of_one_moment_add_up(self, catalog: Catalog) -> None:
        for name in "abc":
            await catalog.create(replace(_NEW, id=name, length=5))
            await catalog.update(
                name, lambda session: replace(session, phase=Phase.DONE, updated_at=2.5)
            )
        assert await self._figures(catalog, 0.0, 0.0) == (0, 0, 3, 3, 3, 3, 15, 4.5)

    async def test_what_is_joined_of_parts_is_one_file(self, catalog: Catalog) -> None:
        await catalog.create(replace(_NEW, kind=Kind.PARTIAL, length=5))
        await catalog.create(replace(_NEW, id="f", kind=Kind.FINAL, parts=("a",), length=5))
        for phase in (Phase.SEALED, Phase.ASSEMBLING, Phase.DONE):
            await catalog.update("f", partial(_turned, phase))
        assert (await self._figures(catalog, 0.0, 0.0))[3:7] == (1, 1, 1, 5)

    async def test_what_ends_otherwise_is_not_finished(self, catalog: Catalog) -> None:
        await catalog.create(replace(_NEW, length=5))
        await catalog.create(replace(_NEW, id="b", length=5))
        for phase in (Phase.ABANDONED, Phase.OPEN, Phase.SEALED, Phase.ASSEMBLING, Phase.STOPPED):
            await catalog.update("a", partial(_turned, phase))
        await catalog.delete("b")
        assert await self._figures(catalog, 0.0, 0.0) == (0, 0, 2, 2, 0, 0, 0, 0.0)

    async def test_what_is_refused_counts_for_nothing(self, catalog: Catalog) -> None:
        await catalog.create(_NEW)
        with pytest.raises(ValueError, match="a"):
            await catalog.create(_NEW)
        with pytest.raises(_Refused):
            await catalog.update("a", _refuses)
        assert await self._figures(catalog, 0.0, 0.0) == (1, 0, 1, 1, 0, 0, 0, 0.0)

    async def test_a_clock_that_was_put_back(self, catalog: Catalog) -> None:
        await catalog.create(replace(_NEW, created_at=_HOUR, length=5))
        await catalog.update(
            "a", lambda session: replace(session, phase=Phase.DONE, updated_at=0.0)
        )
        figures = await catalog.statistics(0.0, 0.0)
        assert (figures.bytes_this_week, figures.seconds_this_week) == (5, 0.0)
        assert figures.average_speed == 0.0

    async def test_an_upload_without_a_length_can_end(self, catalog: Catalog) -> None:
        await catalog.create(_NEW)
        await catalog.update("a", lambda session: replace(session, phase=Phase.DONE))
        assert (await self._figures(catalog, 0.0, 0.0))[4:] == (1, 1, 0, 0.0)
