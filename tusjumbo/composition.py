"""Composition: puts the parts of one installation together, as the settings say.

The only module that knows which catalog, store and locker there are. Nothing is opened here: each
part opens what it needs when it is first used, in the process and event loop that uses it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.engine.observers import Observers
from tusjumbo.engine.pump import Pace
from tusjumbo.engine.sweep import Sweep
from tusjumbo.engine.uploads import Uploads
from tusjumbo.errands import Convoy, Errands
from tusjumbo.lockers.files import FileLocker
from tusjumbo.ports import Catalog, Clock, Inspection, Locker, Observer, Store
from tusjumbo.processing.inspection import ContentInspection
from tusjumbo.processing.media import MediaPolicy
from tusjumbo.sessions.rules import Limits
from tusjumbo.settings import Durability, UploadSettings
from tusjumbo.stores.local import LocalStore

CATALOG = "catalog.sqlite3"
"""The catalog's file in the upload directory; where it is not, nothing was ever uploaded."""

_THREADS = 16
"""In which requests wait side by side for the disk, where they do: its syncs are shared."""


@dataclass(frozen=True, slots=True)
class House:
    """The parts of one installation."""

    settings: UploadSettings
    catalog: Catalog
    store: Store
    locker: Locker
    uploads: Uploads
    sweep: Sweep

    async def aclose(self) -> None:
        """Give back what is open. Everything opens again when it is used again."""
        await self.catalog.aclose()
        await self.locker.aclose()


def compose(
    settings: UploadSettings, *, observers: Iterable[Observer] = (), clock: Clock = time.time
) -> House:
    """The installation in `settings.upload_dir`."""
    root = settings.upload_dir
    catalog = SqliteCatalog(root / CATALOG, settings.durability)
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
    )
    sweep = Sweep(uploads.means, uploads.finish_now, uploads.concatenation)
    return House(settings, catalog, store, locker, uploads, sweep)


def _inspection(settings: UploadSettings) -> Inspection | None:
    """None where every file is taken, so that nobody looks."""
    policy = MediaPolicy(
        settings.allow_types, settings.deny_types, strict=settings.refuse_disguised
    )
    return None if policy.is_open else ContentInspection(policy)
