from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processing.samples import SAMPLES
from tusjumbo.errors import ConfigurationError, MediaTypeRefused
from tusjumbo.ports import Verdict
from tusjumbo.processing.media import MediaPolicy, check_claim, verdict
from tusjumbo.processing.sniffing import Sniffed, examined

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
OCTETS = "application/octet-stream"
JAR = "application/java-archive"


def judged(policy: MediaPolicy, declared: str, found: str) -> bool:
    """Whether it is accepted, all being known."""
    try:
        return verdict(policy, declared, Sniffed(found, True)) is Verdict.ACCEPTED
    except MediaTypeRefused:
        return False


ACCEPTED = (
    ("image/*", "image/png", "image/png"),
    ("image/*", "", "image/png"),
    ("image/*", OCTETS, "image/png"),
    ("image/*", "text/plain", "image/png"),
    ("image/*", "image/png", "image/jpeg"),
    ("*/*", "", OCTETS),
    ("image/jpg", "image/pjpeg; q=1", "image/jpeg"),
    ("IMAGE/PNG ", "", "image/png"),
    # One type, many names.
    ("application/zip", "application/x-zip-compressed", "application/zip"),
    ("application/x-zip-compressed", "", "application/zip"),
    ("text/xml", "application/xml", "application/xml"),
    ("application/xml", "text/xml", "application/xml"),
    ("text/*", "text/xml", "application/xml"),
    ("text/*", "application/rtf", "application/rtf"),
    ("text/javascript", "application/x-javascript", "text/javascript"),
    ("audio/mpeg", "audio/mp3", "audio/mpeg"),
    # What it is built upon.
    ("application/zip", DOCX, DOCX),
    ("application/zip", "", DOCX),
    ("text/plain", "", "text/csv"),
    ("text/plain", "", "application/json"),
    ("text/*", "", "application/json"),
    ("image/heif", "", "image/heic"),
    # The claim is believed where content cannot tell.
    (DOCX, DOCX, "application/zip"),
    ("application/epub+zip", "application/epub+zip", "application/zip"),
    ("application/msword", "application/msword", "application/x-ole-storage"),
    ("application/msword", "application/msword", "application/rtf"),
    ("text/csv", "text/csv", "text/plain"),
    ("text/csv", "application/csv", "text/plain"),
    ("text/csv", "text/csv", "text/x-c"),
    ("text/markdown", "text/markdown", "text/csv"),
    ("application/vnd.ms-excel", "application/vnd.ms-excel", "text/csv"),
    ("text/csv", "application/vnd.ms-excel", "text/csv"),
    ("image/svg+xml", "image/svg+xml", "application/xml"),
    ("application/rss+xml", "application/rss+xml", "application/xml"),
    ("text/javascript", "text/javascript", "text/plain"),
    ("text/html", "text/html", "text/plain"),
    ("application/geo+json", "application/geo+json", "application/json"),
    ("audio/mp4", "audio/x-m4a", "video/mp4"),
    ("audio/webm", "audio/webm", "video/webm"),
    ("font/ttf", "font/ttf", "font/sfnt"),
    ("application/x-elephant", "application/x-elephant", OCTETS),
    ("application/x-elephant", "application/x-elephant", "text/plain"),
    ("image/svg+xml", "image/svg+xml", "image/svg+xml"),
    (JAR, JAR, "application/zip"),
    ("application/octet-stream", "", OCTETS),
    ("application/*", "", OCTETS),
)
REFUSED = (
    ("image/*", "image/png", "text/html"),
    ("image/*", "image/png", "text/plain"),
    ("image/*", "image/png", OCTETS),
    ("image/png", "image/png", "image/jpeg"),
    ("image/png", "image/png", OCTETS),
    ("image/*", "image/x-elephant", OCTETS),
    # Nobody says that it is a table, and it does not look like one.
    ("text/csv", "", "text/plain"),
    ("text/csv", "text/plain", "text/plain"),
    ("text/csv", "text/csv", OCTETS),
    ("text/csv", "text/csv", "application/zip"),
    ("text/csv", "text/csv", "text/html"),
    ("text/csv", "text/csv", "text/x-shellscript"),
    ("text/plain", "text/plain", OCTETS),
    ("text/plain", "text/plain", "text/html"),
    ("text/csv", "application/vnd.ms-excel", "application/vnd.ms-excel"),
    (DOCX, DOCX, XLSX),
    (DOCX, DOCX, "text/html"),
    (DOCX, "", "application/zip"),
    (DOCX, DOCX, JAR),
    # What is run counts as nothing else.
    ("application/zip", "", JAR),
    ("application/xml", "", "image/svg+xml"),
    ("text/xml", "text/xml", "image/svg+xml"),
    ("application/x-ole-storage", "application/msword", "application/x-msi"),
    (OCTETS, "", "application/x-executable"),
    ("image/svg+xml", "image/svg+xml", "text/html"),
    # The claim is what a browser will be told.
    ("image/*", "text/html", "image/gif"),
    ("text/csv", "application/xml", "text/csv"),
    # Any bytes would do for a name that nobody knows, if it were not asked for.
    ("application/vnd.elephant", "application/x-elephant", OCTETS),
    ("text/plain", "", "application/x-strange"),
    ("application/pdf", "application/pdf", OCTETS),
    ("application/pdf", "application/pdf", "text/plain"),
    ("application/*", OCTETS, "text/plain"),
    (OCTETS, OCTETS, "text/plain"),
)


