"""The README is executed: every fenced block of it, and the table of settings is the real one."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.harness.buckets import buckets
from tests.harness.process import ROOT, START_DEADLINE, Server, free_port
from tests.harness.receiver import Receiver
from tests.harness.tus import Tus
from tests.harness.wire import DEADLINE, Endpoint, poll
from tusjumbo.cli.reference import BEGIN, END, inserted
from tusjumbo.cli.sources import build, gather
from tusjumbo.hooks.signatures import verify
from tusjumbo.settings import ServerSettings, UploadSettings

README = (ROOT / "README.md").read_text(encoding="utf-8")
URL = "http://127.0.0.1:8080"
CLIENTS = ROOT / "tests" / "clients" / "js" / "node_modules"
NODE_TIME = 120

BLOCKS: dict[str, list[str]] = {}
for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
    BLOCKS.setdefault(language, []).append(text)

# A Debian package that was unpacked by `make test`, or the one that is installed.
NGINX = ROOT / ".cache" / "nginx" / "usr" / "sbin" / "nginx"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # ARGS: `make test ARGS=…` hands it down, and `make serve` would take it for its own.
    ours = ("TUSJUMBO_", "MAKE", "ARGS")
    for name in [name for name in os.environ if name.startswith(ours)]:
        monkeypatch.delenv(name)


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "uploads", "--behind-proxy", "127.0.0.0/8") as server:
        yield server


def _at(server: Server, block: str) -> str:
    """The block, speaking to this server."""
    assert URL in block
    return block.replace(URL, f"http://{server.endpoint.host}:{server.endpoint.port}")


def test_every_block_is_executed_by_a_test_below() -> None:
    counts = {language: len(blocks) for language, blocks in BLOCKS.items()}
    assert counts == {
        "sh": 2,
        "bash": 4,
        "js": 1,
        "html": 2,
        "python": 6,
        "toml": 2,
        "nginx": 1,
    }


def test_the_table_of_settings_is_the_real_one() -> None:
    assert inserted(README) == README, "run `make readme`"
    assert inserted(f"a {BEGIN} old {END} b").count("`max-size`") == 1
    with pytest.raises(ValueError, match="the document needs"):
        inserted(f"{END} {BEGIN}")


def test_the_files_it_speaks_of_are_there() -> None:
    for path in re.findall(r"`((?:tests|tusjumbo)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path


# --- the two commands ----------------------------------------------------------------------------


@pytest.mark.wire
def test_make_serve(tmp_path: Path) -> None:
    assert BLOCKS["sh"] == ["make serve\n", "make test\n"]
    said = tmp_path / "said"
    environment = os.environ | {
        "TUSJUMBO_PORT": "0",
        "TUSJUMBO_UPLOAD_DIR": str(tmp_path / "data"),
        # Whoever runs the tests has what `make serve` would install.
        "MAKEFLAGS": "--old-file=.venv/.serve --old-file=.venv/bin/pip",
    }
    with (
        said.open("wb") as out,
        subprocess.Popen(
            ["bash", "-c", BLOCKS["sh"][0]],
            cwd=ROOT,
            stdout=out,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        try:
            poll(lambda: "curl" in said.read_text(), START_DEADLINE, "it does not listen")
        finally:
            os.killpg(process.pid, signal.SIGINT)
    assert "Stopped" in said.read_text()


def test_make_test_is_this(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "-C", ROOT, "test"],
        capture_output=True,
        text=True,
        check=True,
    )
    commands = ("ruff check .", "ruff format --check .", "mypy", "python -m pytest ")
    assert [command for command in commands if command not in done.stdout] == []


# --- bash ----------------------------------------------------------------------------------------


def _bash(script: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        stdout=subprocess.PIPE,
        env=os.environ | {"PATH": path} | environment,
        text=True,
        check=True,
        timeout=DEADLINE * 3,
    ).stdout


@pytest.mark.wire
def test_curl_and_then_a_look_at_it(server: Server) -> None:
    said = _bash(_at(server, BLOCKS["bash"][0]))
    assert "upload-offset: 6" in said.lower()
    assert said.endswith("hello world")
    assert (server.directory / "completed" / "hello.txt").read_bytes() == b"hello world"

    said = _bash(BLOCKS["bash"][3], TUSJUMBO_UPLOAD_DIR=str(server.directory))
    assert re.search(r"^jumbo_\w+  done +11 B +11 B +100% .* hello.txt$", said, re.MULTILINE)
    assert f"file               {server.directory}/completed/hello.txt\n" in said
    assert "0 failed." in said


@pytest.mark.wire
def test_curl_checks_parts_and_joins_them(server: Server) -> None:
    said = _bash(_at(server, BLOCKS["bash"][1]))
    assert said.startswith("HTTP/1.1 201")
    assert (server.directory / "completed" / "joined.txt").read_bytes() == b"hello world"

    wrong = BLOCKS["bash"][1].replace('printf %s "$1"', "printf something-else")
    assert _bash(_at(server, wrong)).startswith("HTTP/1.1 400")
    names = [path.name for path in (server.directory / "completed").iterdir()]
    assert names == ["joined.txt"]


@pytest.mark.wire
def test_the_extensions_it_lists_are_the_advertised_ones(server: Server) -> None:
    listed = re.search(r"`Tus-Extension: ([^`]+)`", README)
    assert listed is not None
    with server.endpoint.connect() as wire:
        advertised = wire.request("OPTIONS", server.endpoint.path)["Tus-Extension"]
    assert re.split(r",\s+", listed[1]) == advertised.split(",")


@pytest.mark.wire
def test_curl_sends_a_chunk(server: Server) -> None:
    said = _bash(_at(server, BLOCKS["bash"][2]))
    assert '"status": "completed"' in said
    assert (server.directory / "completed" / "hello.txt").read_bytes() == b"hello world"

    wrong = BLOCKS["bash"][2].replace("--data-binary 'hello", "--data-binary 'jello")
    assert '"status": 400' in _bash(_at(server, wrong))


# --- tus-js-client -------------------------------------------------------------------------------


@pytest.fixture(name="node")
def _node(tmp_path: Path) -> Path:
    """A directory in which the published tus-js-client can be imported."""
    assert (CLIENTS / "tus-js-client-4").is_dir(), "make test installs tus-js-client"
    modules = tmp_path / "node" / "node_modules"
    modules.mkdir(parents=True)
    for package in CLIENTS.iterdir():
        name = "tus-js-client" if package.name == "tus-js-client-4" else package.name
        (modules / name).symlink_to(package)
    return modules.parent


def _run_node(directory: Path, script: str, *arguments: str, code: int = 0) -> str:
    (directory / "upload.mjs").write_text(script)
    done = subprocess.run(
        ["node", "--preserve-symlinks", "upload.mjs", *arguments],
        cwd=directory,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=NODE_TIME,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.mark.wire
def test_node_and_again_after_it_was_interrupted(server: Server, node: Path) -> None:
    content = hashlib.shake_128(b"tusjumbo").digest(24 << 20)
    (node / "film.mp4").write_bytes(content)
    script = _at(server, BLOCKS["js"][0])
    progress = "console.log(`${sent} of ${size} bytes`)"
    assert progress in script
    dying = script.replace(progress, "sent > size / 2 && process.exit(9)")

    _run_node(node, dying, "film.mp4", code=9)
    said = _run_node(node, script, "film.mp4")
    assert "finished: http://127.0.0.1" in said
    assert not said.startswith("0 of")
    assert [path.name for path in (server.directory / "completed").iterdir()] == ["film.mp4"]
    assert (server.directory / "completed" / "film.mp4").read_bytes() == content
    sessions = _bash("tusjumbo list --json", TUSJUMBO_UPLOAD_DIR=str(server.directory))
    assert len(sessions.splitlines()) == 1


# The pages are opened in a browser by tests/clients/test_browser.py.


# --- python --------------------------------------------------------------------------------------


def _application(block: str) -> Any:
    space: dict[str, Any] = {"__name__": "readme"}
    exec(block, space)
    return space["app"]


def _upload(client: TestClient, path: str, **headers: str) -> int:
    sent = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "5",
        "Upload-Metadata": "filename YS50eHQ=",
        "Content-Type": "application/offset+octet-stream",
    }
    return client.post(path, headers=sent | headers, content=b"hello").status_code


def test_fastapi() -> None:
    with TestClient(_application(BLOCKS["python"][0])) as client:
        assert _upload(client, "/files") == _upload(client, "/files/") == 201
        assert client.get("/docs").status_code == 200
    assert Path("data/completed/a.txt").read_bytes() == b"hello"


def test_starlette_with_a_gate_and_an_observer(capsys: pytest.CaptureFixture[str]) -> None:
    with TestClient(_application(BLOCKS["python"][1])) as client:
        assert _upload(client, "/files") == 401
        assert _upload(client, "/files", Authorization="Bearer secret") == 201
    assert capsys.readouterr().out == "a.txt is here: completed/a.txt\n"


def test_jumbo(capsys: pytest.CaptureFixture[str]) -> None:
    content = hashlib.shake_128(b"film").digest(12_000_000)
    Path("film.mp4").write_bytes(content)
    exec(BLOCKS["python"][2], {})
    end, look, figures = capsys.readouterr().out.splitlines()
    assert end == f"completed {Path('data/completed/film.mp4').absolute()}"
    assert look == f"100.0 {hashlib.sha256(content[: 5 << 20]).hexdigest()}"
    assert figures == "1 []"
    assert Path("data/completed/film.mp4").read_bytes() == content


def test_flask() -> None:
    client = _application(BLOCKS["python"][3]).test_client()
    upload = client.post("/upload/start", json={"filename": "a.txt", "size": 5}).get_json()
    where = f"/upload/{upload['upload_id']}/chunks/0"
    assert client.get(f"/how-far/{upload['upload_id']}").get_json()["status"] == "uploading"
    assert client.put(where, data=b"hello").get_json()["status"] == "completed"
    assert Path("data/completed/a.txt").read_bytes() == b"hello"


def test_csv(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f'{number},"Name\n{number}"' for number in range(2500)]
    rows.insert(7, "too,many,fields")
    Path("people.csv").write_text("\n".join(["id,name", *rows]))
    exec(BLOCKS["python"][4], {})
    said = capsys.readouterr().out
    assert re.findall(r"^\d+ rows", said, re.MULTILINE) == ["1000 rows", "2000 rows", "2500 rows"]
    assert "line=16" in said


# --- when an upload arrives ----------------------------------------------------------------------


ALICE = {"Authorization": "Bearer alices-token"}


def test_my_users_are_scanned_moved_and_told_of(capfd: pytest.CaptureFixture[str]) -> None:
    scanner = Path("scanner")
    scanner.write_text("#!/bin/sh\n! grep -q virus $1\n")
    scanner.chmod(0o755)
    with TestClient(_application(BLOCKS["python"][5])) as client:
        assert _upload(client, "/files") == 401
        assert _upload(client, "/files", **ALICE) == 201
        (path,) = Path("data/completed/alice").glob("*/a.txt")
        assert path.read_bytes() == b"hello"
        heard = f"alice has sent a.txt: {path.relative_to('data')}\n"
        poll(lambda: heard in capfd.readouterr().out, DEADLINE, "nobody was told")
        sick = {"Tus-Resumable": "1.0.0", "Upload-Length": "7"} | ALICE
        address = client.post("/files", headers=sick).headers["location"]
        offset = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        refused = client.patch(address, headers=sick | offset, content=b"a virus")
        assert (refused.status_code, refused.text) == (422, "This file is not clean.\n")
        assert client.head(address, headers=sick).status_code == 404
    assert list(Path("data/completed/alice").glob("*/*")) == [path]


@pytest.mark.wire
def test_the_same_without_a_line_of_code(tmp_path: Path) -> None:
    """The real server with the README's file, a receiver, and moto's S3."""
    Path("tokens.txt").write_text("alices-token alice\n")
    Path("tokens.txt").chmod(0o600)
    Path("secret.txt").write_text("c2VjcmV0LXNlY3JldC1zZWNyZXQ=\n")
    Path("scan").write_text(
        '#!/bin/sh\ngrep -q "Size.:7" && echo \'{"RejectUpload": true}\'\ntrue\n'
    )
    Path("scan").chmod(0o755)
    with Receiver() as receiver, buckets("films") as s3:
        text = BLOCKS["toml"][0].replace("https://app.example.org/hooks", receiver.url)
        Path("tusjumbo.toml").write_text(text)
        settings = {"TUSJUMBO_CONFIG": str(Path("tusjumbo.toml").absolute())}
        places = {"TUSJUMBO_TOKENS": str(Path("tokens.txt").absolute())}
        places |= {"TUSJUMBO_HOOKS_SECRET": f"file:{Path('secret.txt').absolute()}"}
        steps = f"script:{Path('scan').absolute()} push:s3://films/{{owner}}/{{id}}/{{filename}}"
        assert "push:s3://films/{owner}/{id}/{filename}" in text
        places |= {"TUSJUMBO_ASSEMBLE": steps}
        with Server(
            tmp_path / "data", environment={**settings, **places, **s3.variables}
        ) as server:
            tus = Tus(server.endpoint)
            metadata = {"filename": "a.txt"}
            path = tus.create(5, metadata, ALICE, b"hello")
            upload_id = path.rpartition("/")[2]
            poll(
                lambda: any(told.hook == "post-finish" for told in receiver.of(upload_id)),
                DEADLINE,
                "nobody was told",
            )
            assert s3.content("films", f"alice/{upload_id}/a.txt") == b"hello"
            for told in receiver.of(upload_id):
                assert verify(told.body, told.headers, "c2VjcmV0LXNlY3JldC1zZWNyZXQ=")
            refused = tus.create(7, metadata, ALICE, b"a virus").rpartition("/")[2]
            poll(
                lambda: any(told.hook == "post-terminate" for told in receiver.of(refused)),
                DEADLINE,
                "it was not refused",
            )
        assert not list(Path("data/completed").glob("*"))


# --- configuration -------------------------------------------------------------------------------


def test_toml() -> None:
    Path("tusjumbo.toml").write_text(BLOCKS["toml"][1])
    given = gather({}, {})
    assert len(given) == len(BLOCKS["toml"][1].splitlines())
    assert build(ServerSettings, given).port == 9000
    assert build(UploadSettings, given).max_size == 5 * 1024**3


@pytest.fixture(name="proxy")
def _proxy(server: Server, tmp_path: Path) -> Iterator[Endpoint]:
    """The README's nginx in front of the server."""
    nginx = str(NGINX) if NGINX.exists() else shutil.which("nginx")
    assert nginx is not None, "make test fetches nginx"
    port = free_port()
    block = _at(server, BLOCKS["nginx"][0]).replace("listen 80;", f"listen 127.0.0.1:{port};")
    home = tmp_path / "nginx"
    home.mkdir()
    temporary = "".join(
        f"{name}_temp_path {home}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\n"
        f"events {{}} http {{ access_log off;\n{temporary}{block} }}"
    )
    command = [nginx, "-p", str(home), "-c", "nginx.conf", "-e", "stderr"]
    with subprocess.Popen(command) as process:
        try:
            endpoint = Endpoint("127.0.0.1", port)
            poll(lambda: _answers(endpoint), DEADLINE, "nginx does not answer")
            yield endpoint
        finally:
            process.terminate()


def _answers(endpoint: Endpoint) -> bool:
    try:
        endpoint.connect().close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.wire
def test_behind_nginx_a_cut_request_keeps_what_had_arrived(server: Server, proxy: Endpoint) -> None:
    tus = Tus(proxy)
    path = tus.create(10_000_000)
    with tus.begin_patch(path, 0, 10_000_000) as wire:
        wire.send(bytes(5_000_000))
    # A HEAD would ask the request to stop, while nginx still passes on what it has.
    poll(lambda: " received: " in server.log, DEADLINE, "nginx does not pass on the end")
    offset = int(tus.head(path)["Upload-Offset"])
    assert offset > 5_000_000 - 65536
    tus.patch(path, offset, bytes(10_000_000 - offset)).expect(204)
    assert tus.head(path)["Upload-Offset"] == "10000000"


@pytest.mark.wire
def test_behind_nginx_the_server_knows_who_asks_and_where(server: Server, proxy: Endpoint) -> None:
    with proxy.connect() as wire:
        wire.request("GET", "/files/nothing", {"X-Forwarded-For": "192.0.2.7"}).expect(404)
    poll(lambda: "192.0.2.7 GET '/files/nothing' 404" in server.log, DEADLINE, "no access log")
