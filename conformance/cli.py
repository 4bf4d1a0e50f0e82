"""The command line: arguments in, reports out, and the exit code.

0: nothing failed. 1: something did. 2: the run could not take place.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from conformance.model import Strictness
from conformance.registry import cases, selected
from conformance.run import look, run
from conformance.trial import Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite as the arguments (those of the process if not given) say."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--skip", action="append", default=[])
    given = parser.parse_args(arguments)
    options = Options()
    report = run(
        look(given.url, options),
        cases(given.only, given.skip),
        options,
        Strictness(),
        wanted=lambda row: selected(row, given.only, given.skip),
    )
    for result in report.results:
        verdict = result.verdict(report.strictness)
        sys.stdout.write(
            f"{result.row.id:14}{verdict.value:8}{result.seconds:5.1f}  {result.row.text}\n"
        )
        for line in (*(f.text for f in result.findings), result.skipped, result.blocked):
            if line:
                sys.stdout.write(f"{'':24}{line}\n")
    return report.exit_code
