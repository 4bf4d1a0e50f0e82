"""Texts: what kind of text the first bytes of a file are, if they are text.

What a browser would run is decided as browsers do (WHATWG MIME Sniffing 7.1: a tag after white
space, whatever follows), more tags included than theirs, and XML by its root. All else is a guess
among kinds that nothing runs, and `text/plain` where there is none.

Pure, and linear in the head: no pattern here can backtrack over more than a word.
"""

from __future__ import annotations

import codecs
import csv
import re

from tusjumbo.processing.dialects import guessed
from tusjumbo.processing.kinds import HTML, JAVASCRIPT, JSON, PLAIN, SHELL, SVG, XHTML, XML
from tusjumbo.processing.marks import marked

# WHATWG 3, "binary data byte": 0x00-0x08, 0x0B, 0x0E-0x1A, 0x1C-0x1F.
_BINARY = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")

_SPACE = " \t\n\r\f\ufeff"

# WHATWG 7.1, and what else of HTML can hold or load a script.
_TAGS = (
    "!doctype html|html|head|script|iframe|h[1-6]|div|font|table|a|style|title|b|body|br|p"
    "|img|meta|link|form|object|embed|video|audio|math|base|input|button|details|template|span"
    "|center|marquee|frameset|section|main|article|nav|header|footer|ul|ol|pre|i|u|em|strong"
)
_HTML = re.compile(rf"<(?:{_TAGS})(?:[\s>/]|\Z)", re.IGNORECASE)
_PROLOG = re.compile(
    r"(?:[\s\ufeff]++|<\?[^>]*+>|<!--(?:[^-]++|-(?!->))*+-->"
    r"|<!doctype(?:[^<>\[]++|\[(?:[^\]<]++|<[^>]*+>)*+\])*+>)*+",
    re.IGNORECASE,
)
_ROOT = re.compile(r"<(?:[A-Za-z_][\w.-]*+:)?([A-Za-z_][\w.-]*+)")
_SVG_NAMESPACE = "http://www.w3.org/2000/svg"
_XHTML_NAMESPACE = "http://www.w3.org/1999/xhtml"

_SHEBANG = re.compile(r"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:-\S+[ \t]+)*)?([A-Za-z]+)")
_INTERPRETERS = {
    "python": "text/x-python",
    "perl": "text/x-perl",
    "ruby": "text/x-ruby",
    "php": "text/x-php",
    "node": JAVASCRIPT,
    "nodejs": JAVASCRIPT,
    "deno": JAVASCRIPT,
    "bun": JAVASCRIPT,
    "pwsh": "text/x-powershell",
}
_OPENINGS = (
    (re.compile(r"<\?(?:php\b|=)", re.IGNORECASE), "text/x-php"),
    (re.compile(r"@echo\s+off\b", re.IGNORECASE), "text/x-msdos-batch"),
    (
        re.compile(
            r"(?:/\*(?:[^*]++|\*(?!/))*+\*/|//[^\n]*+\n|\s++)*+"
            r"(?:[\"']use strict[\"']"
            r"|(?:export\s+)?(?:default\s+)?(?:async\s+)?[!;]?function\b[^\n]{0,200}\{"
            r"|[!;]?\((?:async\s*)?(?:function\b|\([\w, ]*\)\s*=>)"
            r"|import\s[^;\n]*?\sfrom\s*[\"']|import\s*[\"']|export\s+(?:const|class|default)\b"
            r"|(?:var|let|const)\s+[\w$\[{][^=\n;]{0,200}=[^=])"
        ),
        JAVASCRIPT,
    ),
    (re.compile(r"\{\\rtf1?\b"), "application/rtf"),
    (re.compile(r"%!PS"), "application/postscript"),
    (re.compile(r"BEGIN:VCARD\b"), "text/vcard"),
    (re.compile(r"BEGIN:VCALENDAR\b"), "text/calendar"),
    (re.compile(r"WEBVTT(?:[ \t\r\n]|\Z)"), "text/vtt"),
)

