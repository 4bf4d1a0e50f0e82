"""Telling: which news a change of an upload is, and for whom.

Pure but for what it is given: a clock, and where keys come from. The rule looks at nothing but the
session before and the one after, so news are the same whoever made the change and whether or not a
request was there, and a catalog can make them in the transaction that makes them true.

One change may be several pieces of news; they are in the order in which they became true. Each
receiver has an entry of its own, with a key that is made here once, and is the same each time that
the entry is told. Entries have no credentials of the request but those that are asked for.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from tusjumbo.application import Hook, HookCall, News, Origin, Receiver, Tell
from tusjumbo.hooks import documents
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Kind, Phase, UploadSession


def new_key() -> str:
    """Something that no other piece of news has: 128 bits in hexadecimal."""
    return secrets.token_hex(16)


class Telling:
    """The news for some receivers."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        clock: Callable[[], float],
        keep_headers: Collection[str] = (),
        make_key: Callable[[], str] = new_key,
    ) -> None:
        """`keep_headers`: names of headers that are stored though they let somebody in."""
        self._names: Mapping[Hook, Sequence[str]] = {
            hook: [receiver.name for receiver in receivers if hook in receiver.hooks]
            for hook in Hook
            if not hook.asks
        }
        self._clock = clock
        self._keep_headers = tuple(keep_headers)
        self._make_key = make_key
        self.names = frozenset(name for names in self._names.values() for name in names)
        """Of the receivers that want any news."""

    def of_changes(self, origin: Origin) -> Tell | None:
        """What to give to the catalog with a change; None if nobody listens."""
        if not self.names:
            return None
        return partial(self._of_change, documents.without_credentials(origin, self._keep_headers))

    def interrupted(self, session: UploadSession, origin: Origin) -> Sequence[News]:
        """What is to be told of a body that broke off."""
        if not self._names[Hook.INTERRUPTED]:
            return ()
        origin = documents.without_credentials(origin, self._keep_headers)
        return self._news([(Hook.INTERRUPTED, session)], origin)

    def _of_change(
        self, origin: Origin, before: UploadSession | None, after: UploadSession | None
    ) -> Sequence[News]:
        return self._news(happened(before, after), origin)

    def _news(
        self,
        happened: Iterable[tuple[Hook, UploadSession]],
        origin: Origin,
    ) -> list[News]:
        return [
            News(
                call=HookCall(hook, session, origin, key=self._make_key()),
                receiver=name,
                created_at=now,
                due_at=now,
            )
            for now in (self._clock(),)
            for hook, session in happened
            for name in self._names[hook]
        ]


def happened(
    before: UploadSession | None, after: UploadSession | None
) -> Iterator[tuple[Hook, UploadSession]]:
    """What a change comes to, in the order in which it became true, with whom it is about."""
    if after is None:
        if before is not None:
            yield Hook.POST_TERMINATE, before
        return
    if before is None:
        yield Hook.POST_CREATE, after
    if after.ranges.total > (before.ranges if before else RangeSet()).total:
        yield Hook.POST_RECEIVE, after
    phase = before.phase if before else Phase.OPEN
    if phase is after.phase:
        return
    # CONC-17: a part is full at some time, and never finished.
    if after.phase is Phase.DONE and after.kind is not Kind.PARTIAL:
        yield Hook.POST_FINISH, after
    elif after.phase is Phase.ABANDONED:
        yield Hook.EXPIRED, after
