"""Consent: what the application says of one upload that is to be, before anything is stored of it.

A hook may refuse it, and change its metadata, its place and its id. Such an id may be somebody
else's already: then nothing has happened to that one, and this one is not made.
"""

from __future__ import annotations

from tusjumbo.application import Hook, Origin
from tusjumbo.engine.means import Means
from tusjumbo.errors import HookFailed, Refusal
from tusjumbo.sessions import rules
from tusjumbo.sessions.session import Answer, UploadSession


class Consent:
    def __init__(self, means: Means, origin: Origin) -> None:
        self._means = means
        self._origin = origin
        self.answer: Answer | None = None
        """What the client is to be told besides."""
        self.names = False
        """Whether the id is the application's, and so perhaps not a new one."""

    async def ask(self, session: UploadSession) -> UploadSession:
        """The session as it is to be.

        :raises UploadRejected: it is not to be
        :raises HookFailed: nobody can say
        """
        hooks = self._means.hooks
        if hooks is None:
            return session
        said = await hooks.creating(session, self._origin)
        self.answer = said.answer
        self.names = said.upload_id not in (None, session.id)
        return rules.altered(
            session, upload_id=said.upload_id, metadata=said.metadata, destination=said.path
        )

    async def record(self, session: UploadSession) -> None:
        """Put it into the catalog.

        :raises HookFailed: its id is taken
        :raises Refusal: :raises SystemFailure: as `Catalog.create`
        """
        tell = self._means.telling(self._origin)
        try:
            await self._means.catalog.create(session, tell=tell)
        except Refusal:
            raise
        except ValueError as error:
            problem = f"the id {session.id!r} is taken"
            raise HookFailed(Hook.PRE_CREATE.value, problem) from error
