"""tus-js-client meets a server that takes pictures only: 415 is the last word, in time to be read.

What it must not do is to begin anew: after a connection that breaks, HEAD finds nothing, and with
its retries on it would send the file for ever (specs/clients.md 1.6).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import MIB, MakeFile
from tests.clients.driver import Json, tusjs
from tests.harness.process import Server

pytestmark = pytest.mark.wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["js4", "js5"])
CREATED, REFUSED = ("POST", 201), ("PATCH", 415)


@pytest.fixture(scope="module", name="pictures")
def _pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("pictures") / "data"
    with Server(directory, "--allow-types", "image/*") as server:
        yield server


@BOTH
@pytest.mark.parametrize(
    ("size", "name", "options", "requests"),
    [
        pytest.param(3000, "a.png", {}, [CREATED, REFUSED], id="small"),
        pytest.param(64 * MIB, "a.png", {}, [CREATED, REFUSED], id="in the middle"),
        pytest.param(
            64 * MIB, "a.png", {"chunkSize": 20 * MIB}, [CREATED, REFUSED], id="in the first chunk"
        ),
        pytest.param(
            64 * MIB,
            "a.png",
            {"uploadDataDuringCreation": True},
            [("POST", 415)],
            id="with creation",
        ),
        pytest.param(MIB, "a.html", {}, [("POST", 415)], id="by its name"),
        pytest.param(
            2 * MIB,
            "a.png",
            {"parallelUploads": 2},
            [*[CREATED] * 2, *[("PATCH", 204)] * 2, ("POST", 415)],
            id="joined",
        ),
    ],
)
def test_a_refused_type_is_the_end(
    pictures: Server,
    make_file: MakeFile,
    tmp_path: Path,
    version: int,
    size: int,
    name: str,
    options: Json,
    requests: list[tuple[str, int]],
) -> None:
    scenario: Json = {
        "version": version,
        "endpoint": pictures.endpoint.url,
        "file": str(make_file(size)),
        "input": "file",
        "options": {"retryDelays": [10] * 3, "metadata": {"filename": name}, **options},
    }
    with tusjs(scenario, tmp_path) as client:
        result = client.result()
    assert result.outcome == "error"
    assert sorted(result.requests) == sorted(requests)
    (error,) = result.errors
    assert "is not taken here. Send one of: image/*." in error
    if result.url is not None:
        assert pictures.tus.head(result.path).status == 404
    assert not list(pictures.directory.glob("completed/*"))
