"""The medians of a run as bars, in SVG: a panel a figure, a bar a server.

Text is text, colours follow the reader's light or dark scheme, and nothing but this file is needed.
A server without the figure has no bar, only a dash. Panels whose workload was not run are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from statistics import median

from tests.benchmarks.records import Record
from tests.benchmarks.report import number
from tests.benchmarks.servers import LIMIT, SINK
from tests.benchmarks.targets import What
from tests.benchmarks.workloads import GIB

PANELS: Sequence[tuple[str, What, str]] = (
    ("W1", What.THROUGHPUT, "one upload, GiB/s"),
    ("W1", What.CPU, "CPU seconds per GiB (less is better)"),
    ("W3", What.THROUGHPUT, "8 uploads at once, GiB/s"),
    ("W3", What.CPU, "CPU seconds per GiB (less is better)"),
    ("W4b", What.REQUESTS, "small uploads, requests/s"),
    ("W5", What.REQUESTS, "HEAD, requests/s"),
)

_WIDTH, _LABEL, _BAR, _ROW, _HEAD = 440, 160, 200, 20, 44

_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.head { font-weight: 600; }
.name { text-anchor: end; }
.bar { fill: #8c959f; }
.ours { fill: #0969da; }
.limit { fill: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .bar { fill: #6e7681; }
  .ours { fill: #4493f8; }
  .limit { fill: #3d444d; }
}"""


def chart(record: Record) -> str:
    """An SVG document."""
    present = {row.name for row in record.report.workloads}
    panels = [panel for panel in PANELS if panel[0] in present]
    names = [name for name in record.report.servers if name != LIMIT]
    high = _HEAD + len(names) * _ROW
    width, height = 2 * _WIDTH, -(-len(panels) // 2) * high + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>tus servers measured side by side, {escape(record.date)}</title>",
        f"<desc>{escape(record.command)}</desc>",
        f"<style>\n{_STYLE}\n</style>",
    ]
    for n, (workload, what, title) in enumerate(panels):
        parts.append(f'<g transform="translate({n % 2 * _WIDTH} {n // 2 * high})">')
        parts.append(f'<text class="head" x="10" y="28">{workload}: {escape(title)}</text>')
        parts += _bars(record, workload, what, names)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _bars(record: Record, workload: str, what: What, names: Sequence[str]) -> Iterator[str]:
    row = next(row for row in record.report.workloads if row.name == workload)
    scale = 1 / GIB if what is What.THROUGHPUT else 1.0
    found = {
        name: median(values.values()) * scale
        for name in names
        # What stores no catalog answers so many requests that nobody else would be seen.
        if not (name == SINK and what is What.REQUESTS)
        and (values := record.report.values(row, name, what.figure))
    }
    most = max(found.values(), default=1.0)
    for n, name in enumerate(names):
        y = _HEAD + n * _ROW
        yield f'<text class="name" x="{_LABEL - 8}" y="{y + 11}">{escape(name)}</text>'
        length = max(1, round(found.get(name, 0) / most * _BAR))
        if name in found:
            yield f'<rect class="{_kind(name)}" x="{_LABEL}" y="{y}" width="{length}" height="14"/>'
        value = number(found[name]) if name in found else "-"
        x = _LABEL + 6 + (length if name in found else 0)
        yield f'<text x="{x}" y="{y + 11}">{value}</text>'


def _kind(name: str) -> str:
    if name == SINK:
        return "limit"
    return "ours" if name.startswith("tusjumbo") else "bar"
