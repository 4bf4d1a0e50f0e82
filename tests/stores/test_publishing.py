"""Places below `completed`: whatever is asked for, and whatever others have put there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.test_local import finish, tree
from tests.stores.test_names import filenames, is_safe
from tusjumbo.application import NOBODY, Assembled
from tusjumbo.errors import StorageFailed, StorageLost
from tusjumbo.sessions.session import Receipt, UploadSession
from tusjumbo.settings import Durability
from tusjumbo.stores.local import LocalStore
from tusjumbo.testing.arrivals import MADE, OTHERS, SUMS, assembling, made_of
from tusjumbo.testing.stores import DATA, done, opened, put, read, sealed

SESSION = sealed(DATA, "0123456789", "film.mp4")


def at(destination: str, session: UploadSession = SESSION) -> UploadSession:
    return replace(session, destination=destination)


async def made(store: LocalStore, path: str, session: UploadSession = SESSION) -> UploadSession:
    """An upload that an assembler wants there, with others beside it; recorded."""
    await put(store, opened(session.id), {0: DATA})
    arrival = await store.arrival(session, NOBODY)
    assembled = Assembled(path, await made_of(arrival, MADE), SUMS)
    await store.keep(session, assembled)
    return assembling(session, assembled)


# --- hostile places ------------------------------------------------------------------------------

hostile = st.lists(
    filenames
    | st.sampled_from(["..", ".", "", "/", "\\", "\0", "C:", "~", "completed", "x" * 300, "-rf"]),
    max_size=24,
).map("/".join)


@given(destination=hostile, is_made=st.booleans())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_place_leads_out_of_the_directory(destination: str, is_made: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        root = top / "in" / "uploads"
        store = LocalStore(root, Durability.OS)
        if is_made:
            session = await made(store, destination)
        else:
            session = at(destination)
            await put(store, opened(session.id), {0: DATA})
        finished = done(session, await store.publish(session))
        await store.settle(finished)
        path = await store.locate(finished)
        assert await read(path) == (MADE if is_made else DATA)
        assert path.resolve() == path
        place = path.relative_to(root / "completed")
        assert all(map(is_safe, place.parts))
        others = {f"in/uploads/completed/{place}{end}" for end in SUMS} if is_made else set()
        records = {f"in/uploads/assembled/{SESSION.id}"} if is_made else set()
        assert tree(top).keys() == {f"in/uploads/completed/{place}"} | others | records
        await store.remove(finished)
        assert tree(top) == {}
        assert list((root / "completed").iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        *("../outside", "completed/../../outside", "completed/a/../../../outside", "{outside}"),
        *("completed", "completed/", "completed//x", "completed/./x", "sessions/x", "", "/", "x"),
        *("completed/a\0b", "completed/" + "x" * 300),
    ],
)
async def test_a_receipt_leads_nowhere_else(
    store: LocalStore, root: Path, tmp_path: Path, path: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(DATA)
    for name in ("sessions", "completed/a"):
        (root / name).mkdir(parents=True)
        (root / name / "x").write_bytes(DATA)
    (root / "completed" / "x").write_bytes(DATA)
    before = tree(tmp_path)
    session = done(sealed(DATA), Receipt(path.format(outside=outside)))
    expected = StorageFailed if len(path) > 255 else StorageLost
    with pytest.raises(expected):
        await store.locate(session)
    if expected is StorageLost:
        await store.remove(session)
    assert tree(tmp_path) == before


# --- what others have put there ------------------------------------------------------------------


@pytest.mark.parametrize("link", ["alice", "alice/2026", "alice/2026/x.csv"])
@pytest.mark.parametrize("leads", ["outside", "inside", "nowhere"])
async def test_links_lead_nowhere(
    store: LocalStore, root: Path, tmp_path: Path, link: str, leads: str
) -> None:
    targets = {"outside": tmp_path / "outside", "inside": root / "completed" / "inside"}
    for target in targets.values():
        (target / "2026").mkdir(parents=True)
    target = targets.get(leads, tmp_path / "not there")
    path = root / "completed" / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    session = await made(store, "alice/2026/x.csv")
    receipt = await store.publish(session)
    assert await store.publish(session) == receipt
    finished = done(session, receipt)
    await store.settle(finished)
    place = await store.locate(finished)
    assert await read(place) == MADE
    assert place.resolve() == place
    for target in targets.values():
        assert tree(target) == {}
    assert path.is_symlink()
    await store.remove(finished)
    assert path.is_symlink()
    for target in targets.values():
        assert (target / "2026").is_dir()
    assert tree(root) == {}


async def test_a_directory_that_was_moved_to_another_disk(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    """With a link in its place: what is there is found, and is not ours to remove."""
    session = await made(store, "alice/x.csv")
    finished = done(session, await store.publish(session))
    await store.settle(finished)
    (root / "completed" / "alice").rename(tmp_path / "moved")
    (root / "completed" / "alice").symlink_to(tmp_path / "moved")
    assert await read(await store.locate(finished)) == MADE
    await store.remove(finished)
    assert (tmp_path / "moved" / "x.csv").read_bytes() == MADE
    assert tree(root) == {}


async def test_a_directory_of_which_all_names_are_taken(store: LocalStore, root: Path) -> None:
    (root / "completed").mkdir(parents=True)
    taken = ["alice", "alice-23456789", "alice-0123456789"]
    for name in taken:
        (root / "completed" / name).write_bytes(OTHERS)
    await put(store, opened(SESSION.id), {0: DATA})
    with pytest.raises(StorageFailed):
        await store.publish(at("alice/x"))
    (root / "completed" / "alice").unlink()
    await store.publish(at("alice/x"))
    assert tree(root)["completed/alice/x"] == DATA


async def test_a_directory_that_was_taken_when_a_crash_came(store: LocalStore, root: Path) -> None:
    """The file is found where it is, although it would go somewhere else now."""
    (root / "completed" / "alice").mkdir(parents=True)
    (root / "completed" / "alice" / "bob").write_bytes(OTHERS)
    session = await made(store, "alice/bob/x.csv")
    receipt = await store.publish(session)
    assert receipt.path == "completed/alice/bob-23456789/x.csv"
    (root / "completed" / "alice" / "bob").unlink()
    assert await store.publish(session) == receipt
    await store.remove(session)
    assert not any((root / "completed").iterdir())


async def test_directories_go_with_the_last_file_in_them(store: LocalStore, root: Path) -> None:
    first = await finish(store, at("alice/2026/11/x", replace(SESSION, id="a")), DATA)
    second = await finish(store, at("alice/2026/y", replace(SESSION, id="b")), DATA)
    (root / "completed" / "bob").mkdir()
    await store.remove(first)
    assert [path.name for path in (root / "completed" / "alice").iterdir()] == ["2026"]
    assert not (root / "completed" / "alice" / "2026" / "11").exists()
    await store.remove(second)
    assert [path.name for path in (root / "completed").iterdir()] == ["bob"]


async def test_many_come_and_go_in_one_directory(store: LocalStore, root: Path) -> None:
    """It is removed with its last file, all the time, and is there for the next one."""

    async def live(number: int) -> None:
        for turn in range(15):
            session = at("alice/2026/x", replace(SESSION, id=f"upload{number}-{turn}"))
            finished = await finish(store, session, DATA)
            assert await read(await store.locate(finished)) == DATA
            await store.remove(finished)

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(live, number)
    assert tree(root) == {}
    assert list((root / "completed").iterdir()) == []


async def test_permissions_of_directories_are_those_of_the_umask(
    store: LocalStore, root: Path
) -> None:
    before = os.umask(0o027)
    try:
        await finish(store, at("alice/x"), DATA)
    finally:
        os.umask(before)
    assert (root / "completed" / "alice").stat().st_mode & 0o777 == 0o750


# --- replaced content ----------------------------------------------------------------------------


async def test_a_file_that_was_made_is_whole_or_lost(store: LocalStore, root: Path) -> None:
    session = await made(store, "alice/x")
    finished = done(session, await store.publish(session))
    await store.settle(finished)
    path = root / "completed" / "alice" / "x"
    for other in (MADE[:-1], b"", MADE + b"!"):
        path.write_bytes(other)
        with pytest.raises(StorageLost):
            await store.locate(finished)
    path.unlink()
    with pytest.raises(StorageLost):
        await store.locate(finished)
    shutil.rmtree(path.parent)
    with pytest.raises(StorageLost):
        await store.locate(finished)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b'{"size": 1}', b"\xff"])
async def test_a_record_that_somebody_has_broken(
    store: LocalStore, root: Path, text: bytes
) -> None:
    session = await made(store, "x")
    finished = done(session, await store.publish(session))
    await store.settle(finished)
    (root / "assembled" / SESSION.id).write_bytes(text)
    with pytest.raises(StorageFailed):
        await store.locate(finished)


async def test_kept_content_that_somebody_took(store: LocalStore, root: Path) -> None:
    session = await made(store, "x")
    (root / "sessions" / f"{SESSION.id}.work" / "kept" / "content").unlink()
    with pytest.raises(StorageLost):
        await store.publish(session)
    assert not list((root / "completed").glob("*"))


async def test_an_id_that_another_upload_had(store: LocalStore, root: Path) -> None:
    """Whoever lost the catalog with it: what is known of that one is not true of this one."""
    session = await made(store, "x")
    await store.settle(done(session, await store.publish(session)))
    await put(store, opened(SESSION.id), {0: DATA})
    await store.arrival(SESSION, NOBODY)
    finished = done(SESSION, await store.publish(assembling(SESSION, Assembled("y"))))
    for end in SUMS:
        (root / "completed" / f"y{end}").write_bytes(OTHERS)
    assert await read(await store.locate(finished)) == DATA
    await store.remove(finished)
    assert {name for name in tree(root) if "/y" in name} == {f"completed/y{end}" for end in SUMS}


async def test_names_leave_room_for_what_is_beside(store: LocalStore, root: Path) -> None:
    session = replace(SESSION, id="i" * 128)
    ends = {"." + "y" * 63: b"long", ".s": b"short"}
    for number in range(3):
        occupied = root / "completed" / ("x" * (200 - 40 - 4 - number * 5) + ".csv")
        occupied.parent.mkdir(parents=True, exist_ok=True)
        occupied.write_bytes(OTHERS)
    await put(store, opened(session.id), {0: DATA})
    await store.arrival(session, NOBODY)
    assembled = Assembled("x" * 300 + ".csv", beside=ends)
    await store.keep(session, assembled)
    finished = done(session, await store.publish(assembling(session, assembled)))
    path = await store.locate(finished)
    assert len(path.name) == 160
    assert path.name.startswith("xxx")
    assert sorted(each.name for each in path.parent.glob(f"{path.name}.*")) == sorted(
        path.name + end for end in ends
    )


async def test_the_workspace_may_hold_anything(store: LocalStore, root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(OTHERS)
    await put(store, opened(SESSION.id), {0: DATA})

    def litter(room: Path) -> None:
        (room / "deep" / "down").mkdir(parents=True)
        (room / "deep" / "down" / "x").write_bytes(b"")
        (room / "up").symlink_to(outside)
        (room / "dangling").symlink_to(root / "not there")
        os.mkfifo(room / "pipe")

    for leave in (store.settle, store.remove):
        for _ in range(2):
            arrival = await store.arrival(SESSION, NOBODY)
            assert list(arrival.workspace.iterdir()) == []
            litter(arrival.workspace)
        await leave(SESSION)
        assert not (root / "sessions" / f"{SESSION.id}.work").exists()
        await put(store, opened(SESSION.id), {0: DATA})
    assert (outside / "x").read_bytes() == OTHERS


async def test_a_workspace_that_is_none(store: LocalStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(OTHERS)
    await put(store, opened(SESSION.id), {0: DATA})
    work = root / "sessions" / f"{SESSION.id}.work"
    makers: list[Callable[[], object]] = [
        lambda: work.symlink_to(tmp_path / "outside"),
        lambda: work.write_bytes(b""),
    ]
    for make in makers:
        make()
        arrival = await store.arrival(SESSION, NOBODY)
        assert list(arrival.workspace.iterdir()) == []
        await store.settle(replace(SESSION))
        await put(store, opened(SESSION.id), {0: DATA})
    assert (tmp_path / "outside" / "x").read_bytes() == OTHERS


async def test_strays_are_workspaces_that_could_be_ours(store: LocalStore, root: Path) -> None:
    sessions = root / "sessions"
    for name in ("a.work", "b.works", ".work", "b", ".c.work", "d e.work"):
        (sessions / name).mkdir(parents=True)
    (sessions / "f.work").write_bytes(b"")
    (sessions / "g.work").symlink_to("a.work")
    (sessions / "a").write_bytes(b"")
    assert await store.strays(1e12) == ["a"]
    os.utime(sessions / "a", (5.0, 5.0))
    assert await store.strays(10.0) == ["a"]
    os.utime(sessions / "a.work", (5.0, 5.0))
    (sessions / "a").unlink()
    assert await store.strays(10.0) == ["a"]
    assert await store.strays(4.0) == []


async def test_without_hard_links_nothing_is_replaced_either(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    name = "x-0123456789.csv"
    (root / "completed" / "alice").mkdir(parents=True)
    taken = root / "completed" / "alice" / f"{name}.tar.gz.asc"
    taken.write_bytes(OTHERS)
    session = await made(store, "alice/x.csv")
    with pytest.raises(StorageFailed):
        await store.publish(session)
    assert [path.name for path in taken.parent.iterdir()] == [taken.name]
    taken.unlink()
    finished = done(session, await store.publish(session))
    assert finished.receipt == Receipt(f"completed/alice/{name}")
    assert await read(await store.locate(finished)) == MADE


async def test_content_that_has_left_for_its_place_is_not_removed(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it has its only name, and what is to be beside it may still find its own taken."""
    link, codes = os.link, [errno.EIO]

    def refuse(source: str, target: str) -> None:
        if source.endswith("/content"):
            raise PermissionError(errno.EPERM, "no links here")
        if codes:
            raise OSError(codes.pop(), "injected")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    session = await made(store, "x.csv")
    with pytest.raises(StorageFailed):
        await store.publish(session)
    place = root / "completed" / "x-0123456789.csv"
    taken = place.with_name(f"{place.name}.tar.gz.asc")
    taken.write_bytes(OTHERS)
    for _ in range(2):
        with pytest.raises(StorageFailed):
            await store.publish(session)
        assert place.read_bytes() == MADE
        assert taken.read_bytes() == OTHERS
    taken.unlink()
    finished = done(session, await store.publish(session))
    await store.settle(finished)
    assert await store.locate(finished) == place
    assert tree(root).keys() - {f"assembled/{SESSION.id}"} == {
        f"completed/{place.name}{end}" for end in ("", *SUMS)
    }
