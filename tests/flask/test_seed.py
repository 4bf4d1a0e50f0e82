"""The document's own Flask code, copied; only where things are imported from is another line.

The pieces stand in this file as they do there, in the order of the document.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.web.forms import CONTENT_TYPE, form
from tusjumbo import Jumbo
from tusjumbo.errors import StorageFull

INITIALIZATION = """\
from flask import Flask
from tusjumbo.flask import init_jumbo

app = Flask(__name__)
jumbo = init_jumbo(app)
"""

ROUTES = """\
from tusjumbo.flask import get_jumbo

@app.route('/upload/start', methods=['POST'])
def start_upload():
    jumbo = get_jumbo()
    
    data = request.get_json()
    result = jumbo.start_upload(
        filename=data['filename'],
        total_size=data['size'],
        metadata=data.get('metadata', {})
    )
    
    return jsonify(result)

@app.route('/upload/chunk', methods=['POST'])
def upload_chunk():
    jumbo = get_jumbo()
    
    upload_id = request.form['upload_id']
    chunk_number = int(request.form['chunk_number'])
    chunk_data = request.files['chunk'].read()
    
    result = jumbo.upload_chunk(upload_id, chunk_number, chunk_data)
    return jsonify(result)

@app.route('/upload/status/<upload_id>')
def get_upload_status(upload_id):
    jumbo = get_jumbo()
    status = jumbo.get_status(upload_id)
    return jsonify(status)
"""  # noqa: W293

CONFIGURATION = """\
# In your Flask app config
JUMBO_CONFIG = {
    'upload_path': '/var/www/uploads/jumbo/',
    'max_file_size': 5 * 1024 * 1024 * 1024,  # 5GB
    'chunk_size': 5 * 1024 * 1024  # 5MB chunks
}

# Initialize with custom config
jumbo = Jumbo(**JUMBO_CONFIG)
"""

ERRORS = """\
try:
    result = jumbo.upload_chunk(upload_id, chunk_number, chunk_data)
except ValueError as e:
    # Handle validation errors
    return jsonify({'error': str(e)}), 400
except RuntimeError as e:
    # Handle system errors
    return jsonify({'error': str(e)}), 500
"""

SIZE = 5 * 1024 * 1024
CONTENT = random.Random(8).randbytes(2 * SIZE + 99)
CALL = "    result = jumbo.upload_chunk(upload_id, chunk_number, chunk_data)\n"


def run(*pieces: str, **names: Any) -> dict[str, Any]:
    """Everything that the pieces define. `request` and `jsonify` are what nothing there imports."""
    space = {"__name__": "seed", "request": flask.request, "jsonify": flask.jsonify, **names}
    for piece in pieces:
        exec(piece, space)
    return space


def handled(routes: str) -> str:
    """The routes with the document's error handling around the call."""
    assert CALL in routes
    return routes.replace(CALL, "".join(f"    {line}\n" for line in ERRORS.splitlines()))


@pytest.fixture(name="app", params=[ROUTES, handled(ROUTES)], ids=["plain", "handled"])
def _app(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Flask]:
    monkeypatch.chdir(tmp_path)
    space = run(INITIALIZATION, request.param)
    yield space["app"]
    space["jumbo"].close()


@pytest.fixture(name="client")
def _client(app: Flask) -> FlaskClient:
    return app.test_client()


def send(client: FlaskClient, upload_id: str, number: int, data: bytes | None = None) -> Any:
    """As the document's client does: the browser's FormData, in its order."""
    data = CONTENT[number * SIZE : (number + 1) * SIZE] if data is None else data
    body = form(data, upload_id=upload_id, chunk_number=str(number))
    # Not a form that the client writes: it leaves the file open in which it keeps a large one.
    return client.post("/upload/chunk", data=body, content_type=CONTENT_TYPE)


def start(client: FlaskClient, **more: Any) -> dict[str, Any]:
    told = {"filename": "file.zip", "size": len(CONTENT), **more}
    answer = client.post("/upload/start", json=told)
    assert answer.status_code == 200
    said: dict[str, Any] = answer.get_json()
    return said


