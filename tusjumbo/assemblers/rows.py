"""Rows: an upload that is a CSV file goes to the application in lists of rows (`stream_csv`).

Called again after a crash, it hands over all rows from the first one on. The client is told how
many there were, as JSON; a file that is no such table is refused with the reason.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Unpack

from tusjumbo.application import Arrival, Assembled
from tusjumbo.assemblers.reading import pieces
from tusjumbo.errors import ConfigurationError, UploadRejected
from tusjumbo.hop import Stay, ask
from tusjumbo.processing import tables
from tusjumbo.processing.layouts import LayoutOptions, layout
from tusjumbo.processing.listeners import told
from tusjumbo.processing.pieces import PIECE
from tusjumbo.processing.tables import BadRow, Row, TableUnreadable
from tusjumbo.sessions.session import Answer

Callback = Callable[[list[Row], int], object]

CHUNK_SIZE = 1000
"""Rows in one call, unless told otherwise."""

_threads = Stay(40)


class RowOptions(LayoutOptions, total=False):
    """How the table is to be read, and what else."""

    chunk_size: int
    on_error: Callable[[BadRow], object] | None
    """Takes each bad row, with its line. None: the first one has the upload refused."""


class Rows:
    """An assembler that calls `callback(rows, row_count)`, in a thread unless it is async."""

    def __init__(self, callback: Callback, **options: Unpack[RowOptions]) -> None:
        """:raises ConfigurationError: an option that cannot work"""
        if not callable(callback):
            raise ConfigurationError(f"csv: {callback!r} cannot be called")
        self._callback = callback
        self._chunk_size = options.get("chunk_size", CHUNK_SIZE)
        self._on_error = options.get("on_error")
        self._layout = layout(options)
        if self._chunk_size < 1:
            raise ConfigurationError("at least 1", setting="chunk_size")
        try:
            codecs.lookup(self._layout.encoding or "utf-8")
        except LookupError as error:
            raise ConfigurationError(str(error), setting="encoding") from error

    async def __call__(self, arrival: Arrival) -> Assembled:
        """:raises UploadRejected: it is no such table"""

        def work() -> int:
            return tables.stream(
                pieces(arrival.path, PIECE),
                told(ask, self._callback),
                self._chunk_size,
                layout=self._layout,
                on_error=None if self._on_error is None else told(ask, self._on_error),
            )

        try:
            count = await _threads.alert(work)
        except TableUnreadable as error:
            raise UploadRejected(str(error)) from error
        body = json.dumps({"rows": count}).encode()
        headers = {"Content-Type": "application/json"}
        return Assembled(answer=Answer(headers=headers, body=body))
