"""tus 1.0: request heads become commands, outcomes become response heads.

Strategy: first name the intent (`recognise`: which method really, which resource, which version),
then let the gate decide about it, then read the details (`decode`). Nothing here can see a body or
an upload, so whatever depends on them (404, 409, 413) is left to the rules. Where the spec is
silent we do what specs/tus-1.0.md section 11 recommends; checks come in the order of its AMB-34.

What another protocol would say differently is in this file; what it would do the same is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tusjumbo.errors import (
    MalformedRequest,
    MediaTypeUnsupported,
    MethodNotAllowed,
    PartUnusable,
    RouteNotFound,
    VersionUnsupported,
)
from tusjumbo.protocols.checksums import content_of
from tusjumbo.protocols.extensions import Offer, admits, advertised, check_creation
from tusjumbo.protocols.fields import (
    CONCAT,
    DATE,
    DEFERRED,
    INTEGER,
    MEDIA_TYPE,
    METADATA,
    METHOD,
    decoded,
    is_metadata_key,
    path_of,
)
from tusjumbo.protocols.messages import Fields, Headers, Intent, RequestHead, ResponseHead
from tusjumbo.sessions import ids
from tusjumbo.sessions.commands import (
    Action,
    Append,
    Command,
    Content,
    Create,
    Fetch,
    Inspect,
    Join,
    Terminate,
)
from tusjumbo.sessions.outcomes import Appended, Created, Inspected, Terminated
from tusjumbo.sessions.session import Kind, Phase, UploadSession

__all__ = ["VERSION", "Intent", "decode", "describe", "encode", "recognise"]

VERSION = "1.0.0"
BYTES = "application/offset+octet-stream"
"""The media type of a body that is part of an upload."""

_RESUMABLE: Headers = (("Tus-Resumable", VERSION),)

_AT_ENDPOINT: Mapping[str, Action] = {"POST": Action.CREATE, "OPTIONS": Action.DESCRIBE}
_AT_UPLOAD: Mapping[str, Action] = {
    "HEAD": Action.INSPECT,
    "PATCH": Action.APPEND,
    "DELETE": Action.TERMINATE,
    "GET": Action.FETCH,
    "OPTIONS": Action.DESCRIBE,
}
_UNVERSIONED = frozenset({"OPTIONS", "GET"})
"""Methods that need no Tus-Resumable: OPTIONS by the spec, GET because it is none of tus."""


# --- what is asked -------------------------------------------------------------------------------


def recognise(head: RequestHead, offer: Offer) -> Intent:
    """What the request is about, as far as method, path and version tell.

    :raises MalformedRequest: the method override is no method
    :raises VersionUnsupported: no Tus-Resumable, or another version
    :raises RouteNotFound: the path is neither the endpoint nor an upload's
    :raises MethodNotAllowed: there is such a resource, but not for this method
    """
    method = _method(head)
    if method == "OPTIONS":
        # On any path: a preflight that fails hides from a browser that the upload is gone.
        return Intent(Action.DESCRIBE, None, method)
    # tus: "If the version specified by the Client is not supported by the Server, it MUST respond
    # with the `412 Precondition Failed` status [...] the Server MUST NOT process the request."
    # A missing one is no supported one (AMB-01).
    asked = head.fields.joined("tus-resumable")
    if asked != VERSION and method not in _UNVERSIONED:
        raise VersionUnsupported(asked, (VERSION,))
    upload_id = _upload_id(head.path)
    actions = _AT_ENDPOINT if upload_id is None else _AT_UPLOAD
    action = actions.get(method)
    if action is None or not admits(offer, action):
        allowed = (name for name, action in actions.items() if admits(offer, action))
        raise MethodNotAllowed(method, tuple(allowed))
    return Intent(action, upload_id, method)


def _method(head: RequestHead) -> str:
    """tus: the override "MUST be interpreted as the request's method by the Server, if the header
    is presented. The actual method of the request MUST be ignored."

    Not so for GET and OPTIONS, which firewalls and browsers rely on to be harmless (OVR-06).
    """
    override = head.fields.one("x-http-method-override")
    if not override or head.method in _UNVERSIONED:
        return head.method
    return METHOD.decode("x-http-method-override", override)


def _upload_id(path: str) -> str | None:
    """The id in `path`; None for the endpoint.

    :raises RouteNotFound: it can be neither
    """
    if path in ("", "/"):
        return None
    upload_id = path.removeprefix("/").removesuffix("/")
    if not path.startswith("/") or not ids.is_valid(upload_id):
        raise RouteNotFound(path)
    return upload_id


_ABOUT: Mapping[Action, Callable[[str], Command]] = {
    Action.INSPECT: Inspect,
    Action.TERMINATE: Terminate,
    Action.FETCH: Fetch,
}


def decode(head: RequestHead, intent: Intent, offer: Offer) -> Command:
    """The command of a request whose intent was recognised and admitted.

    :raises ExtensionUnsupported: it needs what is not offered
    :raises MalformedRequest: a field is missing or does not follow its grammar
    :raises MediaTypeUnsupported: its body is not declared as part of an upload
    :raises PartUnusable: it is to be made of something that has no address here
    :raises ValueError: the intent is DESCRIBE; `describe` answers that
    """
    if intent.action is Action.CREATE:
        return _create(head, offer)
    if intent.upload_id is None:
        raise ValueError(f"{intent.action} is not about an upload")
    if intent.action is Action.APPEND:
        return _append(head, intent.upload_id, offer)
    return _ABOUT[intent.action](intent.upload_id)


def _create(head: RequestHead, offer: Offer) -> Create | Join:
    fields = head.fields
    check_creation(offer, fields)
    if references := CONCAT.find(fields, "upload-concat"):
        return _join(head, references)
    length = INTEGER.find(fields, "upload-length")
    deferred = DEFERRED.find(fields, "upload-defer-length")
    # tus: "The request MUST include one of the following headers: a) `Upload-Length` [...]
    # b) `Upload-Defer-Length: 1`".
    if length is None and deferred is None:
        raise MalformedRequest(
            "upload-length", "", f"{INTEGER.expected}, or Upload-Defer-Length: 1 in its place"
        )
    if length is not None and deferred is not None:
        raise MalformedRequest("upload-defer-length", "1", "nothing beside Upload-Length")
    # Not a field of this request in the spec, but clients may say where they begin (CWU-14).
    if offset := INTEGER.find(fields, "upload-offset"):
        raise MalformedRequest("upload-offset", str(offset), "0 or nothing at creation")
    metadata, echo = _metadata(fields)
    return Create(
        length=length,
        metadata=metadata,
        echo=echo | _concat(fields),
        content=_first_content(head, offer),
        kind=Kind.PARTIAL if "upload-concat" in fields else Kind.WHOLE,
    )


def _join(head: RequestHead, references: Sequence[str]) -> Join:
    fields = head.fields
    # AMB-24. tus: the client "MUST NOT include the `Upload-Length` header" here.
    for field in ("upload-length", "upload-defer-length"):
        if field in fields:
            raise MalformedRequest(field, fields.joined(field) or "", "nothing beside final;")
    # A body of unknown size and another type may be empty; it is left unread (CWU-06, CWU-12).
    if head.announced or (head.announced is None and _is_bytes(fields)):
        raise MalformedRequest("upload-concat", "final;", "partial with a body, or no body")
    metadata, echo = _metadata(fields)
    endpoint = head.endpoint()
    parts = tuple(_part(reference, endpoint) for reference in references)
    return Join(parts=parts, metadata=metadata, echo=echo | _concat(fields))


def _part(reference: str, endpoint: str) -> str:
    """The id in the address of an upload, in whichever form a client may write it."""
    path, base = path_of(reference, endpoint), decoded(endpoint)
    if path is not None and path.startswith(base + "/"):
        with suppress(RouteNotFound):
            if upload_id := _upload_id(path.removeprefix(base)):
                return upload_id
    raise PartUnusable(reference, "it is not the address of an upload here")


def _concat(fields: Fields) -> dict[str, str]:
    """tus: HEAD says "its value as received in the upload creation request" (AMB-10)."""
    raw = fields.one("upload-concat")
    return {} if raw is None else {"upload-concat": raw}


def _metadata(fields: Fields) -> tuple[Mapping[str, bytes], dict[str, str]]:
    """The pairs, and the text for HEAD: "its value as specified by the Client"."""
    raw = fields.joined("upload-metadata")
    # tuspy sends the field also when it has nothing to say (META-04).
    if not raw:
        return {}, {}
    return METADATA.decode("upload-metadata", raw), {"upload-metadata": raw}


def _first_content(head: RequestHead, offer: Offer) -> Content | None:
    """The body of a creation, if it is part of the upload.

    An empty body may have any type, because some stacks set one always (CREATE-12). A body of
    unknown size may well be empty (chunked by habit, or HTTP/2), so with another type it is not
    refused but left unread: the answer's `Upload-Offset: 0` says that nothing was taken (CWU-06).
    """
    content = content_of(head, offer)
    if head.announced == 0:
        return None if content.digest is None else content
    if _is_bytes(head.fields):
        return content
    if head.announced is None:
        return None
    raise MediaTypeUnsupported(head.fields.joined("content-type"), BYTES)


def _append(head: RequestHead, upload_id: str, offer: Offer) -> Append:
    fields = head.fields
    at = INTEGER.require(fields, "upload-offset")
    declares = INTEGER.find(fields, "upload-length")
    content = content_of(head, offer)
    # tus: "All `PATCH` requests MUST use `Content-Type: application/offset+octet-stream`,
    # otherwise the server SHOULD return a `415 Unsupported Media Type` status."
    if not _is_bytes(fields):
        raise MediaTypeUnsupported(fields.joined("content-type"), BYTES)
    return Append(id=upload_id, at=at, declares=declares, content=content)


def _is_bytes(fields: Fields) -> bool:
    text = fields.joined("content-type") or ""
    return text == BYTES or MEDIA_TYPE.read(text) == BYTES


# --- what is answered ----------------------------------------------------------------------------


def describe(offer: Offer) -> ResponseHead:
    """The answer to OPTIONS: what can be done here."""
    limit = () if offer.max_size is None else (("Tus-Max-Size", INTEGER.write(offer.max_size)),)
    # tus: "The `Tus-Checksum-Algorithm` header MUST be included in the response to an `OPTIONS`
    # request." (CSUM-01)
    names = ",".join(offer.algorithms)
    algorithms = (("Tus-Checksum-Algorithm", names),) if names else ()
    extensions = ",".join(advertised(offer))
    return _response(
        204, ("Tus-Version", VERSION), ("Tus-Extension", extensions), *limit, *algorithms
    )


def encode(
    outcome: Created | Appended | Inspected | Terminated,
    offer: Offer,
    location: Callable[[str], str],
) -> ResponseHead:
    """The answer to a command that was carried out. `location` makes an id into its address.

    None has a body, and so none a Content-Length here: a HEAD that states the upload's length
    hangs the client of an overridden POST (OVR-03).
    """
    match outcome:
        case Created(session, answer):
            # Upload-Offset also without a body: tus-js-client may need it (CREATE-16).
            address = ("Location", location(session.id))
            head = _response(201, address, *_offset(session), *_expiry(session, offer))
            return head.amended(answer).amended(session.final_answer)
        case Appended(session):
            head = _response(204, *_offset(session), *_expiry(session, offer))
            return head.amended(session.final_answer)
        case Inspected(session):
            return _response(
                200,
                *_offset(session),
                *_length(session),
                *_concat_of(session),
                *_metadata_of(session),
                *_expiry(session, offer),
                # tus: "The Server MUST prevent the client and/or proxies from caching the response
                # by adding the `Cache-Control: no-store` header".
                ("Cache-Control", "no-store"),
            )
        case Terminated(_, answer):
            return _response(204).amended(answer)


def _response(status: int, *headers: tuple[str, str]) -> ResponseHead:
    return ResponseHead(status, (*_RESUMABLE, *headers))


def _offset(session: UploadSession) -> Headers:
    # tus: for a final upload, HEAD "SHOULD NOT contain the `Upload-Offset` header unless the
    # concatenation has been successfully finished" (AMB-21).
    if session.is_pending:
        return ()
    return (("Upload-Offset", INTEGER.write(session.offset)),)


def _length(session: UploadSession) -> Headers:
    if session.length is None and session.kind is Kind.FINAL:
        return ()  # nobody can declare it (UNFIN-06)
    if session.length is None:
        return (("Upload-Defer-Length", DEFERRED.write(True)),)
    return (("Upload-Length", INTEGER.write(session.length)),)


def _concat_of(session: UploadSession) -> Headers:
    raw = session.echo.get("upload-concat")
    return () if raw is None else (("Upload-Concat", raw),)


def _metadata_of(session: UploadSession) -> Headers:
    raw = session.echo.get("upload-metadata")
    if raw is None:
        # It came by another protocol, where a key may be anything: leave out what cannot be said.
        pairs = {key: value for key, value in session.metadata.items() if is_metadata_key(key)}
        raw = METADATA.write(pairs)
    return (("Upload-Metadata", raw),) if raw else ()


def _expiry(session: UploadSession, offer: Offer) -> Headers:
    """tus: "This header MUST be included in every `PATCH` response if the upload is going to
    expire", and at creation. Also on HEAD, which is all that a resuming client asks (HEAD-13).
    """
    if session.phase is not Phase.OPEN or session.expires_at is None or not offer.expiration:
        return ()
    return (("Upload-Expires", DATE.write(session.expires_at)),)
