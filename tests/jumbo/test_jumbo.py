"""The seed's API, its keys and its errors, on a real directory: both twins, many threads."""

from __future__ import annotations

import hashlib
import inspect
import io
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.harness.wire import poll
from tusjumbo import (
    Arrival,
    Assembled,
    AsyncJumbo,
    ConfigurationError,
    Event,
    Hook,
    HookCall,
    Jumbo,
    UploadFinished,
    UploadSession,
    UploadSettings,
)
from tusjumbo.errors import (
    ChunkConflict,
    ChunkSizeWrong,
    DigestMismatch,
    MalformedRequest,
    NoSuchChunk,
    NotAbandoned,
    StorageFailed,
    UploadNotFound,
    UploadTooLarge,
)
from tusjumbo.hooks.functions import Function
from tusjumbo.sessions import rules
from tusjumbo.sessions.commands import Command, Create, Join
from tusjumbo.sessions.outcomes import Created
from tusjumbo.sessions.session import Kind

SIZE = 1000
CONTENT = random.Random(0).randbytes(4500)
UNKNOWN = "jumbo_" + "0" * 32


def chunk(number: int) -> bytes:
    return CONTENT[number * SIZE : (number + 1) * SIZE]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def jumbo(tmp_path: Path) -> Iterator[Jumbo]:
    with Jumbo(tmp_path, chunk_size=SIZE) as it:
        yield it


def test_the_defaults_are_the_seeds() -> None:
    jumbo = Jumbo()
    assert jumbo.settings.max_size == 5 * 1024**3
    assert jumbo.settings.chunk_size == 5 * 1024**2
    assert jumbo.settings.upload_dir == Path("data")


def test_an_upload_from_its_start_to_its_end(jumbo: Jumbo, tmp_path: Path) -> None:
    began = jumbo.start_upload(filename="a b.zip", total_size=len(CONTENT), metadata={"n": 7})
    upload_id = began.pop("upload_id")
    assert upload_id.startswith("jumbo_")
    assert began == {"chunk_size": SIZE, "total_chunks": 5, "chunks_expected": 5}

    for number, progress in ((4, 11.11), (0, 33.33), (2, 55.55), (1, 77.77)):
        answer = jumbo.upload_chunk(upload_id, number, chunk(number))
        assert answer == {
            "status": "uploading",
            "progress": progress,
            "chunk_number": number,
            "hash": sha256(chunk(number)),
        }
    resume = jumbo.resume_upload(upload_id)
    assert (resume["chunks_received"], resume["chunks_needed"]) == ([0, 1, 2, 4], [3])
    status = jumbo.get_status(upload_id)
    assert (status["status"], status["progress"]) == ("uploading", 77.77)
    assert status["size_uploaded"] == 3500
    assert "second" in status["time_remaining"]
    assert status["metadata"] == {"n": 7}

    answer = jumbo.upload_chunk(upload_id, 3, chunk(3), sha256(chunk(3)))
    assert answer["status"] == "completed"
    assert answer["size"] == len(CONTENT)
    assert answer["duration"] in (0, 1, 2)
    assert answer["path"] == str(tmp_path / "completed" / "a b.zip")
    assert Path(answer["path"]).read_bytes() == CONTENT
    assert jumbo.get_status(upload_id)["path"] == answer["path"]
    assert jumbo.resume_upload(upload_id)["chunks_needed"] == []


def test_the_answer_to_the_last_chunk_may_be_lost(jumbo: Jumbo) -> None:
    upload_id = jumbo.start_upload("a", 10)["upload_id"]
    first = jumbo.upload_chunk(upload_id, 0, b"0123456789")
    again = jumbo.upload_chunk(upload_id, 0, b"0123456789")
    assert again == first


def test_an_empty_file_is_complete_at_once(jumbo: Jumbo) -> None:
    began = jumbo.start_upload("empty", 0)
    assert (began["total_chunks"], began["status"], began["size"]) == (0, "completed", 0)
    assert Path(began["path"]).read_bytes() == b""


class Slow(io.RawIOBase):
    """A file that gives what it has in small pieces."""

    def __init__(self, data: bytes) -> None:
        self.pieces = [data[at : at + 300] for at in range(0, len(data), 300)]

    def read(self, size: int = -1) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 300):
        yield data[at : at + 300]
        yield b""


