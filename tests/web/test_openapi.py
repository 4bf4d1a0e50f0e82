"""The document of the Jumbo API: well-formed, complete, and true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.harness.process import Server
from tests.protocols.test_problems import OTHERWISE
from tests.protocols.test_refusals import ROWS
from tests.web.browsing import Browser
from tests.web.conftest import Serve
from tusjumbo.protocols import jumbo, problems, routes
from tusjumbo.protocols.refusals import ROWS as TABLE
from tusjumbo.web import assets
from tusjumbo.web.forms import FILE

SCHEMATHESIS = (sys.executable, "-m", "schemathesis.cli")
HERE = Path(__file__).parent
DOCUMENT: dict[str, Any] = json.loads((assets.PAGES / "openapi.json").read_bytes())
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def followed(told: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` refers to."""
    while "$ref" in told:
        found: Any = DOCUMENT
        for name in told["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        told = found
    return told


def absolute(schema: dict[str, Any]) -> Any:
    """With references that are right wherever it stands."""
    return json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    resource = Resource.from_contents(absolute(DOCUMENT), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    return Draft202012Validator(absolute(schema), registry=registry)


def test_it_is_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_it_describes_exactly_the_routes() -> None:
    assert OPERATIONS.keys() == {(route.method, route.template) for route in routes.ROUTES}
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


def _contents(value: Any) -> Iterator[dict[str, Any]]:
    """Every media type with examples, wherever it is."""
    if isinstance(value, dict):
        if "schema" in value and "examples" in value:
            yield value
        for each in value.values():
            yield from _contents(each)
    elif isinstance(value, list):
        for each in value:
            yield from _contents(each)


def test_its_examples_follow_its_schemas() -> None:
    found = list(_contents(DOCUMENT))
    assert len(found) > 20
    for content in found:
        for example in content["examples"].values():
            validator(content["schema"]).validate(example["value"])


def test_its_problems_are_the_errors() -> None:
    """Each example is what the error is answered with, in status, type, title and members."""
    responses = DOCUMENT["components"]["responses"].values()
    examples = {
        name: example["value"]
        for response in responses
        for content in response.get("content", {}).values()
        for name, example in content["examples"].items()
    }
    assert len(examples) >= 15
    for error, _, _ in ROWS:
        answer = problems.refuse(error)
        if answer is None:
            continue
        said = json.loads(answer.body)
        name = said["type"].rpartition(":")[2]
        if name in examples:
            example = examples.pop(name)
            assert [example[key] for key in ("type", "title", "status")] == [
                said[key] for key in ("type", "title", "status")
            ]
            assert example.keys() == said.keys()
    assert not examples


def test_every_status_is_described() -> None:
    described = {status for operation in OPERATIONS.values() for status in operation["responses"]}
    told = {OTHERWISE.get(kind, row.status) for kind, row in TABLE.items()}
    # What only tus says: another version.
    assert {str(status) for status in told - {None, 412}} <= described
    for (method, path), operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            contents = followed(response).get("content", {})
            if status >= "400":
                assert list(contents) == [problems.MEDIA_TYPE], (method, path, status)
                assert f"{status[0]}" in "45"


def limits(document: dict[str, Any], name: str) -> tuple[int, int]:
    schema = document["components"]["schemas"]["Start"]["properties"][name]
    return schema["minimum"], schema["maximum"]


def test_its_numbers_are_ours() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert limits(DOCUMENT, "chunk_size") == routes.chunk_sizes(5 << 20)
    assert limits(DOCUMENT, "size") == (0, jumbo.LARGEST)
    assert schemas["Size"]["maximum"] == schemas["ChunkNumber"]["maximum"] == jumbo.LARGEST
    for name in ("chunks_received", "chunks_needed"):
        assert schemas["Resumed"]["properties"][name]["maxItems"] == jumbo.LISTED
    assert f"{routes.MAX_JSON // 1024} KiB" in schemas["Start"]["description"]
    form = schemas["ChunkForm"]["properties"]
    assert list(form) == [*routes.FORM_FIELDS, FILE]


async def test_it_is_served_as_it_applies(serve: Serve) -> None:
    browser = Browser(serve(chunk_size=4, max_size=100).at("/files", "/api/upload"))
    served = json.loads((await browser.get("/api/upload/openapi.json")).body)
    assert served["servers"] == [{"url": "/api/upload"}]
    assert limits(served, "chunk_size") == routes.chunk_sizes(4)
    assert limits(served, "size") == (0, 100)
    assert served["paths"].keys() == DOCUMENT["paths"].keys()
    validate(served)


@pytest.mark.wire
@pytest.mark.timeout(240)
def test_the_server_does_what_it_says(tmp_path: Path) -> None:
    """schemathesis: right and wrong requests to every operation, and chains of them by links."""
    options = ("--durability", "os", "--chunk-size", "4", "--max-size", "1GiB")
    with Server(tmp_path / "data", *options) as server:
        url = server.endpoint.url.replace("/files/", "/upload/openapi.json")
        config = str(HERE / "schemathesis.toml")
        run = subprocess.run(
            [*SCHEMATHESIS, "--config-file", config, "--no-color", "run", url],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
        )
        report = run.stdout + run.stderr
        if run.returncode:
            pytest.fail(report[-8000:])
        others = len(OPERATIONS) - 1  # the document itself is not asked for again
        assert f"{others} selected / {others} total" in report
        links = re.search(r"API Links: +(\d+) covered / \d+ selected", report)
        assert links is not None, report
        assert int(links[1]) >= 6
