"""UploadSettings: what an embedded app needs, and how it is given by an application."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, cast

from tusjumbo.errors import ConfigurationError
from tusjumbo.settings.groups import AccessSettings, ArrivalSettings
from tusjumbo.settings.values import Durability, Duration, LocationForm, Size, convert

_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/?#@\s]+", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)  # a header's name, RFC 9110 5.6.2
_BASE_URL = re.compile(r"(?:https?://[^/?#@\s]+)?(?:/[^?#\s]*)?", re.ASCII)
MEDIA_PATTERN = re.compile(
    r"\*/\*|[a-z0-9!#$%&'+.^_`|~-]+/(?:\*|[a-z0-9!#$%&'+.^_`|~-]+)", re.ASCII | re.IGNORECASE
)
"""A media type, the family of one, or all of them: names as in RFC 9110 5.6.2, without the star."""


@dataclass(frozen=True, kw_only=True)
class UploadSettings(AccessSettings, ArrivalSettings):
    """What an upload is held to, where it goes and who may reach it."""

    SECTION: ClassVar[str] = "Uploads"

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
    chunk_size: Size = Size("5MiB")
    """Size of the chunks in which an upload may be sent in any order, and verified."""
    allow_types: tuple[str, ...] = ()
    """Types of files that are taken, as image/* or application/pdf, by their content; none: all."""
    deny_types: tuple[str, ...] = ()
    """Types of files that are not taken, whatever `allow_types` says."""
    refuse_disguised: bool = False
    """Refuse pages, scripts and programs that say they are something else."""
    remove_parts: bool = False
    """Remove partial uploads as soon as they are joined; else they expire."""
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
        convert(self)
        for network in self.behind_proxy:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ConfigurationError(str(error), setting="behind_proxy") from error
        for name in ("allow_types", "deny_types"):
            _each(self, name, MEDIA_PATTERN, "a media type; write text/csv, or image/*")
        _each(self, "cors_origins", _ORIGIN, "an origin; write https://example.org, or *")
        _each(self, "hooks_forward_headers", _TOKEN, "the name of a header")
        _each(self, "cors_headers", _TOKEN, "the name of a header")
        _each(self, "cors_expose", _TOKEN, "the name of a header")
        if self.cors_credentials and "*" in self.cors_origins:
            raise ConfigurationError(
                "browsers refuse cookies for *; name the origins in cors_origins",
                setting="cors_credentials",
            )
        if not self.chunk_size:
            raise ConfigurationError("must be at least one byte", setting="chunk_size")
        if self.min_rate and not self.body_timeout:
            raise ConfigurationError("needs a body_timeout to be averaged over", setting="min_rate")
        if _BASE_URL.fullmatch(self.base_url) is None:
            raise ConfigurationError(
                f"{self.base_url!r} is neither a path (/files) nor a URL (https://host/files)",
                setting="base_url",
            )


def upload_settings(
    settings: UploadSettings | None, options: Mapping[str, object]
) -> UploadSettings:
    """`settings`, or those that `options` name: how an application gives them.

    :raises ConfigurationError: an option that does not exist, or cannot work; or both were given
    """
    known = [field.name for field in fields(UploadSettings)]
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
            raise ConfigurationError(f"there is no such option{hint}", setting=name)
    if settings is None:
        return UploadSettings(**cast(dict[str, Any], options))
    if options:
        raise ConfigurationError("give settings, or options, but not both", setting="settings")
    return settings


def _each(settings: UploadSettings, name: str, grammar: re.Pattern[str], what: str) -> None:
    for word in getattr(settings, name):
        if grammar.fullmatch(word) is None:
            raise ConfigurationError(f"{word!r} is not {what}", setting=name)
