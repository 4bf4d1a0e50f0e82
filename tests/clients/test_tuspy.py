"""tuspy 1.1.0 from PyPI against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import MIB, MakeFile, Proof
from tests.clients.driver import Client, Json, tuspy
from tests.harness.process import Server, free_port

pytestmark = pytest.mark.wire

CREATED, PATCHED = ("POST", 201), ("PATCH", 204)


def _start(server: Server, scratch: Path, file: Path, **scenario: object) -> Client:
    return tuspy({"endpoint": server.endpoint.url, "file": str(file), **scenario}, scratch)


@pytest.mark.parametrize(
    ("size", "options", "requests"),
    [
        pytest.param(11, {}, [CREATED, PATCHED], id="plain"),
        pytest.param(5 * MIB + 7, {"chunk_size": 2 * MIB}, [CREATED] + 3 * [PATCHED], id="chunked"),
        pytest.param(0, {}, [CREATED], id="empty"),
        pytest.param(
            5 * MIB,
            {"chunk_size": 2 * MIB, "upload_checksum": True},
            [CREATED] + 3 * [PATCHED],
            id="checksum",
        ),
        pytest.param(256 * MIB, {}, [CREATED, PATCHED], id="256 MiB"),
    ],
)
def test_upload(
    server: Server,
    proof: Proof,
    make_file: MakeFile,
    tmp_path: Path,
    size: int,
    options: Json,
    requests: list[tuple[str, int]],
) -> None:
    file = make_file(size)
    with _start(server, tmp_path, file, options=options) as client:
        result = client.result().succeeded()
        assert list(result.requests) == requests
        proof.whole(result.path, file)


def test_metadata(server: Server, proof: Proof, make_file: MakeFile, tmp_path: Path) -> None:
    options = {"metadata": {"filename": "a b.txt", "empty": "", "uni": "\u00fc"}}
    with _start(server, tmp_path, make_file(11), options=options) as client:
        result = client.result().succeeded()
    assert server.tus.head(result.path)["Upload-Metadata"] == (
        "filename YSBiLnR4dA==,empty ,uni w7w="
    )
    proof.whole(result.path, make_file(11))


def test_resumed_after_the_client_was_killed(
    server: Server, proof: Proof, make_file: MakeFile, tmp_path: Path
) -> None:
    file = make_file(40 * MIB)
    known = {"urlStorage": str(tmp_path / "urls.json"), "options": {"chunk_size": 8 * MIB}}
    at = {"bytes": 24 * MIB, "do": "die"}
    with _start(server, tmp_path, file, at=at, **known) as client:
        client.died()
    with _start(server, tmp_path, file, **known) as client:
        result = client.result().succeeded()
    assert list(result.requests) == [("HEAD", 200)] + 3 * [PATCHED]
    proof.whole(result.path, file)


def test_resuming_what_is_gone_makes_a_new_upload(
    server: Server, proof: Proof, make_file: MakeFile, tmp_path: Path
) -> None:
    file = make_file(MIB)
    known = {"urlStorage": str(tmp_path / "urls.json")}
    with _start(server, tmp_path, file, **known) as client:
        first = client.result().succeeded()
    proof.whole(first.path, file)
    server.tus.delete(first.path).expect(204)
    with _start(server, tmp_path, file, **known) as client:
        second = client.result()
    # 1.1.0 does not forget the address by itself; what it needs is a clear 4xx to tell of.
    assert second.requests[0] == ("HEAD", 404)


def test_server_killed_and_restarted_under_a_client_that_retries(
    tmp_path: Path, make_file: MakeFile
) -> None:
    file = make_file(40 * MIB)
    options = {"chunk_size": 8 * MIB, "retries": 100, "retry_delay": 0.1}
    with Server(tmp_path / "data", port=free_port()) as server:
        proof = Proof(server)
        at = {"bytes": 24 * MIB, "do": "halt"}
        with _start(server, tmp_path, file, at=at, options=options) as client:
            client.wait_for("halt")
            server.kill()
            client.go_on()
            server.start()
            result = client.result().succeeded()
        proof.whole(result.path, file)
