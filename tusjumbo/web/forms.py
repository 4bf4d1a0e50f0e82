"""Forms: multipart/form-data (RFC 7578) whose file goes on while it comes.

`Form` is a parser into which bytes are pushed and which touches nothing else: no socket, no thread,
no framework. Whoever has a body, of any kind, does this:

    form = Form(content_type)           # its boundary
    while not form.has_file:            # the fields that stand before the file
        form.feed(next piece of the body)
    ...                                 # form.fields are complete now; decide
    while bytes are wanted:             # then, until the body's end,
        form.readinto(buffer)           # takes what waits in form.waiting,
        form.feed(next piece)           # and when nothing does, there may be more
    form.end()                          # is it whole?

Invariant: one copy. What waits are views of the pieces that were fed, so a piece is to be fed when
nothing waits any more, and memory is what the largest piece takes. Everything else in a form is
bounded: parts, header fields, the sizes of fields.

The last boundary is what tells a whole form from a cut one, so without it there is no end. A text
before the first boundary (a preamble, which no client sends) is refused; one after the last is not
looked at. `FormBody` is the same for `tusjumbo.web.bodies`, as a Source for the engine.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Collection

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tusjumbo.errors import MalformedRequest
from tusjumbo.notice import Notice
from tusjumbo.sessions.commands import Digest
from tusjumbo.web.bodies import Body

FILE = "chunk"
"""The field that is the file."""

MAX_PARTS = 32
MAX_HEADERS = 8
MAX_HEADER = 4096
"""Bytes of one header field of a part."""
MAX_FIELDS = 64 * 1024
"""Bytes of everything in the fields together."""
MAX_BEFORE = 1024 * 1024
"""Bytes that may come before the file begins."""

# RFC 2046 5.1.1, but for the length: 70 characters are the limit there, and Werkzeug's test client
# makes 71 or 72 for one form in 370.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,99}[0-9A-Za-z'()+_,./:=?-]")
# The answer says what is wrong with a form. The parser would write a log line for each, too.
_silent = logging.Logger("tusjumbo.forms", logging.CRITICAL)

_PLAIN = frozenset({b"binary", b"8bit", b"7bit"})


class Form:
    def __init__(self, content_type: str, before: Collection[str] = ()) -> None:
        """`before` are the fields that come before the file, once, or not at all.

        :raises MalformedRequest: there is no boundary in `content_type`
        """
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if _BOUNDARY.fullmatch(boundary) is None:
            raise MalformedRequest("content-type", content_type, "a form with a boundary")
        self.fields: dict[str, str] = {}
        """Name and value of what came before the file."""
        self.waiting: deque[memoryview] = deque()
        """Bytes of the file that have come and were not taken."""
        self.has_file = False
        """Whether the file has begun."""
        self.is_over = False
        """Whether the last boundary has come."""
        self._before = before
        self._fed = 0
        self._parts = 0
        self._size = 0
        self._name: str | None = None
        self._value = bytearray()
        self._header = bytearray()
        self._content = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._hear_name,
                "on_header_value": self._hear_value,
                "on_header_end": self._note,
                "on_headers_finished": self._recognise,
                "on_part_data": self._take,
                "on_part_end": self._finish,
                "on_end": self._close,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER,
        )
        self._parser.logger = _silent

    def feed(self, data: bytes) -> None:
        """Go on with `data`, which must not change while anything waits.

        :raises MalformedRequest: this is no form, or not one that we take; it cannot go on then
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(str(error), "multipart/form-data") from None
        self._fed += len(data)
        if not self.has_file and self._fed > MAX_BEFORE:
            raise _malformed(f"{self._fed} bytes", f"the file {FILE!r} within {MAX_BEFORE} bytes")

    def readinto(self, buffer: memoryview) -> int:
        """Move what waits into `buffer`, as much as fits, and return how many bytes that were."""
        count = 0
        while self.waiting and count < len(buffer):
            piece = self.waiting[0]
            some = min(len(buffer) - count, len(piece))
            buffer[count : count + some] = piece[:some]
            count += some
            if some == len(piece):
                self.waiting.popleft()
            else:
                self.waiting[0] = piece[some:]
        return count

    def end(self) -> None:
        """Say that the body has ended.

        :raises MalformedRequest: it should not have
        """
        if not self.is_over:
            raise _malformed("no boundary at its end", "a whole form")
        if not self.has_file:
            raise _malformed("no file", f"a file in a field called {FILE!r}")

    # --- what the parser finds -------------------------------------------------------------------

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _malformed(f"{self._parts} parts", f"at most {MAX_PARTS} parts")
        self._headers = {}
        self._value = bytearray()

    def _hear_name(self, data: bytes, start: int, stop: int) -> None:
        self._header += data[start:stop]

    def _hear_value(self, data: bytes, start: int, stop: int) -> None:
        self._content += data[start:stop]

    def _note(self) -> None:
        name = bytes(self._header).lower()
        if name in self._headers:
            raise _malformed(repr(name), "each header field of a part once")
        self._headers[name] = bytes(self._content)
        self._header, self._content = bytearray(), bytearray()

    def _recognise(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise _malformed(repr(kind), "parts with Content-Disposition: form-data and a name")
        # RFC 7578 4.7: "Senders SHOULD NOT generate any parts with a Content-Transfer-Encoding".
        coding = self._headers.get(b"content-transfer-encoding", b"binary")
        if coding.strip().lower() not in _PLAIN:
            raise _malformed(repr(coding), "bytes as they are, without a transfer encoding")
        self._name = name.decode("utf-8", "replace")
        if self._name == FILE:
            if self.has_file:
                raise _malformed(f"two {FILE!r}", "one file")
            self.has_file = True
        elif b"filename" in options and not self.has_file:
            raise _malformed(repr(self._name), f"the file in a field called {FILE!r}")
        elif self.has_file and self._name in self._before:
            raise MalformedRequest(self._name, "after the file", "this field before the file")

    def _take(self, data: bytes, start: int, stop: int) -> None:
        if self._name == FILE:
            self.waiting.append(memoryview(data)[start:stop])
            return
        self._size += stop - start
        if self._size > MAX_FIELDS:
            raise _malformed(f"{self._size} bytes of fields", f"at most {MAX_FIELDS}")
        self._value += data[start:stop]

    def _finish(self) -> None:
        name, self._name = self._name, None
        if name is None or name == FILE or self.has_file:
            return
        if name in self.fields and name in self._before:
            raise MalformedRequest(name, "several", "this field once")
        self.fields.setdefault(name, self._value.decode("utf-8", "replace"))

    def _close(self) -> None:
        self.is_over = True


def _malformed(found: str, expected: str) -> MalformedRequest:
    return MalformedRequest("form", found, expected)


class FormBody:
    """The file of a form as a Source: the form comes by `body`."""

    def __init__(self, form: Form, body: Body) -> None:
        self._form = form
        self._body = body

    async def open(self) -> None:
        """Read until the file begins: the fields before it are known then.

        :raises MalformedRequest: this is no form, or one without a file
        :raises ClientDisconnected: it broke off
        """
        while not self._form.has_file:
            if not await self._more():
                self._form.end()

    async def wait(self) -> bool:
        # What comes after the file is looked at, too: only then is the form known to be whole.
        while not self._form.waiting:
            if not await self._more():
                self._form.end()
                return False
        return True

    async def _more(self) -> bool:
        if not await self._body.wait():
            return False
        self._form.feed(self._body.take())
        return True

    def readinto(self, buffer: memoryview) -> int:
        return self._form.readinto(buffer)

    direct = None
    is_here = False

    def promised(self) -> Digest:
        raise ValueError("a form promises no digest for later")

    @property
    def closing(self) -> Notice | None:
        return self._body.closing
