"""The blueprint, with Flask's test client; `test_servers.py` has real servers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, g, redirect, request, session
from flask.testing import FlaskClient
from starlette.testclient import TestClient
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from tests.flask.apps import CHUNK, app_in
from tests.web.forms import CONTENT_TYPE, form
from tusjumbo import Action, Admission, Forbidden, TusJumbo, Unauthorized
from tusjumbo.flask import create_blueprint, init_jumbo

CONTENT = random.Random(4).randbytes(3 * CHUNK + 17)
COUNT = 4


def chunk(number: int) -> bytes:
    return CONTENT[number * CHUNK : (number + 1) * CHUNK]


def send(client: FlaskClient, upload_id: str, number: int) -> TestResponse:
    """A chunk in a form, as browsers write it."""
    body = form(chunk(number), upload_id=upload_id, chunk_number=str(number))
    return client.post("/upload/chunk", data=body, content_type=CONTENT_TYPE)


def started(client: FlaskClient, filename: str = "film.mp4") -> str:
    answer = client.post("/upload/start", json={"filename": filename, "size": len(CONTENT)})
    assert answer.status_code == 201, answer.text
    upload_id: str = answer.json["upload_id"]  # type: ignore[index]
    return upload_id


def problem(answer: TestResponse, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    told: dict[str, Any] = json.loads(answer.data)
    assert told["status"] == status
    assert told["type"].rpartition(":")[2] == kind
    return told


@pytest.fixture(name="app")
def _app(tmp_path: Path) -> Iterator[Flask]:
    app = app_in(tmp_path)
    yield app
    app.extensions["jumbo"].close()


@pytest.fixture(name="client")
def _client(app: Flask) -> FlaskClient:
    return app.test_client()


# --- every route ---------------------------------------------------------------------------------


def test_an_upload_by_forms(client: FlaskClient, tmp_path: Path) -> None:
    upload_id = started(client)
    for number in (2, 0, 3):
        answer = send(client, upload_id, number)
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        assert answer.json["status"] == "uploading"
        assert answer.json["hash"] == hashlib.sha256(chunk(number)).hexdigest()
    done = send(client, upload_id, 1).json
    assert done is not None
    assert (done["status"], done["path"]) == ("completed", "completed/film.mp4")
    assert (tmp_path / done["path"]).read_bytes() == CONTENT


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_an_upload_by_bodies(client: FlaskClient, tmp_path: Path, algorithm: str) -> None:
    upload_id = started(client)
    for number in range(COUNT):
        digest = hashlib.new(algorithm.replace("-", ""), chunk(number)).digest()
        headers = {"Content-Digest": f"{algorithm}=:{base64.b64encode(digest).decode()}:"}
        url = f"/upload/{upload_id}/chunks/{number}"
        wrong = client.put(url, data=chunk(number)[:-1] + b"?", headers=headers)
        problem(wrong, 400, "digest-mismatch")
        assert client.put(url, data=chunk(number), headers=headers).status_code == 200
    assert (tmp_path / "completed/film.mp4").read_bytes() == CONTENT


def test_looking_and_going_on(client: FlaskClient) -> None:
    upload_id = started(client)
    for number in (0, 2):
        client.put(f"/upload/{upload_id}/chunks/{number}", data=chunk(number))
    status = client.get(f"/upload/status/{upload_id}").json
    assert status is not None
    assert (status["status"], status["size_uploaded"]) == ("uploading", 2 * CHUNK)
    resumed = client.get(f"/upload/resume/{upload_id}").json
    assert resumed is not None
    assert (resumed["chunks_received"], resumed["chunks_needed"]) == ([0, 2], [1, 3])
    sha256 = hashlib.sha256(chunk(2)).hexdigest()
    verified = client.get(f"/upload/verify/{upload_id}/2", query_string={"hash": sha256})
    assert verified.json == {"valid": True, "hash": sha256}
    statistics = client.get("/upload/statistics").json
    assert statistics is not None
    assert (statistics["active_uploads"], statistics["uploads_today"]) == (1, 1)
    cancelled = client.delete(f"/upload/{upload_id}")
    assert cancelled.json == {"upload_id": upload_id, "status": "cancelled"}
    problem(client.get(f"/upload/status/{upload_id}"), 404, "upload-not-found")


def test_other_bytes_are_a_conflict(client: FlaskClient) -> None:
    url = f"/upload/{started(client)}/chunks/0"
    for _ in range(2):
        assert client.put(url, data=chunk(0)).status_code == 200
    problem(client.put(url, data=chunk(1)), 409, "chunk-conflict")


# --- the same as everywhere ----------------------------------------------------------------------

NOTHING = "jumbo_" + "a" * 32
Asked = tuple[str, str, dict[str, Any]]
JSON = {"Content-Type": "application/json"}
ORIGIN = {"Origin": "https://shop.example"}


def asked(upload_id: str) -> list[Asked]:
    """Requests of all kinds: method, path below the mount, and arguments that both clients have."""
    here = f"/{upload_id}"
    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    cut = b'--b\r\nContent-Disposition: form-data; name="chunk"; filename="x"\r\n\r\nabc'
    return [
        ("GET", f"/status{here}", {}),
        ("HEAD", f"/status{here}", {}),
        ("GET", f"/status{here}", {"headers": ORIGIN}),
        ("OPTIONS", here, {"headers": ORIGIN | {"Access-Control-Request-Method": "DELETE"}}),
        ("OPTIONS", "/nowhere/at/all", {}),
        ("GET", f"/resume{here}", {}),
        ("GET", f"/verify{here}/0", {}),
        ("GET", f"/verify{here}/0?hash={'0' * 64}", {}),
        ("GET", f"/verify{here}/0?hash=zz", {}),
        ("GET", f"/verify{here}/99", {}),
        ("GET", f"/verify{here}/one", {}),
        ("GET", f"/status/{NOTHING}", {}),
        ("GET", "/status/..x", {}),
        ("GET", "/status/a%2Fb%00", {}),
        ("GET", "/nowhere", {}),
        ("GET", "/n\u00f6where", {}),
        ("PATCH", here, {}),
        ("GET", "/start", {}),
        ("POST", "/start", {"data": b'{"filename": "x"}', "headers": JSON}),
        ("POST", "/start", {"data": b'{"filename": "x", "size": -1}', "headers": JSON}),
        ("POST", "/start", {"data": b'{"filename": "x", "size": 1e99}', "headers": JSON}),
        ("POST", "/start", {"data": b'{"filename": "x", "size": 6000000000}', "headers": JSON}),
        ("POST", "/start", {"data": b"{", "headers": JSON}),
        ("POST", "/start", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}),
        (
            "POST",
            "/start",
            {"data": b"x" * 70_000, "headers": {"Content-Type": "application/json"}},
        ),
        ("POST", "/chunk", {"data": cut, "headers": multipart}),
        ("POST", "/chunk", {"data": b"--b--", "headers": multipart}),
        ("POST", "/chunk", {"data": b"x", "headers": {"Content-Type": "text/plain"}}),
        ("PUT", f"{here}/chunks/0", {"data": b"short"}),
        ("PUT", f"{here}/chunks/0", {"data": bytes(CHUNK)}),
        ("PUT", f"{here}/chunks/0", {"data": chunk(0)}),
        ("PUT", f"{here}/chunks/9", {"data": chunk(0)}),
        ("PUT", f"{here}/chunks/0", {"data": chunk(0), "headers": {"Content-Digest": "sha-256"}}),
        ("PUT", f"{here}/chunks/0", {"data": chunk(0), "headers": {"Content-Encoding": "gzip"}}),
        ("GET", "/openapi.json", {}),
        ("GET", "/openapi.json", {"headers": {"If-None-Match": "*"}}),
        ("GET", "/jumbo.js", {}),
        ("DELETE", here, {}),
        ("DELETE", here, {}),
    ]


def _comparable(status: int, headers: Any, body: bytes) -> tuple[int, list[Any], bytes]:
    named = sorted((name.lower(), value) for name, value in headers)
    # How much is compared at a time, that is how large a piece is.
    told = re.sub(rb'and \d+ already|"stop": \d+', b"", body)
    # Where ASGI servers must be told to close a connection, WSGI applications may not.
    omitted = ("connection", *(["content-length"] if told != body else []))
    return status, [pair for pair in named if pair[0] not in omitted], told


@pytest.mark.parametrize("number", range(len(asked(""))), ids=lambda n: f"{n} {asked('')[n][:2]}")
def test_it_answers_what_every_endpoint_of_ours_does(tmp_path: Path, number: int) -> None:
    app = app_in(tmp_path)
    flask = app.test_client()
    asgi = TusJumbo(upload_dir=tmp_path, chunk_size=CHUNK, max_size="5GiB")
    upload_id = started(flask)
    flask.put(f"/upload/{upload_id}/chunks/0", data=chunk(0))
    method, path, more = asked(upload_id)[number]
    if method == "DELETE":
        flask.delete(f"/upload{path}")
    answer = flask.open(f"/upload{path}", method=method, **more)
    more = {"content" if name == "data" else name: value for name, value in more.items()}
    with TestClient(asgi.at("/files", "/upload"), "http://localhost") as client:
        expected = client.request(method, f"/upload{path}", **more)
    assert _comparable(answer.status_code, answer.headers, answer.data) == _comparable(
        expected.status_code, expected.headers.multi_items(), expected.content
    )
    app.extensions["jumbo"].close()


# --- Flask around it -----------------------------------------------------------------------------


def test_the_applications_own_routes_come_first(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/upload/hello", view_func=lambda: "hello")
    assert client.get("/upload/hello").text == "hello"
    problem(client.get("/upload/hello/you"), 404, "route-not-found")
    assert client.get("/elsewhere").content_type == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("prefix", "script", "location"),
    [
        ("/upload", "", "/upload/status/"),
        ("/a/b", "", "/a/b/status/"),
        ("/u", "/app", "/app/u/status/"),
    ],
)
def test_wherever_it_is(tmp_path: Path, prefix: str, script: str, location: str) -> None:
    app = Flask(__name__)
    init_jumbo(app, upload_path=tmp_path)
    app.register_blueprint(create_blueprint(prefix))
    client = app.test_client()
    answer = client.post(
        f"{prefix}/start",
        json={"filename": "x", "size": 1},
        environ_overrides={"SCRIPT_NAME": script},
    )
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.headers["Location"] == location + answer.json["upload_id"]


def test_behind_a_proxy_that_flask_knows_of(tmp_path: Path) -> None:
    seen: list[str] = []

    def authorize(admission: Admission) -> bool:
        seen.append(admission.client)
        return True

    app = app_in(tmp_path, authorize=authorize)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_prefix=1)  # type: ignore[method-assign]
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Prefix": "/shop"}
    answer = app.test_client().post(
        "/upload/start", json={"filename": "x", "size": 1}, headers=headers
    )
    assert answer.headers["Location"].startswith("/shop/upload/status/jumbo_")
    assert seen == ["192.0.2.7"]


def test_an_application_without_a_jumbo() -> None:
    app = Flask("shop")
    app.testing = True
    app.register_blueprint(create_blueprint())
    with pytest.raises(RuntimeError, match="shop has no Jumbo"):
        app.test_client().get("/upload/statistics")


# --- who may what --------------------------------------------------------------------------------


def test_authorize_is_asked_for_each_action(tmp_path: Path) -> None:
    seen: list[tuple[Action, str | None]] = []

    def authorize(admission: Admission) -> bool:
        assert request.endpoint == "jumbo.answer"
        assert admission.headers["x-who"] == request.headers["X-Who"] == "me"
        seen.append((admission.action, admission.upload_id))
        return True

    client = app_in(tmp_path, authorize=authorize).test_client()
    client.environ_base["HTTP_X_WHO"] = "me"
    upload_id = started(client)
    send(client, upload_id, 0)
    client.put(f"/upload/{upload_id}/chunks/1", data=chunk(1))
    for look in ("status", "resume"):
        client.get(f"/upload/{look}/{upload_id}")
    client.get(f"/upload/verify/{upload_id}/0")
    client.get("/upload/statistics")
    client.get("/upload/openapi.json")
    client.options("/upload/start")
    client.delete(f"/upload/{upload_id}")
    assert seen == [
        (Action.CREATE, None),
        (Action.APPEND, upload_id),
        (Action.APPEND, upload_id),
        (Action.INSPECT, upload_id),
        (Action.INSPECT, upload_id),
        (Action.INSPECT, upload_id),
        (Action.SURVEY, None),
        (Action.TERMINATE, upload_id),
    ]


def _raises(error: Exception) -> Callable[[Admission], bool]:
    def authorize(_: Admission) -> bool:
        raise error

    return authorize


def _aborts(_: Admission) -> bool:
    abort(410, "No more.")


def _redirects(_: Admission) -> bool:
    abort(redirect("/login"))


@pytest.mark.parametrize(
    ("authorize", "status", "kind"),
    [
        (lambda _: False, 403, "forbidden"),
        (lambda _: None, 403, "forbidden"),
        (_raises(Forbidden("No.")), 403, "forbidden"),
        (_raises(Unauthorized()), 401, "unauthorized"),
        (_aborts, 410, "blank"),
        (_raises(KeyError("oops")), 500, "blank"),
    ],
    ids=["false", "nothing said", "forbidden", "unauthorized", "abort", "mistake"],
)
def test_who_may_not_changes_nothing(
    tmp_path: Path, authorize: Callable[[Admission], bool], status: int, kind: str
) -> None:
    upload_id = started(app_in(tmp_path).test_client())
    app = app_in(tmp_path, authorize=authorize)
    client = app.test_client()
    for answer in (
        client.post("/upload/start", json={"filename": "x", "size": 1}),
        send(client, upload_id, 0),
        client.put(f"/upload/{upload_id}/chunks/0", data=chunk(0)),
        client.delete(f"/upload/{upload_id}"),
        client.get("/upload/statistics"),
    ):
        problem(answer, status, kind)
        assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    sessions = app.extensions["jumbo"].active_uploads
    assert [(it.id, it.ranges.total) for it in sessions.values()] == [(upload_id, 0)]


def _has_a_page(_: Admission) -> bool:
    abort(401, response=Response("<h1>Who are you?</h1>", 401))


@pytest.mark.parametrize(
    ("authorize", "status", "words"),
    [(_redirects, 302, "/login"), (_has_a_page, 401, "Who are you?")],
    ids=["redirect", "page"],
)
def test_what_is_an_answer_already_stays_it(
    tmp_path: Path, authorize: Callable[[Admission], bool], status: int, words: str
) -> None:
    answer = app_in(tmp_path, authorize=authorize).test_client().get("/upload/statistics")
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert words in answer.text


def test_authorize_has_all_of_flask(tmp_path: Path) -> None:
    """A login in the session, and something left in `g` for the end of the request."""

    def authorize(admission: Admission) -> bool:
        session["asked"] = session.get("asked", 0) + 1
        g.action = admission.action
        return "user" in session

    app = app_in(tmp_path, authorize=authorize)
    app.secret_key = "s"
    left: list[Action] = []

    @app.after_request
    def note(response: Any) -> Any:
        left.append(g.action)
        return response

    client = app.test_client()
    problem(client.get("/upload/statistics"), 403, "forbidden")
    with client.session_transaction() as login:
        login["user"] = 1
    assert client.get("/upload/statistics").status_code == 200
    with client.session_transaction() as login:
        assert login["asked"] == 2
    assert left == [Action.SURVEY, Action.SURVEY]


def test_flasks_own_way_works_as_well(tmp_path: Path) -> None:
    app = Flask(__name__)
    init_jumbo(app, upload_path=tmp_path)
    blueprint = create_blueprint()

    @blueprint.before_request
    def guard() -> None:
        if "Authorization" not in request.headers:
            abort(401)

    app.register_blueprint(blueprint)
    client = app.test_client()
    told = problem(client.get("/upload/statistics"), 401, "blank")
    assert told["title"] == "Unauthorized"
    assert client.get("/upload/statistics", headers={"Authorization": "x"}).status_code == 200


# --- limits --------------------------------------------------------------------------------------


def test_max_file_size_is_the_uploads(tmp_path: Path) -> None:
    client = app_in(tmp_path, max_file_size=CHUNK).test_client()
    assert client.post("/upload/start", json={"filename": "x", "size": CHUNK}).status_code == 201
    answer = client.post("/upload/start", json={"filename": "x", "size": CHUNK + 1})
    assert problem(answer, 413, "upload-too-large")["max_size"] == CHUNK


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "chunked"])
def test_max_content_length_is_the_bodys(
    app: Flask, client: FlaskClient, is_announced: bool
) -> None:
    app.config["MAX_CONTENT_LENGTH"] = CHUNK
    url = f"/upload/{started(client)}/chunks/"
    assert client.put(f"{url}0", data=chunk(0)).status_code == 200
    body = chunk(1) + b"!"
    stream = {
        "input_stream": io.BytesIO(body),
        "environ_overrides": {"wsgi.input_terminated": True},
    }
    sent: dict[str, Any] = {"data": body} if is_announced else stream
    headers = {} if is_announced else {"Transfer-Encoding": "chunked"}
    problem(client.put(f"{url}1", headers=headers, **sent), 413, "blank")
    assert client.get(f"/upload/status/{url.split('/')[2]}").json["size_uploaded"] == CHUNK  # type: ignore[index]


def test_limits_of_flasks_own_forms_do_not_count(app: Flask, client: FlaskClient) -> None:
    """Nothing of a form is kept in memory here, nor is any of it Flask's to parse."""
    app.config["MAX_FORM_MEMORY_SIZE"] = 1
    app.config["MAX_FORM_PARTS"] = 1
    assert send(client, started(client), 0).status_code == 200


