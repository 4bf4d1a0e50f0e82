"""tus checksum and checksum-trailer: what a request says of the digest of its body.

Strategy: whatever can be told from the head is refused before the body is read. A digest that is
promised for after the body is read by the same rules when it has come. Nothing here can hash: an
algorithm is a name and the size of its digests, which the offer tells.

Silence is never a yes: who asks for a check that cannot be made gets a refusal.
"""

from __future__ import annotations

from tusjumbo.errors import AlgorithmUnsupported, MalformedRequest
from tusjumbo.protocols.extensions import Offer
from tusjumbo.protocols.fields import CHECKSUM
from tusjumbo.protocols.messages import OWS, Fields, RequestHead
from tusjumbo.sessions.commands import Content, Digest, Keep, Promised

_FIELD = "upload-checksum"


def content_of(head: RequestHead, offer: Offer) -> Content:
    """The body that follows `head`.

    tus: if the checksum does not match, "the uploaded chunk MUST be discarded". What is only a part
    of the chunk cannot be checked, so of a body that breaks off nothing is kept (AMB-16).

    :raises AlgorithmUnsupported: its digest is by an algorithm that there is not
    :raises MalformedRequest: what stands for its digest cannot be one, or there are two
    """
    digest = _digest(head, offer)
    keep = Keep.PREFIX if digest is None else Keep.ALL_OR_NOTHING
    return Content(announced=head.announced, keep=keep, digest=digest)


def digest_after(trailers: Fields, offer: Offer) -> Digest:
    """The digest that was promised for after the body. No other trailer is looked at (TRAIL-06).

    :raises AlgorithmUnsupported: by an algorithm that there is not
    :raises MalformedRequest: it did not come (TRAIL-04), or cannot be a digest
    """
    digest = CHECKSUM.find(trailers, _FIELD)
    if digest is None:
        raise MalformedRequest(_FIELD, "", "a checksum after the body, as announced in Trailer")
    return _known(digest, offer)


def _digest(head: RequestHead, offer: Offer) -> Digest | Promised | None:
    if not offer.algorithms:
        return None
    digest = CHECKSUM.find(head.fields, _FIELD)
    if not (offer.checksum_trailer and _promises(head.fields)):
        return None if digest is None else _known(digest, offer)
    if digest is not None:
        raise MalformedRequest("trailer", _FIELD, "one Upload-Checksum, before or after the body")
    if head.announced is not None:
        # tus: trailers "are only allowed in chunked transfers". Some proxy may have joined them.
        raise MalformedRequest("trailer", _FIELD, "a trailer only where the body is chunked")
    return Promised.AFTER_BODY


def _promises(fields: Fields) -> bool:
    """tus: trailers "MUST be announced using the `Trailer` header". Others are ignored (TRAIL-03).

    RFC 9110 6.6.2: a list of field names.
    """
    names = fields.joined("trailer")
    if names is None:
        return False
    return any(name.strip(OWS).lower() == _FIELD for name in names.split(","))


def _known(digest: Digest, offer: Offer) -> Digest:
    # tus: "`400 Bad Request` if the checksum algorithm is not supported by the server".
    size = offer.algorithms.get(digest.algorithm)
    if size is None:
        raise AlgorithmUnsupported(digest.algorithm, offer.algorithms)
    if len(digest.value) != size:
        found = CHECKSUM.write(digest)
        raise MalformedRequest(_FIELD, found, f"{size} bytes of {digest.algorithm}")
    return digest
