"""Lines: pieces of bytes become lines of text, whichever way the bytes were cut.

Lines end with LF, CRLF or CR and with nothing else (`str.splitlines` knows eight more ends), and
keep their end. An undecodable byte becomes one lone surrogate, which no decoder makes of right
bytes, so that only the rows that hold it are lost. A line is never kept beyond `longest`
characters: it is handed out one longer than that, and the rest dropped as it comes.

Invariant: all lines, put together, do not depend on how the bytes were cut into pieces.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tusjumbo.errors import ConfigurationError
from tusjumbo.processing.marks import MARKS
from tusjumbo.processing.pieces import PIECE

_LONGEST_MARK = 4
_BOM = "\ufeff"

_UNDECODABLE = re.compile("[\udc00-\udcff]")
_HANDLER = "tusjumbo.undecodable"


def _as_surrogates(error: UnicodeError) -> tuple[str, int]:
    """As "surrogateescape", which refuses bytes below 128; UTF-16 has such."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in wrong), error.end


codecs.register_error(_HANDLER, _as_surrogates)


def has_undecodable(text: str) -> bool:
    return _UNDECODABLE.search(text) is not None


def printable(text: str) -> str:
    r"""The text with undecodable bytes as `\xff`, so that it can be written anywhere."""
    return _UNDECODABLE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)


def check_encoding(name: str) -> None:
    """
    :raises ConfigurationError: there is no such encoding of text, or it cannot be read in pieces
    """
    try:
        "a".encode(name)
        codecs.getincrementaldecoder(name)()
    except (LookupError, ValueError) as error:
        raise ConfigurationError(f"{name!r} is no encoding of text", setting="encoding") from error


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that became complete together; none at all: nothing more for now."""

    lines: list[str]
    is_suspect: bool = False
    """A line may hold undecodable bytes or a NUL, or be too long."""


class Decoding:
    """Bytes to text. The mark at the beginning says the encoding if nobody else does."""

    def __init__(self, encoding: str | None) -> None:
        self.encoding = encoding
        self.found_undecodable = False
        """In the bytes that were fed last."""
        self._head: bytes | None = b""
        self._is_first = True

    def feed(self, data: bytes, *, is_last: bool = False) -> str:
        if self._head is not None:
            data = self._head + data
            if len(data) < _LONGEST_MARK and not is_last:
                self._head = data
                return ""
            self._head = None
            self._begin(data)
        text = self._decode(data, is_last)
        if self._is_first and text:
            self._is_first = False
            text = text.removeprefix(_BOM)
        return text

    def _begin(self, head: bytes) -> None:
        found = [name for mark, name in MARKS if head.startswith(mark)]
        if self.encoding is None:
            self.encoding = next(iter(found), "utf-8")
        family = codecs.lookup(self.encoding).name
        if family in ("utf-16", "utf-32"):  # their decoders insist on a mark
            ours = (name for name in found if name.startswith(family))
            self.encoding = next(ours, f"{family}-le")
        decoder = codecs.getincrementaldecoder(self.encoding)
        self._strict = decoder("strict")
        self._lenient = decoder(_HANDLER)

    def _decode(self, data: bytes, is_last: bool) -> str:
        """Strictly first: that says for nothing whether all bytes are right."""
        state = self._strict.getstate()
        self.found_undecodable = False
        try:
            return self._strict.decode(data, is_last)
        except UnicodeError:
            self.found_undecodable = True
            self._lenient.setstate(state)
            text = self._lenient.decode(data, is_last)
            self._strict.setstate(self._lenient.getstate())
            return text


class Splitting:
    """Text to lines."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._parts: list[str] = []
        self._size = 0
        """Of the line that has begun, also of what was dropped of it."""
        self._has_cr = False
        self.found_long = False
        """Among the lines that were returned last."""

    @property
    def has_begun(self) -> bool:
        return self._size > 0 or self._has_cr

    def feed(self, text: str, *, is_last: bool = False) -> list[str]:
        """The lines that are complete now, with their ends."""
        if self._has_cr:
            text = "\r" + text
        # An LF may follow.
        self._has_cr = text.endswith("\r") and not is_last
        if self._has_cr:
            text = text[:-1]
        may_be_long = self._size + len(text) > self._longest
        lines = io.StringIO(text, newline="").readlines()
        rest = lines.pop() if lines and not is_last and lines[-1][-1] not in "\r\n" else ""
        if self._size and (lines or is_last):
            lines[:1] = [self._begun_and("".join(lines[:1]))]
        self.found_long = may_be_long and any(len(line) > self._longest for line in lines)
        if self.found_long:
            lines = [line[: self._longest + 1] for line in lines]
        self._keep(rest)
        return lines

    def _begun_and(self, end: str) -> str:
        line = "".join([*self._parts, end])
        # What was dropped must not make a long line short, nor an end come back.
        line = line if self._size <= self._longest else line[: self._longest + 1]
        self._parts.clear()
        self._size = 0
        return line

    def _keep(self, rest: str) -> None:
        if not rest:
            return
        free = self._longest + 1 - self._size
        if free > 0:
            self._parts.append(rest[:free])
        self._size += len(rest)


def blocks(pieces: Iterable[bytes], encoding: str | None, longest: int) -> Iterator[Block]:
    """The lines of all pieces. An empty piece becomes an empty block, after all that is complete.

    `encoding` None: what the mark at the beginning says, or UTF-8.

    :raises ConfigurationError: no such encoding (when the first block is asked for)
    """
    if encoding is not None:
        check_encoding(encoding)
    decoding, splitting = Decoding(encoding), Splitting(longest)
    step = min(PIECE, longest)  # what is looked at again after a row is bounded by a block
    is_suspect = False

    def block(data: bytes, *, is_last: bool = False) -> Block:
        nonlocal is_suspect
        text = decoding.feed(data, is_last=is_last)
        is_suspect |= decoding.found_undecodable or "\0" in text
        lines = splitting.feed(text, is_last=is_last)
        made = Block(lines, is_suspect or splitting.found_long)
        is_suspect = is_suspect and splitting.has_begun
        return made

    for piece in pieces:
        if not piece:
            yield Block([])
        for start in range(0, len(piece), step):
            made = block(piece[start : start + step])
            if made.lines:
                yield made
    made = block(b"", is_last=True)
    if made.lines:
        yield made
