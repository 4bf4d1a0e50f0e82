"""tus-js-client 4.3.1 and 5.0.0-pre2 on Node, as they come from npm, against a real server.

Every upload must end equal to its file by SHA-256, in `completed/` and by GET, and with no request
that a server which behaves does not cause (specs/clients.md section 7): a client that succeeds only
after a retry would hide a fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import MIB, MakeFile, Proof
from tests.clients.driver import Client, Json, tusjs
from tests.harness.process import Server, free_port
from tests.harness.wire import poll

pytestmark = pytest.mark.wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["js4", "js5"])
FOREVER = [100] * 300


def _start(server: Server, scratch: Path, version: int, file: Path, **scenario: object) -> Client:
    given: Json = {
        "version": version,
        "endpoint": server.endpoint.url,
        "file": str(file),
        "input": "file",
        **scenario,
    }
    given["options"] = {"retryDelays": [], **given.get("options", {})}
    return tusjs(given, scratch)


CREATED, PATCHED = ("POST", 201), ("PATCH", 204)


@BOTH
@pytest.mark.parametrize(
    ("size", "given", "options", "requests"),
    [
        pytest.param(11, "buffer", {}, [CREATED, PATCHED], id="buffer"),
        pytest.param(3 * MIB + 1, "file", {}, [CREATED, PATCHED], id="file"),
        pytest.param(
            5 * MIB + 7, "file", {"chunkSize": 2 * MIB}, [CREATED] + 3 * [PATCHED], id="chunked"
        ),
        pytest.param(0, "buffer", {}, [CREATED], id="empty"),
        pytest.param(
            3 * MIB, "file", {"uploadDataDuringCreation": True}, [CREATED], id="with creation"
        ),
        pytest.param(
            5 * MIB,
            "file",
            {"uploadDataDuringCreation": True, "chunkSize": 2 * MIB},
            [CREATED] + 2 * [PATCHED],
            id="with creation chunked",
        ),
        pytest.param(
            0, "buffer", {"uploadDataDuringCreation": True}, [CREATED], id="with creation empty"
        ),
        pytest.param(
            2 * MIB + 5,
            "stream",
            {"uploadLengthDeferred": True, "chunkSize": MIB},
            [CREATED] + 3 * [PATCHED],
            id="deferred",
        ),
        pytest.param(
            2 * MIB + 5,
            "stream",
            {"uploadLengthDeferred": True, "chunkSize": MIB, "uploadDataDuringCreation": True},
            [CREATED] + 3 * [PATCHED],
            id="deferred with creation",
        ),
        pytest.param(
            MIB, "file", {"overridePatchMethod": True}, [CREATED, ("POST", 204)], id="override"
        ),
        pytest.param(256 * MIB, "file", {}, [CREATED, PATCHED], id="256 MiB"),
        pytest.param(
            256 * MIB,
            "file",
            {"chunkSize": 32 * MIB},
            [CREATED] + 8 * [PATCHED],
            id="256 MiB cut",
        ),
    ],
)
def test_upload(
    server: Server,
    proof: Proof,
    make_file: MakeFile,
    tmp_path: Path,
    version: int,
    size: int,
    given: str,
    options: Json,
    requests: list[tuple[str, int]],
) -> None:
    file = make_file(size)
    with _start(server, tmp_path, version, file, input=given, options=options) as client:
        result = client.result().succeeded()
        assert list(result.requests) == requests
        assert result.errors == ()
        proof.whole(result.path, file)


@BOTH
def test_metadata_comes_back_as_it_was_sent(
    server: Server, make_file: MakeFile, tmp_path: Path, version: int
) -> None:
    metadata = {"filename": "a b.txt", "empty": "", "uni": "\u00fc", "filetype": "text/plain"}
    with _start(server, tmp_path, version, make_file(11), options={"metadata": metadata}) as client:
        result = client.result().succeeded()
    told = server.tus.head(result.path)["Upload-Metadata"]
    assert told == "filename YSBiLnR4dA==,empty ,uni w7w=,filetype dGV4dC9wbGFpbg=="


@BOTH
def test_terminated_in_the_middle(
    server: Server, proof: Proof, make_file: MakeFile, tmp_path: Path, version: int
) -> None:
    """abort(true): the PATCH is cut and a DELETE follows at once."""
    at = {"bytes": 24 * MIB, "do": "terminate"}
    with _start(server, tmp_path, version, make_file(64 * MIB), at=at) as client:
        result = client.result()
    assert result.outcome == "terminated"
    assert result.requests[-1] == ("DELETE", 204)
    assert server.tus.head(result.path).status == 404
    assert not list(server.directory.glob(f"sessions/*{result.path.rsplit('/', 1)[1]}*"))
    proof.nothing_new()


@BOTH
def test_terminated_by_address(
    server: Server, make_file: MakeFile, tmp_path: Path, version: int
) -> None:
    with _start(server, tmp_path, version, make_file(MIB)) as client:
        uploaded = client.result().succeeded()
    with _start(server, tmp_path, version, make_file(MIB), terminate=uploaded.url) as client:
        assert client.result().requests == (("DELETE", 204),)
    assert server.tus.head(uploaded.path).status == 404


@BOTH
@pytest.mark.parametrize("chunk", [None, 20 * MIB], ids=["whole", "chunked"])
def test_resumed_after_the_client_was_killed(
    server: Server,
    proof: Proof,
    make_file: MakeFile,
    tmp_path: Path,
    version: int,
    chunk: int | None,
) -> None:
    file = make_file(96 * MIB)
    known = {
        "urlStorage": str(tmp_path / "urls.json"),
        "options": {} if chunk is None else {"chunkSize": chunk},
    }
    at = {"bytes": 50 * MIB, "do": "die"}
    with _start(server, tmp_path, version, file, at=at, **known) as client:
        url = client.wait_for("url")["url"]
        client.died()
    path = "/" + url.split("/", 3)[3]
    # Not more than the client had read when it died, nor less than the kernel may have held back.
    kept = server.tus.offset(path)
    assert 30 * MIB < kept <= 51 * MIB
    with _start(server, tmp_path, version, file, resume=True, **known) as client:
        assert client.wait_for("previous")["count"] == 1
        result = client.result().succeeded()
    left = 1 if chunk is None else -(-(96 * MIB - kept) // chunk)
    assert list(result.requests) == [("HEAD", 200)] + left * [PATCHED]
    assert result.path == path
    proof.whole(path, file)


@BOTH
def test_two_clients_killed_and_resumed_side_by_side(
    server: Server, make_file: MakeFile, tmp_path: Path, version: int
) -> None:
    files = [make_file(40 * MIB), make_file(40 * MIB + 1)]
    storages = [{"urlStorage": str(tmp_path / f"urls{n}.json")} for n in range(2)]
    at = {"bytes": 24 * MIB, "do": "die"}
    pairs = list(zip(files, storages, strict=True))
    dying = [_start(server, tmp_path, version, f, at=at, **urls) for f, urls in pairs]
    for client in dying:
        with client:
            client.died()
    going_on = [_start(server, tmp_path, version, f, resume=True, **urls) for f, urls in pairs]
    results = []
    for client in going_on:
        with client:
            results.append(client.result().succeeded())
    assert all(result.requests[0] == ("HEAD", 200) for result in results)
    for result, file in zip(results, files, strict=True):
        assert server.tus.get(result.path) == file.read_bytes()


@BOTH
def test_resuming_what_is_gone_makes_a_new_upload(
    server: Server, proof: Proof, make_file: MakeFile, tmp_path: Path, version: int
) -> None:
    file = make_file(MIB)
    gone = server.endpoint.url + "0123456789abcdef0123456789abcdef"
    with _start(server, tmp_path, version, file, options={"uploadUrl": gone}) as client:
        result = client.result().succeeded()
    assert list(result.requests) == [("HEAD", 404), CREATED, PATCHED]
    # 5.0.0-pre2 goes on to complain of the 404 after its success (specs/clients.md 1.6).
    assert len(result.errors) == (0 if version == 4 else 1)
    proof.whole(result.path, file)


@BOTH
@pytest.mark.parametrize("chunk", [None, 20 * MIB], ids=["whole", "chunked"])
def test_server_killed_and_restarted_under_a_client_that_retries(
    tmp_path: Path, make_file: MakeFile, version: int, chunk: int | None
) -> None:
    file = make_file(96 * MIB)
    options: Json = {"retryDelays": FOREVER} | ({} if chunk is None else {"chunkSize": chunk})
    with Server(tmp_path / "data", port=free_port()) as server:
        proof = Proof(server)
        at = {"bytes": 50 * MIB, "do": "halt"}
        with _start(server, tmp_path, version, file, at=at, options=options) as client:
            client.wait_for("halt")
            path = "/" + client.wait_for("url")["url"].split("/", 3)[3]
            stored = server.directory / "sessions"
            poll(
                lambda: sum(part.stat().st_size for part in stored.rglob("*") if part.is_file()),
                20,
                "nothing has arrived",
            )
            server.kill()
            client.go_on()
            server.start()
            result = client.result().succeeded()
        assert ("HEAD", 200) in result.requests
        assert result.path == path
        proof.whole(path, file)


@BOTH
def test_server_stopped_and_restarted_under_a_client_that_retries(
    tmp_path: Path, make_file: MakeFile, version: int
) -> None:
    """SIGTERM: what had arrived is kept, and the client goes on where the server says."""
    file = make_file(96 * MIB)
    with Server(tmp_path / "data", port=free_port()) as server:
        proof = Proof(server)
        at = {"bytes": 50 * MIB, "do": "halt"}
        options = {"retryDelays": FOREVER}
        with _start(server, tmp_path, version, file, at=at, options=options) as client:
            client.wait_for("halt")
            path = "/" + client.wait_for("url")["url"].split("/", 3)[3]
            server.stop()
            server.start()
            assert 30 * MIB < server.tus.offset(path) <= 51 * MIB
            client.go_on()
            result = client.result().succeeded()
        assert result.path == path
        proof.whole(path, file)
