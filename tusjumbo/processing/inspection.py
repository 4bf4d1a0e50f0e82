"""Inspection: the port of that name (`tusjumbo.ports`), by a policy and what content shows.

What the client says of its file is the type that it declares, or if it declares none, the one that
the file's name stands for. A name under which the file would be run counts in any case: whoever
serves the finished files as they are called goes by that, and a picture can be a page as well.
"""

from __future__ import annotations

from tusjumbo.hop import Hop
from tusjumbo.ports import Verdict
from tusjumbo.processing import suffixes
from tusjumbo.processing.kinds import OCTETS, canonical, danger
from tusjumbo.processing.media import MediaPolicy, check_claim, verdict
from tusjumbo.processing.sniffing import FIRST, HEAD, examined
from tusjumbo.sessions.session import UploadSession

_hop = Hop(2)


class ContentInspection:
    """See `tusjumbo.ports.Inspection`."""

    def __init__(self, policy: MediaPolicy) -> None:
        self._policy = policy

    @property
    def head(self) -> int:
        return HEAD

    def claim(self, session: UploadSession) -> None:
        check_claim(self._policy, _declared(session))
        named = suffixes.claimed(session.filename)
        if danger(named) is not None:
            check_claim(self._policy, named)

    async def judge(self, session: UploadSession, head: bytes, *, is_whole: bool) -> Verdict:
        self.claim(session)
        if len(head) < FIRST and not is_whole:
            return Verdict.NEEDS_MORE  # without a thread: small pieces come often
        sniffed = await _hop(examined, head, is_whole=is_whole)
        return verdict(self._policy, _declared(session), sniffed)


def _declared(session: UploadSession) -> str:
    declared = session.media_type
    knows = canonical(declared) not in ("", OCTETS)
    return declared if knows else suffixes.claimed(session.filename) or declared
