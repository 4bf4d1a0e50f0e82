"""Every setting, once: the list from which flags, TUSJUMBO_* variables, TOML keys, Python arguments
and the README's table are made.

`UploadSettings` is what an embedded app needs; `ServerSettings` is what only a process of its own
needs. Values are checked here, so that a wrong one is the same readable line wherever it came from.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from tusjumbo.errors import ConfigurationError

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKMGTP]i?)?B?", re.ASCII)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|min|h|d|w)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


class Size(int):
    """A number of bytes; from text also `5GiB`, `500 MB`. 0 means no limit."""

    def __new__(cls, value: int | str) -> Size:
        if isinstance(value, int):
            return super().__new__(cls, value)
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"{value!r} is not a size; write bytes, or 500MB, or 5GiB")
        number, unit = match.groups()
        base = 1024 if unit and unit.endswith("i") else 1000
        power = "kMGTP".index(unit[0].replace("K", "k")) + 1 if unit else 0
        return super().__new__(cls, int(float(number) * base**power))


class Duration(float):
    """A number of seconds; from text also `90s`, `20m`, `12h`, `7d`. 0 means never or no limit."""

    def __new__(cls, value: float | str) -> Duration:
        if isinstance(value, (int, float)):
            return super().__new__(cls, value)
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"{value!r} is not a duration; write seconds, or 90s, 20m, 12h, 7d")
        number, unit = match.groups()
        return super().__new__(cls, float(number) * _SECONDS[unit or "s"])


class Durability(enum.Enum):
    """What an acknowledged offset survives."""

    COMMIT = "commit"
    """A power failure: data and catalog are on the disk before the answer."""
    OS = "os"
    """The end of the process, but not of the machine: nothing is forced to the disk."""


class LocationForm(enum.Enum):
    """How the address of a new upload is written."""

    PATH = "path"
    """`/files/<id>`: right behind any proxy that keeps the path."""
    URL = "url"
    """`https://host/files/<id>`, from the request and, if trusted, the proxy's headers."""


class LogFormat(enum.Enum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, kw_only=True)
class UploadSettings:
    """What an upload is held to, where it goes and who may reach it."""

    upload_dir: Path = Path("./data")
    """Directory for everything: unfinished, finished and abandoned uploads, catalog and locks."""
    max_size: Size = Size(0)
    """Largest upload, in bytes or as 5GiB; 0: no limit."""
    expire_after: Duration = Duration("7d")
    """An unfinished upload expires this long after its last byte; 0: never."""
    keep_abandoned: Duration = Duration("7d")
    """Expired uploads stay in `abandoned/` this long before they are removed."""
    sweep_every: Duration = Duration("10m")
    """How often expired uploads are looked for; 0: only by `tusjumbo sweep`."""
    durability: Durability = Durability.COMMIT
    """An acknowledged offset survives `commit`: power failure; `os`: a crash of the server."""
    body_timeout: Duration = Duration("60s")
    """A request that sends nothing for this long is ended, and its bytes kept; 0: never."""
    min_rate: Size = Size(0)
    """Slowest body allowed, in bytes per second (averaged over `body_timeout`); 0: any."""
    lock_timeout: Duration = Duration("20s")
    """How long a request waits for another one to leave the same upload."""
    base_url: str = ""
    """Where the app is reached, if that cannot be seen from the request: /files or https://host/files."""
    location: LocationForm = LocationForm.PATH
    """Address of a new upload: `path` (/files/id) or `url` (https://host/files/id)."""
    behind_proxy: tuple[str, ...] = ()
    """Networks whose Forwarded and X-Forwarded-* headers are believed, as 10.0.0.0/8."""
    downloads: bool = True
    """Answer GET with finished uploads."""
    termination: bool = True
    """Let clients DELETE uploads."""
    cors_origins: tuple[str, ...] = ("*",)
    """Web pages that may upload: origins as https://example.org, or * for all; none: ""."""
    cors_credentials: bool = False
    """Let those pages send cookies (needs origins by name)."""
    cors_headers: tuple[str, ...] = ()
    """Further request headers that pages may send."""
    cors_expose: tuple[str, ...] = ()
    """Further response headers that pages may read."""
    cors_max_age: Duration = Duration("24h")
    """How long browsers may remember a preflight."""

    def __post_init__(self) -> None:
        _convert(self)
        for network in self.behind_proxy:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ConfigurationError(f"behind_proxy: {error}") from error
        if self.cors_credentials and "*" in self.cors_origins:
            raise ConfigurationError(
                "cors_credentials: browsers refuse cookies for *; name the origins in cors_origins"
            )
        if self.min_rate and not self.body_timeout:
            raise ConfigurationError("min_rate: needs a body_timeout to be averaged over")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What `tusjumbo serve` needs besides."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 or :: for all."""
    port: int = 8080
    """Port to listen on; 0: any free one."""
    unix_socket: Path | None = None
    """Listen on this Unix socket instead."""
    base_path: str = "/files/"
    """Path of the upload endpoint."""
    workers: int = 1
    """Number of worker processes."""
    tls_certificate: Path | None = None
    """PEM file with the certificate chain; with `tls_key` the server speaks HTTPS."""
    tls_key: Path | None = None
    """PEM file with the private key."""
    header_timeout: Duration = Duration("30s")
    """A connection must send a whole request head within this time."""
    shutdown_timeout: Duration = Duration("10s")
    """Running requests get this long to commit and answer when the server stops."""
    log_format: LogFormat = LogFormat.TEXT
    """`text` for people, `json` for machines."""
    log_level: str = "info"
    """debug, info, warning or error."""

    def __post_init__(self) -> None:
        _convert(self)
        if not 0 <= self.port <= 65535:
            raise ConfigurationError(f"port: {self.port} is not between 0 and 65535")
        if self.workers < 1:
            raise ConfigurationError(f"workers: {self.workers} is not at least 1")
        if not self.base_path.startswith("/"):
            raise ConfigurationError(f"base_path: {self.base_path!r} does not begin with /")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigurationError("tls_certificate and tls_key: give both or none")


def _convert(settings: UploadSettings | ServerSettings) -> None:
    """Turn text into the type of its field: Python arguments may be written as in TOML."""
    for name, kind in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if kind == tuple[str, ...]:
            parts = value.split(",") if isinstance(value, str) else value
            converted: object = tuple(part.strip() for part in parts if part.strip())
        elif kind in (Size, Duration, Durability, LocationForm, LogFormat, Path):
            converted = _one(name, kind, value)
        elif kind == Path | None:
            converted = None if value is None else Path(value)
        else:
            continue
        object.__setattr__(settings, name, converted)


def _one(name: str, kind: type, value: object) -> object:
    try:
        converted = value if isinstance(value, kind) else kind(value)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{name}: {error}") from error
    if isinstance(converted, (int, float)) and converted < 0:
        raise ConfigurationError(f"{name}: {value} is negative")
    return converted
