"""How fast tables are read: `make bench-tables`, or with ARGS="--rows N --runs N".

`Jumbo.stream_csv` beside the standard library's readers and, with `--peers`, polars and pyarrow,
which are installed in `.cache/peers/tables` when first used. Four columns, every fiftieth row with
quotes and a quoted line end. Every reader is a process of its own: rows in a second (processor time
would hide what threads do), and its peak memory. "dicts" make what a callback of `stream_csv` gets,
a dict for each row; the others stop short of that. Readers take turns; medians. Nothing asserted.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.harness.peers import NotInstalled, Peer, Registry

# Started with the name of a reader and the file; prints rows, seconds and the peak in bytes.
PROGRAM = """\
import csv
import sys
import time
from pathlib import Path


def tusjumbo_dicts(path):
    from tusjumbo import Jumbo
    return lambda: Jumbo().stream_csv(path, lambda rows, row_count: None)


def csv_reader_lists(path):
    def read():
        with open(path, newline="", encoding="utf-8") as file:
            return sum(1 for row in csv.reader(file)) - 1
    return read


def csv_dictreader_dicts(path):
    def read():
        with open(path, newline="", encoding="utf-8") as file:
            return sum(1 for row in csv.DictReader(file))
    return read


def polars_columns(path):
    import polars
    return lambda: sum(batch.height for batch in frames(polars, path))


def polars_dicts(path):
    import polars
    return lambda: sum(1 for batch in frames(polars, path) for row in batch.iter_rows(named=True))


def frames(polars, path):
    return polars.scan_csv(path, infer_schema=False).collect_batches()


def pyarrow_columns(path):
    from pyarrow.csv import ParseOptions, open_csv
    options = ParseOptions(newlines_in_values=True)
    return lambda: sum(batch.num_rows for batch in open_csv(path, parse_options=options))


def pyarrow_dicts(path):
    from pyarrow.csv import ParseOptions, open_csv
    options = ParseOptions(newlines_in_values=True)
    return lambda: sum(len(batch.to_pylist()) for batch in open_csv(path, parse_options=options))


name, path = sys.argv[1:]
read = globals()[name](path)
began = time.perf_counter()
rows = read()
seconds = time.perf_counter() - began
status = Path("/proc/self/status").read_text().split()
print(rows, seconds, int(status[status.index("VmHWM:") + 1]) * 1024)
"""

OURS = ("tusjumbo_dicts", "csv_dictreader_dicts", "csv_reader_lists")
THEIRS = ("polars_columns", "polars_dicts", "pyarrow_columns", "pyarrow_dicts")
PEER = Peer("tables", Registry.PYPI, ("polars==2.1.0", "pyarrow==26.0.1"), PROGRAM)


def write(path: Path, rows: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "name", "price", "text"])
        for n in range(rows):
            text = 'some "text"\nhere' if n % 50 == 0 else "some text here"
            table.writerow([n, f"name {n}", "12.5", text])


def measured(command: tuple[str, ...], name: str, path: Path, rows: int) -> tuple[float, int]:
    """Rows in a second, and the peak in bytes."""
    done = subprocess.run([*command, name, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr.strip()[-500:]}")
    found, seconds, peak = done.stdout.split()
    if int(found) != rows:
        raise SystemExit(f"{name} found {found} rows of {rows}")
    return rows / float(seconds), int(peak)


def commands(with_peers: bool) -> dict[str, tuple[str, ...]]:
    ours: tuple[str, ...] = (sys.executable, "-c", PROGRAM)
    found = dict.fromkeys(OURS, ours)
    if with_peers:
        try:
            found |= dict.fromkeys(THEIRS, PEER.installed())
        except NotInstalled as error:
            print(error, file=sys.stderr)
    return found


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tables", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="polars and pyarrow, too")
    asked = parser.parse_args(words)
    readers = commands(asked.peers)
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in readers}
    with tempfile.TemporaryDirectory(prefix="tusjumbo-bench-") as directory:
        path = Path(directory) / "table.csv"
        write(path, asked.rows)
        for _ in range(asked.runs):
            for name, command in readers.items():
                found[name].append(measured(command, name, path, asked.rows))
        print(f"{asked.rows} rows, {path.stat().st_size / 1e6:.1f} MB, {asked.runs} runs; medians")
    print("| reader | rows/s | peak MiB |\n|---|---|---|")
    for name, rows in found.items():
        rate = statistics.median(rate for rate, _ in rows)
        peak = statistics.median(peak for _, peak in rows)
        print(f"| {name.replace('_', ' ')} | {rate:,.0f} | {peak / 1024**2:.0f} |")


if __name__ == "__main__":
    main()
