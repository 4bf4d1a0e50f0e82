"""tusjumbo: resumable uploads.

The public names, and nothing else. They are found when they are first asked for, so that importing
one room (or asking for `--help`) does not load the web framework and the database of the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tusjumbo.application import Admission as Admission
    from tusjumbo.application import Arrival as Arrival
    from tusjumbo.application import Assembled as Assembled
    from tusjumbo.application import Assembler as Assembler
    from tusjumbo.application import Gate as Gate
    from tusjumbo.application import Hook as Hook
    from tusjumbo.application import HookAnswer as HookAnswer
    from tusjumbo.application import HookCall as HookCall
    from tusjumbo.application import Identity as Identity
    from tusjumbo.application import Origin as Origin
    from tusjumbo.errors import ConfigurationError as ConfigurationError
    from tusjumbo.errors import Forbidden as Forbidden
    from tusjumbo.errors import TusJumboError as TusJumboError
    from tusjumbo.errors import Unauthorized as Unauthorized
    from tusjumbo.errors import UploadRejected as UploadRejected
    from tusjumbo.jumbo.asynchronous import AsyncJumbo as AsyncJumbo
    from tusjumbo.jumbo.synchronous import Jumbo as Jumbo
    from tusjumbo.jumbo.tables import UploadEnded as UploadEnded
    from tusjumbo.ports import Observer as Observer
    from tusjumbo.processing.dialects import Dialect as Dialect
    from tusjumbo.processing.tables import BadRow as BadRow
    from tusjumbo.processing.tables import TableUnreadable as TableUnreadable
    from tusjumbo.sessions.commands import Action as Action
    from tusjumbo.sessions.events import BytesReceived as BytesReceived
    from tusjumbo.sessions.events import Ending as Ending
    from tusjumbo.sessions.events import Event as Event
    from tusjumbo.sessions.events import UploadAbandoned as UploadAbandoned
    from tusjumbo.sessions.events import UploadCreated as UploadCreated
    from tusjumbo.sessions.events import UploadFinished as UploadFinished
    from tusjumbo.sessions.events import UploadPurged as UploadPurged
    from tusjumbo.sessions.events import UploadRecovered as UploadRecovered
    from tusjumbo.sessions.events import UploadRefused as UploadRefused
    from tusjumbo.sessions.events import UploadTerminated as UploadTerminated
    from tusjumbo.sessions.ranges import RangeSet as RangeSet
    from tusjumbo.sessions.session import Answer as Answer
    from tusjumbo.sessions.session import Phase as Phase
    from tusjumbo.sessions.session import Receipt as Receipt
    from tusjumbo.sessions.session import UploadChunk as UploadChunk
    from tusjumbo.sessions.session import UploadSession as UploadSession
    from tusjumbo.settings import Durability as Durability
    from tusjumbo.settings import Duration as Duration
    from tusjumbo.settings import LocationForm as LocationForm
    from tusjumbo.settings import Size as Size
    from tusjumbo.settings import UploadSettings as UploadSettings
    from tusjumbo.web.asgi import TusJumbo as TusJumbo

_FOUND_IN = {
    "application": "Admission Arrival Assembled Assembler Gate Hook HookAnswer HookCall Identity"
    " Origin",
    "errors": "ConfigurationError Forbidden TusJumboError Unauthorized UploadRejected",
    "jumbo.asynchronous": "AsyncJumbo",
    "jumbo.synchronous": "Jumbo",
    "jumbo.tables": "UploadEnded",
    "ports": "Observer",
    "processing.dialects": "Dialect",
    "processing.tables": "BadRow TableUnreadable",
    "sessions.commands": "Action",
    "sessions.events": "BytesReceived Ending Event UploadAbandoned UploadCreated UploadFinished"
    " UploadPurged UploadRecovered UploadRefused UploadTerminated",
    "sessions.ranges": "RangeSet",
    "sessions.session": "Answer Phase Receipt UploadChunk UploadSession",
    "settings": "Durability Duration LocationForm Size UploadSettings",
    "web.asgi": "TusJumbo",
}
_HOMES = {name: room for room, names in _FOUND_IN.items() for name in names.split()}

__all__ = sorted(_HOMES)


if not TYPE_CHECKING:  # who checks types is to complain of a name that is not there

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return __all__
