"""`serve`: what it answers at which path, and how the real process starts, speaks and ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.harness.process import ROOT, START_DEADLINE, Server, is_alive
from tests.harness.wire import DEADLINE, poll
from tusjumbo.cli import main
from tusjumbo.cli.serving import site
from tusjumbo.settings import ServerSettings, UploadSettings

TUS = {"Tus-Resumable": "1.0.0"}


def _client(base_path: str = "/files/", behind_proxy: tuple[str, ...] = ()) -> TestClient:
    app = site(
        UploadSettings(upload_dir=Path("data"), behind_proxy=behind_proxy),
        ServerSettings(base_path=base_path),
    )
    return TestClient(app, base_url="http://host.example:8080", follow_redirects=False)


@pytest.mark.parametrize("base_path", ["/files/", "/files", "/a/b/", "/"])
def test_the_endpoint_with_and_without_the_last_slash(base_path: str) -> None:
    base = base_path.rstrip("/")
    with _client(base_path) as client:
        for path in {f"{base}/", base or "/"}:
            created = client.post(path, headers=TUS | {"Upload-Length": "3"})
            assert created.status_code == 201
            location = created.headers["Location"]
            assert location.startswith(f"{base}/jumbo_")
            assert client.head(location, headers=TUS).headers["Upload-Offset"] == "0"


def test_a_greeting_says_what_this_is_and_where() -> None:
    answer = _client("/up").get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "resumable uploads (tus 1.0.0)" in answer.text
    assert "  http://host.example:8080/up/\n" in answer.text


def test_the_jumbo_api_and_where_it_is() -> None:
    told = {"filename": "a", "size": 5}
    settings = UploadSettings(upload_dir=Path("data"), base_url="https://public.example/up")
    for path in ("/upload/", "/else/where"):
        app = site(settings, ServerSettings(jumbo_path=path))
        with TestClient(app, base_url="http://host.example:8080") as client:
            begun = client.post(path.rstrip("/") + "/start", json=told)
            assert begun.status_code == 201
            assert f"  https://public.example{path.rstrip('/')}/\n" in client.get("/").text
            assert client.get(begun.headers["Location"]).json()["total_size"] == 5
    app = site(settings, ServerSettings(jumbo_path=""))
    with TestClient(app) as client:
        assert client.post("/upload/start", json=told).status_code == 404
        assert "Jumbo" not in client.get("/").text


def test_the_greeting_behind_a_trusted_proxy() -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.example"}
    client = TestClient(
        _client(behind_proxy=("10.0.0.0/8",)).app, client=("10.1.2.3", 5), headers=forwarded
    )
    assert "  https://public.example/files/\n" in client.get("/").text
    client = TestClient(_client().app, client=("10.1.2.3", 5), headers=forwarded)
    assert "public.example" not in client.get("/").text


def test_a_client_that_was_given_the_wrong_endpoint_learns_the_right_one() -> None:
    with _client() as client:
        answer = client.post("/", headers=TUS | {"Upload-Length": "3"})
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert "http://host.example:8080/files/" in answer.text
        assert client.get("/elsewhere").status_code == 404


# --- what cannot work ----------------------------------------------------------------------------


def _refused(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["serve", "--port=0", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err[:-1].isprintable()
    return err[:-1]


def test_a_directory_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert _refused(capsys, "--upload-dir=file/data") == (
        "tusjumbo: upload_dir: cannot write to 'file/data': Not a directory (from --upload-dir)"
    )
    assert _refused(capsys, "--upload-dir=file").startswith("tusjumbo: upload_dir: cannot write to")


def test_a_directory_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert _refused(capsys, "--upload-dir=/proc/self").startswith(
        "tusjumbo: upload_dir: cannot write to '/proc/self': "
    )


def test_a_catalog_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    Path("data/catalog.sqlite3").write_bytes(b"not a database at all" * 100)
    with socket.create_server(("127.0.0.1", 0)) as taken:  # it must not come that far
        assert main(["serve", f"--port={taken.getsockname()[1]}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "not a database" in err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", f"--port={port}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"tusjumbo: port: cannot listen on 127.0.0.1:{port} (Address already in use)"
        " (from --port)\n"
    )


def test_a_host_that_is_none_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert "192.0.2.1" in _refused(capsys, "--host=192.0.2.1")


def test_a_certificate_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    line = _refused(capsys, "--tls-certificate=no.pem", "--tls-key=no.key")
    assert line.startswith("tusjumbo: tls_certificate: ")
    assert line.endswith("(from --tls-certificate)")
    assert "no.pem" in line


def test_a_socket_that_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s").write_text("")
    line = _refused(capsys, "--unix-socket=s")
    assert line.startswith("tusjumbo: unix_socket: ")
    assert line.endswith("(from --unix-socket)")


# --- the real process ----------------------------------------------------------------------------


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "up loads") as server:
        yield server


def _try(server: Server, *flags: str) -> str:
    """What the line that the server gives to try comes to."""
    (line,) = [line for line in server.said.splitlines() if line.startswith("  curl ")]
    return _curl(line, *flags)


def _curl(line: str, *flags: str) -> str:
    command = [*shlex.split(line), "--silent", "--show-error", *flags]
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=DEADLINE
    ).stdout


def _lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(arguments) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.wire
def test_the_line_to_try_works_and_the_commands_work_beside_it(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.said.splitlines()[0].startswith("Listening on http://127.0.0.1:")
    assert _try(server).startswith("HTTP/1.1 201 Created")
    (finished,) = (server.directory / "completed").iterdir()
    assert finished.read_bytes() == b"Hello!"

    directory = f"--upload-dir={server.directory}"
    header, line = _lines(capsys, "list", directory)
    assert header.startswith("ID")
    upload_id, phase = line.split()[:2]
    assert phase == "done"
    assert f"file      {finished}" in _lines(capsys, "show", upload_id, directory)
    assert _lines(capsys, "sweep", directory)[-1].endswith("0 failed.")
    _try(server)
    assert len(_lines(capsys, "list", directory)) == 3


@pytest.mark.wire
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_it_stops_cleanly_and_says_so(tmp_path: Path, workers: int, number: signal.Signals) -> None:
    with Server(tmp_path / "data", workers=workers) as server:
        _try(server)
        tree = server.tree()
        assert server.stop(by=number) == 0
        assert server.said.splitlines()[-1] == "Stopped; what had arrived is kept."
        poll(lambda: not any(map(is_alive, tree)), DEADLINE, "somebody is left")


@pytest.mark.wire
@pytest.mark.parametrize("workers", [1, 2])
def test_json_logs_are_json_from_the_first_line_to_the_last(tmp_path: Path, workers: int) -> None:
    flags = ("--log-format=json", "--log-level=debug")
    with Server(tmp_path / "data", *flags, workers=workers) as server:
        _try(server)
        assert server.stop() == 0
        entries = [json.loads(line) for line in server.log.splitlines()]
    (access,) = [entry for entry in entries if entry["logger"] == "tusjumbo.access"]
    assert (access["method"], access["status"], access["bytes"]) == ("POST", 201, 6)
    assert access["upload_id"].startswith("jumbo_")
    assert {entry["event"] for entry in entries if entry["logger"] == "tusjumbo.upload"} == {
        "created",
        "received",
        "finished",
    }


@pytest.mark.wire
def test_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "a socket"
    said = tmp_path / "said"
    command = [sys.executable, "-m", "tusjumbo", "serve", f"--unix-socket={path}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with said.open("wb") as out, subprocess.Popen(command, stdout=out, env=environment) as process:
        try:
            poll(lambda: "curl" in said.read_text(), START_DEADLINE, "it does not say where")
            first, _, line = said.read_text().splitlines()
            assert first == f"Listening on unix:{path}:/files/"
            assert _curl(line).startswith("HTTP/1.1 201 Created")
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not path.exists()


@pytest.mark.wire
def test_over_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    flags = (f"--tls-certificate={certificate}", f"--tls-key={key}")
    with Server(tmp_path / "data", *flags) as server:
        assert _try(server, "--cacert", str(certificate)).startswith("HTTP/1.1 201 Created")


@pytest.mark.wire
def test_settings_from_the_environment_reach_the_server(tmp_path: Path) -> None:
    variables = {"TUSJUMBO_BASE_PATH": "/up", "TUSJUMBO_MAX_SIZE": "5"}
    with Server(tmp_path / "data", environment=variables) as server:
        assert server.said.splitlines()[0].endswith("/up/")
        assert _try(server).startswith("HTTP/1.1 413 ")
