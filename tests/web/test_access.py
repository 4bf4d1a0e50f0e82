"""Who may do what, all the way: credentials, owners, quotas and rates over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.web.browsing import OFFSET_STREAM, Answer, Browser, Clock, T, piece
from tests.web.chunks import Jumbo
from tests.web.conftest import Serve
from tusjumbo.application import Admission, HookCall, Identity
from tusjumbo.errors import ConfigurationError
from tusjumbo.gates.signed import SignedUrls
from tusjumbo.hooks.functions import Function
from tusjumbo.web.asgi import TusJumbo

ALICE = {"Authorization": "Bearer alices"}
BOB = {"Authorization": "Bearer bobs"}
ROOT = {"Authorization": "Bearer roots"}
SECRET = "a secret of some length"


@pytest.fixture(name="tokens")
def _tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("alices alice\nbobs bob\nroots root operator\n")
    path.chmod(0o600)
    return path


@pytest.fixture(name="app")
def _app(upload_dir: Path, tokens: Path, clock: Clock) -> TusJumbo:
    """Made outside of the loop, as an application is: the tokens are read."""
    return TusJumbo(
        upload_dir=upload_dir,
        tokens=tokens,
        url_secret=SECRET,
        quota_size=100,
        quota_uploads=3,
        durability="os",
        sweep_every=0,
        clock=clock,
    )


def by(app: TusJumbo, who: Mapping[str, str]) -> Browser:
    return Browser(app, headers=who)


def jumbo(app: TusJumbo, who: Mapping[str, str]) -> Jumbo:
    return Jumbo(Browser(app.jumbo, headers=who))


# --- credentials ---------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}])
async def test_nobody_known_is_told_before_the_first_byte(
    app: TusJumbo, who: dict[str, str]
) -> None:
    body = [piece(b"hello", more=False)]
    answer = await by(app, {**who, "Origin": "https://page.example"}).create(5, body=body)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="tusjumbo"')
    assert answer.headers["access-control-allow-origin"] == "*"
    assert not answer.asked_first
    said = await jumbo(app, who).ask("GET", "/statistics")
    assert (said.status, said.problem) == (401, "unauthorized")
    await app.house.aclose()


@pytest.mark.parametrize("said", ["alice", Identity("alice"), None, True])
async def test_a_function_is_asked(serve: Serve, said: Any) -> None:
    came: list[Admission] = []

    async def who(admission: Admission) -> Any:
        came.append(admission)
        return said

    tus = serve(gate=who)
    created = await Browser(tus).create(5, body=b"hello")
    assert created.status == 201
    (session,) = await tus.house.catalog.listing()
    assert session.owner == (None if said in (None, True) else "alice")
    assert came[0].client == "192.0.2.7"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tokens": "none"}, "tokens: cannot read"),
        ({"url_secret": "short"}, "url_secret: has to have at least 16"),
        ({"jwt_keys": ["none"]}, "jwt_keys: cannot read"),
        ({"rate_limit": 1, "rate_burst": 0}, "rate_burst: has to be"),
        ({"gate": "no.such:function"}, "no.such:function: there is no module"),
        ({"gate": "nothing"}, "'nothing' has to be like"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(
    upload_dir: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        TusJumbo(upload_dir=upload_dir, **options)


# --- owners --------------------------------------------------------------------------------------


async def test_what_is_somebody_elses_is_not_there(app: TusJumbo) -> None:
    alice, bob = by(app, ALICE), by(app, BOB)
    address = (await alice.create(5, body=b"he")).location
    upload_id = address.rpartition("/")[2]
    for theirs in (
        await bob.head(address),
        await bob.patch(address, 2, b"xxx"),
        await bob.delete(address),
        await bob.get(address),
    ):
        assert theirs.status == 404
    api = jumbo(app, BOB)
    for method, path in [
        ("GET", f"/status/{upload_id}"),
        ("GET", f"/resume/{upload_id}"),
        ("GET", f"/verify/{upload_id}/0"),
        ("DELETE", f"/{upload_id}"),
    ]:
        said = await api.ask(method, path)
        assert (said.status, said.problem) == (404, "upload-not-found")
    chunk = await api.ask("PUT", f"/{upload_id}/chunks/0", body=b"xxxxx")
    assert chunk.status == 404
    assert (await alice.head(address)).offset == 2
    assert (await by(app, ROOT).head(address)).offset == 2
    assert (await alice.patch(address, 2, b"llo")).status == 204
    assert (await alice.get(address)).body == b"hello"
    assert (await bob.get(address)).status == 404
    assert (await alice.delete(address)).status == 204
    await app.house.aclose()


async def test_parts_of_others_are_not_joined(app: TusJumbo) -> None:
    alice, bob = by(app, ALICE), by(app, BOB)
    part = (await alice.create(5, {"Upload-Concat": "partial"}, b"hello")).location
    final = {**T, "Upload-Concat": f"final;{part}"}
    assert (await bob.ask("POST", "/", final)).status == 404
    joined = await alice.ask("POST", "/", final)
    assert joined.status == 201
    assert (await bob.get(joined.location)).status == 404
    assert (await alice.get(joined.location)).body == b"hello"
    await app.house.aclose()


async def test_what_is_nobodys_is_for_everybody_who_is_let_in(
    serve: Serve, upload_dir: Path
) -> None:
    address = (await Browser(serve()).create(5)).location
    guarded = Browser(serve(gate=lambda _: "alice"))
    assert (await guarded.patch(address, 0, b"hello")).status == 204


# --- signed addresses ----------------------------------------------------------------------------


def _query(answer: Answer) -> tuple[str, bytes]:
    path, _, query = answer.location.partition("?")
    return path, query.encode()


async def test_a_signed_address_makes_an_upload_with_one_of_its_own(
    app: TusJumbo, clock: Clock
) -> None:
    query = SignedUrls([SECRET], clock=clock).sign(owner="alice", expires_at=clock.now + 60)
    browser = by(app, {})
    head = {**T, "Upload-Length": "5"}
    made = await browser.ask("POST", "/", head, query_string=query.encode())
    assert made.status == 201
    path, own = _query(made)
    assert (await browser.ask("HEAD", path, T, query_string=own)).offset == 0
    sending = {**T, "Upload-Offset": "0", "Content-Type": OFFSET_STREAM}
    assert (await browser.ask("PATCH", path, sending, b"hello", query_string=own)).status == 204
    assert (await browser.ask("GET", path, query_string=own)).body == b"hello"
    other, _ = _query(await browser.ask("POST", "/", head, query_string=query.encode()))
    for wrong in (
        await browser.ask("HEAD", other, T, query_string=own),
        await browser.ask("HEAD", path, T, query_string=query.encode()),
        await browser.ask("POST", "/", head, query_string=own),
        await browser.ask("HEAD", path, T),
    ):
        assert wrong.status == 401
    assert (await by(app, ALICE).head(path)).offset == 5
    assert (await by(app, BOB).head(path)).status == 404
    clock.now += 60
    late = await browser.ask("GET", path, query_string=own)
    assert late.status == 401
    assert b"until some time ago" in late.body
    await app.house.aclose()


async def test_parts_are_joined_by_their_signed_addresses(app: TusJumbo, clock: Clock) -> None:
    query = SignedUrls([SECRET], clock=clock).sign(owner="alice", expires_at=clock.now + 60)
    browser = by(app, {})
    kind = {"Content-Type": OFFSET_STREAM, "Upload-Concat": "partial", "Upload-Length": "5"}
    part = await browser.ask("POST", "/", {**T, **kind}, b"hello", query_string=query.encode())
    final = {**T, "Upload-Concat": f"final;{part.location} {part.location}"}
    joined = await browser.ask("POST", "/", final, query_string=query.encode())
    assert joined.status == 201
    path, own = _query(joined)
    assert (await browser.ask("GET", path, query_string=own)).body == b"hellohello"
    await app.house.aclose()


# --- quotas and rates ----------------------------------------------------------------------------


async def test_how_much_somebody_may_have(app: TusJumbo) -> None:
    alice, bob = by(app, ALICE), by(app, BOB)
    first = (await alice.create(60)).location
    refused = await alice.create(41)
    assert refused.status == 413
    assert b"You may have 100 bytes here, and have 60" in refused.body
    assert (await bob.create(100)).status == 201
    # What has no length yet counts as it comes.
    later = (await alice.create(None)).location
    assert (await alice.patch(later, 0, bytes(30))).status == 204
    assert (await alice.patch(later, 30, bytes(30))).status == 413
    assert (await alice.head(later)).offset == 30
    said = await jumbo(app, ALICE).ask(
        "POST",
        "/start",
        {"Content-Type": "application/json"},
        b'{"filename": "a", "size": 50}',
    )
    assert (said.status, said.problem) == (413, "quota-exceeded")
    assert (await alice.delete(first)).status == 204
    assert (await alice.create(70)).status == 201
    await app.house.aclose()


async def test_how_many_somebody_may_have(app: TusJumbo) -> None:
    alice = by(app, ALICE)
    addresses = [(await alice.create(5)).location for _ in range(3)]
    assert (await alice.create(5)).status == 403
    said = await jumbo(app, ALICE).ask(
        "POST", "/start", {"Content-Type": "application/json"}, b'{"filename": "a", "size": 5}'
    )
    assert (said.status, said.problem) == (429, "too-many-uploads")
    assert (await alice.patch(addresses[0], 0, b"hello")).status == 204
    assert (await alice.create(5)).status == 201
    await app.house.aclose()


async def test_how_often_somebody_may_ask(serve: Serve) -> None:
    tus = serve(rate_limit=1, rate_burst=2)
    browser = Browser(tus)
    address = (await browser.create(5)).location
    assert (await browser.head(address)).status == 200
    head = await browser.head(address)
    assert (head.status, head.headers["retry-after"]) == (423, "1")
    patch = await browser.patch(address, 0, b"hello")
    assert (patch.status, patch.headers["retry-after"]) == (503, "1")
    said = await Jumbo(Browser(tus.jumbo)).ask("GET", "/statistics")
    assert (said.status, said.problem) == (429, "too-many-requests")
    assert said.answer.headers["retry-after"] == "1"
    other = Browser(tus, scope={"client": ("192.0.2.8", 1)})
    assert (await other.head(address)).status == 200


async def test_who_is_let_in_as_nobody_finds_only_what_is_nobodys(serve: Serve) -> None:
    users = {"Bearer alices": "alice"}
    tus = serve(gate=lambda admission: users.get(admission.headers.get("authorization", "")))
    address = await by(tus, ALICE).upload(b"hello")
    stranger = by(tus, {})
    assert (await stranger.get(address)).status == 404
    assert (await stranger.head(address)).status == 404
    theirs = await stranger.upload(b"world")
    assert (await stranger.get(theirs)).body == b"world"


async def test_hooks_are_not_told_what_lets_somebody_in(serve: Serve, clock: Clock) -> None:
    calls: list[HookCall] = []

    def hook(call: HookCall) -> None:
        calls.append(call)

    query = SignedUrls([SECRET], clock=clock).sign(expires_at=clock.now + 60)
    tus = serve(url_secret=SECRET, hooks=[Function(hook, name="app")])
    head = {**T, "Upload-Length": "0", **ALICE}
    for text in (query, f"a=b&{query}&c=d"):
        made = await Browser(tus).ask("POST", "/", head, query_string=text.encode())
        assert made.status == 201
    assert {call.origin.uri for call in calls} == {"/?token=-", "/?a=b&token=-&c=d"}
    stored = [it for it in calls if not it.hook.asks]
    assert stored
    assert all("Authorization" not in it.origin.headers for it in stored)
