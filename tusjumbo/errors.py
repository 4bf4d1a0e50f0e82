"""Every way tusjumbo can say no, as one tree of exceptions that carry data.

An error knows what happened and what the caller can do about it. It does not know HTTP: the one
table that turns classes into status codes is `tusjumbo.protocols.refusals`. A message is one
sentence for a person; the attributes are for programs.

For callers who know nothing of this tree, what was asked wrongly is also a ValueError, and what the
system could not do a RuntimeError.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


class TusJumboError(Exception):
    """The root of the tree."""


class ConfigurationError(TusJumboError, ValueError):
    """A setting that cannot work. The message is one line and names the setting.

    `setting` is its name in `tusjumbo.settings`, and `problem` what is wrong with it; without a
    setting the problem names it.
    """

    def __init__(self, problem: str, *, setting: str | None = None) -> None:
        self.problem = problem
        self.setting = setting
        super().__init__(problem if setting is None else f"{setting}: {problem}")


# --- what the request got wrong -----------------------------------------------------------------


class Refusal(TusJumboError, ValueError):
    """The request cannot be carried out as it is; nothing was stored and nothing changed."""

    expires_at: float | None = None
    """When the upload expires to which bytes were sent, in seconds since the epoch, if it does."""


class MalformedRequest(Refusal):
    """A header or path whose value does not follow its grammar."""

    def __init__(self, field: str, found: str, expected: str) -> None:
        self.field = field
        self.found = found[:80]
        self.expected = expected
        super().__init__(f"{field}: expected {expected}, found {self.found!r}.")


class VersionUnsupported(Refusal):
    """The protocol version asked for is missing or not one of `supported`."""

    def __init__(self, asked: str | None, supported: Collection[str]) -> None:
        self.asked = asked
        self.supported = tuple(supported)
        known = ", ".join(self.supported)
        found = "is missing" if asked is None else f"{asked[:40]!r} is not supported"
        super().__init__(f"Tus-Resumable {found}; send one of: {known}.")


class RouteNotFound(Refusal):
    """No upload and no endpoint has this path."""

    def __init__(self, path: str) -> None:
        self.path = path[:200]
        super().__init__("There is no upload at this address.")


class MethodNotAllowed(Refusal):
    """The resource exists, but not for this method. `allowed` are the methods that work."""

    def __init__(self, method: str, allowed: Collection[str]) -> None:
        self.method = method[:40]
        self.allowed = tuple(allowed)
        super().__init__(f"{self.method} does not work here; use {', '.join(self.allowed)}.")


class ExtensionUnsupported(Refusal):
    """The request uses a protocol extension that is not advertised."""

    def __init__(self, extension: str) -> None:
        self.extension = extension
        super().__init__(f"The extension {extension} is not offered here; see OPTIONS.")


class AlgorithmUnsupported(Refusal):
    """A digest by an algorithm that is not one of `supported`."""

    def __init__(self, asked: str, supported: Collection[str]) -> None:
        self.asked = asked[:40]
        self.supported = tuple(supported)
        super().__init__(f"{self.asked!r} is not supported; use {', '.join(self.supported)}.")


class MediaTypeUnsupported(Refusal):
    """A body with another Content-Type than the protocol asks for."""

    def __init__(self, found: str | None, expected: str) -> None:
        self.found = found[:80] if found is not None else None
        self.expected = expected
        super().__init__(f"Send the bytes as Content-Type: {expected} (found {self.found!r}).")


class MediaTypeRefused(Refusal):
    """The file is of a type that is not taken here, or is not what it claims to be.

    `declared` is the client's word (empty: none), `found` what its content is (None: not looked
    at), `allowed` the patterns that are taken (empty: all but some).
    """

    def __init__(self, declared: str, found: str | None, allowed: Collection[str]) -> None:
        self.declared = declared[:80]
        self.found = found
        self.allowed = tuple(allowed)
        claim = f"declared as {self.declared!r}" if self.declared else "of no declared type"
        what = f"A file {claim}" if found is None else f"A file {claim} that is {found}"
        taken = f" Send one of: {', '.join(self.allowed)}." if self.allowed else ""
        super().__init__(f"{what} is not taken here.{taken}")


class Unauthorized(Refusal):
    """Who asks is unknown. `challenge` is what WWW-Authenticate will say."""

    def __init__(
        self,
        challenge: str = "Bearer",
        reason: str = "Say who you are: this server takes uploads from known users only.",
    ) -> None:
        self.challenge = challenge
        super().__init__(reason)


class Forbidden(Refusal):
    """Who asks is known, and may not."""

    def __init__(self, reason: str = "You may not do this.") -> None:
        super().__init__(reason)


class TooManyRequests(Refusal):
    """Who asks has asked too often. `retry_after`: seconds until it may again."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__("Too many requests; try again in a moment.")


