"""`list`, `show`, `recover` and `sweep` on a real directory, in this process."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from tusjumbo.cli import main
from tusjumbo.composition import House, compose
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import ChunkDigest, Kind, Phase, UploadSession
from tusjumbo.settings import Durability, UploadSettings

MIB = 1024**2
NOW = time.time()


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may run minutes after this file was imported."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", time.time())


def _session(upload_id: str, *runs: tuple[int, int], **facts: Any) -> UploadSession:
    facts = {"created_at": NOW - 200, "updated_at": NOW - 100, "length": 12 * MIB, **facts}
    return UploadSession(id=upload_id, ranges=RangeSet(runs), **facts)


def _seed(*sessions: UploadSession, directory: str = "data") -> None:
    """Record the sessions, and write as many zeros as they have bytes."""

    async def work(house: House) -> None:
        for session in sessions:
            await house.catalog.create(session)
            if not session.ranges.total:
                continue
            async with house.store.writing(replace(session, ranges=RangeSet())) as writer:
                for start, stop in session.ranges.runs:
                    await writer.write(start, memoryview(bytes(stop - start)), None)

    _in_house(work, directory)


def _in_house(work: Callable[[House], Coroutine[None, None, None]], directory: str) -> None:
    async def visit() -> None:
        settings = UploadSettings(upload_dir=Path(directory), durability=Durability.OS)
        house = compose(settings)
        await work(house)
        await house.aclose()

    anyio.run(visit)


def _run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[str]:
    """The lines that a command prints: on standard output, or if it fails, on standard error."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert not (out if code else err)
    return (err if code else out).splitlines()


# --- list ----------------------------------------------------------------------------------------


