"""Elephants: tells Flask-TSK's Babar, Kaavan and Koshik what became of uploads.

Each class here is an observer (`Jumbo(observers=[…])`, `TusJumbo(observers=[…])`) around an object
with the methods that it calls; nothing of flask-tsk is imported. Observers are called in the event
loop, so they only pick what concerns them. The work is done by one thread for each observer, in the
order of the events, in the process in which they happened.

What fails is logged with the upload's id, and not tried again. At the interpreter's exit, and when
`close` is called, everything that waits is done first; a process that is killed forgets it.
"""

from __future__ import annotations

import html
import logging
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from tusjumbo.sessions.events import (
    BytesReceived,
    Ending,
    Event,
    UploadAbandoned,
    UploadCreated,
    UploadFinished,
    UploadRefused,
)
from tusjumbo.sessions.session import UploadSession

_log = logging.getLogger("tusjumbo")


class _Errands(ABC):
    """An observer with a thread that does its work, one piece after the other."""

    def __init__(self) -> None:
        # One for each process: a fork leaves the threads behind.
        self._threads: dict[int, ThreadPoolExecutor] = {}

    @abstractmethod
    def __call__(self, event: Event) -> None: ...

    def _later(self, upload_id: str, work: Callable[..., object], *args: object) -> None:
        here, name = os.getpid(), type(self).__name__
        thread = self._threads.get(here)
        if thread is None:
            # Atomic, and without a lock that a fork could find taken.
            thread = self._threads.setdefault(here, ThreadPoolExecutor(1, name))
        thread.submit(self._do, upload_id, work, *args)

    def _do(self, upload_id: str, work: Callable[..., object], *args: object) -> None:
        try:
            work(*args)
        except Exception:
            _log.exception("%s failed on upload %s.", type(self).__name__, upload_id)

    def close(self) -> None:
        """Return when all that waits is done. The next event begins anew."""
        thread = self._threads.pop(os.getpid(), None)
        if thread is not None:
            thread.shutdown()


# --- Babar, the CMS ------------------------------------------------------------------------------


class Babar(Protocol):
    def create_story(self, data: dict[str, Any]) -> Mapping[str, Any]:
        """Store a draft; `{"success": False, "error": …}` if it was not."""
        ...

    def get_library(self, filters: dict[str, Any]) -> Mapping[str, Any]:
        """Stories that contain `filters["search"]`, as `data`."""
        ...


def story_of(session: UploadSession) -> dict[str, Any]:
    """A finished upload as a draft: what to read in `content`, what to work with in `settings`."""
    name, receipt = session.filename or session.id, session.receipt
    path = "" if receipt is None else receipt.path
    facts = {
        "upload_id": session.id,
        "path": path,
        "size": session.length,
        "media_type": session.media_type,
    }
    size = f"{session.length:,} bytes"
    return {
        "title": name,
        "type": "story",
        "content": f"<p>{html.escape(name)} ({size}, upload <code>{session.id}</code>)</p>",
        "settings": facts,
    }


class BabarStories(_Errands):
    """Every finished upload becomes a draft in Babar's CMS.

    `babar` acts as its current user, who may create stories; give it an instance of its own, as
    Flask-TSK's routes change the user of theirs.
    """

    def __init__(
        self, babar: Babar, story: Callable[[UploadSession], dict[str, Any]] = story_of
    ) -> None:
        """`story` makes the data for `create_story`; the upload's id must be in its content."""
        super().__init__()
        self._babar = babar
        self._story = story

    def __call__(self, event: Event) -> None:
        if isinstance(event, UploadFinished):
            self._later(event.session.id, self._create, event.session)

    def _create(self, session: UploadSession) -> None:
        try:
            said = self._babar.create_story(self._story(session))
        except TypeError:
            # flask-tsk 2.0.4 stores the story, and then stumbles over the story's history.
            if not self._babar.get_library({"search": session.id})["data"]:
                raise
            return
        if not said.get("success"):
            _log.error("Babar does not take upload %s: %s", session.id, said.get("error"))


# --- Kaavan, the watch ---------------------------------------------------------------------------


class Kaavan(Protocol):
    def send_alert(self, issue: str, severity: str, metadata: dict[str, Any]) -> object:
        """`severity` is info, warning, error or critical."""
        ...


class Figures(Protocol):
    def get_statistics(self) -> Mapping[str, Any]: ...


