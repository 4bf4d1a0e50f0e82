"""The command: which exit code, what it says on which stream, and what it writes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.cli import main
from tests.conformance.scripted import Answer, Asked, Toy, answers, peer
from tests.harness.process import ROOT

FAST = ("--only", "CORE-07,CORE-09")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with Toy().serving() as url:
        yield url


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("conformance: ")
    return said.err


def test_nothing_failed_is_0(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([endpoint, *FAST]) == 0
    said = capsys.readouterr()
    assert "All 2 rows hold." in said.out
    assert "core" in said.out
    assert "toy/1" in said.out
    assert said.err == ""


def _lists_nothing(asked: Asked, answer: Answer) -> Answer:
    return Answer(204, {"Tus-Version": "2.0.0"}) if asked.method == "OPTIONS" else answer


def test_something_failed_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    with Toy(_lists_nothing).serving() as url:
        assert main([url, *FAST]) == 1
    said = capsys.readouterr().out
    assert "FAIL    CORE-09 (MUST, Headers / Tus-Version)" in said
    assert "1.0.0 is not among ['2.0.0']" in said
    assert "> OPTIONS /files/ HTTP/1.1" in said
    assert "< Tus-Version: 2.0.0" in said
    assert "--html" in said


def _crashes(asked: Asked, answer: Answer) -> Answer:
    return answer if asked.method == "OPTIONS" else Answer(500)


def test_strictness_decides_what_fails() -> None:
    rows = ("--only", "CORE-GEN-4,CREATE-07")
    with Toy(_crashes).serving() as url:
        assert main([url, *rows]) == 0
        assert main([url, *rows, "--strict"]) == 1
        assert main([url, *rows, "--strict-clients"]) == 0


def test_rows_about_all_responses_alone_run_the_others_for_them(
    capsys: pytest.CaptureFixture[str], endpoint: str
) -> None:
    assert main([endpoint, "--only", "CORE-GEN-2", "--skip", "LOCK-*,PATCH-*,CONC-*", "-v"]) == 0
    assert "1 passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give the creation endpoint"),
        (["host/files/"], "'host/files/' is not an http"),
        (["ftp://host/"], "is not an http"),
        (["http://host:999999/"], "give the creation endpoint"),
        (["http://me:secret@127.0.0.1/files/"], "use --header instead"),
        (["http://127.0.0.1/fi les/"], "percent-encode"),
        (["http://127.0.0.1/#a"], "percent-encode"),
        (["URL", "--only", "PATHC-*"], "no row is named PATHC-*; --list shows them"),
        (["URL", "--skip", "CORE-07,NOPE-1"], "no row is named NOPE-1"),
        (["URL", "--only", "TERM-04"], "no case tests TERM-04: whether storage was freed"),
        (["URL", "--only", "CORE-07", "--skip", "CORE-*"], "no row is left"),
        (["URL", "--header", "X"], "--header wants NAME: VALUE, not 'X'"),
        (["URL", "--header", "X: a\r\nY: b"], "--header wants NAME: VALUE"),
        (["URL", "--header", "X Y: b"], "--header wants NAME: VALUE"),
        (["URL", "--timeout", "0"], "'0' is no number of seconds"),
        (["URL", "--timeout", "nan"], "'nan' is no number of seconds"),
        (["URL", "--stall", "1e9"], "is no number of seconds"),
        (["URL", "--jobs", "0"], "'0' is not between 1 and 64"),
        (["URL", "--jobs", "1000"], "is not between 1 and 64"),
        (["URL", "--nope"], "--help shows all options"),
        (["URL", "--json", "/nowhere/at/all.json"], "--json: /nowhere/at/all.json cannot be"),
        (["URL", "--html", "/tmp"], "--html: /tmp cannot be written"),
    ],
)
def test_what_makes_no_sense_is_2(
    arguments: list[str], said: str, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([endpoint if argument == "URL" else argument for argument in arguments]) == 2
    assert said in _one_line(capsys)


def test_a_mistake_is_told_before_anything_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    toy = Toy()
    with toy.serving() as url:
        assert main([url, "--json", "/nowhere/a.json"]) == 2
        assert main([url, "--list"]) == 0
    assert toy.asked == []


def test_a_server_that_nobody_hears_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main([f"http://127.0.0.1:{port}/files/"]) == 2
    assert f"cannot connect to 127.0.0.1:{port}" in _one_line(capsys)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "address of the creation endpoint?",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "without Tus-Version"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "--header 'Authorization"),
        (
            b"HTTP/1.1 308 Moved\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n",
            "redirects to '/else'",
        ),
        (b"HTTP/1.1 204 \x1b[31m\r\nX: \x1b[31m\r\n\r\n", "without Tus-Version"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the response is not HTTP/1.1"),
        (b"", "without an answer"),
    ],
    ids=["404", "200", "401", "308", "escape", "ssh", "nothing"],
)
def test_what_is_no_tus_server_is_2(
    answer: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with peer(answers(answer)) as address:
        assert main([f"http://{address.authority}/files/"]) == 2
    line = _one_line(capsys)
    assert said in line
    assert line.rstrip("\n").isprintable()


def test_reports_are_written(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {form: tmp_path / f"report.{form}" for form in ("json", "junit", "html", "markdown")}
    options = [text for form, file in files.items() for text in (f"--{form}", str(file))]
    assert main([endpoint, "--only", "core-07", "--only", " CORE-09 ,,", *options]) == 0
    said = capsys.readouterr().out
    assert all(f"The whole report is in {file}" in said for file in files.values())
    given = json.loads(files["json"].read_text("utf-8"))
    assert [row["id"] for row in given["rows"]] == ["CORE-07", "CORE-09"]
    assert (given["only"], given["server"]["url"]) == (["CORE-07", "CORE-09"], endpoint)
    assert ElementTree.parse(files["junit"]).getroot().get("tests") == "2"
    assert "CORE-07" in files["html"].read_text("utf-8")
    assert "CORE-07" in files["markdown"].read_text("utf-8")


def test_a_report_on_stdout_is_alone_there(
    endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([endpoint, *FAST, "-v", "--json", "-"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["exit_code"] == 0
    assert "All 2 rows hold." in said.err
    assert "PASS    CORE-07" in said.err


def test_rows_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "CORE-GEN-1,CSUM-01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["CORE-GEN-1", "MUST"], ["CSUM-01", "MUST"]]
    assert lines[1].endswith("[checksum]")


def test_a_server_can_be_named(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([endpoint, *FAST, "--name", "tusd 2.8", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["server"]["software"] == "tusd 2.8"


def test_each_row_is_told_if_wanted(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([endpoint, "--only", "CORE-07,CSUM-01", "-v"]) == 0
    said = capsys.readouterr().out
    assert "PASS    CORE-07" in said
    assert "SKIP    CSUM-01" in said
    assert "checksum is not advertised" in said


def test_headers_are_sent_and_hidden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "tell-nobody-42"

    def says(asked: Asked, answer: Answer) -> Answer:
        assert asked.fields["authorization"] == f"Bearer {secret}"
        given = {"Tus-Version": "2", "X-Echo": asked.fields["authorization"]}
        return Answer(200, given, secret.encode()) if asked.method == "OPTIONS" else answer

    files = [tmp_path / name for name in ("a.json", "a.xml", "a.html", "a.md")]
    forms = ("--json", "--junit", "--html", "--markdown")
    options = [text for form, file in zip(forms, files, strict=True) for text in (form, str(file))]
    with Toy(says).serving() as url:
        assert main([url, *FAST, "--header", f"Authorization: Bearer {secret}", *options]) == 1
    said = capsys.readouterr()
    for text in (said.out, said.err, *(file.read_text("utf-8") for file in files)):
        assert secret not in text
    assert "Authorization: (hidden)" in files[0].read_text("utf-8")


# --- as a process --------------------------------------------------------------------------------


def _run(
    *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "conformance", *arguments],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_runs_as_a_module(endpoint: str) -> None:
    done = _run(endpoint, *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    assert "All 2 rows hold." in done.stdout


def test_a_terminal_sees_how_far_it_is(endpoint: str) -> None:
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "conformance", endpoint, *FAST],
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": ""},
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=60,
            check=False,
        )
        seen = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert "1 of 2 rows" in seen
    assert seen.endswith("2 of 2 rows\r\x1b[K"), "it is wiped at the end"
    assert b"\x1b" not in done.stdout


def test_it_can_be_stopped() -> None:
    begun = threading.Event()
    go_on = threading.Event()

    def says(asked: Asked, answer: Answer) -> Answer:
        if asked.fields.get("upload-length") == "10":
            begun.set()
            go_on.wait(30)
        return answer

    toy = Toy(says)
    with toy.serving() as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "conformance", url, "--only", "HEAD-*", "--jobs", "1"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert begun.wait(30)
        process.send_signal(signal.SIGINT)
        go_on.set()
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert said == "conformance: stopped before the end; no report was written\n"
    assert toy.stored == {}, "what was made is removed"
    assert sum(asked.method == "POST" for asked in toy.asked) <= 3, "no other case has begun"


def test_it_needs_no_utf8_terminal(endpoint: str) -> None:
    done = _run(endpoint, *FAST, "--markdown", "-", environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "# tus 1.0 conformance" in done.stdout


def test_it_bears_a_reader_that_has_seen_enough(endpoint: str) -> None:
    command = f"'{sys.executable}' -m conformance --list | head -n 1 >/dev/null"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; for i in 1 2 3; do {command}; done"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
