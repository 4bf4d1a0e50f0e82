"""Media: whether a file may be what it says it is, and what its content shows.

The content decides, not the name and not the client's word. Where content cannot tell (text that
could be CSV, a zip archive that could be a document, binary data without a signature) the client's
word is believed, if what was found is what such a file may look like. Nothing that is run by who
opens it passes for anything else. Deny wins.

Pure. It is asked as soon as the first bytes are there and again at the end: before the last word on
the content is known (`Sniffed.is_settled`), only what no further byte could change is decided.

Invariant: what was refused once is refused with more bytes, too; likewise what was accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tusjumbo.errors import ConfigurationError, MediaTypeRefused
from tusjumbo.ports import Verdict
from tusjumbo.processing.kinds import (
    JSON,
    OCTETS,
    PLAIN,
    Danger,
    built_upon,
    canonical,
    danger,
    families,
    is_known,
    is_text,
    lookalikes,
)
from tusjumbo.processing.sniffing import Sniffed
from tusjumbo.settings import MEDIA_PATTERN

_PLAIN_TEXTS = frozenset((PLAIN, "text/csv", "text/tab-separated-values", JSON))
"""Texts that never begin with a tag, or are not that."""


@dataclass(frozen=True, slots=True)
class MediaPolicy:
    """Which types are taken. A pattern is a type (`text/csv`), a family (`image/*`) or `*/*`.

    `image/*` has SVG in it and `text/*` HTML and scripts: whoever means pictures and plain text
    denies those.

    :raises ConfigurationError: something is not a pattern; the setting is `allow` or `deny`
    """

    allow: tuple[str, ...] = ()
    """Only these; all, if it is empty."""
    deny: tuple[str, ...] = ()
    """Not these, whatever `allow` says."""
    strict: bool = False
    """Refuse pages, scripts and programs that say they are something else, lists or no lists."""

    def __post_init__(self) -> None:
        for setting in ("allow", "deny"):
            patterns = tuple(pattern.strip().lower() for pattern in getattr(self, setting))
            for pattern in patterns:
                if MEDIA_PATTERN.fullmatch(pattern) is None:
                    problem = f"{pattern!r} is not a media type; write text/csv, or image/*"
                    raise ConfigurationError(problem, setting=setting)
            object.__setattr__(self, setting, tuple(map(canonical, patterns)))

    @property
    def is_open(self) -> bool:
        """Everything is taken, so that nobody needs to look."""
        return not (self.strict or self.deny) and self.allow in ((), ("*/*",))


def check_claim(policy: MediaPolicy, declared: str) -> None:
    """What can be said before the first byte.

    :param declared: the type that the client says the file has; empty if it does not say
    :raises MediaTypeRefused: no content could make this acceptable
    """
    claim = canonical(declared)
    if not claim or claim == OCTETS:
        return
    # Who will be told the client's word later (a browser) runs what that says.
    is_unwanted = danger(claim) is not None and not _allowed(policy, (claim,))
    if is_unwanted or _matches(policy.deny, (claim,)):
        raise MediaTypeRefused(declared, None, policy.allow)


def verdict(policy: MediaPolicy, declared: str, sniffed: Sniffed) -> Verdict:
    """Whether a file is acceptable that claims to be `declared` and begins as `sniffed`.

    :raises MediaTypeRefused: it is not, and never will be
    """
    check_claim(policy, declared)
    if policy.is_open:
        return Verdict.ACCEPTED
    if not sniffed.is_settled:
        return Verdict.NEEDS_MORE
    claim, found = canonical(declared), sniffed.media_type
    if _matches(policy.deny, (found,)):
        raise MediaTypeRefused(declared, found, policy.allow)
    if policy.strict and _is_disguised(claim, found):
        raise MediaTypeRefused(declared, found, policy.allow)
    upon = () if danger(found) else built_upon(found)
    counts_as = (found, *(name for name in upon if not _matches(policy.deny, (name,))))
    if not _allowed(policy, counts_as) and not _believed(policy, claim, found):
        raise MediaTypeRefused(declared, found, policy.allow)
    return Verdict.ACCEPTED


def _believed(policy: MediaPolicy, claim: str, found: str) -> bool:
    """Whether the claim is allowed, and is one that such content does not contradict."""
    if not claim or claim == OCTETS:
        return False
    likely = lookalikes(claim)
    # Which text it is, is a guess of ours: any other text may be right.
    is_likely = found in likely or (is_text(found) and PLAIN in likely)
    # Only by name: any binary data would pass for `application/*` by a name nobody knows.
    is_named = claim in policy.allow or (found != OCTETS and _allowed(policy, (claim,)))
    return is_likely and is_named


def _is_disguised(claim: str, found: str) -> bool:
    """Whether it is run by who opens it, and claims to be something that is not."""
    kind = danger(found)
    if kind is None or not claim or claim == OCTETS or danger(claim) is kind:
        return False
    if is_text(claim):
        # A script is text, and a README may begin with a tag. A table does not.
        return kind is Danger.PROGRAM or (kind is Danger.MARKUP and claim in _PLAIN_TEXTS)
    # Of a type that nobody knows, nobody knows that it is not that.
    return is_known(claim)


def _allowed(policy: MediaPolicy, media_types: Iterable[str]) -> bool:
    return not policy.allow or _matches(policy.allow, media_types)


def _matches(patterns: tuple[str, ...], media_types: Iterable[str]) -> bool:
    return any(
        pattern in ("*/*", name) or pattern in (f"{family}/*" for family in families(name))
        for name in media_types
        for pattern in patterns
    )
