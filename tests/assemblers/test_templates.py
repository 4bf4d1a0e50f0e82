from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.assemblers.arrivals import CREATED_AT
from tusjumbo.application import NOBODY, Arrival
from tusjumbo.assemblers.templates import FIELDS, Template
from tusjumbo.errors import ConfigurationError
from tusjumbo.sessions.session import UploadSession


def arrival(
    name: str = "film.mp4", owner: str | None = "alice", metadata: dict[str, bytes] | None = None
) -> Arrival:
    session = UploadSession(
        id="jumbo_1",
        created_at=CREATED_AT,
        updated_at=CREATED_AT,
        owner=owner,
        metadata=metadata or {},
    )
    return Arrival(session, NOBODY, Path("/nowhere"), name, Path("/nowhere"))


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{owner}/{date}/{filename}", "alice/2023-11-14/film.mp4"),
        ("{year}/{month}/{day}/{id}", "2023/11/14/jumbo_1"),
        ("in/{stem} of {owner}{suffix}", "in/film of alice.mp4"),
        ("{metadata[album]}/{filename}", "Best of/film.mp4"),
        ("{metadata[no such]}", "unknown"),
        ("{{{owner}}}", "{alice}"),
        ("fixed", "fixed"),
    ],
)
def test_fields(template: str, path: str) -> None:
    assert Template(template).fill(arrival(metadata={"album": b"Best of"})) == path


@pytest.mark.parametrize(
    ("owner", "component"),
    [
        (None, "nobody"),
        ("", "nobody"),
        ("..", "nobody"),
        (".ssh", "ssh"),
        ("../../etc", "_.._etc"),
        ("a/b\\c", "a_b_c"),
        ("a\0b\nc", "abc"),
        ("s3://x::y", "s3___x__y"),
        ("x?versionId=1", "x_versionId=1"),
        ("\ud800", "nobody"),
        ("ä" * 200, "ä" * 127),
        ("{id}", "{id}"),
        ("\u0646\u200c\u0645", "\u0646\u200c\u0645"),
    ],
)
def test_owners(owner: str | None, component: str) -> None:
    assert Template("{owner}").fill(arrival(owner=owner)) == component


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [
        ("film.mp4", "film", ".mp4"),
        ("alice/a.tar.gz", "a.tar", ".gz"),
        ("README", "README", ""),
        ("what.is this all about then", "what.is this all about then", ""),
        ("alice/", "jumbo_1", ""),
    ],
)
def test_names(name: str, stem: str, suffix: str) -> None:
    one = arrival(name)
    assert Template("{stem}|{suffix}|{filename}").fill(one) == f"{stem}|{suffix}|{stem}{suffix}"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{nobody}", "{nobody}; there are {owner}, {date}"),
        ("{}", "{}; there are"),
        ("{owner.x}", "{owner.x}"),
        ("{metadata}", "{metadata}"),
        ("{metadata[]}", "{metadata"),
        ("{owner!r}", "write {owner}"),
        ("{date:>10}", "write {date}"),
        ("{owner", "expected"),
        ("owner}", "Single"),
        ("", "a path like"),
        ("/{owner}", "a path like"),
        ("{owner}/", "a path like"),
        ("a//b", "a path like"),
        ("../{owner}", "a path like"),
        ("./{owner}", "a path like"),
        ("a\\{owner}", "a path like"),
        ("a\0", "a path like"),
    ],
)
def test_no_templates(template: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Template(template)
    assert said in str(caught.value)


# A client's bytes need not be UTF-8: lone surrogates are not.
hostile = st.text() | st.text("./\\ \0~:-*?\n\u202e\u200dä", max_size=400)


@given(
    owner=st.none() | hostile,
    name=hostile,
    value=st.binary() | hostile.map(lambda text: text.encode("utf-8", "surrogatepass")),
)
def test_values_stay_in_their_component(owner: str | None, name: str, value: bytes) -> None:
    one = arrival(name, owner, {"k": value})
    fields = [f"{{{field}}}" for field in FIELDS if field != "suffix"] + ["{metadata[k]}"]
    filled = Template("/".join(fields)).fill(one).split("/")
    assert len(filled) == len(fields)
    for component in filled:
        assert component.strip(" .") == component != ""
        assert not set(component) & set('\\\0\n<>:"|?*')
        assert len(component.encode()) <= 255
    stem, suffix = Template("{stem}/{suffix}").fill(one).split("/")
    whole = Template("{filename}").fill(one)
    assert whole.startswith(stem)
    assert whole.endswith(suffix)
