"""Requests for chunks that nobody sane sends: never our mistake, and no file where none belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.web.browsing import GONE, Browser, piece
from tests.web.conftest import Serve
from tests.web.forms import CONTENT_TYPE, END, blob, cut, part
from tests.web.test_hostile import check_places, latin_1, names, numbers
from tusjumbo.web.bodies import Message

JSON = "application/json"
values = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(-2, 2**70), st.floats(), st.text(max_size=9)),
        names,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
uploads = st.fixed_dictionaries(
    {"filename": st.one_of(names, values), "size": st.one_of(st.integers(0, 11), values)},
    optional={"metadata": values, "chunk_size": st.one_of(st.integers(0, 5), values)},
).map(lambda told: json.dumps(told).encode())
ids = st.one_of(st.just("{open}"), st.just("{done}"), names)
parts = st.one_of(
    st.builds(part, st.just("upload_id"), ids.map(lambda text: text.encode("utf-8", "replace"))),
    st.builds(part, st.just("chunk_number"), numbers.map(str.encode)),
    st.builds(part, st.just("hash"), st.one_of(st.just(b"0" * 64), st.binary(max_size=9))),
    st.builds(blob, st.one_of(st.just(b"0123"), st.binary(max_size=9))),
    st.binary(max_size=9),
)
forms = st.one_of(
    st.builds(
        lambda some, end: b"".join(some) + end,
        st.lists(parts, max_size=5),
        st.sampled_from([END, END, b""]),
    ),
    st.builds(
        lambda upload_id, number, content: (
            part("upload_id", upload_id.encode())
            + part("chunk_number", number.encode())
            + blob(content)
            + END
        ),
        st.sampled_from(["{open}", "{done}"]),
        st.sampled_from(["0", "1", "2", "3"]),
        st.one_of(st.just(b"0123"), st.just(b"4"), st.binary(max_size=6)),
    ),
)
requests = st.one_of(
    st.tuples(st.just("POST"), st.just("/start"), st.just(JSON), uploads),
    st.tuples(st.just("POST"), st.just("/chunk"), st.just(CONTENT_TYPE), forms),
    st.tuples(
        st.just("PUT"),
        st.builds(lambda upload_id, number: f"/{upload_id}/chunks/{number}", ids, numbers),
        latin_1,
        st.one_of(st.just(b"0123"), st.binary(max_size=6)),
    ),
    st.tuples(
        st.sampled_from(["GET", "HEAD", "DELETE", "PATCH", "OPTIONS", "X"]),
        st.builds(
            lambda room, upload_id, number: f"{room}/{upload_id}{number}",
            st.sampled_from(["", "/status", "/resume", "/verify", "/.."]),
            ids,
            st.one_of(st.just(""), numbers.map(lambda text: "/" + text)),
        ),
        latin_1,
        st.just(b""),
    ),
)
fields = st.dictionaries(
    st.sampled_from(["Content-Digest", "Content-Range", "Origin", "Expect", "Host", "Forwarded"]),
    latin_1,
    max_size=2,
)


@pytest.fixture
def browser(serve: Serve, tmp_path: Path) -> Iterator[Browser]:
    directory = tmp_path / "deep" / "down" / "data"
    tus = serve(upload_dir=directory, max_size=10, chunk_size=4, behind_proxy="192.0.2.0/24")
    yield Browser(tus.at("/files", "/deep"), {"root_path": "/very"})
    check_places(tmp_path)


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    request=requests,
    more=fields,
    query=st.one_of(st.just(""), latin_1, numbers.map(lambda text: f"hash={text}")),
    sizes=st.one_of(st.none(), st.lists(st.integers(1, 60), max_size=9)),
    last=st.sampled_from([piece(b"", more=False), piece(b"", more=False), GONE]),
)
async def test_hostile_requests(
    browser: Browser,
    request: tuple[str, str, str, bytes],
    more: dict[str, str],
    query: str,
    sizes: list[int] | None,
    last: Message,
) -> None:
    method, path, kind, body = request
    for name, size in (("{open}", 9), ("{done}", 0)):
        told = json.dumps({"filename": "a", "size": size}).encode()
        created = await browser.ask("POST", "/deep/start", {"Content-Type": JSON}, told)
        assert created.status == 201
        upload_id = json.loads(created.body)["upload_id"]
        path = path.replace(name, upload_id)
        body = body.replace(name.encode(), upload_id.encode())
    sent = body if sizes is None else [*map(piece, cut(body, sizes)), last]
    head = {"Content-Type": kind, **more}
    answer = await browser.ask(
        method, "/deep" + path, head, sent, query_string=query.encode("latin-1")
    )
    # Without any hostile text: pytest cannot encode a lone surrogate in its statistics.
    event(f"{method} {answer.status}")
    # 0: the client was gone.
    assert answer.status == 0 or 200 <= answer.status < 500, answer
    if answer.status >= 400 and method != "HEAD":
        problem = json.loads(answer.body)
        assert problem["status"] == answer.status
        assert "Traceback" not in problem["detail"]
