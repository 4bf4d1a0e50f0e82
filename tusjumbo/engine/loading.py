"""Loading: the session that a request is about, unless it is past its time.

The sweep need not have come by for an upload to be over: what has expired is not found any more.
"""

from __future__ import annotations

from tusjumbo.engine.means import Means
from tusjumbo.errors import UploadNotFound
from tusjumbo.ports import Lease
from tusjumbo.sessions import rules
from tusjumbo.sessions.session import UploadSession


class Load:
    def __init__(self, means: Means) -> None:
        self._means = means

    async def __call__(self, upload_id: str) -> UploadSession:
        """The session as last recorded.

        :raises UploadNotFound: there is none, or none any more
        """
        session = await self._means.catalog.load(upload_id)
        if session.phase in rules.GONE or rules.has_expired(session, self._means.clock()):
            raise UploadNotFound(upload_id)
        return session

    async def held(self, lease: Lease) -> UploadSession:
        """That of a lease; see `Locker.find`.

        :raises UploadNotFound: as above
        """
        return await self(lease.upload_id)
