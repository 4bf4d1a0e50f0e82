"""CORE-01 to CORE-06: the version that a request names.

Every request here is right but for its Tus-Resumable, so a server that does what was asked has not
looked at the version.
"""

from __future__ import annotations

from conformance.model import Level
from conformance.registry import case
from conformance.trial import BYTES, VERSION, Trial
from conformance.wire import Field, Response

_CONTENT = b"hello"
_SECTION = "Headers / Tus-Resumable"


def _refused_for_version(trial: Trial, answer: Response, version: str) -> None:
    where = f"{trial.exchanges[answer.index].method} with Tus-Resumable {version}"
    trial.expect(answer, 412, where=where)
    versions = answer.members("tus-version")
    trial.check(
        VERSION in versions,
        f"{where}: Tus-Version is {versions or 'missing'}, but has to name {VERSION}",
        at=answer,
    )


@case("CORE-01", Level.MUST, _SECTION, needs="creation")
def creation_in_another_version(trial: Trial) -> None:
    """POST in a version that is not supported creates nothing: 412, with Tus-Version."""
    answer = trial.request("POST", None, [("Upload-Length", "10")], b"", tus="0.2.2")
    _refused_for_version(trial, answer, "0.2.2")
    trial.check("location" not in answer, "an upload was created", at=answer)


@case("CORE-02", Level.MUST, _SECTION)
def append_in_another_version(trial: Trial) -> None:
    """PATCH in a version that is not supported stores nothing: 412, with Tus-Version."""
    upload = trial.create(10)
    with upload.unchanged("the refused PATCH"):
        fields: list[Field] = [BYTES, ("Upload-Offset", "0")]
        answer = upload.request("PATCH", fields, _CONTENT, tus="0.2.2")
        _refused_for_version(trial, answer, "0.2.2")


@case("CORE-03", Level.MUST, _SECTION, needs="termination")
def termination_in_another_version(trial: Trial) -> None:
    """DELETE in a version that is not supported removes nothing: 412, with Tus-Version."""
    upload = trial.create(10)
    with upload.unchanged("the refused DELETE"):
        answer = upload.request("DELETE", [], b"", tus="0.2.2")
        _refused_for_version(trial, answer, "0.2.2")


@case("CORE-04", Level.MUST, _SECTION)
def head_in_another_version(trial: Trial) -> None:
    """HEAD in a version that is not supported tells nothing: 412, with Tus-Version."""
    upload = trial.create(10)
    answer = upload.request("HEAD", tus="9.9.9")
    _refused_for_version(trial, answer, "9.9.9")
    offset = answer.get("upload-offset")
    trial.check(offset is None, f"HEAD was processed: Upload-Offset {offset}", at=answer)


@case("CORE-05", Level.MUST, _SECTION)
def no_version(trial: Trial) -> None:
    """A POST, PATCH or DELETE without Tus-Resumable is not processed."""
    if "creation" in trial.facts.extensions:
        answer = trial.request("POST", None, [("Upload-Length", "10")], b"", tus=None)
        _not_processed(trial, answer)
        trial.check("location" not in answer, "POST created an upload", at=answer)
    upload = trial.create(10)
    with upload.unchanged("PATCH without Tus-Resumable"):
        fields: list[Field] = [BYTES, ("Upload-Offset", "0")]
        _not_processed(trial, upload.request("PATCH", fields, _CONTENT, tus=None))
    if "termination" in trial.facts.extensions:
        with upload.unchanged("DELETE without Tus-Resumable"):
            _not_processed(trial, upload.request("DELETE", [], b"", tus=None))


def _not_processed(trial: Trial, answer: Response) -> None:
    method = trial.exchanges[answer.index].method
    trial.check(
        answer.status >= 300,
        f"{method} without Tus-Resumable was answered {answer.status}, as if it had one",
        at=answer,
    )
    # The specification has a status for another version, but none for no version (AMB-01).
    if answer.status != 412 or "tus-version" not in answer:
        trial.note(
            f"{method} without Tus-Resumable was answered {answer.status}"
            f" {'with' if 'tus-version' in answer else 'without'} Tus-Version; most servers"
            " answer 412 with it."
        )


@case("CORE-06", Level.ROBUST, _SECTION, needs="creation")
def versions_that_look_alike(trial: Trial) -> None:
    """White space around the version is ignored, and nothing else passes for 1.0.0."""
    # RFC 9110 5.5: a field value does not include the white space around it.
    for value in (f"{VERSION} ", f" {VERSION}", f"\t{VERSION} \t"):
        answer = trial.request("POST", None, [("Upload-Length", "10")], b"", tus=value)
        trial.check(
            200 <= answer.status < 300,
            f"Tus-Resumable {value!r} was refused with {answer.status}",
            at=answer,
        )
    for value in ("1.0", "1", "1.0.0.0", "v1.0.0", "1.0.00", "1.0.0, 1.0.0"):
        answer = trial.request("POST", None, [("Upload-Length", "10")], b"", tus=value)
        _not_a_version(trial, answer, f"Tus-Resumable {value!r}")
    twice: list[Field] = [("Upload-Length", "10"), ("Tus-Resumable", VERSION)]
    answer = trial.request("POST", None, twice, b"")
    _not_a_version(trial, answer, "two lines of Tus-Resumable")


def _not_a_version(trial: Trial, answer: Response, where: str) -> None:
    trial.expect_refusal(answer, 412, where=where)
    trial.check("location" not in answer, f"{where}: an upload was created", at=answer)
