"""Any request head at all is understood or refused, and whatever is answered is a valid head."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.protocols.scenes import ID, LIMITS, NOW, check_any, upload, values
from tusjumbo.errors import TusJumboError
from tusjumbo.protocols import tus
from tusjumbo.protocols.checksums import digest_after
from tusjumbo.protocols.extensions import Offer
from tusjumbo.protocols.messages import Fields, Intent, RequestHead
from tusjumbo.protocols.refusals import refuse
from tusjumbo.sessions import ids, joining, rules
from tusjumbo.sessions.commands import (
    Action,
    Append,
    Content,
    Create,
    Fetch,
    Inspect,
    Join,
    Keep,
    Promised,
    Terminate,
)
from tusjumbo.sessions.outcomes import Created, Inspected
from tusjumbo.sessions.session import Kind

NAMES = [
    b"Tus-Resumable",
    b"Upload-Length",
    b"Upload-Offset",
    b"Upload-Defer-Length",
    b"Upload-Metadata",
    b"Upload-Concat",
    b"Upload-Checksum",
    b"Trailer",
    b"Content-Type",
    b"X-HTTP-Method-Override",
]
LIKELY = [
    b"",
    b"0",
    b"1",
    b"10",
    b"-1",
    b"9" * 19,
    b"9" * 100_000,
    b"1.0.0",
    b"PATCH",
    b"head",
    b"application/offset+octet-stream",
    b"a Zm9v,b",
    b"a Zm9v,a",
    b"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
    b"md5 " + b"Zm9v" * 30_000,
    b"x" * 100_000 + b" AA==",
    b", Upload-Checksum\t",
    b"partial",
    b"final;/files/a",
    b"final; b http://x/files/b?c",
    b"final;" + b"/files/a " * 10_000 + b"a",
    b"\r\nSet-Cookie: a=b",
    b"a\r\nb Zm9v",
    b"\xff\x00",
    b"a " + b"Zm9v" * 30_000,
    b"," * 100_000,
]
METHODS = ["POST", "HEAD", "PATCH", "DELETE", "GET", "OPTIONS", "PUT"]
PATHS = ["", "/", f"/{ID}", f"/{ID}/", "/..", "/%2e%2e/x", f"/{ID}/info"]

_value = st.one_of(st.sampled_from(LIKELY), st.binary(max_size=30))
_line = st.tuples(st.one_of(st.sampled_from(NAMES), st.binary(max_size=12)), _value)
# Most heads get the version right, or nothing behind that check would ever be looked at.
_lines = st.one_of(
    st.lists(_line, max_size=8),
    st.lists(_line, max_size=8).map(
        lambda lines: [
            (b"tus-resumable", b"1.0.0"),
            *((name, value) for name, value in lines if name != b"Tus-Resumable"),
        ]
    ),
)
HEADS = st.builds(
    RequestHead,
    st.one_of(st.sampled_from(METHODS), st.text()),
    st.one_of(st.sampled_from(PATHS), st.text(), st.text().map("/{}".format)),
    _lines.map(Fields),
    st.one_of(st.none(), st.just(0), st.integers(0, 2**70)),
    st.sampled_from(["", "/files", "/a%20b"]).map(lambda path: lambda: path),
)
OFFERS = st.builds(
    Offer,
    max_size=st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    downloads=st.booleans(),
    termination=st.booleans(),
    expiration=st.booleans(),
    concatenation=st.booleans(),
    algorithms=st.sampled_from([{}, {"sha1": 20}]),
    checksum_trailer=st.booleans(),
)


def _refused(error: TusJumboError, intent: Intent | None) -> None:
    response = refuse(error, intent)
    assert response is not None
    check_any(response)
    assert 400 <= response.status < 500


_JOINING = RequestHead(
    "POST",
    "/",
    Fields([(b"tus-resumable", b"1.0.0"), (b"upload-concat", b"final;/files/a /b")]),
    endpoint=lambda: "/files",
)


@settings(max_examples=1000)
@given(HEADS, OFFERS)
@example(RequestHead("POST", "/", Fields([(b"tus-resumable", b"1.0.0")]), 2**70), Offer())
@example(_JOINING, Offer())
def test_any_head_is_understood_or_refused(head: RequestHead, offer: Offer) -> None:
    intent: Intent | None = None
    try:
        intent = tus.recognise(head, offer)
        if intent.action is Action.DESCRIBE:
            check_any(tus.describe(offer))
            return
        command = tus.decode(head, intent, offer)
    except TusJumboError as error:
        _refused(error, intent)
        return
    match command:
        case Create():
            _created(command, head, offer)
        case Join():
            _joined(command, head, offer)
        case Append():
            assert 0 <= command.at < 2**63
            assert command.declares is None or 0 <= command.declares < 2**63
            assert command.id == intent.upload_id
            assert command.content.announced == head.announced
            _checked(command.content, head, offer)
        case Inspect() | Terminate() | Fetch():
            assert command.id == intent.upload_id
    if intent.upload_id is not None:
        assert ids.is_valid(intent.upload_id)
        assert intent.upload_id in head.path


def _checked(content: Content, head: RequestHead, offer: Offer) -> None:
    """Who asks for a check gets one, where there are any."""
    asks = "upload-checksum" in head.fields and bool(offer.algorithms)
    assert asks <= (content.digest is not None)
    assert (content.digest is None) == (content.keep is Keep.PREFIX)
    if content.digest is Promised.AFTER_BODY:
        assert offer.checksum_trailer
        assert head.announced is None
        assert not asks
        with suppress(TusJumboError):
            assert digest_after(head.fields, offer).algorithm in offer.algorithms
    elif content.digest is not None:
        assert len(content.digest.value) == offer.algorithms[content.digest.algorithm]


def _created(command: Create, head: RequestHead, offer: Offer) -> None:
    assert head.announced in (0, None) or command.content is not None
    if command.content is not None:
        _checked(command.content, head, offer)
    assert head.fields.joined("upload-concat") == (
        "partial" if command.kind is Kind.PARTIAL else None
    )
    try:
        session = rules.opened(command, ID, NOW, LIMITS)
    except TusJumboError as error:
        _refused(error, Intent(Action.CREATE, None, "POST"))
        return
    check_any(tus.encode(Created(session), offer, "/files/{}".format))
    inspected = tus.encode(Inspected(session), offer, "/files/{}".format)
    check_any(inspected)
    assert values(inspected).get("Upload-Metadata") == (
        head.fields.joined("upload-metadata") or None
    )


def _joined(command: Join, head: RequestHead, offer: Offer) -> None:
    assert "upload-length" not in head.fields
    assert not head.announced
    assert all(map(ids.is_valid, command.parts))
    part = replace(upload(5), kind=Kind.PARTIAL, expires_at=None)
    parts = {each: replace(part, id=each) for each in command.parts}
    session = joining.joined(command, ID, parts, NOW, LIMITS)
    check_any(tus.encode(Created(session), offer, "/files/{}".format))
    inspected = tus.encode(Inspected(session), offer, "/files/{}".format)
    check_any(inspected)
    assert values(inspected)["Upload-Concat"] == head.fields.one("upload-concat")


@given(
    st.dictionaries(st.text(), st.binary()),
    st.one_of(st.none(), st.floats(allow_nan=False)),
    OFFERS,
)
def test_whatever_another_protocol_recorded_can_be_said(
    metadata: dict[str, bytes], expires_at: float | None, offer: Offer
) -> None:
    session = upload(None, metadata=metadata, expires_at=expires_at)
    check_any(tus.encode(Inspected(session), offer, "/files/{}".format))
