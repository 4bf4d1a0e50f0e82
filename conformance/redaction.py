"""Takes what the user wants to keep out of a report that is to be published.

The values of `--header` are credentials as a rule. They are sent with every request, so they stand
in every request head, and a careless server repeats them. Names stay, so that a reader sees that
something was sent.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from conformance.model import Result

HIDDEN = "(hidden)"
_TELLING = 8
"""Shorter values (`1`, `en`) are no secrets, and would be found everywhere."""


def redact(result: Result, headers: Sequence[tuple[str, str]]) -> None:
    """Replace the values of these request headers in everything that `result` tells."""
    if not headers:
        return
    names = "|".join(re.escape(name) for name, _ in headers)
    lines = re.compile(rf"^({names}):[^\n]*", re.IGNORECASE | re.MULTILINE)
    # Of `Bearer abc`, `abc` alone would do; and the longest first, as one may contain another.
    words = {word for _, value in headers for word in (value, *value.split())}
    telling = sorted((word for word in words if len(word) >= _TELLING), key=len, reverse=True)
    values = re.compile("|".join(map(re.escape, telling)) or r"(?!)")

    def hide(text: str) -> str:
        return values.sub(HIDDEN, text)

    for exchange in result.exchanges:
        exchange.request = hide(lines.sub(rf"\1: {HIDDEN}", exchange.request))
        exchange.target = hide(exchange.target)
        exchange.sent = [hide(text) for text in exchange.sent]
        exchange.interim = [hide(text) for text in exchange.interim]
        exchange.response = hide(exchange.response)
        exchange.body = hide(exchange.body)
        exchange.problem = hide(exchange.problem)
    result.findings = [
        dataclasses.replace(finding, text=hide(finding.text)) for finding in result.findings
    ]
    result.notes = [hide(text) for text in result.notes]
    result.skipped, result.blocked = hide(result.skipped), hide(result.blocked)
