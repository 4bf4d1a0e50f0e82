from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalogs import raw
from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.errors import QuotaExceeded, TooManyUploads
from tusjumbo.sessions.quotas import Quota, Usage, held
from tusjumbo.sessions.session import Phase, Receipt, UploadSession
from tusjumbo.settings import Durability
from tusjumbo.testing.catalogs import NEW

THEIRS = replace(NEW, owner="o", length=10)
ELSEWHERE = Receipt("s3://a", is_here=False)


async def test_what_an_owner_has_follows_every_change(catalog: SqliteCatalog) -> None:
    async def change(**fields: object) -> Usage:
        await catalog.update("a", lambda session: replace(session, **fields))  # type: ignore[arg-type]
        return await catalog.usage("o")

    assert await catalog.usage("o") == Usage()
    await catalog.create(replace(THEIRS, id="other", owner="p"))
    await catalog.create(replace(THEIRS, id="nobody's", owner=None))
    await catalog.create(replace(THEIRS, length=None))
    await catalog.create(replace(THEIRS, id="b"))
    assert await catalog.usage("o") == Usage(10, 2)
    assert await change(length=5) == Usage(15, 2)
    assert await change(phase=Phase.SEALED) == Usage(15, 1)
    assert await change(phase=Phase.DONE, receipt=ELSEWHERE) == Usage(10, 1)
    assert await change(receipt=Receipt("a")) == Usage(15, 1)
    await catalog.delete("a")
    assert await catalog.usage("o") == Usage(10, 1)
    await catalog.delete("b")
    assert await catalog.usage("o") == Usage()
    assert await catalog.usage("p") == Usage(10, 1)


async def test_who_has_too_much_gets_no_more(path: Path, durability: Durability) -> None:
    catalog = SqliteCatalog(path, durability, quota=Quota(max_bytes=25, max_uploads=3))
    for name in "ab":
        await catalog.create(replace(THEIRS, id=name))
    with pytest.raises(QuotaExceeded) as caught:
        await catalog.create(replace(THEIRS, id="c"))
    assert (caught.value.quota, caught.value.held) == (25, 20)
    await catalog.create(replace(THEIRS, id="c", length=None))
    with pytest.raises(QuotaExceeded):
        await catalog.update("c", partial(replace, length=6))
    await catalog.update("c", partial(replace, length=5))
    with pytest.raises(TooManyUploads):
        await catalog.create(replace(THEIRS, id="d", length=0))
    assert await catalog.usage("o") == Usage(25, 3)
    await catalog.create(replace(THEIRS, id="d", owner="p"))
    await catalog.create(replace(THEIRS, id="e", owner=None, length=99))
    await catalog.delete("a")
    await catalog.create(replace(THEIRS, id="a"))
    await catalog.aclose()


# --- histories -----------------------------------------------------------------------------------

sessions = st.builds(
    UploadSession,
    id=st.sampled_from("ab"),
    created_at=st.just(1.0),
    updated_at=st.just(1.0),
    length=st.none() | st.integers(0, 3),
    phase=st.sampled_from([Phase.OPEN, Phase.DONE]),
    receipt=st.sampled_from([None, ELSEWHERE]),
    owner=st.sampled_from([None, "o", "p"]),
)
steps = st.tuples(st.sampled_from(["put", "put", "put", "delete"]), sessions)


def summed(path: Path) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """What is recorded of owners, and what their sessions come to."""
    with raw.connected(path) as connection:
        owners = connection.execute("SELECT owner, bytes, uploads FROM owners").fetchall()
        rows = connection.execute(
            "SELECT id, owner FROM sessions WHERE owner IS NOT NULL"
        ).fetchall()
    found: dict[str, tuple[int, int]] = {}
    for upload_id, owner in rows:
        session = raw.recorded(path, upload_id)
        size, uploads = found.get(owner, (0, 0))
        assert session is not None
        found[owner] = (size + held(session), uploads + (session.phase is Phase.OPEN))
    return {owner: (size, uploads) for owner, size, uploads in owners}, found


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@given(history=st.lists(steps, min_size=4, max_size=14))
@settings(max_examples=60, deadline=None)
async def test_after_any_history_owners_have_what_their_uploads_come_to(
    history: list[tuple[str, UploadSession]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "catalog.sqlite3"
        catalog = SqliteCatalog(path, Durability.OS)
        there: dict[str, UploadSession] = {}
        for deed, session in history:
            before = there.get(session.id)
            if deed == "delete":
                await catalog.delete(session.id)
                there.pop(session.id, None)
            elif before is None:
                await catalog.create(session)
                there[session.id] = session
            else:
                new = replace(session, owner=before.owner)
                there[session.id] = await catalog.update(session.id, lambda _, new=new: new)  # type: ignore[misc]
        recorded, expected = summed(path)
        await catalog.aclose()
    assert recorded == expected