@pytest.mark.parametrize(
    "form", [bytes, bytearray, memoryview, io.BytesIO, Slow], ids=lambda it: it.__name__
)
def test_a_chunk_may_be_bytes_or_a_file(jumbo: Jumbo, form: Callable[[bytes], Any]) -> None:
    upload_id = jumbo.start_upload("a", len(CONTENT))["upload_id"]
    for number in range(5):
        answer = jumbo.upload_chunk(upload_id, number, form(chunk(number)))
    assert Path(answer["path"]).read_bytes() == CONTENT


async def test_the_twin_takes_iterators_too(tmp_path: Path) -> None:
    async with AsyncJumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = (await jumbo.start_upload("a", len(CONTENT)))["upload_id"]
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(jumbo.upload_chunk, upload_id, number, _pieces(chunk(number)))
        assert [it.id async for it in jumbo.active_uploads()] == [upload_id]
        answer = await jumbo.upload_chunk(upload_id, 4, io.BytesIO(chunk(4)))
        assert Path(answer["path"]).read_bytes() == CONTENT
        assert [it.id async for it in jumbo.active_uploads()] == []


def test_the_twins_have_the_same_methods() -> None:
    for name, method in vars(AsyncJumbo).items():
        if name.startswith("_") or name in ("aclose", "active_uploads", "follow"):
            continue
        twin = getattr(Jumbo, name)
        assert inspect.signature(twin) == inspect.signature(method)
        assert twin.__doc__ == method.__doc__
        assert not inspect.iscoroutinefunction(twin)
    assert inspect.signature(Jumbo) == inspect.signature(AsyncJumbo)


def test_many_threads_and_many_objects_share_an_upload(tmp_path: Path) -> None:
    """Also chunks that are sent twice at once, by objects that know nothing of each other."""
    content = random.Random(1).randbytes(40 * SIZE - 1)
    finished: list[Event] = []

    def note(event: Event) -> None:
        if isinstance(event, UploadFinished):
            finished.append(event)

    jumbos = [Jumbo(tmp_path, chunk_size=SIZE, observers=[note]) for _ in range(2)]
    upload_id = jumbos[0].start_upload("shared", len(content))["upload_id"]

    def put(turn: int) -> dict[str, Any]:
        number = turn // 2
        data = content[number * SIZE : (number + 1) * SIZE]
        return jumbos[turn % 2].upload_chunk(upload_id, number, data)

    turns = list(range(80))
    random.Random(2).shuffle(turns)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(put, turns))
    assert len(finished) == 1
    completed = [answer for answer in answers if answer["status"] == "completed"]
    assert {Path(answer["path"]).read_bytes() for answer in completed} == {content}
    for jumbo in jumbos:
        assert jumbo.get_status(upload_id)["status"] == "completed"
        jumbo.close()


def test_sessions_survive_the_object(tmp_path: Path) -> None:
    with Jumbo(tmp_path, chunk_size=SIZE) as first:
        upload_id = first.start_upload("a", len(CONTENT))["upload_id"]
        first.upload_chunk(upload_id, 1, chunk(1))
    with Jumbo(tmp_path) as second:  # the chunks of an upload keep their size
        assert second.resume_upload(upload_id)["chunks_needed"] == [0, 2, 3, 4]
        for number in (0, 2, 3, 4):
            answer = second.upload_chunk(upload_id, number, chunk(number))
        assert Path(answer["path"]).read_bytes() == CONTENT
    # Closed is not broken: everything opens again.
    assert second.get_status(upload_id)["status"] == "completed"
    second.close()


# --- errors --------------------------------------------------------------------------------------


def _start(jumbo: Jumbo) -> str:
    upload_id: str = jumbo.start_upload("a", len(CONTENT))["upload_id"]
    return upload_id