@pytest.mark.parametrize(("allow", "declared", "found"), ACCEPTED)
def test_what_a_list_lets_in(allow: str, declared: str, found: str) -> None:
    assert judged(MediaPolicy(allow=(allow,)), declared, found)
    assert judged(MediaPolicy(allow=("model/stl", allow)), declared, found)
    assert not judged(MediaPolicy(allow=(allow,), deny=(found,)), declared, found)
    assert not judged(MediaPolicy(allow=(allow,), deny=("*/*",)), declared, found)


@pytest.mark.parametrize(("allow", "declared", "found"), REFUSED)
def test_what_a_list_keeps_out(allow: str, declared: str, found: str) -> None:
    assert not judged(MediaPolicy(allow=(allow,)), declared, found)
    assert judged(MediaPolicy(), declared, found)


def test_a_claim_of_binary_data_is_believed_by_name_only() -> None:
    elephant = "application/x-elephant"
    assert not judged(MediaPolicy(allow=("model/*",)), "model/x-elephant", OCTETS)
    assert judged(MediaPolicy(allow=("model/x-elephant",)), "model/x-elephant", OCTETS)
    assert judged(MediaPolicy(allow=("model/*",)), "model/x-elephant", "text/plain")
    assert not judged(MediaPolicy(allow=("model/*",)), elephant, "text/plain")


@pytest.mark.parametrize(
    ("deny", "declared", "found", "is_accepted"),
    [
        ("text/html", "", "text/html", False),
        ("text/html", "text/html", "text/plain", False),
        ("image/svg", "", "image/svg+xml", False),
        ("text/*", "", "application/xml", False),
        ("video/*", "video/mp4", "application/octet-stream", False),
        ("text/html", "text/plain", "text/plain", True),
        # A document is not denied for the archive that it is in.
        ("application/zip", DOCX, DOCX, True),
        ("application/zip", DOCX, "application/zip", False),
        ("application/zip", "application/x-zip", DOCX, False),
    ],
)
def test_deny(deny: str, declared: str, found: str, is_accepted: bool) -> None:
    assert judged(MediaPolicy(deny=(deny,)), declared, found) is is_accepted
    assert not judged(MediaPolicy(allow=(deny,), deny=(deny,)), declared, found)


@pytest.mark.parametrize(
    ("declared", "found", "is_accepted"),
    [
        ("image/png", "text/html", False),
        ("image/png", "image/svg+xml", False),
        ("image/png", "text/x-shellscript", False),
        ("image/png", "application/x-executable", False),
        ("image/jpg", "application/vnd.microsoft.portable-executable", False),
        ("application/pdf", "text/html", False),
        ("application/zip", JAR, False),
        ("application/msword", "application/x-msi", False),
        ("application/vnd.ms-excel", "text/html", False),
        ("text/html", "application/x-executable", False),
        ("text/javascript", "text/html", False),
        ("text/plain", "text/html", False),
        ("text/csv", "image/svg+xml", False),
        ("application/json", "text/html", False),
        ("text/plain", "application/x-executable", False),
        ("text/x-c", "application/x-executable", False),
        # Not a disguise: honest, harmless, or not said to be anything.
        ("image/png", "image/jpeg", True),
        ("image/png", "text/plain", True),
        ("image/svg+xml", "image/svg+xml", True),
        ("application/xml", "image/svg+xml", True),
        ("application/rss+xml", "text/html", True),
        ("text/html", "application/xhtml+xml", True),
        ("text/x-python", "text/x-shellscript", True),
        ("text/plain", "text/x-python", True),
        ("text/markdown", "text/html", True),
        ("application/x-elephant", "application/xml", True),
        ("application/vnd.appimage", "application/x-executable", True),
        ("application/x-java-archive", JAR, True),
        ("", "text/html", True),
        ("application/octet-stream", "application/x-executable", True),
    ],
)
def test_disguises(declared: str, found: str, is_accepted: bool) -> None:
    assert judged(MediaPolicy(strict=True), declared, found) is is_accepted
    assert judged(MediaPolicy(), declared, found)