class KaavanAlerts(_Errands):
    """Alerts for uploads that came to nothing, bodies that failed and a disk that gets full.

    Whoever sends wrong bytes must not be able to fill Kaavan's book: an alert is repeated after
    `quiet` seconds at the earliest, and then says how many came `meanwhile`.
    """

    ABANDONED = "An upload was abandoned"
    FAILED = "Bytes were sent that could not be stored, or were not the announced ones"
    REFUSED = "A file was sent of a type that is not taken"
    LOW = "There is little space left for uploads"
    FIGURES = "Uploads"

    def __init__(
        self,
        kaavan: Kaavan,
        upload_path: Path | str,
        *,
        low_space: int = 1024**3,
        quiet: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`low_space`: bytes free in the file system of `upload_path` below which is little."""
        super().__init__()
        self._kaavan = kaavan
        self._directory = Path(upload_path).absolute()
        self._low_space = low_space
        self._quiet = quiet
        self._clock = clock
        self._quiet_until: dict[str, float] = {}
        self._meanwhile: dict[str, int] = {}
        self._look_at = 0.0

    def __call__(self, event: Event) -> None:
        session = event.session
        match event:
            case UploadAbandoned():
                self._later(session.id, self._alert, self.ABANDONED, "warning", _facts(session))
            case UploadRefused(reason=reason):
                facts = {**_facts(session), "reason": reason}
                self._later(session.id, self._alert, self.REFUSED, "warning", facts)
            case BytesReceived(ending=Ending.FAILED):
                self._later(session.id, self._alert, self.FAILED, "error", _facts(session))
        if isinstance(event, UploadCreated | BytesReceived) and self._clock() >= self._look_at:
            self._look_at = self._clock() + self._quiet
            self._later(session.id, self._look)

    def report(self, jumbo: Figures) -> dict[str, Any]:
        """Hand the figures over, now: for a job that runs every now and then. Returns them.

        They are an alert of severity info, or critical when there is little space.
        """
        free = self._free_space()
        figures = {**jumbo.get_statistics(), "free_space": free}
        is_low = free < self._low_space
        issue, severity = (self.LOW, "critical") if is_low else (self.FIGURES, "info")
        self._kaavan.send_alert(issue, severity, figures)
        return figures

    def _look(self) -> None:
        free = self._free_space()
        if free < self._low_space:
            self._alert(self.LOW, "critical", {"free_space": free})

    def _free_space(self) -> int:
        # Before the first upload there is no directory.
        there = (it for it in (self._directory, *self._directory.parents) if it.exists())
        return shutil.disk_usage(next(there)).free

    def _alert(self, issue: str, severity: str, metadata: dict[str, Any]) -> None:
        now = self._clock()
        if now < self._quiet_until.get(issue, now):
            self._meanwhile[issue] = self._meanwhile.get(issue, 0) + 1
            return
        self._quiet_until[issue] = now + self._quiet
        meanwhile = self._meanwhile.pop(issue, 0)
        self._kaavan.send_alert(issue, severity, {**metadata, "meanwhile": meanwhile})


def _facts(session: UploadSession) -> dict[str, Any]:
    return {
        "upload_id": session.id,
        "filename": session.filename,
        "size": session.length,
        "size_uploaded": session.ranges.total,
    }


# --- Koshik, the voice ---------------------------------------------------------------------------


class Koshik(Protocol):
    def speak(self, message: str) -> Mapping[str, Any]:
        """What a page needs to say it."""
        ...

    def queue_notification(self, user_id: Any, action: str, options: dict[str, Any]) -> object:
        """Keep it until a page of that user asks."""
        ...


class KoshikNotices(_Errands):
    """Says that an upload is finished, and leaves a notice for the pages of the user it is of."""

    def __init__(
        self, koshik: Koshik, user_of: Callable[[UploadSession], Any] = lambda _: None
    ) -> None:
        """`user_of` tells whose upload it is; None: nobody's. Do not just believe its metadata."""
        super().__init__()
        self._koshik = koshik
        self._user_of = user_of

    def __call__(self, event: Event) -> None:
        if isinstance(event, UploadFinished):
            self._later(event.session.id, self._announce, event.session)

    def _announce(self, session: UploadSession) -> None:
        speech = self._koshik.speak(f"{session.filename or 'Your upload'} is here.")
        user = self._user_of(session)
        if user is not None:
            notice = {**_facts(session), "speech": speech}
            self._koshik.queue_notification(user, "success", notice)