WRONG: dict[str, tuple[Callable[[Jumbo, str], object], type[ValueError]]] = {
    "too large": (lambda it, _: it.start_upload("a", 5 * 1024**3 + 1), UploadTooLarge),
    "negative": (lambda it, _: it.start_upload("a", -1), MalformedRequest),
    "size": (lambda it, _: it.start_upload("a", "7"), MalformedRequest),  # type: ignore[arg-type]
    "name": (lambda it, _: it.start_upload("", 1), MalformedRequest),
    "metadata": (lambda it, _: it.start_upload("a", 1, {"x": object()}), MalformedRequest),
    "id": (lambda it, _: it.upload_chunk("../../etc", 0, b""), UploadNotFound),
    "unknown": (lambda it, _: it.upload_chunk(UNKNOWN, 0, b""), UploadNotFound),
    "number": (lambda it, id_: it.upload_chunk(id_, 5, chunk(0)), NoSuchChunk),
    "below": (lambda it, id_: it.upload_chunk(id_, -1, chunk(0)), NoSuchChunk),
    "true": (lambda it, id_: it.upload_chunk(id_, True, chunk(0)), MalformedRequest),
    "short": (lambda it, id_: it.upload_chunk(id_, 0, b"short"), ChunkSizeWrong),
    "short file": (
        lambda it, id_: it.upload_chunk(id_, 0, io.BytesIO(b"short")),
        ChunkSizeWrong,
    ),
    "text": (lambda it, id_: it.upload_chunk(id_, 0, "text"), MalformedRequest),  # type: ignore[arg-type]
    "text file": (
        lambda it, id_: it.upload_chunk(id_, 0, io.StringIO("text")),  # type: ignore[arg-type]
        MalformedRequest,
    ),
    "hash": (lambda it, id_: it.upload_chunk(id_, 0, chunk(0), sha256(b"")), DigestMismatch),
    "no hash": (lambda it, id_: it.upload_chunk(id_, 0, chunk(0), "?"), MalformedRequest),
    "other bytes": (lambda it, id_: it.upload_chunk(id_, 1, chunk(0)), ChunkConflict),
    "resume": (lambda it, _: it.resume_upload(UNKNOWN), UploadNotFound),
    "cancel": (lambda it, _: it.cancel_upload(UNKNOWN), UploadNotFound),
    "verify": (lambda it, _: it.verify_chunk(UNKNOWN, 0), UploadNotFound),
    "verify number": (lambda it, id_: it.verify_chunk(id_, 99), NoSuchChunk),
    "recover": (lambda it, id_: it.recover_upload(id_), NotAbandoned),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_caller_does_wrong_is_a_value_error(jumbo: Jumbo, name: str) -> None:
    work, expected = WRONG[name]
    upload_id = _start(jumbo)
    jumbo.upload_chunk(upload_id, 1, chunk(1))
    with pytest.raises(ValueError, match=r"\S{3}") as caught:
        work(jumbo, upload_id)
    assert type(caught.value) is expected
    assert jumbo.resume_upload(upload_id)["chunks_received"] == [1]


def test_what_the_system_cannot_do_is_a_runtime_error(jumbo: Jumbo, tmp_path: Path) -> None:
    upload_id = _start(jumbo)
    (tmp_path / "sessions").mkdir(exist_ok=True)
    (tmp_path / "sessions" / upload_id).mkdir()
    with pytest.raises(RuntimeError) as caught:
        jumbo.upload_chunk(upload_id, 0, chunk(0))
    assert isinstance(caught.value, StorageFailed)
    (tmp_path / "sessions" / upload_id).rmdir()
    assert jumbo.upload_chunk(upload_id, 0, chunk(0))["status"] == "uploading"


def test_what_the_file_raises_comes_through(jumbo: Jumbo) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("gone")

    upload_id = _start(jumbo)
    with pytest.raises(ConnectionResetError, match="gone"):
        jumbo.upload_chunk(upload_id, 0, Broken())
    assert jumbo.upload_chunk(upload_id, 0, chunk(0))["status"] == "uploading"


@pytest.mark.parametrize(
    "arguments",
    [
        {"chunk_size": 0},
        {"max_file_size": "many"},
        {"uplod_path": "x"},
        {"upload_path": "x", "settings": UploadSettings()},
        {"max_file_size": 7, "settings": UploadSettings()},
    ],
)
def test_wrong_settings_are_said_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Jumbo(**arguments)


# --- looking, cancelling, recovering -------------------------------------------------------------


def test_an_upload_that_is_not_there(jumbo: Jumbo) -> None:
    assert jumbo.get_status(UNKNOWN) == {"status": "not_found"}
    assert jumbo.get_status("../x") == {"status": "not_found"}


def test_cancelling(jumbo: Jumbo, tmp_path: Path) -> None:
    upload_id = _start(jumbo)
    jumbo.upload_chunk(upload_id, 0, chunk(0))
    assert jumbo.cancel_upload(upload_id) is True
    assert jumbo.get_status(upload_id) == {"status": "not_found"}
    assert list((tmp_path / "sessions").iterdir()) == []


def test_verifying(jumbo: Jumbo, tmp_path: Path) -> None:
    upload_id = _start(jumbo)
    assert jumbo.verify_chunk(upload_id, 0) == {"valid": False, "error": "Chunk not received"}
    jumbo.upload_chunk(upload_id, 0, chunk(0))
    good = {"valid": True, "hash": sha256(chunk(0))}
    assert jumbo.verify_chunk(upload_id, 0) == good
    assert jumbo.verify_chunk(upload_id, 0, sha256(chunk(0))) == good
    assert jumbo.verify_chunk(upload_id, 0, sha256(b""))["error"] == "Hash mismatch"
    stored = tmp_path / "sessions" / upload_id
    stored.write_bytes(b"X" + stored.read_bytes()[1:])
    assert jumbo.verify_chunk(upload_id, 0)["error"] == "Stored hash mismatch"


def test_active_uploads_are_a_live_mapping(jumbo: Jumbo) -> None:
    active = jumbo.active_uploads
    assert dict(active) == {}
    ids = {_start(jumbo) for _ in range(3)}
    assert set(active) == ids
    assert len(active) == 3
    one = next(iter(ids))
    jumbo.upload_chunk(one, 0, chunk(0))
    upload = active[one]
    assert isinstance(upload, UploadSession)
    assert (upload.chunks_received, upload.chunks_expected) == (1, 5)
    assert (upload.filename, upload.total_size, upload.status) == ("a", 4500, "uploading")
    assert upload.started_at == int(upload.created_at)
    assert dict(active.items()).keys() == ids
    assert {it.id for it in active.values()} == ids
    jumbo.cancel_upload(one)
    assert one not in active
    for missing in (one, UNKNOWN, "../x"):
        with pytest.raises(KeyError):
            active[missing]


def test_statistics(jumbo: Jumbo) -> None:
    empty = jumbo.get_statistics()
    assert empty == dict.fromkeys(empty, 0)
    done, _ = _start(jumbo), _start(jumbo)
    for number in range(5):
        jumbo.upload_chunk(done, number, chunk(number))
    figures = jumbo.get_statistics()
    assert (figures["active_uploads"], figures["total_active_size"]) == (1, 4500)
    assert figures["average_speed"] > 0
    assert figures["uploads_today"] == figures["uploads_this_week"] == 2
    assert figures["completed_today"] == figures["completed_this_week"] == 1


def test_an_abandoned_upload_is_set_aside_and_comes_back(tmp_path: Path) -> None:
    now = time.time()
    with Jumbo(tmp_path, chunk_size=SIZE, expire_after="1h", clock=lambda: now) as jumbo:
        upload_id = _start(jumbo)
        jumbo.upload_chunk(upload_id, 1, chunk(1))
        now += 3601
        assert jumbo.get_status(upload_id)["status"] == "abandoned"
        _start(jumbo)  # whoever begins another one sweeps in passing
        assert [it.name for it in (tmp_path / "abandoned").iterdir()] == [upload_id]
        with pytest.raises(UploadNotFound):
            jumbo.resume_upload(upload_id)
        with pytest.raises(UploadNotFound):
            jumbo.upload_chunk(upload_id, 0, chunk(0))
        assert jumbo.recover_upload(upload_id)["status"] == "uploading"
        assert jumbo.resume_upload(upload_id)["chunks_received"] == [1]
        for number in (0, 2, 3, 4):
            answer = jumbo.upload_chunk(upload_id, number, chunk(number))
        assert Path(answer["path"]).read_bytes() == CONTENT


def test_a_session_is_the_seeds_dataclass(jumbo: Jumbo) -> None:
    upload_id = _start(jumbo)
    jumbo.upload_chunk(upload_id, 4, chunk(4))
    session = jumbo.active_uploads[upload_id]
    for name in [
        "id",
        "filename",
        "total_size",
        "chunks_expected",
        "chunks_received",
        "started_at",
        "status",
        "metadata",
    ]:
        assert hasattr(session, name)
    last = session.chunk(4)
    assert (last.upload_id, last.chunk_number, last.is_complete) == (upload_id, 4, True)
    assert replace(last, hash=sha256(chunk(4))).hash == sha256(chunk(4))


# --- living in a program -------------------------------------------------------------------------


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        with Jumbo(tmp_path) as jumbo:
            jumbo.get_statistics()
    forgotten = Jumbo(tmp_path)
    forgotten.get_statistics()
    del forgotten
    assert threading.active_count() <= before + 1
    assert [it for it in (tmp_path / "locks").rglob("*") if it.is_fifo()] == []


def test_an_observer_that_calls_back_is_told_and_does_not_hang(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def calls_back(event: Event) -> None:
        try:
            told.get_statistics()
        except RuntimeError as error:
            caught.append(error)

    told = Jumbo(tmp_path, observers=[calls_back])
    told.start_upload("a", 1)
    told.close()
    assert len(caught) == 1


def test_the_rate_is_that_of_late(tmp_path: Path) -> None:
    now = time.time()
    with Jumbo(tmp_path, chunk_size=SIZE, clock=lambda: now) as jumbo:
        upload_id = jumbo.start_upload("a", 1000 * SIZE)["upload_id"]
        assert jumbo.get_status(upload_id)["time_remaining"] == "unknown"
        put = partial(jumbo.upload_chunk, upload_id, chunk_data=bytes(SIZE))
        for number in range(50):
            now += 1.0
            put(chunk_number=number)
        assert jumbo.get_status(upload_id)["speed"] == pytest.approx(SIZE, rel=0.01)
        assert jumbo.get_status(upload_id)["time_remaining"] == "16 minutes"
        for number in range(50, 100):
            now += 0.1
            put(chunk_number=number)
        assert SIZE * 4 < jumbo.get_status(upload_id)["speed"] < SIZE * 10
        now += rules.PAUSE + 1
        assert jumbo.get_status(upload_id)["time_remaining"] == "unknown"


def test_a_part_that_is_completed_by_a_chunk_completes_the_file(tmp_path: Path) -> None:
    with Jumbo(tmp_path, chunk_size=SIZE) as jumbo:
        uploads = jumbo.twin.house.uploads

        def execute(command: Command) -> str:
            outcome = jumbo.in_loop(partial(uploads.execute, command)).result()
            assert isinstance(outcome, Created)
            return outcome.session.id

        create = Create(length=len(CONTENT), metadata={}, echo={}, kind=Kind.PARTIAL)
        part = execute(create)
        whole = execute(Join(parts=(part, part), metadata={}, echo={}))
        for number in range(5):
            jumbo.upload_chunk(part, number, chunk(number))
        status = jumbo.get_status(whole)
        assert status["status"] == "completed"
        assert Path(status["path"]).read_bytes() == 2 * CONTENT


# --- hooks and assemblers ------------------------------------------------------------------------


def _heard(calls: list[HookCall]) -> list[Hook]:
    return [call.hook for call in list(calls) if not call.hook.asks]


def test_hooks_are_told_and_assemblers_called(tmp_path: Path) -> None:
    calls: list[HookCall] = []

    def assemble(arrival: Arrival) -> Assembled:
        return Assembled(path=f"made/{arrival.session.filename}")

    listener = Function(calls.append, name="app")
    with Jumbo(tmp_path, chunk_size=SIZE, hooks=[listener], assemble=[assemble]) as jumbo:
        upload_id = jumbo.start_upload("a.bin", len(CONTENT))["upload_id"]
        for number in range(5):
            piece = CONTENT[number * SIZE : (number + 1) * SIZE]
            said = jumbo.upload_chunk(upload_id, number, piece)
        assert said["path"] == str(tmp_path / "completed/made/a.bin")
        poll(lambda: Hook.POST_FINISH in _heard(calls), 20, "nobody was told")
    assert (tmp_path / "completed/made/a.bin").read_bytes() == CONTENT
    assert _heard(calls)[0] is Hook.POST_CREATE


def test_in_the_background_a_program_without_a_loop_goes_on(tmp_path: Path) -> None:
    go = threading.Event()

    def assemble(arrival: Arrival) -> None:
        assert go.wait(20)

    with Jumbo(tmp_path, assemble=[assemble], finish="background") as jumbo:
        upload_id = jumbo.start_upload("a.bin", 5)["upload_id"]
        assert jumbo.upload_chunk(upload_id, 0, b"hello")["status"] == "assembling"
        assert jumbo.get_status(upload_id)["status"] == "assembling"
        go.set()
        poll(lambda: jumbo.get_status(upload_id)["status"] == "completed", 20, "it is not done")
    assert (tmp_path / "completed/a.bin").read_bytes() == b"hello"
