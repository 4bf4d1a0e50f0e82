"""A run: in what order, what becomes of a case that goes wrong, and of a server that does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from conformance.model import Exchange, Facts, Level, Report, Result, Row, Strictness, Verdict
from conformance.options import Options
from conformance.registry import Case
from conformance.run import Unreachable, look, run
from conformance.trial import Trial
from tests.conformance.scripted import Answer, Asked, Toy

OPTIONS = Options(timeout=5, restart=0.2)


def case(
    row_id: str, act: Callable[[Trial], None], *, slow: bool = False, needs: str | None = None
) -> Case:
    row = Row(row_id, Level.MUST, "Requests / PATCH", "A sentence.")
    return Case(row=row, run=act, needs=needs, without=None, slow=slow)


def carried_out(
    *cases: Case, url: str = "http://127.0.0.1:9/files/", jobs: int = 4, options: Options = OPTIONS
) -> Report:
    facts = Facts(url=url, extensions=("creation", "termination"))
    return run(facts, cases, options, Strictness(), jobs=jobs, wanted=lambda row: False)


def only(*cases: Case, url: str = "http://127.0.0.1:9/files/") -> tuple[Result, Verdict]:
    report = carried_out(*cases, url=url)
    return report.results[0], report.results[0].verdict(report.strictness)


def nothing(trial: Trial) -> None:
    """A case that finds nothing."""


# --- order ---------------------------------------------------------------------------------------


def test_the_report_is_in_the_order_of_the_cases() -> None:
    second_is_over = threading.Event()

    def first(trial: Trial) -> None:
        assert second_is_over.wait(10)

    told: list[str] = []
    report = run(
        Facts(url="http://127.0.0.1:9/"),
        [case("HEAD-01", first), case("HEAD-02", lambda trial: second_is_over.set())],
        OPTIONS,
        Strictness(),
        told=lambda result: told.append(result.row.id),
        wanted=lambda row: row == "CORE-GEN-2",
    )
    assert [result.row.id for result in report.results] == ["CORE-GEN-2", "HEAD-01", "HEAD-02"]
    assert told == ["HEAD-02", "HEAD-01", "CORE-GEN-2"]


def test_slow_cases_begin_first() -> None:
    begun: list[str] = []

    def begins(name: str) -> Callable[[Trial], None]:
        return lambda trial: begun.append(name)

    report = carried_out(
        case("HEAD-01", begins("quick")),
        case("HEAD-02", begins("slow"), slow=True),
        case("HEAD-03", begins("quick too")),
        jobs=1,
    )
    assert begun == ["slow", "quick", "quick too"]
    assert [result.row.id for result in report.results] == ["HEAD-01", "HEAD-02", "HEAD-03"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_no_more_cases_run_at_a_time_than_are_wanted(jobs: int) -> None:
    running, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(jobs)

    def act(trial: Trial) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(10)
        with lock:
            running -= 1

    report = carried_out(*(case(f"HEAD-{n:02}", act) for n in range(1, 7)), jobs=jobs)
    assert most == jobs
    assert report.exit_code == 0, [result.blocked for result in report.results]


# --- cases that go wrong -------------------------------------------------------------------------


def test_a_case_that_raises_is_blocked_and_ends_no_other() -> None:
    def fails(trial: Trial) -> None:
        raise KeyError("missing")

    report = carried_out(case("HEAD-01", fails), case("HEAD-02", nothing))
    verdicts = [result.verdict(report.strictness) for result in report.results]
    assert verdicts == [Verdict.BLOCKED, Verdict.PASS]
    assert report.results[0].blocked == "the case itself failed: KeyError('missing')"
    assert report.exit_code == 1


def test_an_answer_that_does_not_come_is_a_finding() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        port = listener.getsockname()[1]

        def asks(trial: Trial) -> None:
            connection = stack.enter_context(trial.connect())
            connection.request("GET", "/")
            connection.read(timeout=0.1)

        result, verdict = only(case("HEAD-01", asks), url=f"http://127.0.0.1:{port}/files/")
    assert verdict is Verdict.FAIL
    assert [finding.text for finding in result.findings] == ["an answer did not come within 0.1 s"]
    assert result.findings[0].exchange == 0


def test_a_row_that_does_not_apply_is_not_run() -> None:
    called: list[Trial] = []
    result, verdict = only(case("CSUM-01", called.append, needs="checksum"))
    assert (called, verdict) == ([], Verdict.SKIP)
    assert result.skipped == "checksum is not advertised"


def test_a_case_that_has_found_something_cannot_be_skipped_any_more() -> None:
    def act(trial: Trial) -> None:
        trial.check(False, "wrong")
        trial.skip("no more to see")

    result, verdict = only(case("HEAD-01", act))
    assert verdict is Verdict.FAIL
    assert result.notes == ["The rest was left out: no more to see."]


def test_credentials_are_hidden_in_all_that_is_told() -> None:
    def act(trial: Trial) -> None:
        trial.exchanges.append(
            Exchange(
                request="GET /?key=tell-nobody HTTP/1.1\nauthorization: Basic tell-nobody\nA: b",
                method="GET",
                target="/?key=tell-nobody",
                sent=["with it 11 bytes: tell-nobody"],
                interim=["HTTP/1.1 100 C\nX: tell-nobody"],
                response="HTTP/1.1 200 OK\nX: tell-nobody",
                body="11 bytes: tell-nobody",
                problem="tell-nobody",
            )
        )
        trial.note("tell-nobody")
        trial.check(False, "found tell-nobody, a")
        trial.assume(False, "tell-nobody")

    options = Options(headers=(("Authorization", "Basic tell-nobody"), ("X", "a")), restart=0)
    (result,) = carried_out(case("HEAD-01", act), options=options).results
    assert "tell-nobody" not in repr(result)
    assert result.exchanges[0].request == (
        "GET /?key=(hidden) HTTP/1.1\nauthorization: (hidden)\nA: b"
    )
    assert result.findings[0].text == "found (hidden), a"


# --- servers that go wrong -----------------------------------------------------------------------


def test_a_server_that_is_gone_blocks_what_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/files/"

    def asks(trial: Trial) -> None:
        trial.request("OPTIONS")

    report = run(
        Facts(url=url),
        [case(f"HEAD-{n:02}", asks) for n in range(1, 4)],
        OPTIONS,
        Strictness(),
        wanted=lambda row: row == "CORE-GEN-4",
        jobs=1,
    )
    _, *results = report.results
    assert [result.verdict(Strictness()) for result in results] == [Verdict.BLOCKED] * 3
    assert "the server is not there: cannot connect" in results[0].blocked


def test_what_a_crash_has_disturbed_is_repeated_alone() -> None:
    """The server goes away for a moment when HEAD-01 runs for the first time."""
    runs: list[str] = []

    def crashes(trial: Trial) -> None:
        runs.append("HEAD-01")
        if len(runs) == 1:
            trial.general.is_there(False)
            trial.general.is_there(True)
            trial.check(False, "the connection broke")

    report = run(
        Facts(url="http://127.0.0.1:9/files/"),
        [case("HEAD-01", crashes), case("HEAD-02", lambda trial: runs.append("HEAD-02"))],
        OPTIONS,
        Strictness(),
        jobs=1,
        wanted=lambda row: False,
    )
    assert runs == ["HEAD-01", "HEAD-02", "HEAD-01"]
    assert [result.verdict(Strictness()) for result in report.results] == [Verdict.PASS] * 2


# --- the first look ------------------------------------------------------------------------------


def test_the_first_look_tells_what_the_server_says() -> None:
    def says(asked: Asked, answer: Answer) -> Answer:
        if asked.method == "OPTIONS":
            answer.fields |= {"Tus-Max-Size": "100", "Tus-Checksum-Algorithm": "sha1,md5"}
        return answer

    toy = Toy(says)
    with toy.serving() as url:
        facts = look(url, OPTIONS)
    assert facts == Facts(
        url=url,
        versions=("1.0.0",),
        extensions=("creation", "termination"),
        max_size=100,
        algorithms=("sha1", "md5"),
        server="toy/1",
        downloads=True,
    )
    assert toy.stored == {}, "it removes what it has made"


@pytest.mark.parametrize("limit", ["", "-1", "1 GiB", "9" * 5000, "\u0661"])
def test_a_limit_that_is_none_is_not_believed(limit: str) -> None:
    def says(asked: Asked, answer: Answer) -> Answer:
        fields = {"Tus-Version": "1.0.0", "Tus-Max-Size": limit.encode().decode("latin-1")}
        return Answer(204, fields) if asked.method == "OPTIONS" else answer

    with Toy(says).serving() as url:
        assert look(url, OPTIONS).max_size is None


@pytest.mark.parametrize(
    "told",
    [
        Answer(500),
        Answer(201),
        Answer(201, {"Location": "http://[/"}),
        Answer(201, {"Location": "ftp://host/a"}),
        Answer(201, {"Location": "http://127.0.0.1:9/a"}),
    ],
    ids=["500", "no Location", "no URL", "ftp", "nobody there"],
)
def test_a_server_that_creates_nothing_can_be_looked_at(told: Answer) -> None:
    toy = Toy(lambda asked, answer: told if asked.method == "POST" else answer)
    with toy.serving() as url:
        assert not look(url, OPTIONS).downloads


def test_a_download_that_differs_is_none() -> None:
    toy = Toy(lambda asked, answer: Answer(200, {}, b"?") if asked.method == "GET" else answer)
    with toy.serving() as url:
        assert not look(url, OPTIONS).downloads


def test_nobody_there_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with pytest.raises(Unreachable, match="cannot connect"):
        look(url, Options(restart=600))
