"""Log lines: one record is one line, whatever a client has put into it."""

from __future__ import annotations

import json
import logging
import logging.config
import sys

import pytest

from tusjumbo.cli import logs
from tusjumbo.settings import LogFormat, LogLevel


def _record(message: str, *args: object, error: bool = False, **extra: object) -> logging.LogRecord:
    record = logging.makeLogRecord(
        {
            "name": "tusjumbo.access",
            "levelname": "INFO",
            "msg": message,
            "args": args,
            "created": 1_790_000_000.25,
            **extra,
        }
    )
    if error:
        try:
            _fail()
        except ValueError:
            record.exc_info = sys.exc_info()
    return record


def _fail() -> None:
    raise ValueError("x\x1b[31m")


def test_text_is_one_line_and_nothing_can_be_forged() -> None:
    line = logs.TextFormatter().format(_record("GET %s", "/\n2026 info x: \x1b[31mfake", bytes=5))
    assert line == (
        "2026-09-21T14:13:20.250Z info    tusjumbo.access: "
        r"GET /\n2026 info x: \x1b[31mfake"
    )


def test_a_traceback_follows_line_by_line() -> None:
    first, *trace = logs.TextFormatter().format(_record("failed", error=True)).split("\n")
    assert first.endswith("tusjumbo.access: failed")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == r"ValueError: x\x1b[31m"


def test_json_is_one_object_with_the_extra_fields() -> None:
    record = _record("took %d", 5, upload_id="jumbo_a", bytes=5, path="/\n\x1b", other={1})
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    assert line.isprintable()
    assert json.loads(line) == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "info",
        "logger": "tusjumbo.access",
        "message": "took 5",
        "upload_id": "jumbo_a",
        "bytes": 5,
        "path": "/\n\x1b",
        "other": "{1}",
    }


def test_json_has_the_traceback_in_the_object() -> None:
    entry = json.loads(logs.JsonFormatter().format(_record("failed", error=True)))
    assert entry["exception"].startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("form", list(LogFormat), ids=lambda form: form.value)
def test_ours_and_uvicorns_come_out_alike(
    form: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.config.dictConfig(logs.configuration(form, LogLevel.INFO))
    logging.getLogger("tusjumbo.access").info("one", extra={"bytes": 1})
    logging.getLogger("uvicorn.error").warning("two", extra={"color_message": "\x1b[1mtwo"})
    logging.getLogger("uvicorn.error").info("not this")
    logging.getLogger("tusjumbo.upload").debug("nor this")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    if form is LogFormat.JSON:
        assert [json.loads(line)["message"] for line in lines] == ["one", "two"]
        assert "color_message" not in lines[1]
    else:
        assert lines[0].endswith("Z info    tusjumbo.access: one")
        assert lines[1].endswith("Z warning uvicorn.error: two")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (LogLevel.DEBUG, ["debug", "info", "error"]),
        (LogLevel.INFO, ["info", "error"]),
        (LogLevel.WARNING, ["error"]),
        (LogLevel.ERROR, ["error"]),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_levels(level: LogLevel, shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(logs.configuration(LogFormat.JSON, level))
    for name in ("debug", "info", "error"):
        logging.getLogger("tusjumbo").log(logging.getLevelNamesMapping()[name.upper()], "x")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["level"] for line in lines] == shown
