"""Receivers that are addresses: tusd's webhooks, signed.

The document is sent by POST. A question is repeated as tusd repeats it, on 5xx and when the network
fails, within the one time-out that is for everything; news are sent once, for who tells them comes
again. Any other status than 2xx is a failure, redirects included: a question must not be answered
by somebody else. So is an answer to a question that is not `application/json`, for it may have been
a rejection; what is said to news without that type is passed over.

What we log and record has no user, password or query of the address.

A connection belongs to an event loop, and a webhook to none: connections are kept while somebody is
in `connected` in that loop, and closed after each call elsewhere.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import anyio
from anyio.lowlevel import RunVar

from tusjumbo.application import Hook, HookAnswer, HookCall
from tusjumbo.errors import ConfigurationError, HookFailed
from tusjumbo.hooks import documents, signatures

if TYPE_CHECKING:
    import httpx2

TIMEOUT = 15.0
ATTEMPTS = 3
BACKOFF = 1.0

_OURS = documents.FRAMING | {
    "accept-encoding",
    "content-encoding",
    "content-type",
    "hook-name",
    "host",
    "idempotency-key",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
}

_log = logging.getLogger("tusjumbo")


class Webhook:
    """An http or https address."""

    def __init__(
        self,
        url: str,
        timeout: float = TIMEOUT,
        *,
        secret: str | bytes | None = None,
        attempts: int = ATTEMPTS,
        backoff: float = BACKOFF,
        forward_headers: Collection[str] = (),
        hooks: Collection[Hook] | None = None,
        name: str | None = None,
    ) -> None:
        """`timeout`, `backoff`: seconds, for everything and between two attempts; `attempts`: how
        often a question is asked at most; `forward_headers`: those of the client's request that the
        receiver's has, too; `hooks`: None for everything; `secret`: see `signatures.key_of`.

        A user and password in the address are sent as Basic authorization.

        :raises ConfigurationError: one of them cannot work, or the extra `hooks` is missing
        """
        self._url, self._credentials = _taken_apart(url)
        self._timeout = timeout
        self._attempts = max(1, attempts)
        self._backoff = backoff
        self._key = None if secret is None else signatures.key_of(secret)
        self._forward = tuple(forward_headers)
        for header in self._forward:
            if header.lower() in _OURS or not documents.is_header_name(header):
                raise ConfigurationError(f"the header {header!r} cannot be forwarded to webhooks")
        self._hooks = frozenset(Hook if hooks is None else hooks)
        self._name = name or _public(self._url)
        self._httpx2 = _httpx2()
        try:
            self._httpx2.URL(self._url)
        except self._httpx2.InvalidURL as error:
            raise ConfigurationError(f"the address of a webhook is malformed: {error}") from None
        self._tls = self._httpx2.create_ssl_context()  # reads files, so not in an event loop
        self._kept: RunVar[_Kept | None] = RunVar(f"tusjumbo webhook {id(self):x}")

    @property
    def name(self) -> str:
        return self._name

    @property
    def hooks(self) -> Collection[Hook]:
        return self._hooks

    @property
    def forward_headers(self) -> Collection[str]:
        """Those that must not be taken out of what is stored: see `without_credentials`."""
        return self._forward

    async def __call__(self, call: HookCall) -> HookAnswer:
        """:raises HookFailed: it did not answer, or not as it should"""
        return await self.ask(call)

    async def ask(self, call: HookCall, type_: str | None = None) -> HookAnswer:
        """The same under another name than the hook's, such as `assemble`.

        :raises HookFailed:
        """
        hook = call.hook.value
        body = documents.written(call, type_)
        key = call.key or secrets.token_hex(16)  # a repeated question is still the same one
        problem = ""
        with anyio.move_on_after(self._timeout):
            async with self.connected() as client:
                for attempt in range(self._attempts if call.hook.asks else 1):
                    if attempt:
                        _log.info("%s: %s %s; asking again", hook, self._name, problem)
                        await anyio.sleep(self._backoff)
                    try:
                        answer = await self._post(client, call, type_ or hook, key, body)
                    except _Again as again:
                        problem = str(again)
                    else:
                        return answer
                raise HookFailed(hook, f"{self._name} {problem}")
        slow = f"did not answer within {self._timeout:g} s"
        raise HookFailed(hook, f"{self._name} {slow}{problem and f' ({problem})'}")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Keep connections between calls in this event loop, until the block is left."""
        kept = self._kept.get(None)
        if kept is None:
            kept = _Kept(self._new_client())
            self._kept.set(kept)
        kept.users += 1
        try:
            yield kept.client
        finally:
            kept.users -= 1
            if not kept.users:
                self._kept.set(None)
                with anyio.CancelScope(shield=True):
                    await kept.client.aclose()

    def _new_client(self) -> httpx2.AsyncClient:
        client: httpx2.AsyncClient = self._httpx2.AsyncClient(
            auth=self._credentials,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one call's are no other's
            verify=self._tls,
            timeout=None,
            follow_redirects=False,
        )
        return client

    async def _post(
        self, client: httpx2.AsyncClient, call: HookCall, what: str, key: str, body: bytes
    ) -> HookAnswer:
        """:raises _Again: it may come to something when it is tried again; :raises HookFailed:"""
        hook = call.hook.value
        headers = self._headers(call, what, key, body)
        try:
            async with client.stream("POST", self._url, content=body, headers=headers) as response:
                said = await _read(response)
        except self._httpx2.HTTPError as error:
            raise _Again(f"cannot be reached: {_detail(error)}") from error
        status = response.status_code
        if status >= 500:
            raise _Again(f"answered with the status {status}{_excerpt(said)}")
        if not 200 <= status < 300:
            raise HookFailed(
                hook, f"{self._name} answered with the status {status}{_excerpt(said)}"
            )
        return self._understood(call, response, said)

    def _headers(
        self, call: HookCall, what: str, key: str, body: bytes
    ) -> list[tuple[bytes, bytes]]:
        theirs = {name.lower(): lines for name, lines in call.origin.headers.items()}
        headers = [(name, line) for name in self._forward for line in theirs.get(name.lower(), ())]
        headers += [
            ("Accept-Encoding", "identity"),
            ("Content-Type", "application/json"),
            ("Hook-Name", what),
            ("Idempotency-Key", key),
            ("User-Agent", "tusjumbo"),
        ]
        if self._key is not None:
            headers += signatures.signed(self._key, key, time.time(), body).items()
        return [(name.encode(), line.encode("latin-1", "replace")) for name, line in headers]

    def _understood(self, call: HookCall, response: httpx2.Response, said: bytes) -> HookAnswer:
        hook = call.hook.value
        if len(said) <= documents.LIMIT and not said.strip():
            return HookAnswer()
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise HookFailed(hook, f"{self._name} answered compressed, which it was not asked to")
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "application/json":
            return documents.read(said, call.hook, self._name)
        if call.hook.asks:
            found = media_type or "no type"
            raise HookFailed(hook, f"{self._name} answered with {found}, not application/json")
        return HookAnswer()