def test_the_documents_upload(client: FlaskClient, tmp_path: Path) -> None:
    """Its JavaScript, step by step: any answer that it reads has what it reads."""
    began = start(client, metadata={"type": "application/zip"})
    assert began["upload_id"].startswith("jumbo_")
    assert (began["chunk_size"], began["total_chunks"]) == (5242880, 3)
    upload_id = began["upload_id"]
    for number in range(began["total_chunks"]):
        status = client.get(f"/upload/status/{upload_id}").get_json()
        assert {"status", "progress", "size_uploaded", "time_remaining"} <= set(status)
        assert (status["status"], status["size_uploaded"]) == ("uploading", number * SIZE)
        answer = send(client, upload_id, number)
        assert answer.status_code == 200
        result = answer.get_json()
        if number < 2:
            assert result["status"] == "uploading"
            assert 0 < result["progress"] < 100
    assert result["status"] == "completed"
    assert {"path", "size", "duration"} <= set(result)
    assert result["size"] == len(CONTENT)
    assert Path(result["path"]).read_bytes() == CONTENT
    assert result["path"] == str(tmp_path / "data" / "completed" / "file.zip")
    assert client.get(f"/upload/status/{upload_id}").get_json()["status"] == "completed"


def test_what_it_never_did_right(client: FlaskClient) -> None:
    """A chunk twice counts once, the last may come first, and a name leads nowhere else."""
    upload_id = start(client, filename="../../../etc/cron.d/x")["upload_id"]
    send(client, upload_id, 2)
    for _ in range(3):
        assert send(client, upload_id, 0).get_json()["status"] == "uploading"
    result = send(client, upload_id, 1).get_json()
    assert result["status"] == "completed"
    assert Path(result["path"]).parent == Path.cwd() / "data" / "completed"
    assert hashlib.sha256(Path(result["path"]).read_bytes()).digest() == (
        hashlib.sha256(CONTENT).digest()
    )


def test_an_unknown_upload(client: FlaskClient) -> None:
    assert client.get("/upload/status/jumbo_abc123").get_json() == {"status": "not_found"}


@pytest.fixture(name="safe")
def _safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, Any]]:
    """The application with error handling, in a state where a chunk is in already."""
    monkeypatch.chdir(tmp_path)
    space = run(INITIALIZATION, handled(ROUTES))
    client = space["app"].test_client()
    upload_id = start(client)["upload_id"]
    send(client, upload_id, 0)
    yield {**space, "client": client, "upload_id": upload_id}
    space["jumbo"].close()


@pytest.mark.parametrize(
    ("number", "data", "upload_id", "words"),
    [
        (9, None, None, "no chunk 9"),
        (1, b"short", None, "has 5242880 bytes"),
        (0, bytes(SIZE), None, "Other bytes"),
        (1, None, "jumbo_abc123", "no such upload"),
        (1, None, "../../etc", "no such upload"),
    ],
    ids=["number", "size", "conflict", "unknown", "path"],
)
def test_validation_errors_are_400(
    safe: Mapping[str, Any], number: int, data: bytes | None, upload_id: str | None, words: str
) -> None:
    answer = send(safe["client"], upload_id or safe["upload_id"], number, data)
    assert answer.status_code == 400
    assert words in answer.get_json()["error"]
    assert safe["jumbo"].get_status(safe["upload_id"])["size_uploaded"] == SIZE


def test_system_errors_are_500(
    safe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise StorageFull

    monkeypatch.setattr(type(safe["jumbo"].twin.house.catalog), "update", full)
    answer = send(safe["client"], safe["upload_id"], 1)
    assert answer.status_code == 500
    assert "no space left" in answer.get_json()["error"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert send(safe["client"], safe["upload_id"], 1).status_code == 200


@pytest.mark.parametrize(
    "use",
    [
        lambda space: space["jumbo"],
        lambda space: run(
            INITIALIZATION.replace("jumbo = ", "app.config.update(config)\njumbo = "),
            config={"JUMBO_CONFIG": space["JUMBO_CONFIG"]},
        )["jumbo"],
    ],
    ids=["Jumbo(**JUMBO_CONFIG)", "app.config"],
)
def test_the_documents_configuration(
    use: Callable[[Mapping[str, Any]], Jumbo], tmp_path: Path
) -> None:
    """Nothing is made in /var/www by this: no file before the first upload."""
    space = run(CONFIGURATION, Jumbo=Jumbo)
    settings = use(space).settings
    assert settings.upload_dir == Path("/var/www/uploads/jumbo/")
    assert settings.max_size == 5 * 1024**3
    assert settings.chunk_size == 5 * 1024**2
    assert not settings.upload_dir.exists()
