"""The figures of the tables' benchmark are filled in, and never come from wrong answers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks.tables import OURS, PROGRAM, main, measured


def test_every_reader_has_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rows", "120", "--runs", "1"])
    first, _, _, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("120 rows, ")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [name for name, _, _ in cells] == [name.replace("_", " ") for name in OURS]
    assert all(int(rate.replace(",", "")) > 0 and int(peak) > 0 for _, rate, peak in cells)


def test_a_reader_that_loses_rows_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit, match="csv_reader_lists found 1 rows of 2"):
        measured((sys.executable, "-c", PROGRAM), "csv_reader_lists", path, 2)
