"""Jumbo: the seed's API for programs without an event loop. Safe to use from many threads.

Nothing is written twice: every method is that of `AsyncJumbo`, called through a portal.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, ItemsView, Iterator, Mapping, ValuesView
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, Unpack

from tusjumbo.errors import UploadNotFound
from tusjumbo.jumbo import tables
from tusjumbo.jumbo.asynchronous import AsyncJumbo
from tusjumbo.jumbo.portals import Portal
from tusjumbo.jumbo.tables import Callback, TableOptions, TableSource
from tusjumbo.sessions import ids
from tusjumbo.sessions.session import Phase, UploadSession
from tusjumbo.settings import UploadSettings

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncJumbo, P], Awaitable[T]],
) -> Callable[Concatenate[Jumbo, P], T]:
    """The method of the twin, waited for."""

    @functools.wraps(method)
    def call(self: Jumbo, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._portal.call(partial(method, self.twin, *args, **kwargs))

    return call


def _as_twin(
    make: Callable[P, AsyncJumbo],
) -> Callable[[Callable[[Jumbo, AsyncJumbo], None]], Callable[Concatenate[Jumbo, P], None]]:
    """What takes a twin takes what makes one."""

    def of(init: Callable[[Jumbo, AsyncJumbo], None]) -> Callable[Concatenate[Jumbo, P], None]:
        @functools.wraps(AsyncJumbo.__init__)
        def call(self: Jumbo, /, *args: P.args, **kwargs: P.kwargs) -> None:
            init(self, make(*args, **kwargs))

        return call

    return of


class Jumbo:
    twin: AsyncJumbo
    """The same for coroutines, but only for those that run `in_loop`."""

    # Not assigned like the methods below: mypy knows nothing of a class that has no `def __init__`.
    @_as_twin(AsyncJumbo)
    def __init__(self, twin: AsyncJumbo) -> None:
        self.twin = twin
        self._portal = Portal(twin.house.live, twin.aclose)

    start_upload = _blocking(AsyncJumbo.start_upload)
    upload_chunk = _blocking(AsyncJumbo.upload_chunk)
    resume_upload = _blocking(AsyncJumbo.resume_upload)
    get_status = _blocking(AsyncJumbo.get_status)
    cancel_upload = _blocking(AsyncJumbo.cancel_upload)
    verify_chunk = _blocking(AsyncJumbo.verify_chunk)
    recover_upload = _blocking(AsyncJumbo.recover_upload)
    get_statistics = _blocking(AsyncJumbo.get_statistics)

    def stream_csv(
        self,
        path_or_upload_id: TableSource,
        callback: Callback,
        chunk_size: int = tables.CHUNK_SIZE,
        **options: Unpack[TableOptions],
    ) -> int:
        # Not through the portal: what is called may count on being in this thread.
        call = self._portal.call
        return tables.stream(
            self.twin.house, call, path_or_upload_id, callback, chunk_size, options
        )

    stream_csv.__doc__ = AsyncJumbo.stream_csv.__doc__

    @property
    def settings(self) -> UploadSettings:
        return self.twin.settings

    @property
    def active_uploads(self) -> Mapping[str, UploadSession]:
        """The uploads that are open, by id: as they are whenever they are looked at."""
        return _ActiveUploads(self.twin, self._portal)

    def in_loop(self, work: Callable[[], Awaitable[T]]) -> Future[T]:
        """Have `work` done where everything of this object is done; it may use the twin."""
        return self._portal.start(work)

    def close(self) -> None:
        """Give back what is open. Everything opens again when it is used again."""
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _ActiveUploads(Mapping[str, UploadSession]):
    def __init__(self, twin: AsyncJumbo, portal: Portal) -> None:
        self._twin = twin
        self._portal = portal

    def __getitem__(self, upload_id: str) -> UploadSession:
        if not ids.is_valid(upload_id):
            raise KeyError(upload_id)
        try:
            session = self._portal.call(partial(self._twin.house.catalog.load, upload_id))
        except UploadNotFound:
            raise KeyError(upload_id) from None
        if session.phase is not Phase.OPEN:
            raise KeyError(upload_id)
        return session

    def __iter__(self) -> Iterator[str]:
        return (session.id for session in self._sessions())

    def __len__(self) -> int:
        return self._portal.call(self._twin.house.uploads.survey).active

    # One question to the catalog for many of them, and not one for each.

    def items(self) -> ItemsView[str, UploadSession]:
        return {session.id: session for session in self._sessions()}.items()

    def values(self) -> ValuesView[UploadSession]:
        return {session.id: session for session in self._sessions()}.values()

    def _sessions(self) -> list[UploadSession]:
        return self._portal.call(self._listed)

    async def _listed(self) -> list[UploadSession]:
        return [session async for session in self._twin.active_uploads()]
