"""What cases work with, against a server in memory: findings, states, uploads and their removal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from conformance.generic import Log
from conformance.model import Facts, Level, Result, Row
from conformance.options import Options
from conformance.trial import BYTES, Blocked, Skip, Stop, Trial
from conformance.wire import NoResponse, Response
from tests.conformance.scripted import Answer, Asked, Toy

Says = Callable[[Asked, Answer], Answer]


def trial(url: str = "http://127.0.0.1:9/files/", **facts: bool) -> Trial:
    row = Row("PATCH-04", Level.MUST, "Requests / PATCH", "A sentence.")
    options = Options(timeout=5, restart=0.1)
    return Trial(row, Facts(url=url, **facts), options, Result(row), Log())  # type: ignore[arg-type]


@contextmanager
def on(says: Says | None = None, *, downloads: bool = True) -> Iterator[tuple[Trial, Toy]]:
    toy = Toy() if says is None else Toy(says)
    with toy.serving() as url:
        yield trial(url, downloads=downloads), toy


def texts(of: Trial) -> list[str]:
    return [finding.text for finding in of.result.findings]


def answer(status: int, index: int = 0) -> Response:
    return Response(status, (), b"", (), index)


# --- findings ------------------------------------------------------------------------------------


def test_a_check_notes_what_is_wrong_and_goes_on() -> None:
    it = trial()
    assert it.check(True, "fine")
    assert not it.check(False, "wrong")
    assert not it.check(False, "unwise", level=Level.SHOULD, at=answer(200, 7))
    first, second = it.result.findings
    assert (first.text, first.level, first.exchange) == ("wrong", Level.MUST, None)
    assert (second.level, second.exchange) == (Level.SHOULD, 7)


def test_a_requirement_ends_the_case() -> None:
    it = trial()
    it.require(True, "fine")
    with pytest.raises(Stop):
        it.require(False, "wrong")
    assert texts(it) == ["wrong"]


def test_an_assumption_blocks_the_case() -> None:
    it = trial()
    it.assume(True, "fine")
    with pytest.raises(Blocked, match="not there"):
        it.assume(False, "not there")
    assert texts(it) == []


def test_a_case_can_be_skipped() -> None:
    with pytest.raises(Skip, match="does not apply"):
        trial().skip("does not apply")


@pytest.mark.parametrize(
    ("status", "levels"),
    [
        (415, []),
        (400, [Level.SHOULD]),
        (204, [Level.MUST]),
        (302, [Level.MUST]),
        (500, [Level.MUST]),
    ],
)
def test_another_refusal_is_half_as_wrong_as_none(status: int, levels: list[Level]) -> None:
    it = trial()
    refused = it.expect_refusal(answer(status), 415, where="Content-Type 'x'")
    assert refused == (status in (400, 415))
    assert [finding.level for finding in it.result.findings] == levels
    assert all(text.startswith("Content-Type 'x': ") for text in texts(it))


def test_a_status_is_expected() -> None:
    it = trial()
    assert it.expect(answer(204), 200, 204)
    assert not it.expect(answer(201), 200, 204, where="OPTIONS")
    assert texts(it) == ["OPTIONS: answered 201, expected 200 or 204"]


# --- requests ------------------------------------------------------------------------------------


def test_a_request_has_the_version_and_the_users_fields() -> None:
    with on() as (it, toy):
        it.options = Options(headers=(("X-Key", "value"),))
        it.request("OPTIONS")
        it.request("OPTIONS", tus=None)
        it.request("OPTIONS", tus="9")
    versions = [asked.fields.get("tus-resumable") for asked in toy.asked]
    assert versions == ["1.0.0", None, "9"]
    assert {asked.fields["x-key"] for asked in toy.asked} == {"value"}


def test_no_body_is_not_an_empty_one() -> None:
    with on() as (it, toy):
        it.post([("Upload-Length", "1")])
        it.post([("Upload-Length", "1")], b"")
        it.post([("Upload-Length", "1")], b"x")
    assert [asked.fields.get("content-length") for asked in toy.asked] == [None, "0", "1"]


def test_many_requests_go_over_one_connection() -> None:
    with on() as (it, _), it.connect() as connection:
        for _ in range(3):
            assert it.request("OPTIONS", on=connection).status == 204
        assert [exchange.status for exchange in it.exchanges] == [204] * 3


# --- uploads -------------------------------------------------------------------------------------


def test_uploads_are_made_finished_and_looked_at() -> None:
    with on() as (it, toy):
        upload = it.create(5)
        assert (str(upload.state()), upload.offset()) == (
            "HEAD 200, Upload-Offset 0, Upload-Length 5",
            0,
        )
        assert upload.patch(0, b"hello").status == 204
        upload.holds(b"hello")
        it.finished(b"").holds(b"")
        it.finished(b"whole").holds(b"whole")
        assert it.unknown().head().status == 404
    assert texts(it) == []
    patched = [asked for asked in toy.asked if asked.method == "PATCH"]
    assert patched[0].fields["content-type"] == BYTES[1]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (Answer(500, {"Location": "/files/1"}), "the upload was not created: 500"),
        (Answer(201), "Location None"),
        (Answer(201, {"Location": ""}), "Location ''"),
        (Answer(201, {"Location": "http://[/"}), "is no URL"),
        (Answer(201, {"Location": "ftp://host/a"}), "is no URL"),
        (Answer(201, {"Location": "http://host:99999/"}), "is no URL"),
    ],
)
def test_a_case_is_blocked_by_an_upload_that_is_not_made(told: Answer, why: str) -> None:
    with (
        on(lambda asked, answer: told if asked.method == "POST" else answer) as (it, _),
        pytest.raises(Blocked, match=why),
    ):
        it.create()


def test_a_case_is_blocked_by_an_upload_that_is_not_finished() -> None:
    with (
        on(lambda asked, answer: Answer(500) if asked.method == "PATCH" else answer) as (it, _),
        pytest.raises(Blocked, match="not finished: 500"),
    ):
        it.finished(b"hello")


@pytest.mark.parametrize("offset", ["", "x", "+1", "\u0661"])
def test_a_case_is_blocked_by_an_offset_that_is_none(offset: str) -> None:
    raw = offset.encode().decode("latin-1")

    def says(asked: Asked, answer: Answer) -> Answer:
        return Answer(200, {"Upload-Offset": raw}) if asked.method == "HEAD" else answer

    with on(says) as (it, _), pytest.raises(Blocked, match="the offset is not known"):
        it.create().offset()


def test_a_change_is_found() -> None:
    with on() as (it, _):
        upload = it.create(10)
        with upload.unchanged("a look"):
            upload.head()
        assert texts(it) == []
        with upload.unchanged("the bytes", level=Level.ROBUST):
            upload.patch(0, b"hello")
    (finding,) = it.result.findings
    assert finding.text == (
        "the bytes changed the upload: before HEAD 200, Upload-Offset 0, Upload-Length 10;"
        " after HEAD 200, Upload-Offset 5, Upload-Length 10"
    )
    assert finding.level is Level.ROBUST


def _swaps(asked: Asked, answer: Answer) -> Answer:
    return Answer(200, body=answer.body[::-1]) if asked.method == "GET" else answer


def test_bytes_are_compared_if_they_can_be() -> None:
    with on(_swaps) as (it, _):
        it.finished(b"hello").holds(b"hello")
    assert texts(it) == ["the stored bytes are not the ones that were sent"]
    with on(_swaps, downloads=False) as (it, _):
        it.finished(b"hello").holds(b"hello")
    assert texts(it) == []
    assert it.result.notes == ["The bytes were not compared: GET does not return them."]


def test_an_upload_that_is_not_whole_does_not_hold() -> None:
    with on(downloads=False) as (it, _):
        upload = it.create(10)
        upload.patch(0, b"hello")
        upload.holds(b"hello world")
    assert texts(it) == [
        "expected a finished upload of 11 bytes, found HEAD 200, Upload-Offset 5, Upload-Length 10"
    ]


# --- tidying up ----------------------------------------------------------------------------------


def test_what_was_created_is_removed() -> None:
    with on() as (it, toy):
        it.create()
        it.finished(b"hello")
        it.post([("Upload-Length", "3")])
        assert len(toy.stored) == 3
        assert it.remove_created() == 0
        assert toy.stored == {}
        seen = len(it.exchanges)
        assert it.remove_created() == 0, "what is gone is gone"
        assert len(it.exchanges) == seen, "nobody looks at the tidying up"


def test_what_cannot_be_removed_is_counted() -> None:
    def says(asked: Asked, answer: Answer) -> Answer:
        return Answer(405) if asked.method == "DELETE" else answer

    with on(says) as (it, _):
        it.create()
        it.create()
        it.created.append("http://127.0.0.1:9/nobody")
        it.created.append("ftp://host/")
        assert it.remove_created() == 4


# --- servers that go away ------------------------------------------------------------------------


def test_a_server_that_is_gone_blocks_the_case_and_is_not_waited_for_twice() -> None:
    with on() as (it, _):
        pass
    with pytest.raises(Blocked, match="the server is not there"):
        it.request("OPTIONS")
    assert it.general.is_gone


def test_another_host_that_does_not_answer_is_a_finding() -> None:
    with on() as (it, _), pytest.raises(NoResponse, match="cannot connect to"):
        it.request("HEAD", "http://127.0.0.1:9/files/a")


def test_what_is_polled_for_comes_or_not() -> None:
    rounds = iter([False, False, True])
    assert trial().poll(lambda: next(rounds), 5)
    assert not trial().poll(lambda: False, 0.05)
