"""Log lines for people or for machines, ours and uvicorn's alike, all on standard error.

Text: one line for each record, with everything invisible escaped, so that nothing a client sends
can forge a line or steer a terminal; a traceback follows on lines of its own. JSON: one object on
one line, with whatever a record carries in `extra` beside the message.

The result is a `dictConfig`, because it must reach worker processes as data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tusjumbo.cli.text import printable
from tusjumbo.settings import LogFormat, LogLevel

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


def _time(record: logging.LogRecord) -> str:
    """RFC 3339 with milliseconds, in UTC."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        line = f"{_time(record)} {level:7} {record.name}: {printable(record.getMessage())}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n".join([line, *map(printable, trace)])
        return line


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


_FORMATTERS: Mapping[LogFormat, type[logging.Formatter]] = {
    LogFormat.TEXT: TextFormatter,
    LogFormat.JSON: JsonFormatter,
}


def configuration(form: LogFormat, level: LogLevel) -> dict[str, Any]:
    """What `logging.config.dictConfig` takes, here and in every worker process."""
    formatter = _FORMATTERS[form]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{formatter.__module__}.{formatter.__name__}"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "tusjumbo": {"level": level.value.upper()},
            # What becomes of each chunk.
            "jumbo": {"level": level.value.upper()},
            # uvicorn tells of its start and stop, which we do ourselves, at "info".
            "uvicorn": {"level": "DEBUG" if level is LogLevel.DEBUG else "WARNING"},
        },
    }
