"""ServerSettings: what only a process of its own needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tusjumbo.errors import ConfigurationError
from tusjumbo.settings.values import Duration, LogFormat, LogLevel, Size, convert

_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What `tusjumbo serve` needs besides."""

    SECTION: ClassVar[str] = "Server"

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 or :: for all."""
    port: int = 8080
    """Port to listen on; 0: any free one."""
    unix_socket: Path | None = None
    """Listen on this Unix socket instead."""
    base_path: str = "/files/"
    """Path of the upload endpoint; it works with and without the last slash."""
    jumbo_path: str = "/upload/"
    """Path of the Jumbo API, which takes the same uploads in chunks; off: ""."""
    workers: int = 1
    """Number of worker processes."""
    tls_certificate: Path | None = None
    """PEM file with the certificate chain; with `tls_key` the server speaks HTTPS."""
    tls_key: Path | None = None
    """PEM file with the private key."""
    header_timeout: Duration = Duration("30s")
    """A connection must send a whole request head within this time."""
    direct_from: Size = Size("64KiB")
    """Bodies of which so much is to come are read straight into what is written; 0: none."""
    shutdown_timeout: Duration = Duration("10s")
    """Running requests get this long to commit and answer when the server stops."""
    log_format: LogFormat = LogFormat.TEXT
    """`text` for people, `json` for machines."""
    log_level: LogLevel = LogLevel.INFO
    """The least important lines that are written."""

    def __post_init__(self) -> None:
        convert(self)
        if not 0 <= self.port <= 65535:
            raise ConfigurationError(f"{self.port} is not between 0 and 65535", setting="port")
        if self.workers < 1:
            raise ConfigurationError(f"{self.workers} is not at least 1", setting="workers")
        if not self.host:
            raise ConfigurationError("is empty; write 0.0.0.0 or :: for all", setting="host")
        _check_path(self, "base_path", "/files/")
        if self.jumbo_path:
            _check_path(self, "jumbo_path", "/upload/")
        if self.jumbo_path == self.base_path:
            raise ConfigurationError(
                'is the base_path; choose another one, or "" for none', setting="jumbo_path"
            )
        if self.tls_certificate and not self.tls_key:
            raise ConfigurationError("needs tls_key as well", setting="tls_certificate")
        if self.tls_key and not self.tls_certificate:
            raise ConfigurationError("needs tls_certificate as well", setting="tls_key")


def _check_path(settings: ServerSettings, name: str, example: str) -> None:
    path: str = getattr(settings, name)
    if not path.startswith("/") or _BASE_PATH.fullmatch(path) is None:
        raise ConfigurationError(
            f"{path!r} is not a path like {example} (letters, digits and ._~-)", setting=name
        )
    object.__setattr__(settings, name, path.rstrip("/") + "/")