class _Again(Exception):
    """Something that may pass."""


class _Kept:
    """The connections of one event loop, and how many use them."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.users = 0


async def _read(response: httpx2.Response) -> bytes:
    """What it says as it comes, not unpacked; a little more than may be said, if it says more."""
    said = b""
    with anyio.CancelScope() as enough:  # leaving the loop would leave its generators behind
        async for piece in response.aiter_raw():
            said += piece
            if len(said) > documents.LIMIT:
                enough.cancel()
    return said


def _detail(error: BaseException) -> str:
    """What the innermost one that says anything says: trio's have no words for TLS."""
    said = type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        said = str(cause) or said
        cause = cause.__cause__ or cause.__context__
    return _shown(said)


def _excerpt(said: bytes) -> str:
    shown = _shown(said[:200].decode("utf-8", "replace"))
    return shown and f": {shown}"


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _httpx2() -> ModuleType:
    try:
        import httpx2
    except ImportError as error:
        problem = "webhooks need httpx2; try: pip install 'tusjumbo[hooks]'"
        raise ConfigurationError(problem) from error
    return httpx2


def _taken_apart(url: str) -> tuple[str, tuple[str, str] | None]:
    """The address without user and password, and these.

    :raises ConfigurationError: it is no address of a web server
    """
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        raise ConfigurationError("the address of a webhook is malformed") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise ConfigurationError("the address of a webhook has to be like https://example.com/hook")
    where = parts.netloc.rpartition("@")[2]
    bare = urlunsplit((parts.scheme, where, parts.path, parts.query, ""))
    if parts.username is None:
        return bare, None
    return bare, (unquote(parts.username), unquote(parts.password or ""))


def _public(url: str) -> str:
    """What may be told of an address: a query may have keys, so only that it is the same one."""
    parts = urlsplit(url)
    mark = hashlib.sha256(parts.query.encode()).hexdigest()[:8] if parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc, parts.path, mark, ""))
