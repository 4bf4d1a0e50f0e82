"""Every promise of the seed has tests that are there, and the README's table says so."""

from __future__ import annotations

from tests import seed

README = (seed.ROOT / "README.md").read_text(encoding="utf-8")

HEADINGS = {
    "Features",
    "How It Works",
    "Flask-TSK Integration",
    "API Reference",
    "Client-Side Integration",
    "Error Handling",
    "Performance Considerations",
    "Security Features",
    "Monitoring and Logging",
    "Integration with Other Elephants",
    "Troubleshooting",
    "Future Enhancements",
}
"""The document's, but for its overview and its examples of use."""


def test_every_test_it_names_is_there() -> None:
    assert list(seed.missing()) == []


def test_a_test_that_nobody_wrote_is_found_out() -> None:
    assert "test_nobody_wrote_this" not in seed._tests_in(seed.ROOT / "tests" / "seed.py")
    assert "test_every_test_it_names_is_there" in seed._tests_in(seed.ROOT / "tests/test_seed.py")


def test_every_part_of_the_document_has_its_rows() -> None:
    assert {promise.heading for promise in seed.PROMISES} == HEADINGS


def test_the_table_is_the_real_one() -> None:
    assert seed.inserted(README) == README, "run `make readme`"
