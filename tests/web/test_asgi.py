"""Alone and mounted, with a lifespan and without, in one event loop and in one for each request."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.web.browsing import (
    GONE,
    OFFSET_STREAM,
    Browser,
    Clock,
    T,
    files_below,
    opened,
    piece,
    until,
)
from tests.web.conftest import Serve
from tusjumbo.errors import ConfigurationError
from tusjumbo.settings import UploadSettings
from tusjumbo.web.asgi import ASGIApp, TusJumbo
from tusjumbo.web.bodies import Message, Receive, Scope, Send

# --- options -------------------------------------------------------------------------------------


def test_options_and_settings_are_the_same(tmp_path: Path) -> None:
    settings = UploadSettings(upload_dir=tmp_path, max_size="5GiB")  # type: ignore[arg-type]
    assert (
        TusJumbo(settings=settings).settings
        == TusJumbo(upload_dir=str(tmp_path), max_size="5GiB").settings
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"maxsize": 5}, "maxsize: there is no such option; did you mean max_size?", id="close"
        ),
        pytest.param({"xyz": 5}, "xyz: there is no such option; there are assemble, ", id="far"),
        pytest.param({"max_size": "big"}, "max_size: 'big' is not a size", id="value"),
        pytest.param(
            {"settings": UploadSettings(), "max_size": 5}, "settings: give settings, or", id="both"
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TusJumbo(**options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_making_one_opens_nothing(upload_dir: Path) -> None:
    TusJumbo(upload_dir=upload_dir)
    assert not upload_dir.exists()


# --- places --------------------------------------------------------------------------------------


def alone(tus: TusJumbo) -> ASGIApp:
    return tus


def at_a_path(tus: TusJumbo) -> ASGIApp:
    return tus.at("/files/")


def in_starlette(tus: TusJumbo) -> ASGIApp:
    app = Starlette()
    tus.mount(app, "/files")
    return app


def in_starlette_by_route(tus: TusJumbo) -> ASGIApp:
    return Starlette(routes=[Route("/x", PlainTextResponse("x")), tus.route("/files")])


def in_starlette_plainly(tus: TusJumbo) -> ASGIApp:
    app = Starlette()
    app.mount("/files", tus)
    return app


def in_fastapi(tus: TusJumbo) -> ASGIApp:
    app = FastAPI()
    tus.mount(app, "/files")
    return app


def in_fastapi_plainly(tus: TusJumbo) -> ASGIApp:
    app = FastAPI()
    app.mount("/files", tus)
    return app


def deep_inside(tus: TusJumbo) -> ASGIApp:
    inner = Starlette()
    tus.mount(inner, "/files")
    return Starlette(routes=[Mount("/a", Router(routes=[Mount("/b", inner)]))])


def below_a_parameter(tus: TusJumbo) -> ASGIApp:
    return Starlette(routes=[tus.route("/of/{user}/files")])


def behind_middleware(tus: TusJumbo) -> ASGIApp:
    async def pass_on(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        return await call_next(request)

    app = Starlette(middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)])
    tus.mount(app, "/files")
    return app


def in_a_limited_application(tus: TusJumbo) -> ASGIApp:
    app = Starlette(max_body_size=2)
    tus.mount(app, "/files")
    return app


def as_litestar_does(tus: TusJumbo) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix("/files").rstrip("/") + "/"
        await tus({**scope, "path": path}, receive, send)

    return app


PLACES = [
    pytest.param(alone, "", ("", "/"), id="alone"),
    pytest.param(at_a_path, "/files", ("", "/"), id="at a path"),
    pytest.param(in_starlette, "/files", ("", "/"), id="Starlette"),
    pytest.param(in_starlette_by_route, "/files", ("", "/"), id="Starlette, route"),
    pytest.param(in_starlette_plainly, "/files", ("/",), id="Starlette, its own mount"),
    pytest.param(in_fastapi, "/files", ("", "/"), id="FastAPI"),
    pytest.param(in_fastapi_plainly, "/files", ("/",), id="FastAPI, its own mount"),
    pytest.param(deep_inside, "/a/b/files", ("", "/"), id="deep inside"),
    pytest.param(below_a_parameter, "/of/me/files", ("", "/"), id="below a parameter"),
    pytest.param(behind_middleware, "/files", ("", "/"), id="behind middleware"),
    pytest.param(in_a_limited_application, "/files", ("", "/"), id="in a limited application"),
]


ROOTS = [
    pytest.param("", "", id="no root_path"),
    pytest.param("/api", "/api", id="root_path in path"),
]


@pytest.mark.parametrize(("where", "prefix", "endpoints"), PLACES)
@pytest.mark.parametrize(("in_path", "root"), ROOTS)
async def test_places(
    serve: Serve,
    where: Callable[[TusJumbo], ASGIApp],
    prefix: str,
    endpoints: tuple[str, ...],
    in_path: str,
    root: str,
) -> None:
    browser = Browser(where(serve()), {"root_path": root})
    for slash in endpoints:
        await uploads_at(browser, in_path + prefix + slash or "/", in_path, root + prefix)


@pytest.mark.parametrize(
    ("where", "prefix", "endpoints"),
    [row for row in PLACES if row.id != "deep inside"],  # Starlette finds nothing there itself
)
async def test_places_where_the_path_leaves_out_the_root(
    serve: Serve,
    where: Callable[[TusJumbo], ASGIApp],
    prefix: str,
    endpoints: tuple[str, ...],
) -> None:
    browser = Browser(where(serve()), {"root_path": "/api"})
    for slash in endpoints:
        await uploads_at(browser, prefix + slash or "/", "", "/api" + prefix)


async def test_in_litestar(serve: Serve) -> None:
    browser = Browser(as_litestar_does(serve()))
    for endpoint in ("/files", "/files/"):
        await uploads_at(browser, endpoint, "", "/files")


async def uploads_at(browser: Browser, endpoint: str, in_path: str, place: str) -> None:
    """The life of an upload. `place`: where clients see the endpoint; `in_path`: what they see of
    it that is in the path, too.
    """
    assert (await browser.ask("OPTIONS", endpoint)).status == 204
    created = await browser.ask("POST", endpoint, {**T, "Upload-Length": "5"})
    assert created.status == 201
    assert created.location.startswith(f"{place}/jumbo_")
    path = created.location
    if not in_path and place.startswith("/api"):
        path = path.removeprefix("/api")
    assert (await browser.patch(path, 0, b"hello")).status == 204
    assert (await browser.head(path + "/")).offset == 5
    assert (await browser.get(path)).body == b"hello"
    assert (await browser.head(path + "/more")).status == 404
    assert (await browser.delete(path)).status == 204


async def test_only_what_is_ours(serve: Serve) -> None:
    for app in (serve().at("/files"), in_starlette(serve()), in_fastapi(serve())):
        for path in ("/", "/other", "/filesystem", "/x/files", "/Files"):
            answer = await Browser(app).ask("POST", path, {**T, "Upload-Length": "5"})
            assert answer.status == 404
    answer = await Browser(serve().at("/files")).get("/")
    assert answer.body == b"Uploads are at /files/\n"


async def test_the_limit_of_the_application_stays(serve: Serve) -> None:
    app = Starlette(routes=[Route("/x", PlainTextResponse("x"), methods=["POST"])], max_body_size=2)
    serve().mount(app, "/files")
    assert (await Browser(app).ask("POST", "/x", {}, b"long")).status == 413


async def test_base_url(serve: Serve) -> None:
    browser = Browser(serve(base_url="https://up.example/f", location="url").at("/files"))
    created = await browser.ask("POST", "/files", {**T, "Upload-Length": "5"})
    assert created.location.startswith("https://up.example/f/jumbo_")


async def test_behind_a_proxy(serve: Serve) -> None:
    tus = serve(behind_proxy="192.0.2.0/24", location="url")
    headers = {"Host": "inner", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    headers |= {"X-Forwarded-Host": "up.example", "X-Forwarded-Prefix": "/v1"}
    browser = Browser(tus.at("/files"), headers=headers)
    created = await browser.ask("POST", "/files", {**T, "Upload-Length": "5"})
    assert created.location.startswith("https://up.example/v1/files/jumbo_")
    other = Browser(tus.at("/files"), {"client": ("198.51.100.1", 1)}, headers)
    created = await other.ask("POST", "/files", {**T, "Upload-Length": "5"})
    assert created.location.startswith("http://inner/files/jumbo_")


# --- under middleware that is not ours -----------------------------------------------------------


async def test_a_client_that_goes_is_no_error_of_the_application(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(behind_middleware(serve()))
    created = await browser.ask("POST", "/files", {**T, "Upload-Length": "5"})
    await browser.patch(created.location, 0, [piece(b"hel"), GONE])
    assert (await browser.head(created.location)).offset == 3
    assert caplog.records == []


async def test_a_hand_over_under_middleware_stores_nothing_wrong(serve: Serve) -> None:
    browser = Browser(behind_middleware(serve()))
    created = await browser.ask("POST", "/files", {**T, "Upload-Length": "9"})
    path = created.location
    waiting = anyio.Event()

    async def first() -> None:
        answer = await browser.patch(path, 0, [piece(b"abc")], on_silence=waiting.set)
        assert answer.status == 423

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await waiting.wait()
        assert (await browser.head(path)).offset == 3
    assert (await browser.patch(path, 3, b"defghi")).status == 204
    assert (await browser.get(path)).body == b"abcdefghi"


# --- clients of the usual test kits --------------------------------------------------------------


async def test_httpx(serve: Serve) -> None:
    transport = httpx2.ASGITransport(app=in_starlette(serve()))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"hel"
        yield b"lo"

    async with httpx2.AsyncClient(transport=transport, base_url="http://here", headers=T) as client:
        created = await client.post("/files", headers={"Upload-Length": "5"})
        assert created.status_code == 201
        headers = {"Upload-Offset": "0", "Content-Type": OFFSET_STREAM}
        taken = await client.patch(created.headers["location"], headers=headers, content=pieces())
        assert (taken.status_code, taken.headers["upload-offset"]) == (204, "5")
        assert (await client.get(created.headers["location"])).content == b"hello"


@pytest.mark.parametrize("where", [alone, in_starlette, in_fastapi])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("lifespan", [True, False], ids=["lifespan", "no lifespan"])
def test_test_client(
    upload_dir: Path,
    where: Callable[[TusJumbo], ASGIApp],
    backend: Any,
    lifespan: bool,
    recwarn: pytest.WarningsRecorder,
) -> None:
    tus = TusJumbo(upload_dir=upload_dir)
    client = TestClient(where(tus), backend=backend, headers=T)
    if lifespan:
        with client:
            _upload_with(client, "/" if where is alone else "/files")
    else:
        # Each request in an event loop of its own.
        _upload_with(client, "/" if where is alone else "/files")
        anyio.run(tus.house.aclose)
    assert len(files_below(upload_dir)) == 1
    assert not recwarn.list


def _upload_with(client: TestClient, endpoint: str) -> None:
    created = client.post(endpoint, headers={"Upload-Length": "6"})
    assert created.status_code == 201
    path = created.headers["location"]
    for at, data in ((0, b"abc"), (3, b"def")):
        headers = {"Upload-Offset": str(at), "Content-Type": OFFSET_STREAM}
        assert client.patch(path, headers=headers, content=data).status_code == 204
    assert client.head(path).headers["upload-offset"] == "6"
    assert client.get(path).content == b"abcdef"


def test_websockets_are_refused(upload_dir: Path) -> None:
    client = TestClient(in_starlette(TusJumbo(upload_dir=upload_dir)))
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/files/abc"):
        pass


async def test_no_other_kind_of_connection(serve: Serve) -> None:
    with pytest.raises(ValueError, match="gopher"):
        await serve()({"type": "gopher"}, _never, _nowhere)


async def _never() -> Message:
    raise AssertionError


async def _nowhere(message: Message) -> None:
    raise AssertionError


# --- housekeeping --------------------------------------------------------------------------------


async def expired(serve: Serve, clock: Clock) -> str:
    """The id of an upload whose time is over."""
    created = await Browser(serve(expire_after="1h")).create(9, body=b"abc")
    clock.now += 3600
    return created.location.removeprefix("/")


def swept(upload_dir: Path) -> Callable[[], bool]:
    return lambda: any((upload_dir / "abandoned").glob("*"))


@pytest.mark.parametrize("where", [alone, at_a_path, in_starlette, in_fastapi])
async def test_a_lifespan_sweeps(
    serve: Serve,
    clock: Clock,
    upload_dir: Path,
    where: Callable[[TusJumbo], ASGIApp],
    caplog: pytest.LogCaptureFixture,
) -> None:
    upload_id = await expired(serve, clock)
    app = where(serve(sweep_every="10m", expire_after="1h"))
    async with running(app):
        await until(swept(upload_dir))
        assert files_below(upload_dir) == {f"abandoned/{upload_id}"}
        await Browser(app).ask("OPTIONS", "/files")
    assert caplog.records == []


async def test_a_lifespan_sweeps_again(serve: Serve, clock: Clock, upload_dir: Path) -> None:
    async with running(serve(sweep_every="10ms", expire_after="1h")):
        await expired(serve, clock)
        await until(swept(upload_dir))


async def test_a_lifespan_sweeps_everything_that_is_due(
    serve: Serve, clock: Clock, upload_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await Browser(serve(expire_after="1h")).create(9, body=b"abc")
    clock.now += 3600
    tus = serve(sweep_every="10m", expire_after="1h")
    due = tus.house.sweep.due
    monkeypatch.setattr(tus.house.sweep, "due", lambda: due(1))
    async with tus.lifespan():
        await until(lambda: len(list((upload_dir / "abandoned").glob("*"))) == 3)


async def test_a_lifespan_that_is_told_not_to_sweep(
    serve: Serve, clock: Clock, upload_dir: Path
) -> None:
    await expired(serve, clock)
    tus = serve(sweep_every=0, expire_after="1h")
    async with tus.lifespan():
        await anyio.wait_all_tasks_blocked()
    assert not swept(upload_dir)()


async def test_lifespans_of_both(serve: Serve) -> None:
    told = []

    @asynccontextmanager
    async def theirs(app: Starlette) -> AsyncIterator[dict[str, str]]:
        told.append("started")
        yield {"key": "value"}
        told.append("stopped")

    app = Starlette(lifespan=theirs)
    serve(sweep_every="10m").mount(app, "/files")
    async with running(app) as state:
        assert told == ["started"]
        assert state == {"key": "value"}
    assert told == ["started", "stopped"]


@pytest.mark.parametrize("app", [Starlette, FastAPI], ids=["Starlette", "FastAPI"])
async def test_two_endpoints_in_an_application_have_one_lifespan(
    serve: Serve, app: type[Starlette], monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[None] = []
    tus = serve(sweep_every="10m")

    async def strays() -> None:
        swept.append(None)

    monkeypatch.setattr(tus.house.sweep, "strays", strays)
    host = app()
    tus.jumbo.mount(host, "/upload")
    tus.mount(host, "/files")
    async with running(host):
        browser = Browser(host)
        told = {"Content-Type": "application/json"}
        body = b'{"filename": "a", "size": 5}'
        begun = await browser.ask("POST", "/upload/start", told, body)
        assert begun.location.startswith("/upload/status/")
        path = begun.location.replace("/upload/status/", "/files/")
        assert (await browser.head(path)).offset == 0
    assert swept == [None]


async def test_the_jumbo_api_alone_has_a_lifespan(serve: Serve, upload_dir: Path) -> None:
    tus = serve()
    async with running(tus.jumbo):
        assert (await Browser(tus.jumbo).get("/statistics")).status == 200
        assert opened(upload_dir / "catalog.sqlite3")
    assert not opened(upload_dir / "catalog.sqlite3")


async def test_a_lifespan_may_be_repeated(serve: Serve) -> None:
    tus = serve(sweep_every="10m")
    for _ in range(2):
        async with running(tus):
            assert await Browser(tus).upload(b"hello")
    assert await Browser(tus).upload(b"hello")


async def test_a_lifespan_removes_what_nobody_accounts_for(
    serve: Serve, clock: Clock, upload_dir: Path
) -> None:
    stray = upload_dir / "sessions" / "jumbo_stray"
    stray.parent.mkdir(parents=True)
    stray.touch()
    os.utime(stray, (clock.now - 7200, clock.now - 7200))
    async with serve(sweep_every="10m").lifespan():
        await until(lambda: not stray.exists())


async def test_a_lifespan_gives_everything_back(serve: Serve, upload_dir: Path) -> None:
    tus = serve(sweep_every="10m")
    catalog = upload_dir / "catalog.sqlite3"
    async with tus.lifespan():
        await Browser(tus).upload(b"hello")
        assert opened(catalog)
    assert not opened(catalog)


async def test_after_a_lifespan_requests_sweep(
    serve: Serve, clock: Clock, upload_dir: Path
) -> None:
    tus = serve(sweep_every="10m", expire_after="1h")
    async with tus.lifespan():
        pass
    await expired(serve, clock)
    await Browser(tus).ask("OPTIONS", "/")
    assert swept(upload_dir)()


async def test_a_sweep_that_fails_stops_nothing(
    serve: Serve, upload_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upload_dir.mkdir()
    (upload_dir / "catalog.sqlite3").mkdir()
    tus = serve(sweep_every="10m")
    async with tus.lifespan():
        await until(lambda: bool(caplog.records))
        assert (await Browser(tus).ask("OPTIONS", "/")).status == 204
    assert "tried again" in caplog.records[0].getMessage()


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[dict[str, Any]]:
    """What a server does around all requests."""
    state: dict[str, Any] = {}
    started = anyio.Event()
    stopping = anyio.Event()
    told: list[str] = []

    async def receive() -> Message:
        if not told:
            return {"type": "lifespan.startup"}
        await stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        told.append(message["type"])
        started.set()

    async def live() -> None:
        await app({"type": "lifespan", "state": state}, receive, send)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(live)
        with anyio.fail_after(10):
            await started.wait()
        yield state
        stopping.set()
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# --- without a lifespan --------------------------------------------------------------------------


async def test_sweeping_in_passing(
    serve: Serve, clock: Clock, upload_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await expired(serve, clock)
    browser = Browser(serve(sweep_every="10m", expire_after="1h"))
    seen_at_the_end = []

    async def look(message: Message) -> None:
        if message["type"] == "http.response.body":
            seen_at_the_end.append(await anyio.to_thread.run_sync(swept(upload_dir)))

    await browser.ask("OPTIONS", "/", on_send=look)
    assert seen_at_the_end == [False]
    assert swept(upload_dir)()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "lifespan" in record.getMessage()


async def test_sweeping_in_passing_waits_its_time(
    serve: Serve, clock: Clock, upload_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(serve(sweep_every="90m", expire_after="1h"))
    await browser.ask("OPTIONS", "/")
    await browser.create(9, body=b"abc")
    clock.now += 3600
    await browser.ask("OPTIONS", "/")
    assert not swept(upload_dir)()
    clock.now += 1800
    await browser.ask("OPTIONS", "/")
    assert swept(upload_dir)()
    assert len(caplog.records) == 1


async def test_sweeping_in_passing_is_bounded(serve: Serve, clock: Clock, upload_dir: Path) -> None:
    created = Browser(serve(expire_after="1h"))
    for _ in range(25):
        await created.create(9, body=b"abc")
    clock.now += 3600
    browser = Browser(serve(sweep_every="10m", expire_after="1h"))
    await browser.ask("OPTIONS", "/")
    assert len(list((upload_dir / "abandoned").iterdir())) == 20
    clock.now += 600
    await browser.ask("OPTIONS", "/")
    assert len(list((upload_dir / "abandoned").iterdir())) == 25


async def test_no_sweeping_in_passing_if_told_so(
    serve: Serve, clock: Clock, upload_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await expired(serve, clock)
    await Browser(serve(sweep_every=0)).ask("OPTIONS", "/")
    assert not swept(upload_dir)()
    assert caplog.records == []
