"""Pushing: a file is copied to another place, an address of any file system that fsspec knows.

The key of an object always has the upload's id in it: what is pushed twice comes to the same
object, and no upload overwrites another one's. Nobody ever sees half of it under its key: object
stores complete an upload at once, and in file systems it is written under another name and renamed.
Its size is checked before anything here goes. Memory is two blocks, whatever the file's size.

A process that is killed may leave an incomplete multipart upload, which buckets remove by a
lifecycle rule (`AbortIncompleteMultipartUpload`), or a hidden `.part`, which the repetition takes.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from tusjumbo import directories
from tusjumbo.application import Arrival, Assembled
from tusjumbo.assemblers.reading import pieces
from tusjumbo.assemblers.templates import LONGEST, Template, split
from tusjumbo.errors import ConfigurationError
from tusjumbo.hop import Stay
from tusjumbo.settings import Durability

BLOCK = 8 * 1024 * 1024
"""Bytes in a part of a multipart upload, at least; S3 asks for 5 MiB."""
_MOST_PARTS = 9000
"""S3 takes 10,000."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_EXTRAS = {"s3": "tusjumbo[s3]", "s3a": "tusjumbo[s3]"}
"""What to install for an address, where it is one of our extras."""

_STORES = frozenset(["s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci"])
"""Schemes where an object is there when its upload is complete, and not before."""

_threads = Stay(16)


class Push:
    """An assembler that copies the file elsewhere, where it is from then on."""

    def __init__(self, url: str, *, keep: bool = False, **options: Any) -> None:
        """`url`: like `s3://bucket/{owner}/{id}/{filename}`, a template from some `/` on; without
        `{id}` the last part of it gets the id before its suffix. `keep`: the file stays here as
        well. `options` are those of fsspec's file system; without them it looks where such programs
        look (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...).

        :raises ConfigurationError: an address that cannot work, or needs something to be installed
        """
        scheme, separator, place = url.partition("://")
        fixed, slash, _ = place.partition("{")[0].rpartition("/")
        is_local = scheme == "file"
        above = fixed.removeprefix("/").split("/") if fixed else []
        is_fixed = slash and place.startswith("/") is is_local and "::" not in url
        is_plain = not any(part in ("", ".", "..") for part in above)
        if not (separator and _SCHEME.fullmatch(scheme) and is_fixed and is_plain):
            raise ConfigurationError(
                f"push: {url!r} has to be like s3://bucket/{{owner}}/{{filename}}"
                " or file:///directory/{owner}/{filename}"
            )
        self._template = Template(place[len(fixed) + 1 :])
        self.keeps = keep
        """Whether the file stays here as well."""
        self._root = f"{scheme}://{fixed}"
        # Where it is goes into receipts and logs, and passwords do not.
        self._public_root = re.sub(r"//[^/]*@", "//", self._root)
        self._target = _Directory(Path(fixed or "/")) if is_local else _Remote(self._root, options)
        if is_local and options:
            raise ConfigurationError(f"push: file:// has no options {', '.join(options)}")

    async def __call__(self, arrival: Arrival) -> Assembled:
        """:raises OSError: it could not be copied; nothing is under its key that was not before"""
        key = self._key(arrival)
        upload_id = arrival.session.id
        await _threads.alert(lambda: self._target.put(arrival.path, key, upload_id))
        return Assembled() if self.keeps else Assembled(elsewhere=f"{self._public_root}/{key}")

    def _key(self, arrival: Arrival) -> str:
        filled = self._template.fill(arrival)
        if "id" in self._template.fields:
            return filled
        above, slash, name = filled.rpartition("/")
        stem, suffix = split(name)
        tail = f"-{arrival.session.id}{suffix}"
        room = LONGEST - len(_PART) - len(tail.encode())
        stem = stem.encode()[: max(room, 0)].decode(errors="ignore")
        return f"{above}{slash}{stem}{tail}"


_PART = ".part"


def _part(upload_id: str) -> str:
    """What it is called until it is complete."""
    return f".{upload_id}{_PART}"


class _Directory:
    """A directory of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, source: Path, key: str, upload_id: str) -> None:
        target = self._root / key
        directories.make(target.parent, Durability.COMMIT)
        part = target.with_name(_part(upload_id))
        try:
            with part.open("wb") as file:
                for piece in pieces(source):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            _check_size(source, part.stat().st_size, key)
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        directories.sync(target.parent, Durability.COMMIT)


class _Remote:
    """A file system of fsspec's, connected when it is first needed, in each process."""

    def __init__(self, root: str, options: dict[str, Any]) -> None:
        scheme = root.partition("://")[0]
        extra = _EXTRAS.get(scheme)
        try:
            fsspec = import_module("fsspec")
            kind: Any = fsspec.get_filesystem_class(scheme)
        except (ImportError, ValueError) as error:
            advice = f"pip install '{extra}'" if extra else f"pip install fsspec ({error})"
            raise ConfigurationError(f"push: {scheme}:// needs more: {advice}") from error
        self._kind = kind
        self._is_store = scheme in _STORES
        # What fsspec does for those that cannot rename takes names for patterns.
        self._renames = kind.mv is not import_module("fsspec").AbstractFileSystem.mv
        self._options = {**kind._get_kwargs_from_urls(root), **options}
        self._root: str = str(kind._strip_protocol(root)).rstrip("/")
        self._lock = threading.Lock()
        self._connected: tuple[int, Any] | None = None

    def put(self, source: Path, key: str, upload_id: str) -> None:
        system = self._system()
        target = f"{self._root}/{key}"
        if self._is_store:
            _upload(system, source, target)
        else:
            above = target.rpartition("/")[0]
            system.makedirs(above, exist_ok=True)
            self._write(system, source, target, f"{above}/{_part(upload_id)}")
        system.invalidate_cache(target)
        _check_size(source, system.info(target)["size"], key)

    def _system(self) -> Any:
        with self._lock:
            connected = self._connected
            if connected is None or connected[0] != os.getpid():
                system = self._kind(**self._options, skip_instance_cache=True)
                connected = self._connected = os.getpid(), system
        return connected[1]

    def _write(self, system: Any, source: Path, target: str, part: str) -> None:
        try:
            with system.open(part, "wb") as file:
                for piece in pieces(source):
                    file.write(piece)
            if self._renames:
                system.mv(part, target)
            else:
                system.cp_file(part, target)
                system.rm_file(part)
        except BaseException:
            with suppress(Exception):
                system.rm_file(part)
            raise


def _upload(system: Any, source: Path, target: str) -> None:
    """To an object store: in parts, none of which is to be seen before the last one is in."""
    block = max(BLOCK, -(-source.stat().st_size // _MOST_PARTS))
    file = system.open(target, "wb", block_size=block)
    try:
        for piece in pieces(source):
            file.write(piece)
        file.close()
    except BaseException:
        # To close it would complete it, and so would the garbage collector.
        file.closed = True
        with suppress(Exception):
            file.discard()
        raise


def _check_size(source: Path, found: int, key: str) -> None:
    size = source.stat().st_size
    if found != size:
        raise OSError(errno.EIO, f"{found} of {size} bytes have arrived at {key}")
