"""Groups of settings that are one subject each, and part of `UploadSettings`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tusjumbo.settings.values import Duration, FinishMode, Items, Secret, Size


@dataclass(frozen=True, kw_only=True)
class ArrivalSettings:
    """What is done with an upload that has arrived, and who is asked and told."""

    SECTION: ClassVar[str] = "Hooks and assemblers"

    assemble: Items = Items()
    """What is done with a file that has arrived, in this order: move:PATH, push:URL, csv:FUNCTION,
    zstd, sha256, script:PATH, https://…, or package.module:function."""
    finish: FinishMode = FinishMode.INLINE
    """When: `inline`, while the last request waits; `background`, after its answer."""
    hooks: Items = Items()
    """Python functions that are asked and told, as package.module:function."""
    hooks_dir: Path | None = None
    """Directory with a program for each hook, named as it is (pre-create, …), as for tusd."""
    hooks_http: Items = Items()
    """Addresses that hooks are posted to, as tusd does it."""
    hooks_events: tuple[str, ...] = ()
    """Hooks that are used, as pre-create,post-finish; none: all."""
    hooks_timeout: Duration = Duration("15s")
    """How long a program or an address may take to answer."""
    hooks_retry_for: Duration = Duration("3d")
    """How long news are told again to who does not take them."""
    hooks_secret: Secret = Secret("")
    """What posted hooks are signed with (Standard Webhooks); file:PATH reads it from a file."""
    hooks_forward_headers: tuple[str, ...] = ()
    """Request headers that are posted along, and credentials among them that are kept with news."""


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """Who may upload, and how much."""

    SECTION: ClassVar[str] = "Who may upload"

    tokens: Path | None = None
    """File with a bearer token and its owner on each line."""
    jwt_keys: Items = Items()
    """Keys of JSON Web Tokens: PEM or JWKS files, or file:PATH of a shared secret."""
    jwt_algorithms: tuple[str, ...] = ()
    """Algorithms they may be signed by, as ES256,EdDSA."""
    jwt_audience: str = ""
    """Who they must be meant for."""
    jwt_issuer: str = ""
    """Who they must be from."""
    jwt_owner: str = "sub"
    """The claim that says whose uploads they are."""
    url_secret: Secret = Secret("")
    """What signed addresses are signed with; file:PATH reads it from a file."""
    gate: str = ""
    """A Python function that is asked about every request, as package.module:function."""
    quota_size: Size = Size(0)
    """How many bytes each owner may have here; 0: any."""
    quota_uploads: int = 0
    """How many unfinished uploads each owner may have; 0: any."""
    rate_limit: int = 0
    """Requests in a second that each client may send for long, in each process; 0: any."""
    rate_burst: int = 100
    """… and at once."""
