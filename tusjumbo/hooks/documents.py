"""tusd's documents: what programs and addresses are asked in, and what they answer.

Pure. The request has tusd's members, types and nulls, so that receivers written for tusd work
unchanged; ours besides are `Event.Key` (news only) and `Upload.Owner` (if it has one). The answer
is read as Go reads JSON: every member is optional, null is as good as none, names are matched
whatever their case, unknown ones are passed over, and a value of another type is an error.

What a receiver says goes to clients and into headers, so nothing leaves here (nor what functions
return or raise: `checked`) that HTTP or tus could not carry, or that would break its framing. A
rejection that cannot be understood is a failure, never a consent.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

from tusjumbo.application import Hook, HookAnswer, HookCall, Origin
from tusjumbo.errors import HookFailed
from tusjumbo.sessions.session import Answer, Kind, UploadSession

LIMIT = 64 * 1024
"""Bytes of an answer."""

CREDENTIALS = ("authorization", "cookie", "proxy-authorization")

FRAMING = frozenset(
    (
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers that are the server's own. An answer may have them, as tusd's may; they are left out."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_METADATA_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+")

T = TypeVar("T")


# --- what they are told --------------------------------------------------------------------------


def written(call: HookCall, type_: str | None = None) -> bytes:
    """The request document in JSON. `type_` stands in for the hook's name.

    Metadata that is not UTF-8 has U+FFFD where it is not, as tusd's has.
    """
    event: dict[str, object] = {"Upload": _upload(call), "HTTPRequest": _request(call.origin)}
    if call.key:
        event["Key"] = call.key
    document = {"Type": type_ or call.hook.value, "Event": event}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _upload(call: HookCall) -> dict[str, object]:
    session = call.session
    upload: dict[str, object] = {
        "ID": upload_id(call),
        "Size": session.length or 0,
        "SizeIsDeferred": session.length is None,
        "Offset": session.offset,
        "MetaData": {
            key: value.decode("utf-8", "replace") for key, value in session.metadata.items()
        },
        "IsPartial": session.kind is Kind.PARTIAL,
        "IsFinal": session.kind is Kind.FINAL,
        "PartialUploads": list(session.parts) or None,
        "Storage": _storage(call, session),
    }
    if session.owner is not None:
        upload["Owner"] = session.owner
    return upload


def upload_id(call: HookCall) -> str:
    """What programs and addresses are told as the id: there is none before the creation."""
    return "" if call.hook is Hook.PRE_CREATE else call.session.id


def _storage(call: HookCall, session: UploadSession) -> dict[str, str] | None:
    """tusd's filestore has an `InfoPath`; we keep no such file, and receivers may ask for it."""
    if call.path is not None:
        return {"Type": "filestore", "Path": str(call.path), "InfoPath": ""}
    if session.receipt is not None and not session.receipt.is_here and session.receipt.path:
        return {"Type": "elsewhere", "Path": session.receipt.path}
    return None


def _request(origin: Origin) -> dict[str, object]:
    return {
        "Method": origin.method,
        "URI": origin.uri,
        "RemoteAddr": _address(origin.client),
        "Header": {name: list(lines) for name, lines in origin.headers.items()},
    }


