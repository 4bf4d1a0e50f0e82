"""Composition: puts the parts of one installation together, as the settings say.

The only module that knows which catalog, store and locker there are. Nothing is opened here: each
part opens what it needs when it is first used, in the process and event loop that uses it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio

from tusjumbo import wiring
from tusjumbo.application import Receiver
from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.engine.observers import Observers
from tusjumbo.engine.pump import Pace
from tusjumbo.engine.sweep import Sweep
from tusjumbo.engine.uploads import Leaves, Uploads
from tusjumbo.errands import Convoy, Errands
from tusjumbo.errors import SystemFailure, UploadElsewhere
from tusjumbo.hooks.asking import Asking
from tusjumbo.hooks.courier import Courier
from tusjumbo.hooks.webhooks import Webhook
from tusjumbo.lockers.files import FileLocker
from tusjumbo.notice import Notice
from tusjumbo.ports import Catalog, Clock, Inspection, Locker, Observer, Store
from tusjumbo.processing.inspection import ContentInspection
from tusjumbo.processing.media import MediaPolicy
from tusjumbo.sessions.quotas import Quota
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import UploadSession
from tusjumbo.settings import Durability, FinishMode, UploadSettings
from tusjumbo.stores.local import LocalStore
from tusjumbo.wiring import AssemblerLike, HookLike

CATALOG = "catalog.sqlite3"
"""The catalog's file in the upload directory; where it is not, nothing was ever uploaded."""

_LEAVES = {FinishMode.INLINE: Leaves.NOTHING, FinishMode.BACKGROUND: Leaves.WHAT_ASKS}

_FEW = 32
"""News that are told after a request where nobody tells them all the time."""

_THREADS = 16
"""In which requests wait side by side for the disk, where they do: its syncs are shared."""


@dataclass(slots=True)
class House:
    """The parts of one installation."""

    settings: UploadSettings
    catalog: Catalog
    store: Store
    locker: Locker
    uploads: Uploads
    sweep: Sweep
    courier: Courier | None = None
    """Who tells what is in the outbox; None if nobody wants to know."""
    receivers: Sequence[Receiver] = ()
    _lives: int = 0

    async def live(self) -> None:
        """Do what requests leave to be done, and what time brings, until cancelled."""
        self._lives += 1
        try:
            async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
                for receiver in self.receivers:
                    if isinstance(receiver, Webhook):
                        await stack.enter_async_context(receiver.connected())
                if self.uploads.limits.assembles:
                    tasks.start_soon(self.uploads.chores.run)
                if self.courier is not None:
                    tasks.start_soon(self.courier.run)
                await anyio.sleep_forever()
        finally:
            self._lives -= 1

    @property
    def has_work(self) -> bool:
        """Whether a request may have left something that nobody else does."""
        uploads = self.uploads
        is_left = uploads.chores.has_work or self.courier is not None
        return uploads.concatenation.has_work or (is_left and not self._lives)

    async def follow(self, closing: Notice | None = None) -> None:
        """Do that."""
        await self.uploads.concatenation.go_on(closing)
        if self._lives:
            return
        await self.uploads.chores.go_on()
        if self.courier is not None:
            await self.courier.deliver(_FEW)

    async def aclose(self) -> None:
        """Give back what is open. Everything opens again when it is used again."""
        await self.catalog.aclose()
        await self.locker.aclose()


def compose(
    settings: UploadSettings,
    *,
    observers: Iterable[Observer] = (),
    hooks: Iterable[HookLike] = (),
    assemble: Iterable[AssemblerLike] = (),
    clock: Clock = time.time,
) -> House:
    """The installation in `settings.upload_dir`.

    `hooks` and `assemble` come before those that the settings name.

    :raises ConfigurationError: one of these cannot work
    """
    root = settings.upload_dir
    quota = Quota(settings.quota_size or None, settings.quota_uploads or None)
    catalog = SqliteCatalog(root / CATALOG, settings.durability, quota=quota)
    store = LocalStore(root, settings.durability)
    errands = Convoy() if settings.durability is Durability.OS else Errands(_THREADS)
    locker = FileLocker(root / "locks", errands)
    told = Observers(observers)
    limits = Limits(
        max_size=settings.max_size or None,
        expire_after=settings.expire_after or None,
        keep_abandoned=settings.keep_abandoned,
        chunk_size=settings.chunk_size,
    )
    receivers = wiring.receivers(settings, hooks)
    asking = Asking(receivers, clock=clock, keep_headers=settings.hooks_forward_headers)
    uploads = Uploads(
        catalog,
        store,
        locker,
        limits=limits,
        pace=Pace(idle=settings.body_timeout or None, min_rate=settings.min_rate),
        patience=settings.lock_timeout,
        remove_parts=settings.remove_parts,
        inspection=_inspection(settings),
        clock=clock,
        observers=told,
        errands=errands,
        hooks=asking if receivers else None,
        outbox=catalog.outbox,
        assembler=wiring.chain(settings, assemble),
        leaves=_LEAVES[settings.finish],
    )
    sweep = Sweep(uploads.means, uploads.finish_now, uploads.concatenation)
    courier = _courier(settings, catalog, store, uploads, receivers, asking) if receivers else None
    return House(settings, catalog, store, locker, uploads, sweep, courier, receivers)


def _courier(
    settings: UploadSettings,
    catalog: SqliteCatalog,
    store: Store,
    uploads: Uploads,
    receivers: Sequence[Receiver],
    asking: Asking,
) -> Courier:
    async def locate(session: UploadSession) -> Path | None:
        try:
            return None if session.receipt is None else await store.locate(session)
        except (SystemFailure, UploadElsewhere):
            return None

    return Courier(
        catalog.outbox,
        receivers,
        uploads.clock,
        asking=asking,
        stop_upload=uploads.stop,
        locate=locate,
        retry_for=settings.hooks_retry_for,
        lease=settings.hooks_timeout * 2 + 5,
    )


def _inspection(settings: UploadSettings) -> Inspection | None:
    """None where every file is taken, so that nobody looks."""
    policy = MediaPolicy(
        settings.allow_types, settings.deny_types, strict=settings.refuse_disguised
    )
    return None if policy.is_open else ContentInspection(policy)
