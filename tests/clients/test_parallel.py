"""tus-js-client with `parallelUploads`: partial uploads side by side, and one that joins them.

It takes the 201 of the final upload for success, so by then, or a moment later, the file must be
there, whole, and nothing else in `completed/`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.clients.conftest import MIB, MakeFile, Proof
from tests.clients.driver import Client, Json, Result, tusjs
from tests.harness.process import Server, free_port
from tests.harness.wire import poll

pytestmark = pytest.mark.wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["js4", "js5"])
CREATED, PATCHED, FOUND = ("POST", 201), ("PATCH", 204), ("HEAD", 200)


def _start(server: Server, scratch: Path, version: int, file: Path, **scenario: object) -> Client:
    given: Json = {
        "version": version,
        "endpoint": server.endpoint.url,
        "file": str(file),
        "input": "file",
        **scenario,
    }
    given["options"] = {"retryDelays": [], "parallelUploads": 4, **given.get("options", {})}
    return tusjs(given, scratch)


def _joined(server: Server, result: Result) -> None:
    """The file is complete, now or as soon as it is copied."""
    head = server.tus.head(result.path).expect(200)
    assert head["Upload-Concat"].startswith("final;http://")
    poll(
        lambda: server.tus.head(result.path).expect(200).get("Upload-Offset") is not None,
        60,
        "it is never complete",
    )


@BOTH
@pytest.mark.parametrize(
    ("size", "given", "options", "creations", "patches"),
    [
        pytest.param(64 * MIB, "file", {}, 5, 4, id="64 MiB"),
        pytest.param(64 * MIB + 3, "file", {"chunkSize": 5 * MIB}, 5, 16, id="chunked"),
        pytest.param(3 * MIB, "buffer", {"parallelUploads": 3}, 4, 3, id="buffer"),
        pytest.param(1, "buffer", {"parallelUploads": 2}, 3, 1, id="a part of nothing"),
        pytest.param(8 * MIB, "file", {"uploadDataDuringCreation": True}, 5, 0, id="at creation"),
    ],
)
def test_parts_side_by_side(
    server: Server,
    proof: Proof,
    make_file: MakeFile,
    tmp_path: Path,
    version: int,
    size: int,
    given: str,
    options: Json,
    creations: int,
    patches: int,
) -> None:
    file = make_file(size)
    with _start(server, tmp_path, version, file, input=given, options=options) as client:
        result = client.result().succeeded()
    expected = Counter({CREATED: creations, PATCHED: patches})
    assert Counter(result.requests) == +expected
    assert result.requests[-1] == CREATED
    assert result.errors == ()
    _joined(server, result)
    proof.whole(result.path, file)


@BOTH
def test_metadata_is_the_whole_files(
    server: Server, proof: Proof, make_file: MakeFile, tmp_path: Path, version: int
) -> None:
    file = make_file(MIB)
    options = {"metadata": {"filename": "whole.bin"}, "metadataForPartialUploads": {"part": "1"}}
    with _start(server, tmp_path, version, file, options=options) as client:
        result = client.result().succeeded()
    assert server.tus.head(result.path)["Upload-Metadata"] == "filename d2hvbGUuYmlu"
    proof.whole(result.path, file)


@BOTH
def test_one_connection_is_cut_and_resumed(
    server: Server, proof: Proof, make_file: MakeFile, tmp_path: Path, version: int
) -> None:
    file = make_file(96 * MIB)
    at = {"bytes": 40 * MIB, "do": "cut"}
    options = {"retryDelays": [100] * 20}
    with _start(server, tmp_path, version, file, at=at, options=options) as client:
        client.wait_for("cut")
        result = client.result().succeeded()
    counted = Counter(result.requests)
    assert counted[("PATCH", 0)] == 1, "one was cut, the others were not disturbed"
    assert counted[FOUND] == 1
    assert counted[PATCHED] == 4
    assert counted[CREATED] == 5
    _joined(server, result)
    proof.whole(result.path, file)


@BOTH
def test_resumed_after_the_client_was_killed(
    server: Server, proof: Proof, make_file: MakeFile, tmp_path: Path, version: int
) -> None:
    file = make_file(96 * MIB + 1)
    known = {"urlStorage": str(tmp_path / "urls.json")}
    at = {"bytes": 50 * MIB, "do": "die"}
    with _start(server, tmp_path, version, file, at=at, **known) as client:
        client.died()
    with _start(server, tmp_path, version, file, resume=True, **known) as client:
        assert client.wait_for("previous")["count"] == 1
        result = client.result().succeeded()
    counted = Counter(result.requests)
    assert counted[FOUND] == 4
    assert counted[CREATED] == 1, "only the final upload"
    _joined(server, result)
    proof.whole(result.path, file)


@BOTH
def test_server_killed_and_restarted_in_the_middle(
    tmp_path: Path, make_file: MakeFile, version: int
) -> None:
    file = make_file(96 * MIB)
    options = {"retryDelays": [100] * 300}
    with Server(tmp_path / "data", port=free_port()) as server:
        proof = Proof(server)
        at = {"bytes": 50 * MIB, "do": "halt"}
        with _start(server, tmp_path, version, file, at=at, options=options) as client:
            client.wait_for("halt")
            server.kill()
            client.go_on()
            server.start()
            result = client.result().succeeded()
        _joined(server, result)
        proof.whole(result.path, file)