def test_list_is_a_table_oldest_first(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(
        _session("b", (0, 5 * MIB), expires_at=NOW + 3 * 86400 + 60, metadata={"filename": b"f.x"}),
        _session("a", created_at=NOW - 7300, length=None),
        _session("c", (0, 3), created_at=NOW - 90_000, length=3, phase=Phase.DONE),
        _session(
            "d", created_at=NOW - 3700, phase=Phase.ABANDONED, kind=Kind.PARTIAL, expires_at=NOW - 1
        ),
        _session(
            *("e", (0, 3)),
            created_at=NOW - 250,
            phase=Phase.ABANDONED,
            expires_at=NOW + 7260,
            metadata={"filename": b"g.x"},
        ),
    )
    assert _run(capsys, "list") == [
        "ID  PHASE      RECEIVED    LENGTH  DONE  AGE  EXPIRES        KIND     FILE",
        "c   done            3 B       3 B  100%   1d  never          whole",
        "a   open            0 B         ?     ?   2h  never          whole",
        "d   abandoned       0 B  12.0 MiB    0%   1h  removed now    partial",
        "e   abandoned       3 B  12.0 MiB    0%   4m  removed in 2h  whole    g.x",
        "b   open        5.0 MiB  12.0 MiB   41%   3m  in 3d          whole    f.x",
    ]
    assert [line.split()[0] for line in _run(capsys, "list", "--phase", "open")] == ["ID", "a", "b"]
    aside = _run(capsys, "list", "--phase", "abandoned")
    assert [line.split()[0] for line in aside] == ["ID", "d", "e"]


def test_list_escapes_what_could_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(_session("a", metadata={"filename": b"\x1b]0;owned\x07\nfake line\xe2\x80\xae\xff"}))
    _, line = _run(capsys, "list")
    assert line.endswith(r"\x1b]0;owned\x07\nfake line\u202e" + "\N{REPLACEMENT CHARACTER}")


def test_list_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(
        _session("a", (0, 1), (5, 7), metadata={"filename": b"\xff\n", "empty": b""}),
        _session("b", length=None, created_at=0.0, expires_at=86400.0),
    )
    first, second = map(json.loads, _run(capsys, "list", "--json"))
    assert (first["id"], first["offset"], first["received"], first["length"]) == (
        "a",
        1,
        3,
        12 * MIB,
    )
    assert first["metadata"] == {"filename": "\\xff\n", "empty": ""}
    assert (second["created_at"], second["expires_at"]) == (
        "1970-01-01T00:00:00Z",
        "1970-01-02T00:00:00Z",
    )
    assert (second["length"], second["progress"], second["path"]) == (None, None, None)
    assert [json.loads(line)["id"] for line in _run(capsys, "list", "--json", "--phase=open")] == [
        "a",
        "b",
    ]
    assert _run(capsys, "list", "--json", "--phase=done") == []


def test_list_reads_every_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tusjumbo.cli.inspecting._PAGE", 2)
    _seed(*(_session(f"u{number}") for number in range(5)))
    assert len(_run(capsys, "list", "--json")) == 5


def test_list_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    assert _run(capsys, "list") == ["There are no uploads in data."]
    assert _run(capsys, "list", "--json") == []
    assert list(Path("data").iterdir()) == []
    _seed(_session("a"))
    assert _run(capsys, "list", "--phase=done") == ["There are no done uploads in data."]


@pytest.mark.parametrize(
    "command", [("list",), ("show", "a"), ("recover", "a"), ("sweep",)], ids=lambda c: str(c[0])
)
def test_looking_creates_no_directory(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(capsys, *command, "--upload-dir=nowhere", code=2) == [
        "tusjumbo: upload_dir: there is no directory 'nowhere' (from --upload-dir)"
    ]
    assert _run(capsys, *command, code=2) == ["tusjumbo: upload_dir: there is no directory 'data'"]
    assert list(Path().iterdir()) == []


def test_a_directory_from_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tusjumbo.toml").write_text('upload-dir = "other"\nport = 9000')
    _seed(_session("a"), directory="other")
    assert _run(capsys, "list")[1].startswith("a ")


def test_a_broken_catalog_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    Path("data/catalog.sqlite3").write_bytes(b"not a database at all" * 100)
    (line,) = _run(capsys, "list", code=1)
    assert line.startswith("tusjumbo: ")
    assert "database" in line


# --- show ----------------------------------------------------------------------------------------


def test_show_tells_everything(capsys: pytest.CaptureFixture[str]) -> None:
    runs = ((0, 5 * MIB), (5 * MIB + 10, 5 * MIB + 30))
    metadata = {"filename": b"a\x1bb.mp4", "k\xe9y": b"\xc3\xa9"}
    _seed(_session("a", *runs, length=32 * MIB, metadata=metadata, expires_at=NOW + 3700))
    lines = _run(capsys, "show", "http://127.0.0.1:8080/files/a")
    facts = [line.split(maxsplit=1) for line in lines]
    assert facts[:5] == [
        ["id", "a"],
        ["kind", "whole"],
        ["phase", "open"],
        ["offset", "5242880"],
        ["received", "5242900 of 33554432 bytes (15%)"],
    ]
    assert [name for name, _ in facts[5:8]] == ["created", "updated", "expires"]
    assert facts[7][1].endswith("Z (in 1h)")
    assert [" ".join(line.split()) for line in lines[8:]] == [
        "file not finished",
        r"metadata filename a\x1bb.mp4",
        "metadata kéy é",
        "chunks 1 of 7 complete, 5.0 MiB each",
        "0 complete",
        "1 20 of 5242880 bytes",
        "2-6 missing",
        "missing bytes 5242880-5242889",
        "missing bytes 5242910-33554431",
    ]


def test_show_parts(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"kind": Kind.FINAL, "parts": ("b", "c", "b"), "length": None}
    _seed(_session("a", **facts))
    lines = [" ".join(line.split()) for line in _run(capsys, "show", "a")]
    assert "kind final" in lines
    assert [line for line in lines if line.startswith("part ")] == [
        "part 1 b",
        "part 2 c",
        "part 3 b",
    ]
    (line,) = _run(capsys, "show", "a", "--json")
    found = json.loads(line)
    assert (found["kind"], found["parts"]) == ("final", ["b", "c", "b"])


def test_sweep_joins_what_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUSJUMBO_REMOVE_PARTS", "yes")
    part = _session("b", (0, 3), length=3, kind=Kind.PARTIAL)
    _seed(part, _session("a", kind=Kind.FINAL, parts=("b", "b"), length=None))
    assert _run(capsys, "sweep") == [
        "finished: a",
        "joined and removed: b",
        "Swept data: 1 finished, 0 set aside, 0 removed, 0 left-overs tidied, 0 failed.",
    ]
    assert Path("data/completed/a").read_bytes() == bytes(6)


def test_show_json(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(_session("a", (0, 10), (15, 30), length=52, chunk_size=10))
    (line,) = _run(capsys, "show", "a", "--json")
    found = json.loads(line)
    assert found["chunks"] == [
        {"first": 0, "last": 0, "state": "complete", "sha256": None},
        {"first": 1, "last": 1, "state": "partial", "sha256": None},
        {"first": 2, "last": 2, "state": "complete", "sha256": None},
        {"first": 3, "last": 5, "state": "missing", "sha256": None},
    ]
    assert found["missing"] == [{"start": 10, "stop": 15}, {"start": 30, "stop": 52}]
    assert (found["chunk_size"], found["chunks_expected"], found["chunks_received"]) == (10, 6, 2)


def test_show_tells_what_chunks_were(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that came as chunks, each by itself; what lies between them in stretches."""
    session = _session("a", (0, 70), (75, 78), length=100, chunk_size=10)
    _seed(session)

    async def record(house: House) -> None:
        found = [ChunkDigest(number, bytes([number]) * 32, NOW) for number in (6, 2, 3)]
        await house.catalog.update("a", lambda session: session, digests=found)

    _in_house(record, "data")
    lines = [" ".join(line.split()) for line in _run(capsys, "show", "a")]
    at = lines.index("chunks 7 of 10 complete, 10 B each")
    assert lines[at + 1 : -2] == [
        "0-1 complete",
        f"2 complete, SHA-256 {'02' * 32}",
        f"3 complete, SHA-256 {'03' * 32}",
        "4-5 complete",
        f"6 complete, SHA-256 {'06' * 32}",
        "7 3 of 10 bytes",
        "8-9 missing",
    ]
    (line,) = _run(capsys, "show", "a", "--json")
    chunks = json.loads(line)["chunks"]
    assert [(it["first"], it["last"]) for it in chunks] == [
        *((0, 1), (2, 2), (3, 3), (4, 5), (6, 6), (7, 7), (8, 9))
    ]
    assert [it["sha256"] for it in chunks if it["sha256"]] == ["02" * 32, "03" * 32, "06" * 32]


def test_show_until_when_it_can_be_recovered(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(_session("a", phase=Phase.ABANDONED, expires_at=NOW + 3700))
    lines = dict(line.split(maxsplit=1) for line in _run(capsys, "show", "a"))
    assert lines["removed"].endswith("Z (in 1h)")
    assert "expires" not in lines


def test_show_survives_the_largest_length(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(_session("a", (0, 1), length=2**63 - 1, chunk_size=1))
    lines = _run(capsys, "show", "a")
    assert " ".join(lines[-2].split()) == "1-9223372036854775806 missing"


def test_show_where_the_finished_file_is(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(_session("a", (0, 3), length=3, phase=Phase.SEALED, metadata={"filename": b"a.txt"}))
    assert main(["sweep"]) == 0
    capsys.readouterr()
    lines = dict(line.split(maxsplit=1) for line in _run(capsys, "show", "a"))
    assert lines["file"] == "data/completed/a.txt"
    Path("data/completed/a.txt").unlink()
    lines = dict(line.split(maxsplit=1) for line in _run(capsys, "show", "a"))
    assert lines["file"] == "gone: somebody has removed it"


@pytest.mark.parametrize("upload_id", ["nobody", "../data", "", "a b"])
def test_show_nobody(upload_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    _seed(_session("a"))
    (line,) = _run(capsys, "show", upload_id, code=1)
    assert line.startswith("tusjumbo: There is no such upload")


def test_show_in_an_empty_directory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    assert _run(capsys, "show", "a", code=1)[0].startswith("tusjumbo: There is no such upload")
    assert list(Path("data").iterdir()) == []


# --- recover -------------------------------------------------------------------------------------


def test_recover_says_what_came_back(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(
        _session("a", (0, 3), expires_at=NOW - 5, metadata={"filename": b"\x1b.x"}),
        _session("b", (0, 5 * MIB), expires_at=NOW - 5),
        _session("c", (0, 7), length=None, expires_at=NOW - 5),
        _session("d", expires_at=NOW + 3600),
    )
    assert main(["sweep"]) == 0
    assert sorted(os.listdir("data/abandoned")) == ["a", "b", "c"]
    capsys.readouterr()
    assert _run(capsys, "recover", "a", "http://127.0.0.1/files/c") == [
        r"recovered: a \x1b.x, 3 B of 12.0 MiB, expires in 6d",
        "recovered: c, 7 B of ?, expires in 6d",
    ]
    assert os.listdir("data/abandoned") == ["b"]
    assert Path("data/sessions/a").read_bytes() == bytes(3)
    assert _run(capsys, "recover", "b", "--expire-after=0") == [
        "recovered: b, 5.0 MiB of 12.0 MiB, expires never"
    ]
    phases = [json.loads(line)["phase"] for line in _run(capsys, "list", "--json")]
    assert phases == ["open"] * 4
    assert _run(capsys, "sweep")[-1].startswith("Swept data: 0 finished, 0 set aside")


def test_recover_says_what_did_not_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(
        _session("busy", expires_at=NOW + 3600),
        _session("lost", (0, 3), phase=Phase.ABANDONED, expires_at=NOW + 3600),
        _session("fine", phase=Phase.ABANDONED, expires_at=NOW + 3600),
    )
    Path("data/sessions/lost").unlink()
    assert main(["recover", "busy", "nobody", "../data", "lost", "fine"]) == 1
    out, err = capsys.readouterr()
    assert out == "recovered: fine, 0 B of 12.0 MiB, expires in 6d\n"
    lines = err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        *(["tusjumbo", name] for name in ("busy", "nobody", "../data", "lost"))
    ]
    assert lines[0].endswith("There is nothing to recover: this upload is uploading.")
    phases = {it["id"]: it["phase"] for it in map(json.loads, _run(capsys, "list", "--json"))}
    assert phases == {"busy": "open", "fine": "open", "lost": "abandoned"}


def test_recover_in_an_empty_directory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    (line,) = _run(capsys, "recover", "a", code=1)
    assert line.startswith("tusjumbo: a: There is no such upload")
    assert list(Path("data").iterdir()) == []


# --- sweep ---------------------------------------------------------------------------------------


def test_sweep_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(
        _session("full", (0, 3), length=3, phase=Phase.SEALED),
        _session("old", (0, 3), expires_at=NOW - 5, metadata={"filename": b"\x1b"}),
        _session("older", phase=Phase.ABANDONED, expires_at=NOW - 5),
        _session("young", expires_at=NOW + 3600),
    )
    stray = Path("data/sessions/jumbo_stray")
    stray.write_bytes(b"x")
    os.utime(stray, (NOW - 90_000, NOW - 90_000))
    *told, total = _run(capsys, "sweep")
    assert sorted(told) == ["finished: full", "removed: older", r"set aside: old \x1b"]
    assert total == "Swept data: 1 finished, 1 set aside, 1 removed, 1 left-overs tidied, 0 failed."
    assert not stray.exists()
    assert _run(capsys, "sweep")[-1].endswith(
        "0 finished, 0 set aside, 0 removed, 0 left-overs tidied, 0 failed."
    )
    phases = {
        entry["id"]: entry["phase"] for entry in map(json.loads, _run(capsys, "list", "--json"))
    }
    assert phases == {"full": "done", "old": "abandoned", "young": "open"}


def test_sweep_refuses_what_is_not_taken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUSJUMBO_ALLOW_TYPES", "image/*")
    _seed(_session("full", (0, 3), length=3, phase=Phase.SEALED))
    assert _run(capsys, "sweep") == [
        "refused: full",
        "Swept data: 0 finished, 1 refused, 0 set aside, 0 removed, 0 left-overs tidied, 0 failed.",
    ]
    assert _run(capsys, "list", "--json") == []


def test_sweep_removes_at_once_what_need_not_be_kept(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(_session("old", (0, 3), expires_at=NOW - 5))
    told = _run(capsys, "sweep", "--keep-abandoned=0")
    assert told[:2] == ["set aside: old", "removed: old"]
    assert _run(capsys, "list", "--json") == []


def test_sweep_that_fails_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    _seed(_session("full", length=3, phase=Phase.SEALED))  # the bytes are not there
    assert main(["sweep"]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("0 left-overs tidied, 1 failed.\n")
    assert "Upload full could not be swept." in err


def test_sweep_of_an_empty_directory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    assert _run(capsys, "sweep") == ["There is nothing to do in data."]
    assert list(Path("data").iterdir()) == []
