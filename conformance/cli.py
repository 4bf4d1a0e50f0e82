"""The command line: arguments in, reports out, and the exit code.

0: nothing failed. 1: something did. 2: the run could not take place, or was stopped; one line on
stderr then says what to do. What can be known to be wrong before the first request is said before
it: patterns that match no row, files that cannot be written, credentials in the URL.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NoReturn

import conformance
from conformance import generic
from conformance.model import Report, Result, Row, Strictness, Verdict
from conformance.options import Options
from conformance.registry import Case, cases, selected
from conformance.reports import data, junit, markdown, page, text
from conformance.reports.summary import plain
from conformance.run import Unreachable, look, run
from conformance.untested import UNTESTED
from conformance.wire import Address

FORMS: dict[str, Callable[[Report], str]] = {
    "json": data.render,
    "junit": junit.render,
    "html": page.render,
    "markdown": markdown.render,
}
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)", re.ASCII)


class Misused(Exception):
    """The arguments make no sense; the text says what would."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Misused(f"{message} (--help shows all options)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite as the arguments (those of the process if not given) say."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a report is no place to die of a character
    try:
        return _main(arguments)
    except (Misused, Unreachable) as error:
        return _gave_up(str(error))
    except KeyboardInterrupt:
        return _gave_up("stopped before the end; no report was written")
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _gave_up("nobody reads the output")


def _gave_up(why: str) -> int:
    sys.stderr.write(f"conformance: {' '.join(plain(why).split())}\n")
    return 2


def _main(arguments: Sequence[str] | None) -> int:
    given = _parser().parse_args(arguments)
    only, skip = _patterns(given.only), _patterns(given.skip)
    chosen = cases(only, skip)
    generals = [row for row in generic.ROWS if selected(row.id, only, skip)]
    _check_patterns([*only, *skip])
    if given.list:
        _list(generals, chosen)
        return 0
    if not chosen and not generals:
        raise Misused("no row is left to test: --only and --skip leave none (--list shows them)")
    options = _options(given)
    files = {form: Path(name) for form in FORMS if (name := getattr(given, form)) is not None}
    for form, path in files.items():
        _check_writable(form, path)
    # A report on stdout is for a program, which wants nothing else there.
    out = sys.stderr if Path("-") in files.values() else sys.stdout
    facts = look(_endpoint(given.url), options)
    facts = dataclasses.replace(facts, server=given.name or facts.server)
    # The rows about all responses are made of the responses to the others.
    running = chosen or cases((), skip)
    strictness = Strictness(robust=given.strict, client=given.strict_clients)
    progress = _Progress(len(running) + len(generals), strictness, verbose=given.verbose, out=out)
    report = run(
        facts,
        running,
        options,
        strictness,
        jobs=given.jobs,
        wanted=lambda row: selected(row, only, skip),
        told=progress.told,
    )
    progress.clear()
    results = [each for each in report.results if selected(each.row.id, only, skip)]
    report = dataclasses.replace(report, results=results, only=only, skip=skip)
    out.write(text.render(report, colour=_colours(out)))
    out.flush()
    _write(report, files, out)
    return report.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m conformance",
        description="Tests a tus 1.0 server through its creation endpoint.",
        epilog="Exit code: 0 nothing failed, 1 something did, 2 the run could not take place.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("url", nargs="?", help="the creation endpoint: http://127.0.0.1:8080/files/")
    add("--header", action="append", default=[], metavar="K:V", help="send this with each request")
    globs = "rows by id, as PATCH-*,HEAD-01; may be given more than once"
    add("--only", action="append", default=[], metavar="ID-GLOB", help=f"test only these {globs}")
    add("--skip", action="append", default=[], metavar="ID-GLOB", help=f"leave out these {globs}")
    add("--name", help="what the server is called in reports, if its Server field does not tell")
    add("--strict", action="store_true", help="ROBUST rows fail, not only warn")
    add("--strict-clients", action="store_true", help="CLIENT rows fail, not only warn")
    for form in FORMS:
        add(f"--{form}", metavar="FILE", help=f"write the report as {form}; - is stdout")
    usual = Options()
    for name, default, what in (
        ("--timeout", usual.timeout, "for one answer (%(default)g)"),
        ("--stall", usual.stall, "after which a client that stalls is given up (%(default)g)"),
        ("--expiry-seconds", None, "after which unfinished uploads of this server expire"),
    ):
        add(name, type=_seconds, metavar="SECONDS", default=default, help=what)
    add("--origin", default=usual.origin, help="the page that a browser is on (%(default)s)")
    add(
        "--finished-gone",
        action="store_true",
        help="the server takes finished uploads away: HEAD need not find them",
    )
    add("--insecure", action="store_true", help="believe any TLS certificate")
    add("--jobs", type=_jobs, default=8, metavar="N", help="cases at the same time (%(default)s)")
    add("--list", action="store_true", help="print the rows and test nothing")
    add("-v", "--verbose", action="store_true", help="tell each row as it ends")
    add("--version", action="version", version=conformance.__version__)
    return parser