def test_a_chunked_body(client: FlaskClient) -> None:
    url = f"/upload/{started(client)}/chunks/0"
    answer = client.put(
        url,
        input_stream=io.BytesIO(chunk(0)),
        environ_overrides={"wsgi.input_terminated": True},
        headers={"Transfer-Encoding": "chunked"},
    )
    assert answer.status_code == 200


# --- broken bodies -------------------------------------------------------------------------------


class Broken(io.BytesIO):
    """A connection that goes away after what there is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if data := super().read(size):
            return data
        raise ConnectionResetError


@pytest.mark.parametrize("stream", [io.BytesIO, Broken], ids=["ends", "breaks"])
def test_a_body_that_is_cut_leaves_nothing(
    client: FlaskClient, stream: Callable[[bytes], io.BytesIO]
) -> None:
    upload_id = started(client)
    answer = client.put(
        f"/upload/{upload_id}/chunks/0",
        input_stream=stream(chunk(0)[:-1]),
        environ_overrides={"CONTENT_LENGTH": str(CHUNK)},
    )
    assert (answer.status_code, answer.data) == (499, b"")  # there is nobody to read it
    status = client.get(f"/upload/status/{upload_id}").json
    assert status is not None
    assert status["size_uploaded"] == 0


def test_what_expired_is_set_aside_in_passing(tmp_path: Path) -> None:
    now = time.time()
    client = app_in(tmp_path, expire_after="1h", clock=lambda: now).test_client()
    upload_id = started(client)
    client.put(f"/upload/{upload_id}/chunks/0", data=chunk(0))
    now += 3601
    assert client.get("/upload/statistics").status_code == 200
    assert [it.name for it in (tmp_path / "abandoned").iterdir()] == [upload_id]
    problem(client.get(f"/upload/resume/{upload_id}"), 404, "upload-not-found")
