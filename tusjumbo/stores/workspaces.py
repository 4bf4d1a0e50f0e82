"""Workspaces: what is made of an upload on its way to its place.

`sessions/<id>.work/making` is the assembler's, and nobody relies on what it leaves there. What it
says that it made is kept in `sessions/<id>.work/kept`, durably and under names of ours, before
anybody records that it was made. When the file is published, what is known of it moves to
`assembled/<id>`: how long it is, and what is beside it, which nothing else tells once the workspace
is gone. An upload that goes to its place as it came has none of these.

No id has a dot in it. Blocking: for threads. Raises `OSError`, and `ValueError` for what an
assembler got wrong.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from tusjumbo import directories
from tusjumbo.application import Assembled
from tusjumbo.sessions import ids
from tusjumbo.settings import Durability
from tusjumbo.stores import copying, files

_WORK = ".work"
_CONTENT = "content"
_BESIDE = "beside"
_RECORD = "record"

_SUFFIX = re.compile(r"(?=.{2,64}\Z)(?:\.[A-Za-z0-9_-]+)+")


@dataclass(frozen=True, slots=True)
class Made:
    """What is known of an assembler's work."""

    size: int | None = None
    """Of the file that took the place of the upload's bytes; None if none did."""
    beside: tuple[str, ...] = ()
    """What is added to the file's name for each that is beside it."""


NOTHING = Made()


class Workspaces:
    def __init__(self, root: Path, durability: Durability) -> None:
        self._sessions = root / "sessions"
        self._assembled = root / "assembled"
        self._durability = durability
        self._prefix = f"{self._sessions}/"

    def begin(self, upload_id: str) -> Path:
        """An empty directory to work in. What was made before is gone."""
        self.clear(upload_id)
        self.forget(upload_id)
        making = self._making(upload_id)
        directories.make(making, Durability.OS)
        return making

    def keep(self, upload_id: str, assembled: Assembled) -> None:
        """Make it durable; it may be already. Nobody knows of it before it `is_settled`.

        :raises ValueError: the content is no file in the workspace, or a suffix is none
        """
        _check_suffixes(assembled.beside)
        kept = self._kept(upload_id)
        if assembled.elsewhere is not None or (assembled.content is None and not assembled.beside):
            files.remove_tree(str(kept))
            return
        if assembled.content is not None:
            self._check_content(upload_id, assembled.content)
        directories.make(kept, self._durability)
        size = None
        if assembled.content is not None:
            size = self._take(str(assembled.content), self.content(upload_id))
        for suffix, data in assembled.beside.items():
            self._write(self.beside(upload_id, suffix), data)
        made = Made(size, tuple(assembled.beside))
        self._write(str(kept / _RECORD), json.dumps(asdict(made)).encode())
        for directory in (kept, kept.parent, self._sessions):
            directories.sync(directory, self._durability)

    def content(self, upload_id: str) -> str:
        """Where the content is kept until it is published."""
        return f"{self._kept(upload_id)}/{_CONTENT}"

    def beside(self, upload_id: str, suffix: str) -> str:
        """Likewise, what is to be beside it."""
        return f"{self._kept(upload_id)}/{_BESIDE}{suffix}"

    def settle(self, upload_id: str) -> Made:
        """What was kept of an upload that is being published, known from now until forgotten."""
        record = self._kept(upload_id) / _RECORD
        if files.found(str(record)) is not None:
            directories.make(self._assembled, self._durability)
            os.rename(record, self._record(upload_id))
        made = self.made(upload_id)
        if made is None:
            return NOTHING
        directories.sync(self._assembled, self._durability)
        return made

    def kept(self, upload_id: str) -> Made:
        """What was kept of an upload, whether it is being published or not."""
        kept = _read(self._kept(upload_id) / _RECORD)
        return kept or self.made(upload_id) or NOTHING

    def made(self, upload_id: str) -> Made | None:
        """What is known of a published upload; None if it is what the client has sent."""
        return _read(self._record(upload_id))

    def clear(self, upload_id: str) -> bool:
        """Remove the workspace and what is kept. False if there was none."""
        return files.remove_tree(f"{self._prefix}{upload_id}{_WORK}")

    def forget(self, upload_id: str) -> None:
        if files.unlink(str(self._record(upload_id))):
            directories.sync(self._assembled, self._durability)

    def _kept(self, upload_id: str) -> Path:
        return self._sessions / f"{upload_id}{_WORK}" / "kept"

    def _making(self, upload_id: str) -> Path:
        return self._sessions / f"{upload_id}{_WORK}" / "making"

    def _record(self, upload_id: str) -> Path:
        return self._assembled / upload_id

    def _check_content(self, upload_id: str, content: Path) -> None:
        found = files.found(str(content))
        if found is None and files.found(self.content(upload_id)) is not None:
            return  # it has been taken before
        making = os.path.realpath(self._making(upload_id))
        is_inside = f"{os.path.realpath(content.parent)}/".startswith(f"{making}/")
        if not is_inside or found is None or not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{content} is no file in the workspace of the upload {upload_id}")

    def _take(self, content: str, target: str) -> int:
        """Make the file one of ours, and durable. Returns its size."""
        found = files.found(content)
        if found is not None and found.st_nlink == 1:
            os.rename(content, target)
        elif found is not None:
            # What has another name is somebody else's as well: they may change it, and would be
            # taken for us when it is looked for by its inode.
            self._copy(content, found.st_size, target)
        file = files.opened(target, os.O_RDONLY, self._durability)
        try:
            if self._durability is Durability.COMMIT:
                os.fsync(file)
            return os.fstat(file).st_size
        finally:
            os.close(file)

    def _copy(self, content: str, size: int, target: str) -> None:
        files.unlink(target)
        source = files.opened(content, os.O_RDONLY, self._durability)
        try:
            file = files.opened(target, os.O_WRONLY | os.O_CREAT, self._durability)
            try:
                copying.copy(source, 0, size, file, 0)
            finally:
                os.close(file)
        finally:
            os.close(source)

    def _write(self, path: str, data: bytes) -> None:
        file = files.opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, self._durability)
        try:
            files.write_all(file, memoryview(data), 0)
            if self._durability is Durability.COMMIT:
                os.fsync(file)
        finally:
            os.close(file)


def _read(record: Path) -> Made | None:
    try:
        text = record.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
        return Made(found["size"], tuple(found["beside"]))
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(errno.EIO, os.strerror(errno.EIO)) from error


def owner(name: str) -> str | None:
    """The id of the upload that a directory among the sessions would be the workspace of."""
    upload_id = name.removesuffix(_WORK)
    return upload_id if upload_id != name and ids.is_valid(upload_id) else None


def _check_suffixes(suffixes: Collection[str]) -> None:
    for suffix in suffixes:
        if not _SUFFIX.fullmatch(suffix):
            raise ValueError(f"{suffix!r} is nothing that may be added to a file's name")
    # For some file systems they are the same.
    if len({suffix.casefold() for suffix in suffixes}) < len(suffixes):
        raise ValueError(f"{', '.join(suffixes)}: each may be added once")
