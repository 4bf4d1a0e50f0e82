from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gates.admissions import asking
from tusjumbo.application import Identity
from tusjumbo.errors import ConfigurationError, Unauthorized
from tusjumbo.gates.signed import SignedUrls
from tusjumbo.sessions.commands import Action

SECRET = "a secret of some length"
NOW = 1_800_000_000.0


def gate(*secrets: str, now: float = NOW) -> SignedUrls:
    return SignedUrls(secrets or [SECRET], clock=lambda: now)


async def test_what_is_made_by_it_has_an_address_of_its_own() -> None:
    query = gate().sign(owner="alice", expires_at=NOW + 60)
    identity = await gate().admit(asking(query=query))
    assert identity.owner == "alice"
    assert identity.query is not None
    again = identity.query("abc")
    for action in (Action.INSPECT, Action.APPEND, Action.TERMINATE, Action.FETCH):
        about = asking(query=again, action=action, upload_id="abc")
        assert await gate().admit(about) == Identity("alice")
    for other in ("abd", None):
        with pytest.raises(Unauthorized, match="not for that"):
            await gate().admit(asking(query=again, action=Action.INSPECT, upload_id=other))
    with pytest.raises(Unauthorized, match="until some time ago"):
        await gate(now=NOW + 60).admit(asking(query=again, upload_id="abc"))


@pytest.mark.parametrize("action", [it for it in Action if it not in (Action.CREATE, Action.JOIN)])
async def test_one_for_making_is_for_nothing_else(action: Action) -> None:
    query = gate().sign(expires_at=NOW + 60)
    for upload_id in (None, "abc"):
        with pytest.raises(Unauthorized):
            await gate().admit(asking(query=query, action=action, upload_id=upload_id))


async def test_parts_are_joined_by_who_may_make() -> None:
    query = gate().sign(owner="alice", expires_at=NOW + 60)
    joining = asking(query=query, action=Action.JOIN, upload_id="part")
    assert (await gate().admit(joining)).owner == "alice"


async def test_one_for_some_actions_only() -> None:
    query = gate().sign(upload_id="abc", expires_at=NOW + 60, actions=[Action.FETCH])
    fetching = asking(query=query, action=Action.FETCH, upload_id="abc")
    assert await gate().admit(fetching) == Identity(None)
    with pytest.raises(Unauthorized, match="not for that"):
        await gate().admit(asking(query=query, action=Action.TERMINATE, upload_id="abc"))


async def test_other_things_in_the_query_do_not_matter() -> None:
    query = gate().sign(expires_at=NOW + 60)
    for text in (f"a=b&{query}", f"{query}&a=b", f"xtoken=1&{query}"):
        assert gate().claims(asking(query=text))
        await gate().admit(asking(query=text))


@pytest.mark.parametrize("query", ["", "token=", "token", "atoken=1.a.b", "token=1&token=2"])
async def test_what_has_no_token(query: str) -> None:
    assert not gate().claims(asking(query=query))
    with pytest.raises(Unauthorized):
        await gate().admit(asking(query=query))


async def test_secrets_are_changed_one_after_the_other() -> None:
    query = gate("first secret, long").sign(expires_at=NOW + 60)
    await gate("second secret, too", "first secret, long").admit(asking(query=query))
    with pytest.raises(Unauthorized):
        await gate("second secret, too").admit(asking(query=query))


QUERY = gate().sign(owner="alice", expires_at=NOW + 60)


@given(st.integers(len("token="), len(QUERY) - 1), st.characters(codec="ascii"))
async def test_whatever_is_changed_in_it(at: int, character: str) -> None:
    changed = QUERY[:at] + character + QUERY[at + 1 :]
    if changed != QUERY:
        with pytest.raises(Unauthorized):
            await gate().admit(asking(query=changed))


@given(st.text(st.characters(codec="ascii"), max_size=60))
async def test_whatever_is_sent(text: str) -> None:
    with pytest.raises(Unauthorized):
        await gate().admit(asking(query=f"token={text}"))


@pytest.mark.parametrize("secrets", [[], [""], ["short"], [SECRET, "short"]])
def test_a_secret_has_to_be_long(secrets: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="url_secret: has to have at least"):
        SignedUrls(secrets)
