"""What a client is told when something was refused or went wrong: one table, class -> status.

Those of tus are chosen for what shipping clients do with them (specs/clients.md), which decides
whether an upload is resumed, repeated from zero or given up:
- on PATCH, a 4xx other than 409 and 423 is the end for tus-js-client; 408 is, too. So whatever
  passes by itself is 423 or 5xx;
- on HEAD, any 5xx makes tus-js-client forget the upload and send all of it again. So whatever
  passes by itself is 423 there, and a 404 is said only when nothing can be resumed;
- TUSKit takes an Upload-Offset for progress and tuspy a Location for success, whatever the status.
Jumbo's clients read what kind of problem it is, so there the status is the one that means it.

Every answer is `no-store`: a 404 or 405 may otherwise be cached and outlive its reason. Errors that
are not ours have no row; the web room answers those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tusjumbo import errors
from tusjumbo.errors import TusJumboError
from tusjumbo.protocols.fields import DATE, INTEGER, printable
from tusjumbo.protocols.messages import Headers, Intent, ResponseHead
from tusjumbo.protocols.tus import VERSION
from tusjumbo.sessions.commands import Action
from tusjumbo.sessions.session import Answer


@dataclass(frozen=True, slots=True)
class Row:
    status: int | None
    """None: there is nobody left to answer."""
    on_head: int | None = None
    """The status where progress was asked for, if it differs."""
    jumbo: int | None = None
    """The status in the Jumbo API, if it differs."""
    closes: bool = False
    """The body is not going to be read to its end."""


ROWS: Mapping[type[TusJumboError], Row] = {
    # Bases are for classes that somebody else derives: a gate's, a store's.
    TusJumboError: Row(500, on_head=423),
    errors.Refusal: Row(400),
    errors.Interrupted: Row(503, on_head=423, closes=True),
    errors.SystemFailure: Row(500, on_head=423),
    errors.ConfigurationError: Row(500, on_head=423),
    # What the request got wrong.
    errors.MalformedRequest: Row(400),
    errors.LengthConflict: Row(400),
    errors.NoSuchChunk: Row(400, jumbo=404),
    errors.ChunkSizeWrong: Row(400),
    # Not 409: tus-js-client would send the same bytes again.
    errors.ChunkConflict: Row(400, jumbo=409),
    errors.NotAbandoned: Row(400, jumbo=409),
    # Not 501: tus-js-client would try a 5xx again and again, and an extension does not appear.
    errors.ExtensionUnsupported: Row(400),
    # Not 404: a client would take it for the endpoint's (AMB-23).
    errors.PartUnusable: Row(400),
    errors.AlgorithmUnsupported: Row(400),
    errors.Unauthorized: Row(401),
    errors.Forbidden: Row(403),
    errors.TooManyUploads: Row(403, jumbo=429),
    # What the application says stands in place of this (`Rejected.status`). Not 5xx: it is final.
    errors.UploadRejected: Row(400, jumbo=403),
    errors.TerminationRejected: Row(400, jumbo=403),
    errors.UploadStopped: Row(400, jumbo=410),
    # tus: "The Server MUST respond with the `403 Forbidden` status to `PATCH` requests against a
    # final upload URL and MUST NOT modify the final or its partial uploads."
    errors.UploadIsFinal: Row(403),
    errors.RouteNotFound: Row(404),
    errors.UploadNotFound: Row(404),
    errors.UploadElsewhere: Row(404),
    errors.MethodNotAllowed: Row(405),
    errors.OffsetMismatch: Row(409),
    # GET is outside tus. "A conflict with the current state of the target resource" that goes
    # away: truer than 404 for an address where something is being uploaded.
    errors.UploadUnfinished: Row(409),
    errors.UploadIsPartial: Row(409),
    errors.VersionUnsupported: Row(412),
    errors.UploadTooLarge: Row(413),
    errors.BodyTooLong: Row(413),
    errors.QuotaExceeded: Row(413),
    errors.MediaTypeUnsupported: Row(415),
    errors.MediaTypeRefused: Row(415),
    errors.UploadLocked: Row(423),
    # Not 429, which is the end for tus-js-client.
    errors.TooManyRequests: Row(503, on_head=423, jumbo=429),
    errors.DigestMismatch: Row(460, jumbo=400),
    # What ended a request that was right. HandedOver: AMB-14.
    errors.ClientDisconnected: Row(None),
    errors.HandedOver: Row(423, closes=True),
    errors.StaleCommit: Row(423),
    errors.BodyTimeout: Row(503, on_head=423, closes=True),
    errors.ServerClosing: Row(503, on_head=423, closes=True),
    # What the system could not do.
    errors.StorageFull: Row(507, on_head=423),
    errors.StorageFailed: Row(500, on_head=423),
    errors.CatalogFailed: Row(500, on_head=423),
    errors.HookFailed: Row(500, on_head=423),
    errors.AssemblyFailed: Row(500, on_head=423),
    # Gone for good, so the client has to create anew. All do at a 404 on HEAD, tus-java-client
    # only at that. On PATCH a 404 would end the upload; a 5xx makes them ask by HEAD first.
    errors.StorageLost: Row(500, on_head=404),
}
"""The row of the nearest base is for a class that has none."""

RETRY_AFTER = 1
"""Seconds. A server that is stopped to be restarted is back in a moment."""


def refuse(error: TusJumboError, intent: Intent | None) -> ResponseHead | None:
    """tus' answer to a request that ended with `error`; None if nobody is left to hear it.

    `intent` is None where it was not recognised.
    """
    _, row = nearest(type(error))
    on_head = intent is not None and intent.action is Action.INSPECT
    status = row.on_head if on_head and row.on_head is not None else row.status
    if status is None:
        return None
    headers = [("Tus-Resumable", VERSION), ("Cache-Control", "no-store"), *facts(error)]
    # tus: "This header MUST be included in every `PATCH` response if the upload is going to
    # expire." So also in those that say no (AMB-17).
    if isinstance(error, errors.Refusal) and error.expires_at is not None:
        headers.append(("Upload-Expires", DATE.write(error.expires_at)))
    if on_head:
        # tuspy and TUSKit would read an offset as success, whatever the status (HEAD-08).
        headers = [(name, value) for name, value in headers if name != "Upload-Offset"]
        return ResponseHead(status, tuple(headers), closes=row.closes)
    headers.append(("Content-Type", "text/plain; charset=utf-8"))
    body = f"{error}\n".encode("utf-8", "replace")
    return theirs(error, ResponseHead(status, tuple(headers), body, closes=row.closes))


def theirs(error: TusJumboError, head: ResponseHead) -> ResponseHead:
    """The refusal as the application words it, if it is the application's."""
    if not isinstance(error, errors.Rejected):
        return head
    return head.amended(Answer(error.status, error.headers, error.body or b""))


def nearest(kind: type[TusJumboError]) -> tuple[type[TusJumboError], Row]:
    """The class that has a row, and its row: `kind` itself, or the nearest of its bases."""
    return next((base, row) for base in kind.__mro__ if (row := ROWS.get(base)) is not None)


def facts(error: TusJumboError) -> Headers:
    """What the client can use to do better, in headers."""
    match error:
        case errors.Unauthorized():
            return (("WWW-Authenticate", printable(error.challenge)),)
        case errors.MethodNotAllowed():
            return (("Allow", ", ".join(error.allowed)),)
        case errors.OffsetMismatch():
            return (("Upload-Offset", INTEGER.write(error.offset)),)
        case errors.VersionUnsupported():
            return (("Tus-Version", ",".join(error.supported)),)
        case errors.AlgorithmUnsupported():
            return (("Tus-Checksum-Algorithm", ",".join(error.supported)),)
        case errors.ServerClosing():
            return (("Retry-After", str(RETRY_AFTER)),)
        case errors.TooManyRequests():
            return (("Retry-After", str(max(1, math.ceil(error.retry_after)))),)
        case _:
            return ()
