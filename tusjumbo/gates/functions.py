"""A function of the application as a gate.

It gets an `Admission` and says who asks: an `Identity`, or the owner's name as text, or nothing (or
True) if that is of no interest, or False for no. It may raise what a gate may raise. Anything else
that goes wrong lets nobody in. One that is not async runs in a thread, for it may block.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from tusjumbo.application import Admission, Identity
from tusjumbo.errors import Forbidden, HookFailed, Refusal
from tusjumbo.hop import Hop

Said: TypeAlias = Identity | str | bool | None
Work: TypeAlias = Callable[[Admission], Said] | Callable[[Admission], Awaitable[Said]]

AT_ONCE = 16

_log = logging.getLogger("tusjumbo")


class Asked:
    """See `tusjumbo.application.Gate`."""

    def __init__(self, work: Work) -> None:
        self._work = work
        call = getattr(work, "__call__", None)  # noqa: B004 - an object whose call is async
        self._is_async = inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(call)
        self._hop = Hop(AT_ONCE)

    async def admit(self, admission: Admission) -> Identity | None:
        work: Any = self._work
        try:
            said = await (work(admission) if self._is_async else self._hop(work, admission))
        except Refusal:
            raise
        except Exception as error:
            _log.exception("The gate failed on %s.", admission.action.value)
            raise HookFailed("gate", f"it raised {type(error).__name__}") from error
        match said:
            case Identity() | None:
                return said
            case True:
                return None
            case False:
                raise Forbidden
            case str() if said:
                return Identity(said)
        raise HookFailed("gate", f"it returned {type(said).__name__}, and that is no answer")