_TOKEN = re.compile(
    r"[\s{}\[\]:,]++|\"(?:[^\"\\\x00-\x1f]|\\.)*+\"|-?[0-9][0-9.eE+-]*+|true|false|null"
)
_BROKEN_TOKEN = re.compile(r"\"(?:[^\"\\\x00-\x1f]|\\.)*+\\?\Z|[a-z]{1,4}\Z|-\Z")
_OBJECT = re.compile(r"\{\s*+(?:\"|\}|\Z)|\[\s*+(?:[\[{\"\]0-9-]|true|false|null|\Z)")

_TABLE_ROWS = 50


def decoded(head: bytes) -> str | None:
    """The head as text, without a byte order mark; None if it is not text.

    What is not UTF-8 and has no mark, yet no bytes that text has not, is read as Latin-1: it is
    some old encoding, and its ASCII is right.
    """
    encoding = marked(head)
    for name in (encoding,) if encoding else ("utf-8", "latin-1"):
        try:
            # The head may end within a character: not `final`.
            text = codecs.getincrementaldecoder(name)("strict").decode(head)
        except UnicodeDecodeError:
            continue
        return None if _BINARY.search(text) else text.removeprefix("\ufeff")
    return None


def is_utf8(head: bytes) -> bool:
    """Whether it is UTF-8 or says which Unicode it is: nothing binary is so by chance."""
    if marked(head):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(head)
    except UnicodeDecodeError:
        return False
    return True


def markup(head: bytes) -> str | None:
    """What a browser would make of bytes that begin with a tag, be there NULs behind it or not."""
    text = head.decode(marked(head) or "utf-8", "replace").lstrip(_SPACE)
    if not text.startswith("<"):
        return None
    prolog = _PROLOG.match(text)
    rest = text[prolog.end() :] if prolog else text
    is_xml = text.startswith("<?xml") and text[5:6] in tuple(_SPACE)
    root = _ROOT.match(rest)
    name = root[1].lower() if root else ""
    if name == "svg" or (is_xml and not root and _SVG_NAMESPACE in text):
        return SVG
    if is_xml:
        return XHTML if name == "html" or _XHTML_NAMESPACE in text else XML
    if _HTML.match(rest) or _HTML.match(text):
        return HTML
    if root and "xmlns" in rest[:1024]:
        return SVG if _SVG_NAMESPACE in rest[:1024] else XML
    # WHATWG 7.1: "<!--" is HTML.
    return HTML if text.startswith("<!--") else None


def kind(text: str) -> str:
    """What decoded text is that is no markup; `text/plain` if that cannot be told."""
    if shebang := _SHEBANG.match(text):
        return _INTERPRETERS.get(shebang[1].lower(), SHELL)
    begins = text.lstrip(_SPACE)
    for opening, media_type in _OPENINGS:
        if opening.match(begins):
            return media_type
    if _is_json(begins):
        return JSON
    return _table(text) or PLAIN


def _is_json(text: str) -> bool:
    if not _OBJECT.match(text):
        return False
    at = 0
    while token := _TOKEN.match(text, at):
        at = token.end()
    return at == len(text) or _BROKEN_TOKEN.match(text, at) is not None


def _table(text: str) -> str | None:
    """Rows of one width, at least two of at least two fields; the last may be cut off."""
    lines = text.splitlines(keepends=True)[: _TABLE_ROWS + 1]
    if len(lines) < 2:
        return None
    dialect = guessed(lines)
    try:
        rows = csv.reader(lines, **(dialect.of_csv() | {"strict": False}))
        widths = [len(row) for row in rows if row]
    except csv.Error:
        return None
    if len(widths) > 2 and not text.endswith("\n"):
        widths.pop()
    if len(widths) < 2 or widths[0] < 2 or len(set(widths)) > 1:
        return None
    return "text/tab-separated-values" if dialect.delimiter == "\t" else "text/csv"