class QuotaExceeded(Refusal):
    """Its owner would have more bytes here than `quota`; `held` are there already."""

    def __init__(self, quota: int, held: int) -> None:
        self.quota = quota
        self.held = held
        super().__init__(f"You may have {quota} bytes here, and have {held}; remove some first.")


class TooManyUploads(Refusal):
    """Its owner has `quota` unfinished uploads, and may not have more."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        super().__init__(f"You may have {quota} unfinished uploads; finish or cancel one first.")


class Rejected(Refusal):
    """The application does not want it; what it says to that may go to the client as it is."""

    def __init__(
        self,
        reason: str = "The application behind this server does not want this.",
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        super().__init__(reason)


class UploadRejected(Rejected):
    """The upload is not to be: it is not created, or is over and its bytes are gone."""


class TerminationRejected(Rejected):
    """The upload is not to be removed."""


class UploadStopped(Refusal):
    """The application has ended the upload while it was coming in; it is gone."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("This upload has been stopped by the server.")


class UploadElsewhere(Refusal):
    """The finished file was handed on, and is not kept here."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("This upload is finished; its file is not kept here.")


class UploadNotFound(Refusal):
    """No such upload: never created, terminated, or expired."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("There is no such upload (any more); create a new one.")


class UploadUnfinished(Refusal):
    """The content was asked for before all bytes were in. `advice`: what to do about it."""

    def __init__(self, upload_id: str, offset: int, length: int | None, advice: str = "") -> None:
        self.upload_id = upload_id
        self.offset = offset
        self.length = length
        of = "an unknown number of" if length is None else str(length)
        here = f"This upload is not finished: {offset} of {of} bytes are here."
        super().__init__(f"{here} {advice}".rstrip())


class UploadIsPartial(Refusal):
    """The content of a part was asked for: it is no file, however many of its bytes are in."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("This is a partial upload, a part of files to come and none itself.")


class UploadIsFinal(Refusal):
    """Bytes were sent to an upload that is made of other uploads."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("This upload is made of partial uploads and takes no bytes itself.")


class PartUnusable(Refusal):
    """Uploads cannot be joined, because `part` (an id, or the address that was sent) cannot be."""

    def __init__(self, part: str, problem: str) -> None:
        self.part = part[:200]
        self.problem = problem
        super().__init__(f"The part {self.part!r} cannot be joined: {problem}.")


class UploadLocked(Refusal):
    """Somebody else kept the upload busy for `waited` seconds."""

    def __init__(self, upload_id: str, waited: float) -> None:
        self.upload_id = upload_id
        self.waited = waited
        super().__init__("Another request is using this upload; try again in a moment.")


class LengthConflict(Refusal):
    """A length that contradicts what is known: `length`, or the bytes `received` so far."""

    def __init__(self, upload_id: str, declared: int, length: int | None, received: int) -> None:
        self.upload_id = upload_id
        self.declared = declared
        self.length = length
        self.received = received
        known = f"{received} bytes are here" if length is None else f"it is {length}"
        super().__init__(f"The length of this upload cannot become {declared}: {known}.")


class OffsetMismatch(Refusal):
    """The bytes were meant for `asked`, but the upload continues at `offset`."""

    def __init__(self, upload_id: str, asked: int, offset: int) -> None:
        self.upload_id = upload_id
        self.asked = asked
        self.offset = offset
        super().__init__(f"This upload continues at offset {offset}, not at {asked}.")


class UploadTooLarge(Refusal):
    """The whole upload would exceed the server's limit of `max_size` bytes."""

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        super().__init__(f"Uploads may have at most {max_size} bytes here.")


class BodyTooLong(Refusal):
    """The body goes beyond the end of the upload, at `length` bytes."""

    def __init__(self, upload_id: str, length: int) -> None:
        self.upload_id = upload_id
        self.length = length
        super().__init__(f"The body goes beyond the end of this upload, which has {length} bytes.")


