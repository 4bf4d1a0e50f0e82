"""Completed: the directory of finished files, and how they come by their names there.

A file gets its name by link(2), which takes none from another file, and keeps the name that it had:
so whoever comes after a crash knows by the inode which name was given. What is to be beside it
comes after it and goes before it; so it alone says where all of it is. Where there are no hard
links it is rename(2), to a name that only this upload uses.

Directories are only ever gone down into, never through links: what others have linked together in
here leads nowhere. Blocking: for threads. Raises `OSError` only. Knows no sessions.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path

from tusjumbo import directories
from tusjumbo.application import FINAL_NAME
from tusjumbo.settings import Durability
from tusjumbo.stores import files, names

_LIKELY = 3
"""Names of a finished file that nearly all have one of, however many are called the same; and all
that a directory may have."""
_ATTEMPTS = 10
"""How often a directory may be removed, by who empties it, just before a file is put into it."""
_MOST_BESIDE = 40
"""Bytes of a name that are kept free for what is beside the file to add."""

_NO_HARD_LINKS = {
    errno.EPERM,  # link(2): "The filesystem does not support the creation of hard links."
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EXDEV,
    errno.EMLINK,
}
_NAMED = ".named"
"""What is added to the path of something that has the final name in it."""


@dataclass(frozen=True, slots=True)
class Goods:
    """What is to be published, and where."""

    upload_id: str
    wanted: tuple[str, ...]
    """Directories and a name, each of them safe (`names.place`)."""
    content: str
    """The path of the file, until it is published."""
    size: int | None
    beside: Mapping[str, str] = field(default_factory=dict)
    """The paths of what is to be beside it, by what is added to its name."""

    @property
    def alternatives(self) -> Iterator[str]:
        return names.alternatives(self.wanted[-1], self.upload_id, self._limit)

    @property
    def unique(self) -> str:
        return names.unique(self.wanted[-1], self.upload_id, self._limit)

    @property
    def _limit(self) -> int:
        if not self.beside:
            return names.LIMIT
        return names.LIMIT - min(max(map(len, self.beside)), _MOST_BESIDE)


class Completed:
    """Places are paths below it: `alice/film.mp4`."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._path = path
        self._durability = durability
        self._was_made = False
        # Joined as text, which is much quicker, and comes several times with each upload.
        self._prefix, self._top = f"{path}/", path.name

    def at(self, place: str) -> str:
        return self._prefix + place

    def path_to(self, place: str) -> str:
        """The place in the words of a receipt."""
        return f"{self._top}/{place}"

    def place_in(self, path: str) -> str | None:
        """The place that a receipt speaks of; None if that is none of ours."""
        top, *parts = path.split("/")
        if top != self._top or not parts:
            return None
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            return None
        return "/".join(parts)

    def put(self, goods: Goods, place: str | None) -> str:
        """Give everything its name, durably, and return the place.

        `place` is what `find` says. Nobody else is at these goods.
        """
        if place is not None and not self._put_beside(goods, place):
            self._unname(goods, place)
            place = None
        if place is None:
            if not self._was_made:
                self._make()
            place = self._name(goods)
        # Those above it as well: who has made a directory may not have come to this yet.
        directory, _, _ = place.rpartition("/")
        while directory:
            directories.sync(Path(self.at(directory)), self._durability)
            directory, _, _ = directory.rpartition("/")
        directories.sync(self._path, self._durability)
        return place

    def find(self, goods: Goods, content: os.stat_result | None) -> str | None:
        """The place that a publishing which was cut short has given to the file, if any.

        `content` is what is at `goods.content`.
        """
        if content is None:
            return self._renamed(goods)
        if content.st_nlink == 1:
            return None
        # One of these, unless others took them all.
        for directory in self._directories(goods):
            for name in islice(goods.alternatives, _LIKELY):
                if files.is_same(content, self.at(directory + name)):
                    return directory + name
        for directory in self._directories(goods):
            for entry, found in files.entries(Path(self.at(directory))):
                if os.path.samestat(content, found):
                    return directory + entry.name
        return None

    def withdraw(self, goods: Goods) -> None:
        """Take back what a publishing which was cut short has done."""
        content = files.found(goods.content)
        place = self.find(goods, content)
        if place is not None:
            self._take_beside(goods, place)
            if content is None:
                home = Path(goods.content).parent
                directories.make(home, self._durability)
                os.rename(self.at(place), goods.content)
                directories.sync(home, self._durability)
            else:
                os.unlink(self.at(place))
            self._sync(place)
        for directory in list(self._on_the_way(goods)):
            self._prune(directory)

    def remove(self, place: str, beside: Collection[str]) -> None:
        """Remove a file, what is beside it, and the directories that are empty then."""
        directory, _, _ = place.rpartition("/")
        there = self._there(directory)
        if there == directory:
            for suffix in ("", *beside):
                files.unlink(self.at(place + suffix))
            with suppress(FileNotFoundError):
                self._sync(place)
        self._prune(there)

    # --- directories ---

    def _make(self) -> None:
        directories.make(self._path, self._durability)
        self._was_made = True

    def _sync(self, place: str) -> None:
        directories.sync(Path(self.at(place)).parent, self._durability)

    def _there(self, directory: str) -> str:
        """As much of the path as is there. What leads through a link is not ours any more."""
        there = ""
        for above in accumulate(directory.split("/") if directory else (), "{}/{}".format):
            if not self._is_directory(above):
                break
            there = above
        return there

    def _is_directory(self, directory: str) -> bool:
        return files.is_directory(self.at(directory).rstrip("/"))

    def _directories(self, goods: Goods) -> Iterator[str]:
        """Those that are there and may be what is wanted, each with a slash at its end."""
        depth = len(goods.wanted) - 1
        return (each for each in self._on_the_way(goods) if each.count("/") == depth)

    def _on_the_way(self, goods: Goods, above: str = "") -> Iterator[str]:
        """These and those that they are in, after them."""
        depth = above.count("/")
        if depth < len(goods.wanted) - 1:
            wanted = names.alternatives(goods.wanted[depth], goods.upload_id)
            for directory in (f"{above}{name}/" for name in islice(wanted, _LIKELY)):
                if self._is_directory(directory):
                    yield from self._on_the_way(goods, directory)
        yield above

    def _made(self, goods: Goods) -> str:
        """The directory that is wanted, or one like it if something else has its name."""
        made = ""
        for wanted in goods.wanted[:-1]:
            made = self._made_below(made, wanted, goods.upload_id)
        return made

    def _made_below(self, above: str, wanted: str, upload_id: str) -> str:
        for name in islice(names.alternatives(wanted, upload_id), _LIKELY):
            directory = f"{above}{name}/"
            if not self._is_directory(directory):
                try:
                    os.mkdir(self.at(above + name))
                except FileExistsError:
                    if not self._is_directory(directory):
                        continue
            return directory
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), above + wanted)

    def _prune(self, directory: str) -> None:
        """Remove it and those above it, up to one that has something in it or is to stay."""
        while directory := directory.rstrip("/"):
            try:
                os.rmdir(self.at(directory))
            except FileNotFoundError:
                pass  # somebody else has
            except OSError:
                return
            directory, _, _ = directory.rpartition("/")

    # --- names ---

    def _name(self, goods: Goods) -> str:
        """Give everything names in `completed` that nothing else has."""
        for _ in range(_ATTEMPTS):
            try:
                return self._named(goods)
            except FileNotFoundError:  # somebody has removed a directory
                self._make()
        return self._named(goods)

    def _named(self, goods: Goods) -> str:
        directory = self._made(goods)
        for name in goods.alternatives:
            place = directory + name
            try:
                os.link(goods.content, self.at(place))
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                break
            if self._put_beside(goods, place):
                return place
            self._unname(goods, place)
        place = directory + goods.unique
        # rename(2) replaces what it finds. Only this upload uses this name, and its lock is held.
        for suffix in ("", *goods.beside):
            _must_be_free(self.at(place + suffix))
        os.rename(goods.content, self.at(place))
        if not self._put_beside(goods, place):
            raise _taken(place)
        return place

    def _unname(self, goods: Goods, place: str) -> None:
        """Take the file's name back, which is not its only one."""
        if files.found(goods.content) is None:
            raise _taken(place)
        os.unlink(self.at(place))

    def _renamed(self, goods: Goods) -> str | None:
        """Where the file is if there are no hard links, and it has left for its place."""
        for directory in self._directories(goods):
            size = files.size_of(self.at(directory + goods.unique))
            if size is not None and size == goods.size:
                return directory + goods.unique
        return None

    def _put_beside(self, goods: Goods, place: str) -> bool:
        """Name what is to be beside the file. False, and none of them, if one is taken."""
        for suffix, source in goods.beside.items():
            target = self.at(place + suffix)
            if not _put(self._named_in(source, place, target), target):
                self._take_beside(goods, place)
                return False
        return True

    def _named_in(self, source: str, place: str, target: str) -> str:
        """The file to be put at `target`: `source`, or that with the final name in it.

        The same one as long as the place is the same, so that it is known by its inode.
        """
        data = files.content(source)
        if data is None or FINAL_NAME not in data:
            return source
        named = source + _NAMED
        text = data.replace(FINAL_NAME, os.fsencode(place.rpartition("/")[2]))
        there = files.content(named)
        if there == text or (there is None and files.content(target) == text):
            return named
        files.unlink(named)
        file = files.opened(named, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._durability)
        try:
            files.write_all(file, memoryview(text), 0)
            if self._durability is Durability.COMMIT:
                os.fsync(file)
        finally:
            os.close(file)
        return named

    def _take_beside(self, goods: Goods, place: str) -> None:
        for suffix, source in goods.beside.items():
            known = files.found(source + _NAMED) or files.found(source)
            if known is None or files.is_same(known, self.at(place + suffix)):
                files.unlink(self.at(place + suffix))


def _put(source: str, target: str) -> bool:
    """Whether the file has that name now. One that is not there has left for it before."""
    known = files.found(source)
    if known is None:
        return True
    try:
        os.link(source, target)
    except FileExistsError:
        return files.is_same(known, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _must_be_free(target)
        os.rename(source, target)
    return True


def _must_be_free(path: str) -> None:
    if os.path.lexists(path):
        raise _taken(path)


def _taken(path: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
