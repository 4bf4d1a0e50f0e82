"""What names claim."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processing.samples import SAMPLES, Sample
from tusjumbo.ports import Verdict
from tusjumbo.processing import suffixes
from tusjumbo.processing.kinds import _DANGERS, canonical
from tusjumbo.processing.media import MediaPolicy, verdict
from tusjumbo.processing.sniffing import Sniffed


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.png", "image/png"),
        ("Photo.JPG", "image/jpeg"),
        ("archive.tar.gz", "application/gzip"),
        ("page.html", "text/html"),
        ("page.png.html", "text/html"),
        ("page.html.png", "image/png"),
        ("setup.exe. .", "application/vnd.microsoft.portable-executable"),
        ("dir/../x.svg", "image/svg+xml"),
        (".svg", "image/svg+xml"),
        ("svg", ""),
        ("", ""),
        (".", ""),
        ("a.elephant", ""),
        ("a.png ", "image/png"),
        ("a.png\n", ""),
    ],
)
def test_the_last_suffix_counts(name: str, media_type: str) -> None:
    assert suffixes.claimed(name) == media_type


@given(st.text())
def test_any_name_will_do(name: str) -> None:
    assert suffixes.claimed(name) == canonical(suffixes.claimed(name))


def test_no_suffix_stands_for_two_types_and_all_types_have_their_one_name() -> None:
    written = [suffix for words in suffixes._SUFFIXES.values() for suffix in words.split()]
    assert len(written) == len(set(written))
    assert all(suffix == suffix.lower() for suffix in written)
    assert all(canonical(name) == name for name in suffixes._SUFFIXES)


def test_whatever_is_run_is_known_by_its_name() -> None:
    run = {name for names in _DANGERS.values() for name in names}
    assert run - set(suffixes._SUFFIXES) == {
        # These need none, or are found inside of others.
        *("application/x-executable", "application/x-mach-binary", "application/x-dex"),
    }


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_what_a_true_name_claims_is_believed(sample: Sample) -> None:
    claim = suffixes.claimed(sample.name)
    if claim and sample.name != "html-as.jpg":
        policy = MediaPolicy(allow=(claim,), strict=True)
        assert verdict(policy, claim, Sniffed(sample.media_type, True)) is Verdict.ACCEPTED