class NoSuchChunk(Refusal):
    """The upload has `count` chunks (None: not known yet), and no number `number`."""

    def __init__(self, upload_id: str, number: int, count: int | None) -> None:
        self.upload_id = upload_id
        self.number = number
        self.count = count
        there_are = "as far as is known" if count is None else f"it has {count}, counted from 0"
        super().__init__(f"This upload has no chunk {number}: {there_are}.")


class ChunkSizeWrong(Refusal):
    """Chunk `number` has `expected` bytes, but `found` came: a number, "more" or "fewer"."""

    def __init__(self, upload_id: str, number: int, expected: int, found: int | str) -> None:
        self.upload_id = upload_id
        self.number = number
        self.expected = expected
        self.found = found
        super().__init__(f"Chunk {number} of this upload has {expected} bytes, but {found} came.")


class ChunkConflict(Refusal):
    """Other bytes are committed already somewhere in `[start, stop)`; they stay."""

    def __init__(self, upload_id: str, start: int, stop: int) -> None:
        self.upload_id = upload_id
        self.start = start
        self.stop = stop
        super().__init__(
            f"Other bytes than these are stored between {start} and {stop} already:"
            " is it the same file? Cancel this upload to send another one."
        )


class NotAbandoned(Refusal):
    """There is nothing to recover: the upload is `status`."""

    def __init__(self, upload_id: str, status: str) -> None:
        self.upload_id = upload_id
        self.status = status
        super().__init__(f"There is nothing to recover: this upload is {status}.")


class DigestMismatch(Refusal):
    """The bytes that arrived do not have the announced digest; none of them was kept."""

    def __init__(self, upload_id: str, algorithm: str) -> None:
        self.upload_id = upload_id
        self.algorithm = algorithm
        super().__init__(f"The {algorithm} of the body differs from the announced one; send again.")


# --- what ended a request that was right ---------------------------------------------------------


class Interrupted(TusJumboError, RuntimeError):
    """The request stopped early. What had arrived is committed; the client should resume."""


class ClientDisconnected(Interrupted):
    """The connection went away before the body's end. There is nobody to answer."""

    def __init__(self) -> None:
        super().__init__("The client went away before the end of the body.")


class BodyTimeout(Interrupted):
    """No bytes, or too few of them, for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"The body came too slowly for {seconds:g} s; resume from the offset.")


class HandedOver(Interrupted):
    """Another request asked for the upload, and this one made room."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("Another request has taken over this upload.")


class ServerClosing(Interrupted):
    """The server is stopping or restarting."""

    def __init__(self) -> None:
        super().__init__("The server is restarting; resume in a moment.")


class StaleCommit(Interrupted):
    """The session changed under a writer: its bytes were refused by the catalog."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("This upload has changed meanwhile; ask for its offset and resume.")


# --- what the system could not do ----------------------------------------------------------------


class SystemFailure(TusJumboError, RuntimeError):
    """Not the client's fault. The cause is chained; the message tells no paths."""


class StorageFull(SystemFailure):
    """No space or quota left for data or catalog."""

    def __init__(self) -> None:
        super().__init__("The server has no space left; resume later.")


class StorageFailed(SystemFailure):
    """An input/output error in the store."""

    def __init__(self) -> None:
        super().__init__("The server could not store the data; resume later.")


class StorageLost(SystemFailure):
    """Committed bytes are missing from the store: somebody removed or cut the file."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("The stored bytes of this upload are gone; create a new one.")


class CatalogFailed(SystemFailure):
    """The catalog could not be read or written."""

    def __init__(self) -> None:
        super().__init__("The server could not record the upload; resume later.")


class HookFailed(SystemFailure):
    """A hook could not be asked, or did not answer as it should; `hook` is which."""

    def __init__(self, hook: str, problem: str) -> None:
        self.hook = hook
        self.problem = problem
        super().__init__("The application behind this server does not answer; try again later.")


class AssemblyFailed(SystemFailure):
    """All bytes are safe, but what is to be done with the file failed; it is tried again."""

    def __init__(self, upload_id: str) -> None:
        self.upload_id = upload_id
        super().__init__("The upload is complete, but could not be processed yet.")
