"""What is said of every response: which row finds which fault, and what is nobody's fault."""

from __future__ import annotations

import pytest

from conformance.generic import ROWS, Log
from conformance.model import Exchange, Result
from conformance.wire import Field, Response

_TUS: Field = ("Tus-Resumable", "1.0.0")
_PAGE: Field = ("Origin", "https://app.example")
_SPOKEN = {"tus-resumable": "1.0.0"}
_READABLE = {
    **_SPOKEN,
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "Location",
}

Seen = tuple[str, str, list[Field], int, dict[str, str], bytes]
"""Method, target, fields of the request; status, fields and excess of the response."""


def seen(
    method: str,
    status: int,
    fields: dict[str, str] = _SPOKEN,
    *,
    asked: tuple[Field, ...] = (_TUS,),
    target: str = "/files/a",
    excess: bytes = b"",
) -> Seen:
    return method, target, list(asked), status, fields, excess


def results(*responses: Seen) -> dict[str, Result]:
    log = Log()
    for method, target, asked, status, fields, excess in responses:
        exchange = Exchange("", method, target)
        response = Response(status, tuple(fields.items()), b"", (), 0, excess)
        log.look_at("HEAD-01", exchange, asked, response)
    return {result.row.id: result for result in log.results()}


def faulty(*responses: Seen) -> set[str]:
    return {row for row, result in results(*responses).items() if result.findings}


_FAULTS = {
    "no version on a success": ("CORE-GEN-1", seen("PATCH", 204, {})),
    "no version on an error": ("CORE-GEN-1", seen("POST", 413, {})),
    "no version on 460": ("CORE-GEN-1", seen("PATCH", 460, {})),
    "another version": ("CORE-GEN-1", seen("HEAD", 200, {"tus-resumable": "1.0"})),
    "an offset with a sign": ("CORE-GEN-2", seen("HEAD", 200, {**_SPOKEN, "upload-offset": "+1"})),
    "an offset with a fraction": (
        "CORE-GEN-2",
        seen("HEAD", 200, {**_SPOKEN, "upload-offset": "1.5"}),
    ),
    "an empty length": ("CORE-GEN-2", seen("HEAD", 200, {**_SPOKEN, "upload-length": ""})),
    "digits of another script": (
        "CORE-GEN-2",
        seen("HEAD", 200, {**_SPOKEN, "upload-offset": "\u0663"}),
    ),
    "204 with a length": ("CORE-GEN-3", seen("PATCH", 204, {**_SPOKEN, "content-length": "0"})),
    "204 in chunks": (
        "CORE-GEN-3",
        seen("PATCH", 204, {**_SPOKEN, "transfer-encoding": "chunked"}),
    ),
    "HEAD with a body": ("CORE-GEN-3", seen("HEAD", 200, excess=b"hello")),
    "HEAD of nothing with a body": ("CORE-GEN-3", seen("HEAD", 404, excess=b"Not Found")),
    "204 with a body": ("CORE-GEN-3", seen("DELETE", 204, excess=b"{}")),
    "500": ("CORE-GEN-4", seen("POST", 500)),
    "502 of a GET": ("CORE-GEN-4", seen("GET", 502, {}, asked=())),
}

_INNOCENT = {
    "OPTIONS without a version": seen("OPTIONS", 200, {}),
    "GET without a version": seen("GET", 200, {}),
    "a request without a version": seen("PATCH", 412, {}, asked=()),
    "a page of the framework": seen("PATCH", 405, {}),
    "bytes that HTTP forbids": seen("POST", 400, {}, asked=(_TUS, ("Upload-Metadata", "a\0"))),
    "two framings": seen(
        "POST",
        400,
        {},
        asked=(_TUS, ("Content-Length", "1"), ("Transfer-Encoding", "chunked")),
    ),
    "a path that a router refuses": seen("HEAD", 404, {}, target="/files/..%2fa"),
    "the next answer behind": seen("HEAD", 200, excess=b"HTTP/1.1 400 Bad Request\r\n"),
    "a body of GET": seen("GET", 200, excess=b"hello"),
    "501": seen("POST", 501),
    "507": seen("PATCH", 507),
}


@pytest.mark.parametrize(("row", "response"), _FAULTS.values(), ids=_FAULTS)
def test_a_fault_is_found_by_its_row_alone(row: str, response: Seen) -> None:
    assert faulty(response) == {row}


@pytest.mark.parametrize("response", _INNOCENT.values(), ids=_INNOCENT)
def test_what_is_right_or_not_of_tus_is_let_pass(response: Seen) -> None:
    assert faulty(response) == set()


# --- errors for pages ----------------------------------------------------------------------------

_SUCCESS = seen("HEAD", 200, _READABLE, asked=(_TUS, _PAGE))


def _error(without: str = "", **changed: str) -> Seen:
    fields = {**_READABLE, **{name.replace("_", "-"): value for name, value in changed.items()}}
    fields.pop(without, None)
    return seen("PATCH", 409, fields, asked=(_TUS, _PAGE))


@pytest.mark.parametrize(
    "error",
    [
        _error("access-control-allow-origin"),
        _error("access-control-expose-headers"),
        _error(access_control_allow_origin="https://other.example"),
    ],
    ids=["no origin", "nothing exposed", "another origin"],
)
@pytest.mark.parametrize("first", ["success", "error"])
def test_an_error_that_a_page_cannot_read_is_found_in_either_order(error: Seen, first: str) -> None:
    both = (_SUCCESS, error) if first == "success" else (error, _SUCCESS)
    assert faulty(*both) == {"CORE-GEN-5"}


def test_an_error_may_expose_other_fields_than_a_success() -> None:
    assert faulty(_SUCCESS, _error(access_control_expose_headers="Upload-Offset")) == set()


def test_a_server_that_lets_no_page_in_is_left_to_the_rows_of_cors() -> None:
    success = seen("HEAD", 200, asked=(_TUS, _PAGE))
    assert faulty(success, seen("HEAD", 404, asked=(_TUS, _PAGE))) == set()


def test_the_fields_of_preflights_are_not_those_of_answers() -> None:
    preflight = seen("OPTIONS", 204, _READABLE, asked=(_PAGE,))
    assert faulty(preflight, seen("HEAD", 404, asked=(_TUS, _PAGE))) == set()


def test_origins_are_compared_with_themselves() -> None:
    stranger: Field = ("Origin", "https://somewhere-else.example")
    assert faulty(_SUCCESS, seen("HEAD", 404, asked=(_TUS, stranger))) == set()


# --- rows ----------------------------------------------------------------------------------------


def test_rows_that_saw_nothing_are_skipped() -> None:
    assert all(result.skipped for result in results().values())
    some = results(seen("HEAD", 404))
    assert [row for row, result in some.items() if result.skipped] == ["CORE-GEN-5"]


def test_each_fault_is_told_once_with_how_often_it_was_found() -> None:
    found = results(*[seen("POST", 500)] * 9, seen("GET", 502))["CORE-GEN-4"]
    assert [finding.text for finding in found.findings] == [
        "HEAD-01: POST was answered 500 (and 8 more like it)",
        "HEAD-01: GET was answered 502",
    ]
    assert [finding.exchange for finding in found.findings] == [0, 1]
    assert [exchange.method for exchange in found.exchanges] == ["POST", "GET"]


def test_few_of_many_faults_are_told() -> None:
    found = results(*(seen("POST", 520 + number) for number in range(9)))["CORE-GEN-4"]
    assert len(found.findings) == len(found.exchanges) == 5


def test_each_row_is_reported_once_in_order() -> None:
    assert list(results()) == [row.id for row in ROWS]
