"""CORE-01 to CORE-14: versions, and what OPTIONS tells."""

from __future__ import annotations

import re

from conformance.model import Level
from conformance.registry import case
from conformance.trial import Trial

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
_KNOWN = {
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "checksum-trailer",
    "termination",
    "concatenation",
    "concatenation-unfinished",
}


@case("CORE-07", Level.MUST, "Requests / OPTIONS")
def options_without_a_version(trial: Trial) -> None:
    """OPTIONS without Tus-Resumable is answered 200 or 204 with Tus-Version."""
    answer = trial.request("OPTIONS", tus=None)
    trial.expect(answer, 200, 204)
    trial.check("tus-version" in answer, "there is no Tus-Version")


@case("CORE-08", Level.MUST, "Requests / OPTIONS")
def options_with_another_version(trial: Trial) -> None:
    """OPTIONS ignores Tus-Resumable, whatever version it names."""
    answer = trial.request("OPTIONS", tus="9.9.9")
    trial.expect(answer, 200, 204)
    trial.check("tus-version" in answer, "there is no Tus-Version")


@case("CORE-09", Level.MUST, "Headers / Tus-Version")
def versions_are_a_list(trial: Trial) -> None:
    """Tus-Version is a list of versions without empty members, and 1.0.0 is among them."""
    answer = trial.request("OPTIONS", tus=None)
    versions = answer.members("tus-version")
    trial.check("1.0.0" in versions, f"1.0.0 is not among {versions}")
    for version in versions:
        trial.check(_VERSION.fullmatch(version) is not None, f"{version!r} is no version")


@case("CORE-10", Level.MUST, "Headers / Tus-Extension")
def extensions_are_a_list(trial: Trial) -> None:
    """Tus-Extension, if there is one, is a list of names and not empty."""
    answer = trial.request("OPTIONS", tus=None)
    if "tus-extension" not in answer:
        trial.note("No extension is advertised.")
        return
    names = answer.members("tus-extension")
    trial.check(all(names), f"an empty member in {answer.get('tus-extension')!r}")
    for name in set(names) - _KNOWN - {""}:
        trial.note(f"{name!r} is no extension of tus 1.0.")
