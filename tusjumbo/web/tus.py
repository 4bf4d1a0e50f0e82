"""The tus endpoint: head -> protocol -> gate -> command -> outcome -> answer.

Everything that can be decided from the head is decided before the body is asked for. Which protocol
it is, is looked up in a list; nothing here asks for its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tusjumbo.errors import TusJumboError
from tusjumbo.protocols import checksums, refusals, tus
from tusjumbo.protocols.extensions import Offer
from tusjumbo.protocols.messages import Fields, Intent, RequestHead, ResponseHead
from tusjumbo.sessions.commands import Action, Command, Create, Digest, Join
from tusjumbo.sessions.outcomes import (
    Appended,
    Created,
    Fetched,
    Inspected,
    Stored,
    Terminated,
    Verified,
)
from tusjumbo.web.bodies import announced
from tusjumbo.web.downloads import Download, download
from tusjumbo.web.exchange import Exchange, Request
from tusjumbo.web.links import place


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How one protocol is spoken."""

    claims: Callable[[RequestHead], bool]
    """Whether a request is meant in this protocol."""
    recognise: Callable[[RequestHead, Offer], Intent]
    decode: Callable[[RequestHead, Intent, Offer], Command]
    digest_after: Callable[[Fields, Offer], Digest]
    """The digest that trailers tell, where a command promises one."""
    encode: Callable[
        [Created | Appended | Inspected | Terminated, Offer, Callable[[str], str]], ResponseHead
    ]
    describe: Callable[[Offer], ResponseHead]
    refuse: Callable[[TusJumboError, Intent | None], ResponseHead | None]


TUS = Protocol(
    claims=lambda _: True,
    recognise=tus.recognise,
    decode=tus.decode,
    digest_after=checksums.digest_after,
    encode=tus.encode,
    describe=tus.describe,
    refuse=refusals.refuse,
)

PROTOCOLS = (TUS,)
"""The first one that claims a request answers it; the last one claims every request."""

_OF_JUMBO = Stored | Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class TusExchange(Exchange):
    offer: Offer
    protocols: Sequence[Protocol] = PROTOCOLS
    _offer_without_trailers: Offer = field(init=False)
    """Of servers that do not tell them."""

    def __post_init__(self) -> None:
        without = replace(self.offer, checksum_trailer=False)
        object.__setattr__(self, "_offer_without_trailers", without)

    def refuse(self, error: TusJumboError) -> ResponseHead | None:
        return self.protocols[-1].refuse(error, None)

    async def answer(self, request: Request) -> ResponseHead | Download:
        scope, fields = request.scope, request.fields
        offer = self.offer if request.body.tells_trailers else self._offer_without_trailers
        size = announced(scope, fields)
        request.body.announce(size)
        head = RequestHead(
            scope["method"],
            place(scope).below,
            fields,
            size,
            lambda: self.links.endpoint(scope, fields),
        )
        for protocol in self.protocols:
            if protocol.claims(head):
                break
        request.refuse = lambda error: protocol.refuse(error, None)
        intent = protocol.recognise(head, offer)
        request.refuse = lambda error: protocol.refuse(error, intent)
        request.upload_id = intent.upload_id
        if intent.action is Action.DESCRIBE:
            return protocol.describe(offer)
        await self.admit(request, intent.action, [intent.upload_id])
        command = protocol.decode(head, intent, offer)
        request.body.read_digest_by(lambda trailers: protocol.digest_after(trailers, offer))
        if isinstance(command, Join):
            # What somebody may not fetch must not be had by joining it either.
            await self.admit(request, Action.JOIN, dict.fromkeys(command.parts))
        if isinstance(command, Create | Join) and request.owner is not None:
            command = replace(command, owner=request.owner)
        outcome = await self.uploads.execute(command, request.body, self.origin(request))
        if isinstance(outcome, Fetched):
            return await download(outcome, fields)
        if isinstance(outcome, _OF_JUMBO):
            raise TypeError(f"a command of tus became {outcome!r}")
        if isinstance(outcome, Created):
            request.upload_id = outcome.session.id
        return protocol.encode(outcome, offer, lambda it: self.address(request, it, it))