def _seconds(value: str) -> float:
    number = float(value) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value, re.ASCII) else 0.0
    if not 0 < number <= 86400:
        raise argparse.ArgumentTypeError(f"{value!r} is no number of seconds")
    return number


def _jobs(value: str) -> int:
    number = int(value) if re.fullmatch(r"[0-9]{1,3}", value, re.ASCII) else 0
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError(f"{value!r} is not between 1 and 64")
    return number


def _patterns(given: Sequence[str]) -> tuple[str, ...]:
    pieces = [piece.strip().upper() for each in given for piece in each.split(",")]
    return tuple(piece for piece in pieces if piece)


def _check_patterns(patterns: Sequence[str]) -> None:
    known = [*(row.id for row in generic.ROWS), *(case.row.id for case in cases())]
    for pattern in patterns:
        if any(selected(row_id, [pattern], []) for row_id in known):
            continue
        if pattern in UNTESTED:
            raise Misused(f"no case tests {pattern}: {UNTESTED[pattern]}")
        raise Misused(f"no row is named {pattern}; --list shows them")


def _options(given: argparse.Namespace) -> Options:
    headers = []
    for header in given.header:
        match = _HEADER.fullmatch(header)
        if match is None:
            raise Misused(f"--header wants NAME: VALUE, not {header!r}")
        headers.append((match[1], match[2].rstrip(" \t")))
    return Options(
        headers=tuple(headers),
        timeout=given.timeout,
        stall=given.stall,
        expiry=given.expiry_seconds,
        origin=given.origin,
        finished_gone=given.finished_gone,
        verify_tls=not given.insecure,
    )


def _endpoint(url: str | None) -> str:
    if url is None:
        raise Misused("give the creation endpoint, as http://127.0.0.1:8080/files/")
    try:
        address = Address.of(url)
    except ValueError as error:
        raise Misused(f"{error}; give the creation endpoint") from error
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise Misused("a URL with credentials would be in the report; use --header instead")
    if not address.target.isascii() or " " in url or "#" in url:
        raise Misused(f"{url!r} is no URL as it is sent: percent-encode it, without a fragment")
    return url


def _check_writable(form: str, path: Path) -> None:
    if path == Path("-"):
        return
    place = path if path.exists() else path.parent
    if path.is_dir() or not place.exists() or not os.access(place, os.W_OK):
        raise Misused(f"--{form}: {path} cannot be written; name a file in a directory that exists")


def _write(report: Report, files: dict[str, Path], out: IO[str]) -> None:
    for form, path in files.items():
        document = FORMS[form](report)
        if path == Path("-"):
            sys.stdout.write(document)
            sys.stdout.flush()
            continue
        try:
            path.write_text(document, encoding="utf-8")
        except OSError as error:
            raise Misused(f"--{form}: {path} cannot be written: {error.strerror}") from error
        out.write(f"The whole report is in {path}\n")
    if not files and report.exit_code:
        out.write("For whole exchanges, add --html report.html\n")


def _list(generals: Sequence[Row], chosen: Sequence[Case]) -> None:
    for row in generals:
        sys.stdout.write(f"{row.id:12}{row.level.value:8}{row.text}\n")
    for case in chosen:
        needs = f" [{case.needs}]" if case.needs else ""
        without = f" [without {case.without}]" if case.without else ""
        row = case.row
        sys.stdout.write(f"{row.id:12}{row.level.value:8}{row.text}{needs}{without}\n")


def _colours(stream: IO[str]) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Progress:
    """How far the run is: one line that is written over, on a terminal, or a line per row."""

    def __init__(self, count: int, strictness: Strictness, *, verbose: bool, out: IO[str]) -> None:
        self._count = count
        self._strictness = strictness
        self._verbose = verbose
        self._out = out
        self._over = sys.stderr if sys.stderr.isatty() else None
        self._done: dict[str, Verdict] = {}
        self._lock = threading.Lock()

    def told(self, result: Result) -> None:
        """Called by whichever thread has run the case."""
        verdict = result.verdict(self._strictness)
        with self._lock:
            self._done[result.row.id] = verdict
            self.clear()
            if self._verbose:
                self._out.write(text.line(result, verdict, colour=_colours(self._out)) + "\n")
            if self._over is not None:
                bad = sum(done.is_bad for done in self._done.values())
                failed = f", {bad} failed" if bad else ""
                self._over.write(f"{len(self._done)} of {self._count} rows{failed}")
                self._over.flush()

    def clear(self) -> None:
        if self._over is not None:
            self._over.write("\r\x1b[K")
            self._over.flush()
