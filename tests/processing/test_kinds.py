from __future__ import annotations

import pytest

from tests.processing.samples import SAMPLES
from tusjumbo.processing import kinds
from tusjumbo.processing.kinds import (
    OCTETS,
    OOXML,
    PLAIN,
    ZIP,
    Danger,
    built_upon,
    canonical,
    danger,
    families,
    is_known,
    is_text,
    lookalikes,
)

NAMED = {
    *(name for name in vars(kinds).values() if isinstance(name, str) and "/" in name[:20]),
    *(sample.media_type for sample in SAMPLES),
} - {OOXML, kinds.__doc__, kinds.__file__}


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("image/jpg", "image/jpeg"),
        (" Image/JPG ; q=1", "image/jpeg"),
        ("text/xml", "application/xml"),
        ("application/x-zip-compressed", ZIP),
        ("inode/x-empty", PLAIN),
        ("application/x-elephant", "application/x-elephant"),
        ("", ""),
    ],
)
def test_one_name(media_type: str, expected: str) -> None:
    assert canonical(media_type) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize("name", sorted(NAMED))
def test_whatever_is_named_here_has_its_one_name(name: str) -> None:
    related = (*built_upon(name), *lookalikes(name))
    assert [canonical(one) for one in (name, *related)] == [name, *related]
    assert set(built_upon(name)) <= set(lookalikes(name)) | ({PLAIN} if name == PLAIN else set())
    assert all(danger(one) in (None, danger(name)) for one in related)
    # What something is built upon is built upon nothing that it is not.
    for one in built_upon(name):
        assert set(built_upon(one)) - {PLAIN, one} <= set(built_upon(name))


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("text/html", Danger.MARKUP),
        ("image/svg+xml", Danger.MARKUP),
        ("application/atom+xml", Danger.MARKUP),
        ("text/javascript", Danger.SCRIPT),
        ("text/x-msdos-batch", Danger.SCRIPT),
        ("application/wasm", Danger.PROGRAM),
        ("application/x-msi", Danger.PROGRAM),
        ("text/plain", None),
        ("application/pdf", None),
        (OCTETS, None),
    ],
)
def test_who_runs_it(media_type: str, expected: Danger | None) -> None:
    assert danger(media_type) is expected


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        (OOXML + "spreadsheetml.sheet", (ZIP,)),
        ("application/vnd.oasis.opendocument.text", (ZIP,)),
        ("application/vnd.ms-word.document.macroenabled.12", (ZIP,)),
        ("application/epub+zip", (ZIP,)),
        ("application/geo+json", ("application/json", PLAIN)),
        ("application/x-ndjson", ("application/json", PLAIN)),
        ("text/markdown", (PLAIN,)),
        ("image/png", ()),
        (OCTETS, ()),
        ("application/x-elephant", ()),
    ],
)
def test_what_it_is_built_upon(media_type: str, expected: tuple[str, ...]) -> None:
    assert built_upon(media_type) == expected


def test_what_nobody_knows_may_look_like_anything_that_nobody_knows() -> None:
    for name in ("application/x-elephant", "model/stl", "chemical/x-pdb", OCTETS):
        assert not is_known(name)
        assert lookalikes(name) == (PLAIN, OCTETS)
    for name in ("image/x-elephant", "application/pdf", "application/wasm", "text/x-elephant"):
        assert is_known(name)
        assert OCTETS not in lookalikes(name)


def test_text_is_what_nothing_runs() -> None:
    assert all(map(is_text, (PLAIN, "text/csv", "text/x-c", "application/json")))
    for name in ("text/html", "text/javascript", "application/xml", "image/png", OCTETS):
        assert not is_text(name)


def test_families() -> None:
    assert families("image/png") == ("image",)
    assert families("application/xml") == ("application", "text")
