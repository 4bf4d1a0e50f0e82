"""The rows of specs/tus-1.0.md that a head and the rules decide, under their ids.

That a refusal changes nothing and that every answer is well-formed is checked for all of them. The
rows are in the modules `rows_of_…`.
"""

from __future__ import annotations

import pytest

from tests.protocols import rows_of_checksum, rows_of_concatenation, rows_of_core, rows_of_creation
from tests.protocols.rows import HEAD, NEW, Row, metadata
from tests.protocols.scenes import ID, Chunked, answer, check_any, head, values
from tusjumbo.errors import (
    DigestMismatch,
    HandedOver,
    TusJumboError,
    UploadIsPartial,
    UploadLocked,
    UploadNotFound,
    UploadUnfinished,
)
from tusjumbo.protocols.messages import Intent
from tusjumbo.protocols.refusals import refuse
from tusjumbo.sessions.commands import Action

ROWS = (
    *rows_of_core.ROWS,
    *rows_of_creation.ROWS,
    *rows_of_checksum.ROWS,
    *rows_of_concatenation.ROWS,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(row: Row) -> None:
    request = head(row.request[0], *row.request[1:], body=row.body, version=row.version)
    size = row.body.size if isinstance(row.body, Chunked) else row.body
    response, after = answer(request, row.on, size=size, offer=row.offer, limits=row.limits)
    check_any(response)
    assert response.status == row.status, response.body
    found = values(response)
    assert {name: found.get(name) for name in row.headers} == dict(row.headers)
    if row.status >= 400:
        assert after == row.on
    if row.offset is not None:
        assert after is not None
        assert after.offset == row.offset
    if row.length is not None:
        assert after is not None
        assert after.length == row.length


def test_every_row_has_an_id_of_its_own() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))


# What was sent, what it means, and what HEAD gives back (None: no Upload-Metadata).
@pytest.mark.parametrize(
    ("lines", "pairs", "echo"),
    [
        pytest.param(lines, pairs, echo, id=name)
        for name, lines, pairs, echo in (
            (
                "META-01",
                ["filename d29ybGQ=,is_confidential"],
                {"filename": b"world", "is_confidential": b""},
                "filename d29ybGQ=,is_confidential",
            ),
            ("META-03 no value", ["k"], {"k": b""}, "k"),
            ("META-03 space", ["k "], {"k": b""}, "k"),
            ("META-03 space last", ["a,k "], {"a": b"", "k": b""}, "a,k"),
            ("META-03 space first", ["k ,b Zg=="], {"k": b"", "b": b"f"}, "k ,b Zg=="),
            ("META-04", [""], {}, None),
            ("META-09", ["a Zg==, b Zw=="], {"a": b"f", "b": b"g"}, "a Zg==, b Zw=="),
            ("META-10", ["a Zg==", "b Zw=="], {"a": b"f", "b": b"g"}, "a Zg==,b Zw=="),
            ("META-11 UTF-8", ["n\xc3\xa4me Zg=="], {"n\xc3\xa4me": b"f"}, "n\xc3\xa4me Zg=="),
            ("META-11 latin-1", ["n\xe4me Zg=="], {"n\xe4me": b"f"}, "n\xe4me Zg=="),
            ("META-12", ["a AAECgP8="], {"a": b"\x00\x01\x02\x80\xff"}, "a AAECgP8="),
            ("META-12 spelling", ["a Zh=="], {"a": b"f"}, "a Zh=="),
            (
                "META-13",
                ["a eA0KU2V0LUNvb2tpZTogYT1i"],
                {"a": b"x\r\nSet-Cookie: a=b"},
                "a eA0KU2V0LUNvb2tpZTogYT1i",
            ),
            ("META-14 8 KiB", ["a " + "Zm9v" * 2048], {"a": b"foo" * 2048}, "a " + "Zm9v" * 2048),
            (
                "META-14 60 KiB",
                ["a " + "Zm9v" * 15360],
                {"a": b"foo" * 15360},
                "a " + "Zm9v" * 15360,
            ),
            ("META-16", ['a=:;"'], {'a=:;"': b""}, 'a=:;"'),
        )
    ],
)
def test_metadata_row(lines: list[str], pairs: dict[str, bytes], echo: str | None) -> None:
    request = metadata(*lines)
    created, session = answer(head(request[0], *request[1:]))
    check_any(created)
    assert created.status == 201
    assert values(created).items() >= NEW.items()
    assert "Upload-Metadata" not in values(created)  # AMB-11
    assert session is not None
    assert session.metadata == pairs
    inspected, _ = answer(head(HEAD), session)
    check_any(inspected)
    assert values(inspected).get("Upload-Metadata") == echo


# Rows whose refusal comes from time, a lock or the store: decided elsewhere, worded here.
@pytest.mark.parametrize(
    ("error", "action", "status", "closes"),
    [
        pytest.param(UploadNotFound(ID), Action.INSPECT, 404, False, id="EXP-07"),
        pytest.param(UploadNotFound(ID), Action.APPEND, 404, False, id="TERM-02"),
        pytest.param(UploadLocked(ID, 20.0), Action.INSPECT, 423, False, id="LOCK-01"),
        pytest.param(UploadLocked(ID, 20.0), Action.APPEND, 423, False, id="LOCK-02"),
        pytest.param(HandedOver(ID), Action.APPEND, 423, True, id="LOCK-04"),
        pytest.param(DigestMismatch(ID, "sha1"), Action.APPEND, 460, False, id="CSUM-04"),
        pytest.param(UploadUnfinished(ID, 5, 10), Action.FETCH, 409, False, id="AMB-31"),
        pytest.param(UploadIsPartial(ID), Action.FETCH, 409, False, id="CONC-17"),
    ],
)
def test_row_of_another_room(
    error: TusJumboError, action: Action, status: int, closes: bool
) -> None:
    response = refuse(error, Intent(action, ID, "X"))
    assert response is not None
    check_any(response)
    assert (response.status, response.closes) == (status, closes)
    assert "Upload-Offset" not in values(response)
