"""Every setting, once: the list from which flags, TUSJUMBO_* variables, TOML keys, Python arguments
and the README's table are made.

`UploadSettings` is what an embedded app needs; `ServerSettings` is what only a process of its own
needs. Values are checked when these are made, so that a wrong one is the same readable line
wherever it came from.
"""

from __future__ import annotations

from tusjumbo.settings.groups import AccessSettings, ArrivalSettings
from tusjumbo.settings.servers import ServerSettings
from tusjumbo.settings.uploads import MEDIA_PATTERN, UploadSettings, upload_settings
from tusjumbo.settings.values import (
    Durability,
    Duration,
    FinishMode,
    LocationForm,
    LogFormat,
    LogLevel,
    Size,
)

__all__ = [
    "MEDIA_PATTERN",
    "AccessSettings",
    "ArrivalSettings",
    "Durability",
    "Duration",
    "FinishMode",
    "LocationForm",
    "LogFormat",
    "LogLevel",
    "ServerSettings",
    "Size",
    "UploadSettings",
    "upload_settings",
]