def _address(client: str) -> str:
    """Go tells host and port, and its receivers take them apart. We do not know the port."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return f"[{client}]:0" if address.version == 6 else f"{client}:0"


def without_credentials(origin: Origin, keep: Collection[str] = ()) -> Origin:
    """The same without what lets somebody in, for what is stored; `keep`: names to be left."""
    kept = {name.lower() for name in keep}
    secret = [name for name in CREDENTIALS if name not in kept]
    if not any(name.lower() in secret for name in origin.headers):
        return origin
    headers = {n: lines for n, lines in origin.headers.items() if n.lower() not in secret}
    return replace(origin, headers=headers)


# --- what they say -------------------------------------------------------------------------------


class _Wrong(Exception):
    """The document is not one; the message says where."""


def read(body: bytes, hook: Hook | None = None, name: str = "the receiver") -> HookAnswer:
    """What the answer document says; nothing if it is empty.

    `hook` is what was asked, so that a rejection counts only where tusd counts it; None: anywhere.
    `name` says who answered, in the problem.

    :raises HookFailed: it is too long, no JSON, or says what cannot be
    """
    asked = "" if hook is None else hook.value
    if len(body) > LIMIT:
        raise HookFailed(asked, f"{name} answered with more than {LIMIT} bytes")
    if not body.strip():
        return HookAnswer()
    try:
        answer = _answer(_parsed(body), hook)
    except _Wrong as wrong:
        raise HookFailed(asked, f"{name} answered with {wrong}") from None
    return checked(answer, asked, name)


def _parsed(body: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(body.decode("utf-8", "replace"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _Wrong("something that is not JSON") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _Wrong("JSON that is not an object")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _answer(document: Mapping[str, object], hook: Hook | None) -> HookAnswer:
    response = _object(document, "HTTPResponse")
    changes = _object(document, "ChangeFileInfo")
    metadata = _member(changes, "MetaData", dict)
    storage = _object(changes, "Storage")
    rejects_upload = bool(_member(document, "RejectUpload", bool))
    rejects_termination = bool(_member(document, "RejectTermination", bool))
    answer = Answer(
        status=_member(response, "StatusCode", int) or None,
        headers=_texts(_object(response, "Header"), "Header"),
        body=(_member(response, "Body", str) or "").encode("utf-8", "replace"),
    )
    return HookAnswer(
        answer=None if answer == Answer() else answer,
        reject=(rejects_upload and hook is not Hook.PRE_TERMINATE)
        or (rejects_termination and hook in (None, Hook.PRE_TERMINATE)),
        upload_id=_member(changes, "ID", str) or None,
        metadata=None
        if metadata is None
        else {
            key: value.encode("utf-8", "replace")
            for key, value in _texts(metadata, "MetaData").items()
        },
        path=_member(storage, "Path", str) or None,
        stop=bool(_member(document, "StopUpload", bool)),
    )


def _member(document: Mapping[str, Any], name: str, type_: type[T]) -> T | None:
    """One by its name, or else by one that differs in case only, as Go finds it."""
    value = document.get(name)
    if name not in document:
        folded = name.lower()
        value = next((v for key, v in document.items() if key.lower() == folded), None)
    if value is not None and type(value) is not type_:
        raise _Wrong(f"{name} that is {_called(type(value))}, not {_called(type_)}")
    return value


def _object(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    return _member(document, name, dict) or {}


def _texts(document: Mapping[str, object], name: str) -> dict[str, str]:
    for key, value in document.items():
        if value is not None and not isinstance(value, str):
            found = _called(type(value))
            raise _Wrong(f"{name} whose {_shown(key)} is {found}, not {_called(str)}")
    return {key: str(value or "") for key, value in document.items()}


def _called(type_: type) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(type_, "an array" if type_ is list else "an object")


def _shown(text: str) -> str:
    return ascii(text[:80])


# --- what may go to clients ----------------------------------------------------------------------


def checked(said: HookAnswer, hook: str, name: str) -> HookAnswer:
    """The same, fit for clients. `hook` and `name`: what was asked, and who answered.

    :raises HookFailed: it cannot be made so
    """
    for key in said.metadata or ():
        # tus 1.0: "The key MUST NOT contain spaces and commas and MUST NOT be empty. The key
        # SHOULD be ASCII encoded"
        if not _METADATA_KEY.fullmatch(key):
            raise HookFailed(hook, f"{name} answered with {_shown(key)} as a key of metadata")
    if said.answer is None:
        return said
    answer = said.answer
    checked_status(answer.status, hook, name)
    headers = checked_headers(answer.headers, hook, name)
    return replace(said, answer=replace(answer, headers=headers))


def checked_status(status: int | None, hook: str, name: str) -> None:
    """:raises HookFailed: it is none that ends a request"""
    if status is not None and not 200 <= status <= 599:
        raise HookFailed(hook, f"{name} answered with the status {status}")


def checked_headers(headers: Mapping[str, str], hook: str, name: str) -> dict[str, str]:
    """Those of them that a response may have.

    :raises HookFailed: one would break it
    """
    for key, value in headers.items():
        if not _TOKEN.fullmatch(key):
            raise HookFailed(hook, f"{name} answered with {_shown(key)} as a header's name")
        if not _VALUE.fullmatch(value):
            problem = f"{name} answered with {_shown(value)} as the header {key}"
            raise HookFailed(hook, problem)
    return {key: v.strip(" \t") for key, v in headers.items() if key.lower() not in FRAMING}


def is_header_name(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None
