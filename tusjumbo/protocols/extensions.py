"""The tus extensions: one table, from which both the advert and the refusals are made.

A row says when an extension is offered and by what a request shows that it wants it: an action
that exists only with the extension (without it the method is not allowed), or a field of the
creation request (without it the request is refused before anything else is looked at). So nothing
can be advertised that is refused, nor done that is not advertised. Adding an extension is adding a
row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tusjumbo.errors import ExtensionUnsupported
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions.commands import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What this installation can do: facts about its settings, store, catalog and server."""

    max_size: int | None = None
    """The largest upload in bytes; None if there is no limit."""
    downloads: bool = True
    """Finished uploads may be fetched. No tus extension: GET is outside the protocol."""
    termination: bool = True
    expiration: bool = False
    concatenation: bool = True
    algorithms: Mapping[str, int] = field(default_factory=dict)
    """By which a body can be checked, and the size of their digests in bytes. One is sha1."""
    checksum_trailer: bool = False
    """The digest may come after the body: the server tells trailers from headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    name: str
    offered: Callable[[Offer], bool]
    action: Action | None = None
    """The action that exists only with it."""
    field: str | None = None
    """The field that asks for it at creation."""


def _always(_: Offer) -> bool:
    return True


EXTENSIONS = (
    Extension(name="creation", offered=_always, action=Action.CREATE),
    Extension(name="creation-with-upload", offered=_always),
    Extension(name="creation-defer-length", offered=_always, field="upload-defer-length"),
    Extension(name="expiration", offered=lambda offer: offer.expiration),
    Extension(name="checksum", offered=lambda offer: bool(offer.algorithms)),
    Extension(
        name="checksum-trailer",
        offered=lambda offer: bool(offer.algorithms) and offer.checksum_trailer,
    ),
    Extension(name="termination", offered=lambda offer: offer.termination, action=Action.TERMINATE),
    # Ignoring it would make an ordinary upload of what should become a part or a whole (CONC-01).
    Extension(
        name="concatenation", offered=lambda offer: offer.concatenation, field="upload-concat"
    ),
    Extension(name="concatenation-unfinished", offered=lambda offer: offer.concatenation),
)

_OF_ACTIONS = tuple(row for row in EXTENSIONS if row.action is not None)
_OF_FIELDS = tuple((row.field, row) for row in EXTENSIONS if row.field is not None)


def advertised(offer: Offer) -> tuple[str, ...]:
    """The members of Tus-Extension."""
    return tuple(extension.name for extension in EXTENSIONS if extension.offered(offer))


def admits(offer: Offer, action: Action) -> bool:
    """Whether there is such an action here."""
    if action is Action.FETCH:
        return offer.downloads
    for extension in _OF_ACTIONS:
        if extension.action is action and not extension.offered(offer):
            return False
    return True


def check_creation(offer: Offer, fields: Fields) -> None:
    """Return if a creation with these fields asks for nothing that is not offered.

    :raises ExtensionUnsupported: it does
    """
    for field_name, extension in _OF_FIELDS:
        if field_name in fields and not extension.offered(offer):
            raise ExtensionUnsupported(extension.name)