def test_a_claim_is_refused_before_the_first_byte() -> None:
    unknown = Sniffed(OCTETS, is_settled=False)
    for policy, declared in (
        (MediaPolicy(deny=("video/*",)), "video/mp4"),
        (MediaPolicy(allow=("image/png",)), "text/html; charset=utf-8"),
    ):
        with pytest.raises(MediaTypeRefused) as refused:
            check_claim(policy, declared)
        assert refused.value.declared == declared
        assert refused.value.found is None
        assert refused.value.allowed == policy.allow
        with pytest.raises(MediaTypeRefused):
            verdict(policy, declared, unknown)
    for declared in ("", "application/octet-stream", "image/png", "application/x-elephant"):
        check_claim(MediaPolicy(allow=("image/png",), deny=("video/*",)), declared)


def test_a_refusal_says_what_was_found_and_what_is_taken() -> None:
    policy = MediaPolicy(allow=("image/*", "text/csv"))
    with pytest.raises(MediaTypeRefused) as refused:
        verdict(policy, "image/png", Sniffed("text/html", True))
    assert (refused.value.declared, refused.value.found) == ("image/png", "text/html")
    assert str(refused.value) == (
        "A file declared as 'image/png' that is text/html is not taken here."
        " Send one of: image/*, text/csv."
    )
    with pytest.raises(MediaTypeRefused) as refused:
        verdict(MediaPolicy(deny=("text/html",)), "", Sniffed("text/html", True))
    assert str(refused.value) == "A file of no declared type that is text/html is not taken here."


def test_few_bytes_decide_nothing_but_an_open_policy() -> None:
    few = Sniffed("text/html", is_settled=False)
    for policy in (
        MediaPolicy(allow=("image/*",)),
        MediaPolicy(allow=("text/html",)),
        MediaPolicy(deny=("text/html",)),
        MediaPolicy(strict=True),
    ):
        assert not policy.is_open
        assert verdict(policy, "image/png", few) is Verdict.NEEDS_MORE
    for policy in (MediaPolicy(), MediaPolicy(allow=("*/*",))):
        assert policy.is_open
        assert verdict(policy, "image/png", few) is Verdict.ACCEPTED


policies = st.builds(
    MediaPolicy,
    allow=st.lists(
        st.sampled_from([sample.media_type for sample in SAMPLES] + ["image/*", "text/*"]),
        max_size=3,
    ).map(tuple),
    deny=st.lists(st.sampled_from(["text/html", "video/*", "application/zip"]), max_size=2).map(
        tuple
    ),
    strict=st.booleans(),
)
claims = st.sampled_from(["", OCTETS, *(sample.media_type for sample in SAMPLES)])


@given(policies, claims, st.sampled_from(SAMPLES), st.lists(st.integers(0, 9000), max_size=6))
def test_what_was_said_once_stays(
    policy: MediaPolicy, declared: str, sample: object, sizes: list[int]
) -> None:
    content = next(one.content for one in SAMPLES if one is sample)
    said: list[object] = []
    for size in (*sorted(sizes), len(content)):
        is_whole = size >= len(content)
        try:
            said.append(verdict(policy, declared, examined(content[:size], is_whole=is_whole)))
        except MediaTypeRefused:
            said.append("refused")
    final = list(itertools.dropwhile(lambda one: one is Verdict.NEEDS_MORE, said))
    assert len(final) > 0
    assert set(final) in ({Verdict.ACCEPTED}, {"refused"})


@given(st.sampled_from(SAMPLES))
def test_an_honest_file_is_let_in_by_its_own_type(sample: object) -> None:
    found = next(one.media_type for one in SAMPLES if one is sample)
    assert judged(MediaPolicy(allow=(found,), strict=True), found, found)
    assert judged(MediaPolicy(strict=True), found, found)


@pytest.mark.parametrize("pattern", ["", "image", "image/", "/png", "*", "*/png", "a/b/c", "a/ b"])
def test_what_is_no_pattern(pattern: str) -> None:
    for allow, deny, setting in (((pattern,), (), "allow"), ((), ("a/b", pattern), "deny")):
        with pytest.raises(ConfigurationError) as wrong:
            MediaPolicy(allow=allow, deny=deny)
        assert wrong.value.setting == setting
        assert repr(pattern) in str(wrong.value)
