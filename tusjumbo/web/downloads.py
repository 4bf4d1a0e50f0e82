"""Downloads: a finished upload as a file that no browser will run.

What the client said of its file is hostile input: the name goes into Content-Disposition only
sanitised and encoded, the type into Content-Type only if it is well-formed and passive. Everything
is an attachment, and three more walls stand behind that (nosniff, a sandboxing CSP, no types that a
browser executes), because the uploads share an origin with the application that took them.

Content never changes once it is here, so the id makes a strong ETag. Conditions are decided from
the catalog's facts; ranges and sending are Starlette's. A Range that is not well-formed is ignored
(RFC 9110 14.2), and does not get as far as Starlette, which would answer 400.

Invariant: whatever opens the file closes it, and no answer begins before the file has been seen to
be whole.
"""

from __future__ import annotations

import os
import re
import stat
from urllib.parse import quote

from starlette.responses import FileResponse

from tusjumbo.errors import StorageFailed, StorageLost
from tusjumbo.hop import Hop
from tusjumbo.protocols.fields import DATE, MEDIA_TYPE
from tusjumbo.protocols.messages import OWS, Fields, Headers, ResponseHead
from tusjumbo.sessions.outcomes import Fetched
from tusjumbo.sessions.session import UploadSession
from tusjumbo.stores.names import sanitised
from tusjumbo.web.bodies import Receive, Scope, Send

OCTETS = "application/octet-stream"

_SAFETY: Headers = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
)
# A copy may be kept by the one who fetched it, but access is asked for again each time.
_CACHING: Headers = (("Cache-Control", "private, no-cache"),)

_FAMILIES = frozenset({"application", "audio", "font", "image", "model", "text", "video"})
_ACTIVE = re.compile(r"html|xml|svg|xsl|script|css|java|flash|mhtml|wasm|hta|cache-manifest")
"""What makes a type one that browsers or their plug-ins interpret. Not whole words: `+xml`."""

_TAG = re.compile(r'(?:W/)?"([!#-~\x80-\xff]*)"')
_RANGE = r"(?:[0-9]{1,19}-(?:[0-9]{1,19})?|-[0-9]{1,19})"
_RANGES = re.compile(rf"bytes=[ \t]*{_RANGE}(?:[ \t]*,[ \t]*{_RANGE})*", re.IGNORECASE)

_UNQUOTED = re.compile(r'[^ -~]|["\\%]')

_hop = Hop(4)


class Download(FileResponse):
    """A file that Starlette sends, with an eye on the request's Range."""

    chunk_size = 256 * 1024

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ranges = Fields(scope["headers"]).joined("range")
        if ranges is not None and not _RANGES.fullmatch(ranges):
            kept = [pair for pair in scope["headers"] if pair[0].lower() != b"range"]
            scope = {**scope, "headers": kept}
        await super().__call__(scope, receive, send)


async def download(fetched: Fetched, fields: Fields) -> Download | ResponseHead:
    """The file, or why it need not or may not be sent again.

    :raises StorageLost: it is not there, or not whole
    :raises StorageFailed: the store cannot be asked
    """
    session = fetched.session
    found = await _hop(_status, fetched)
    tag = f'"{session.id}"'
    facts: Headers = (("ETag", tag), ("Last-Modified", DATE.write(session.updated_at)))
    # RFC 9110 13.2.2: If-Match first, then If-None-Match, and If-Modified-Since only without it.
    wanted = fields.joined("if-match")
    if wanted is not None and not names_tag(wanted, session.id):
        return ResponseHead(412, facts)
    if _is_fresh(session, fields):
        return ResponseHead(304, (*facts, *_CACHING))
    media_type = safe_type(session.media_type)
    described = (
        ("Content-Type", media_type),  # or Starlette adds a charset to text
        ("Content-Disposition", disposition(sanitised(session.filename, session.id))),
    )
    headers = dict((*facts, *_CACHING, *_SAFETY, *described))
    return Download(fetched.path, headers=headers, media_type=media_type, stat_result=found)


def _status(fetched: Fetched) -> os.stat_result:
    try:
        found = os.stat(fetched.path)
    except (FileNotFoundError, NotADirectoryError):
        raise StorageLost(fetched.session.id) from None
    except OSError as error:
        raise StorageFailed from error
    if not stat.S_ISREG(found.st_mode):  # its size is what the store has vouched for
        raise StorageLost(fetched.session.id)
    return found


def _is_fresh(session: UploadSession, fields: Fields) -> bool:
    known = fields.joined("if-none-match")
    if known is not None:
        return names_tag(known, session.id)
    since = DATE.read(fields.joined("if-modified-since") or "")
    return since is not None and int(session.updated_at) <= since


def names_tag(tags: str, tag: str) -> bool:
    """Whether `tag` is one of those in If-Match or If-None-Match."""
    return tags.strip(OWS) == "*" or tag in _TAG.findall(tags)


def safe_type(media_type: str) -> str:
    """`media_type` without parameters, or `application/octet-stream` if it is not harmless."""
    found = MEDIA_TYPE.read(media_type) or OCTETS
    family, _, kind = found.partition("/")
    return found if family in _FAMILIES and not _ACTIVE.search(kind) else OCTETS


def disposition(name: str) -> str:
    """Content-Disposition (RFC 6266) for a file called `name`, which is sanitised already."""
    plain = _UNQUOTED.sub("_", name)
    value = f'attachment; filename="{plain}"'
    if plain != name:
        # RFC 8187 3.2.1: attr-char
        value += "; filename*=UTF-8''" + quote(name, safe="!#$&+-.^_`|~")
    return value
