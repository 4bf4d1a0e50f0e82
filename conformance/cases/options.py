"""CORE-07 to CORE-14: what OPTIONS tells."""

from __future__ import annotations

import re

from conformance.model import Level
from conformance.registry import case
from conformance.trial import Trial

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[0-9]+", re.ASCII)
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
_HUGE = (1 << 40, 1 << 53, 1 << 62)
"""Bytes: more than a disk has, more than a JavaScript number holds, nearly more than an int64."""
_DEPENDS = (
    ("creation-with-upload", "creation", Level.MUST),
    # Of the others the specification only implies it: each speaks of what the other one defines.
    ("creation-defer-length", "creation", Level.ROBUST),
    ("concatenation", "creation", Level.ROBUST),
    ("concatenation-unfinished", "concatenation", Level.ROBUST),
    ("checksum-trailer", "checksum", Level.ROBUST),
)


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


@case("CORE-11", Level.MUST, "Headers / Tus-Max-Size")
def limit_is_a_number(trial: Trial) -> None:
    """Tus-Max-Size, if there is one, is a non-negative integer in digits."""
    answer = trial.request("OPTIONS", tus=None)
    limits = answer.all("tus-max-size")
    if not limits:
        trial.note("No limit is advertised.")
        return
    trial.check(len(limits) == 1, f"there are {len(limits)} lines of Tus-Max-Size")
    for limit in limits:
        trial.check(_NUMBER.fullmatch(limit) is not None, f"Tus-Max-Size is {limit!r}")


@case("CORE-12", Level.SHOULD, "Headers / Tus-Max-Size", needs="creation")
def limit_is_told(trial: Trial) -> None:
    """A server that refuses an upload for its size says its limit in Tus-Max-Size."""
    limit = trial.facts.max_size
    for length in _HUGE:
        answer = trial.post([("Upload-Length", str(length))], b"")
        if answer.status != 413:
            trial.note(f"An upload of {length} bytes was answered {answer.status}.")
            continue
        told = f"is {limit}" if limit is not None else "is missing"
        trial.check(
            limit is not None and limit < length,
            f"an upload of {length} bytes was refused with 413, but Tus-Max-Size {told}",
            at=answer,
        )


@case("CORE-13", Level.MAY, "Requests / OPTIONS")
def options_of_an_upload(trial: Trial) -> None:
    """OPTIONS on an upload tells the same as on the endpoint."""
    answer = trial.create(10).request("OPTIONS", tus=None)
    trial.expect(answer, 200, 204)
    versions = tuple(answer.members("tus-version"))
    trial.check(
        versions == trial.facts.versions,
        f"Tus-Version is {versions} on an upload and {trial.facts.versions} on the endpoint",
    )


@case("CORE-14", Level.ROBUST, "Headers / Tus-Extension")
def extensions_go_together(trial: Trial) -> None:
    """An extension is advertised together with what it builds on."""
    answer = trial.request("OPTIONS", tus=None)
    names = answer.members("tus-extension")
    for name, base, level in _DEPENDS:
        trial.check(
            name not in names or base in names,
            f"{name} is advertised without {base}",
            level=level,
        )
    algorithms = "tus-checksum-algorithm" in answer
    trial.check(
        algorithms or "checksum" not in names,
        "checksum is advertised, but no Tus-Checksum-Algorithm",
    )
    trial.check(
        "checksum" in names or not algorithms,
        "Tus-Checksum-Algorithm is there, but checksum is not advertised",
    )
