"""A run: what the server says of itself first, then every case, several at a time.

A case never disturbs another: each makes its own uploads. Whatever a case raises ends only that
case. The order of the report is that of the rows, not of the clock. A server that crashes and is
started again disturbs whatever runs at that moment: those cases are repeated alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial

from conformance import generic
from conformance.model import Facts, Finding, Level, Report, Result, Row, Strictness
from conformance.options import Options
from conformance.redaction import redact
from conformance.registry import Case
from conformance.trial import Blocked, Skip, Stop, Trial
from conformance.wire import NoResponse, Response

_CRASHES_WITHIN = 0.3
"""Seconds after which a server that is going to crash has done so."""
_LIMIT = re.compile(r"[0-9]{1,30}", re.ASCII)


class Unreachable(Exception):
    """There is no tus server to look at."""


def look(url: str, options: Options) -> Facts:
    """What the server says of itself, and whether finished uploads can be downloaded.

    :raises Unreachable: nobody answers, or not in tus
    :raises ValueError: `url` is no http(s) URL
    """
    log = generic.Log(is_gone=True)  # there is nothing to wait for yet
    trial = _trial(Row("CORE-07", Level.MUST, "", ""), Facts(url=url), options, log)
    try:
        answer = trial.request("OPTIONS", tus=None)
    except (NoResponse, Blocked) as error:
        raise Unreachable(f"{url}: {error}") from error
    if "tus-version" not in answer and "tus-resumable" not in answer:
        raise Unreachable(
            f"{url} answers OPTIONS with {answer.status} and without Tus-Version: {_why(answer)}"
        )
    limit = answer.get("tus-max-size") or ""
    facts = Facts(
        url=url,
        versions=tuple(answer.members("tus-version")),
        extensions=tuple(answer.members("tus-extension")),
        max_size=int(limit) if _LIMIT.fullmatch(limit) else None,
        algorithms=tuple(answer.members("tus-checksum-algorithm")),
        server=answer.get("server") or "",
    )
    return replace(facts, downloads=_downloads(facts, options))


def _why(answer: Response) -> str:
    location = answer.get("location")
    if answer.status in (301, 302, 303, 307, 308) and location:
        return f"it redirects to {location!r}; give that address if it is the creation endpoint"
    if answer.status in (401, 403):
        return "if it wants credentials, give them with --header 'Authorization: …'"
    return "is that the address of the creation endpoint?"


def _downloads(facts: Facts, options: Options) -> bool:
    trial = _trial(Row("CREATE-02", Level.MUST, "", ""), facts, options, generic.Log())
    try:
        upload = trial.finished(b"content")
        answer = upload.request("GET")
    except (NoResponse, Blocked, ValueError):
        return False
    finally:
        trial.remove_created()
    # Not what it holds: a server that gives back other bytes is to be found out by the rows.
    return answer.status == 200 and len(answer.body) == len(b"content")


def run(
    facts: Facts,
    cases: Sequence[Case],
    options: Options,
    strictness: Strictness,
    *,
    jobs: int = 8,
    wanted: Callable[[str], bool] = lambda _: True,
    told: Callable[[Result], None] = lambda _: None,
) -> Report:
    """Run `cases`, and report those rows about all responses whose id is `wanted`.

    `told` hears each result as it comes.
    """
    began, started = time.monotonic(), time.time()
    log = generic.Log()
    left: list[int] = []

    def one(case: Case, *, alone: bool = False) -> Result:
        trial = _trial(case.row, facts, options, log)
        result = trial.result
        result.skipped = case.inapplicable(facts.extensions)
        if not result.skipped:
            at = time.monotonic()
            log.begins(case.row.id)
            _carry_out(case, trial)
            if alone:
                _await_end(trial)
            log.ends(case.row.id)
            result.seconds = time.monotonic() - at
            left.append(trial.remove_created())
        redact(result, options.headers)
        told(result)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        # The slow ones first, so that the others run while they wait.
        futures = {case.row.id: pool.submit(one, case) for case in sorted(cases, key=_speed)}
        try:
            results = [futures[case.row.id].result() for case in cases]
        except BaseException:
            # Those that run still remove what they have made.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    results = _again(cases, results, partial(one, alone=True), log)
    generals = [result for result in log.results() if wanted(result.row.id)]
    for result in generals:
        redact(result, options.headers)
        told(result)
    return Report(
        facts=facts,
        strictness=strictness,
        results=[*generals, *results],
        started=started,
        seconds=time.monotonic() - began,
        left=sum(left),
    )


def _again(
    cases: Sequence[Case], results: list[Result], one: Callable[[Case], Result], log: generic.Log
) -> list[Result]:
    """Repeat the cases that were disturbed by a crash: most are innocent of it."""
    disturbed = log.disturbed()
    if not disturbed or log.is_gone:
        return results
    log.forget(disturbed)
    return [
        one(case) if case.row.id in disturbed and not log.is_gone else result
        for case, result in zip(cases, results, strict=True)
    ]


def _await_end(trial: Trial) -> None:
    """See whether the server survives the case, so that the next one is not blamed for it."""
    end = time.monotonic() + _CRASHES_WITHIN
    with suppress(NoResponse, Blocked):
        while time.monotonic() < end:
            trial.connect().close()
            time.sleep(0.02)


def _speed(case: Case) -> bool:
    return not case.slow


def _trial(row: Row, facts: Facts, options: Options, log: generic.Log) -> Trial:
    return Trial(row, facts, options, Result(row), log)


def _carry_out(case: Case, trial: Trial) -> None:
    result = trial.result
    try:
        case.run(trial)
    except Stop:
        pass
    except Skip as skip:
        if result.findings:
            result.notes.append(f"The rest was left out: {skip}.")
        else:
            result.skipped = str(skip)
    except Blocked as blocked:
        result.blocked = str(blocked)
    except NoResponse as error:
        at = len(trial.exchanges) - 1
        result.findings.append(Finding(case.row.level, str(error), at if at >= 0 else None))
    except Exception as error:
        result.blocked = f"the case itself failed: {error!r}"
