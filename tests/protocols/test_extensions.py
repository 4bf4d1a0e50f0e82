from __future__ import annotations

from itertools import product

import pytest

from tests.protocols.scenes import command_of, head, values
from tusjumbo.errors import ExtensionUnsupported, MethodNotAllowed
from tusjumbo.protocols import tus
from tusjumbo.protocols.extensions import EXTENSIONS, Offer, advertised
from tusjumbo.sessions.commands import Action, Create

OFFERS = [
    Offer(
        max_size=max_size,
        downloads=downloads,
        termination=termination,
        expiration=expiration,
        concatenation=joins,
        algorithms=algorithms,
        checksum_trailer=trailer,
    )
    for max_size, (downloads, termination), (expiration, joins), algorithms, trailer in product(
        (None, 0, 2**63 - 1),
        ((False, False), (False, True), (True, False), (True, True)),
        ((False, True), (True, False)),
        ({}, {"sha1": 20}),
        (False, True),
    )
]
ASKING = {
    "upload-defer-length": ["Upload-Defer-Length: 1"],
    "upload-concat": ["Upload-Concat: partial", "Upload-Length: 1"],
}
METHODS = {Action.CREATE: "POST /", Action.TERMINATE: "DELETE /abc", Action.FETCH: "GET /abc"}


def test_what_is_advertised_with_everything_on() -> None:
    assert advertised(Offer(expiration=True, algorithms={"sha1": 20})) == (
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "termination",
        "concatenation",
        "concatenation-unfinished",
    )


def test_what_is_advertised_with_everything_off() -> None:
    assert advertised(Offer(termination=False, concatenation=False)) == (
        "creation",
        "creation-with-upload",
        "creation-defer-length",
    )


@pytest.mark.parametrize("offer", OFFERS, ids=str)
def test_an_action_works_exactly_if_its_extension_is_advertised(offer: Offer) -> None:
    names = values(tus.describe(offer))["Tus-Extension"].split(",")
    for extension in EXTENSIONS:
        if extension.action is None:
            continue
        request = head(METHODS[extension.action])
        if extension.name in names:
            assert tus.recognise(request, offer).action is extension.action
        else:
            with pytest.raises(MethodNotAllowed):
                tus.recognise(request, offer)


@pytest.mark.parametrize("offer", OFFERS, ids=str)
def test_a_field_works_exactly_if_its_extension_is_advertised(offer: Offer) -> None:
    for extension in EXTENSIONS:
        if extension.field is None:
            continue
        request = head("POST /", *ASKING[extension.field])
        if extension.name in advertised(offer):
            assert isinstance(command_of(request, offer), Create)
        else:
            with pytest.raises(ExtensionUnsupported, match=extension.name):
                command_of(request, offer)


@pytest.mark.parametrize("offer", OFFERS, ids=str)
def test_downloads_are_no_extension_but_an_action(offer: Offer) -> None:
    request = head("GET /abc", version=None)
    if offer.downloads:
        assert tus.recognise(request, offer).action is Action.FETCH
    else:
        with pytest.raises(MethodNotAllowed) as caught:
            tus.recognise(request, offer)
        assert "GET" not in caught.value.allowed
        assert "HEAD" in caught.value.allowed


@pytest.mark.parametrize("offer", OFFERS, ids=str)
def test_a_limit_is_advertised_exactly_if_there_is_one(offer: Offer) -> None:
    expected = None if offer.max_size is None else str(offer.max_size)
    assert values(tus.describe(offer)).get("Tus-Max-Size") == expected


@pytest.mark.parametrize("offer", OFFERS, ids=str)
def test_algorithms_are_named_exactly_if_bodies_are_checked(offer: Offer) -> None:
    found = values(tus.describe(offer))
    assert ("checksum" in found["Tus-Extension"].split(",")) == ("Tus-Checksum-Algorithm" in found)
    assert found.get("Tus-Checksum-Algorithm", "") == ",".join(offer.algorithms)
    trails = "checksum-trailer" in advertised(offer)
    assert trails == (offer.checksum_trailer and "checksum" in advertised(offer))
