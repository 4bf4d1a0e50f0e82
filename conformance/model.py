"""What a run is made of: cases, what they found, what they sent and got, and the verdicts.

Values only. A verdict is never stored by a case: a case records findings, each with a level, and
`Strictness` says what a broken requirement of a level is worth. So the same run can be judged
strictly or not, and no case decides how bad its own failure is.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field


class Level(enum.Enum):
    """How much a requirement binds."""

    MUST = "MUST"
    """The specification says MUST, MUST NOT or SHALL NOT."""
    SHOULD = "SHOULD"
    """The specification says SHOULD."""
    MAY = "MAY"
    """Optional; looked at only for being done consistently."""
    CLIENT = "CLIENT"
    """The specification is silent, and a shipping client breaks otherwise."""
    ROBUST = "ROBUST"
    """The specification is silent, and a server that gets this wrong is unsafe."""


class Verdict(enum.Enum):
    """How a case ended, from good to bad."""

    PASS = "pass"  # noqa: S105 - a verdict
    SKIP = "skip"
    INFO = "info"
    WARN = "warn"
    BLOCKED = "blocked"
    """Not reached: something that the case builds on failed, which has a row of its own."""
    FAIL = "fail"

    @property
    def is_bad(self) -> bool:
        return self in (Verdict.BLOCKED, Verdict.FAIL)


_ORDER = list(Verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strictness:
    """Which of the two levels that are not in the specification make a run fail."""

    robust: bool = False
    client: bool = False

    def verdict(self, level: Level) -> Verdict:
        """What a broken requirement of this level is worth."""
        match level:
            case Level.MUST:
                return Verdict.FAIL
            case Level.MAY:
                return Verdict.INFO
            case Level.ROBUST if self.robust:
                return Verdict.FAIL
            case Level.CLIENT if self.client:
                return Verdict.FAIL
            case _:
                return Verdict.WARN


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement."""

    id: str
    level: Level
    section: str
    """Of the specification; or what else asks for it."""
    text: str
    """One sentence."""

    @property
    def group(self) -> str:
        """The extension it belongs to, or another heading of the report."""
        return GROUPS[self.id.partition("-")[0]]


GROUPS = {
    "CORE": "core",
    "HEAD": "core",
    "PATCH": "core",
    "OVR": "core",
    "CREATE": "creation",
    "META": "creation",
    "CWU": "creation-with-upload",
    "DEFER": "creation-defer-length",
    "EXP": "expiration",
    "CSUM": "checksum",
    "TRAIL": "checksum-trailer",
    "TERM": "termination",
    "CONC": "concatenation",
    "UNFIN": "concatenation-unfinished",
    "LOCK": "locking",
    "CORS": "browsers (CORS)",
}


@dataclass(slots=True)
class Exchange:
    """One request and what came of it, as text for a reader."""

    request: str
    """The head as it was sent."""
    method: str
    target: str
    sent: list[str] = field(default_factory=list)
    """What followed the head: bodies, pauses, how the connection was left."""
    interim: list[str] = field(default_factory=list)
    """Heads of 1xx responses."""
    response: str = ""
    """The head of the final response; empty if there was none."""
    body: str = ""
    """The beginning of its body."""
    status: int | None = None
    problem: str = ""
    """Why there was no response, or what was wrong with its framing."""


@dataclass(frozen=True, slots=True)
class State:
    """Of an upload, as HEAD tells it."""

    status: int
    offset: str | None
    length: str | None
    deferred: str | None

    @property
    def is_refused(self) -> bool:
        """HEAD was refused for another reason than that there is no such upload."""
        return 400 <= self.status < 500 and self.status not in (404, 410)

    def __str__(self) -> str:
        known = [f"HEAD {self.status}"]
        known += [f"Upload-Offset {self.offset}"] if self.offset is not None else []
        known += [f"Upload-Length {self.length}"] if self.length is not None else []
        known += [f"Upload-Defer-Length {self.deferred}"] if self.deferred is not None else []
        return ", ".join(known)


@dataclass(frozen=True, slots=True)
class Finding:
    """A requirement that was not met. `exchange` is the index of the one that shows it."""

    level: Level
    text: str
    exchange: int | None = None


@dataclass(slots=True)
class Result:
    """What one row came to."""

    row: Row
    findings: list[Finding] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was seen that is neither good nor bad, or could not be looked at."""
    skipped: str = ""
    """Why the case did not run; empty if it did."""
    blocked: str = ""
    """What it builds on and did not get; empty if it did."""
    seconds: float = 0.0

    def verdict(self, strictness: Strictness) -> Verdict:
        if self.skipped:
            return Verdict.SKIP
        found = [strictness.verdict(finding.level) for finding in self.findings]
        if self.blocked:
            found.append(Verdict.BLOCKED)
        return max(found, key=_ORDER.index, default=Verdict.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the server says of itself, and what a first look showed."""

    url: str
    versions: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    max_size: int | None = None
    algorithms: tuple[str, ...] = ()
    server: str = ""
    """Its Server header, if it has one."""
    downloads: bool = False
    """Whether GET of a finished upload returns its bytes, so that contents can be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    facts: Facts
    strictness: Strictness
    results: Sequence[Result]
    started: float
    """Seconds since the epoch."""
    seconds: float
    left: int = 0
    """Uploads that could not be removed again."""
    only: tuple[str, ...] = ()
    """Patterns of the rows that were selected; all if there are none."""
    skip: tuple[str, ...] = ()
    """Patterns of the rows that were left out."""

    def counts(self, results: Sequence[Result] | None = None) -> dict[Verdict, int]:
        """How many rows (of `results`, or of all) came to each verdict."""
        verdicts = [
            result.verdict(self.strictness)
            for result in (self.results if results is None else results)
        ]
        return {verdict: verdicts.count(verdict) for verdict in Verdict}

    def having(self, *verdicts: Verdict) -> list[Result]:
        """The rows that came to one of these verdicts."""
        return [result for result in self.results if result.verdict(self.strictness) in verdicts]

    def groups(self) -> dict[str, list[Result]]:
        """Results by group, in the order of `GROUPS`; groups without a row are left out."""
        by_group: dict[str, list[Result]] = {name: [] for name in GROUPS.values()}
        for result in self.results:
            by_group[result.row.group].append(result)
        return {name: results for name, results in by_group.items() if results}

    @property
    def exit_code(self) -> int:
        """0: nothing failed. 1: something did. (2 is for a run that could not take place.)"""
        return int(any(result.verdict(self.strictness).is_bad for result in self.results))
