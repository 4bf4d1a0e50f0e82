"""JSON, for programs. The schema is described in conformance/README.md and versioned: a field may
be added to version 1, none is taken away or changes what it means.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

import conformance
from conformance.model import Exchange, Report, Result
from conformance.reports.summary import TELLING, untested

SCHEMA = 1


def render(report: Report) -> str:
    """One JSON object, in ASCII, indented."""
    started = datetime.datetime.fromtimestamp(report.started, datetime.UTC)
    server = report.facts
    document = {
        "schema": SCHEMA,
        "suite": conformance.__version__,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 3),
        "exit_code": report.exit_code,
        "strict": report.strictness.robust,
        "strict_clients": report.strictness.client,
        "only": list(report.only),
        "skip": list(report.skip),
        "left": report.left,
        "server": {
            "url": server.url,
            "software": server.server,
            "versions": list(server.versions),
            "extensions": list(server.extensions),
            "algorithms": list(server.algorithms),
            "max_size": server.max_size,
            "downloads": server.downloads,
        },
        "counts": {verdict.value: count for verdict, count in report.counts().items()},
        "rows": [_row(report, result) for result in report.results],
        "untested": dict(untested()),
    }
    return json.dumps(document, indent=1) + "\n"


def _row(report: Report, result: Result) -> dict[str, Any]:
    row, verdict = result.row, result.verdict(report.strictness)
    telling = verdict in TELLING
    return {
        "id": row.id,
        "level": row.level.value,
        "group": row.group,
        "section": row.section,
        "text": row.text,
        "verdict": verdict.value,
        "seconds": round(result.seconds, 3),
        "findings": [
            {
                "level": finding.level.value,
                "verdict": report.strictness.verdict(finding.level).value,
                "text": finding.text,
                "exchange": finding.exchange,
            }
            for finding in result.findings
        ],
        "blocked": result.blocked or None,
        "skipped": result.skipped or None,
        "notes": list(result.notes),
        # What passed is not worth megabytes.
        "exchanges": [_exchange(exchange) for exchange in result.exchanges] if telling else [],
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "method": exchange.method,
        "target": exchange.target,
        "request": exchange.request,
        "sent": list(exchange.sent),
        "interim": list(exchange.interim),
        "status": exchange.status,
        "response": exchange.response or None,
        "body": exchange.body or None,
        "problem": exchange.problem or None,
    }
