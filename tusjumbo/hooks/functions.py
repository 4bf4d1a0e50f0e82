"""Receivers that are Python callables of the application itself.

One that is not async runs in a thread, for it may block. There is no time-out: a thread cannot be
stopped, and a function that has been left alone may still do what it was about to. What it returns
or raises is held to the same rules as what programs and addresses say.

A name has to outlive the process, because news wait under it: it is where the function is found in
the sources, or what the application says.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

from tusjumbo.application import Hook, HookAnswer, HookCall
from tusjumbo.errors import ConfigurationError, HookFailed, TerminationRejected, UploadRejected
from tusjumbo.hooks import documents
from tusjumbo.hop import Hop

Told: TypeAlias = HookAnswer | None
Work: TypeAlias = Callable[[HookCall], Told] | Callable[[HookCall], Awaitable[Told]]

AT_ONCE = 16
"""How many calls of one function that is not async may be under way, for each event loop."""

_log = logging.getLogger("tusjumbo")


class Function:
    """A callable that gets a `HookCall` and returns a `HookAnswer` or None."""

    def __init__(
        self,
        work: Work,
        *,
        name: str | None = None,
        hooks: Collection[Hook] | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        """`hooks`: what it wants to be asked and told; None: everything.

        :raises ConfigurationError: it wants news and has no name that outlives the process
        """
        if not callable(work):
            raise ConfigurationError(f"a hook has to be callable, and {work!r} is not")
        self._work = work
        self._hooks = frozenset(Hook if hooks is None else hooks)
        self._name = name or _place(work)
        if not self._name:
            if not all(hook.asks for hook in self._hooks):
                raise ConfigurationError(
                    f"the hook {work!r} needs a name=: what it is to be told waits under its name,"
                    " and lambdas, local functions and objects have none that outlives the process"
                )
            self._name = getattr(work, "__qualname__", type(work).__qualname__)
        self._is_async = inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(
            getattr(work, "__call__", None)  # noqa: B004 - an object whose call is async
        )
        self._hop = Hop(at_once)

    @property
    def name(self) -> str:
        return self._name

    @property
    def hooks(self) -> Collection[Hook]:
        return self._hooks

    async def __call__(self, call: HookCall) -> HookAnswer:
        """:raises UploadRejected: :raises TerminationRejected: if it does; :raises HookFailed:"""
        hook = call.hook.value
        try:
            said = await self._said(call)
        except (UploadRejected, TerminationRejected) as rejection:
            rejection.headers = documents.checked_headers(rejection.headers, hook, self._name)
            documents.checked_status(rejection.status, hook, self._name)
            raise
        except (Exception, SystemExit) as error:
            _log.exception("%s: %s failed", hook, self._name)
            raise HookFailed(hook, f"{self._name} raised {type(error).__name__}") from error
        if said is None:
            return HookAnswer()
        if not isinstance(said, HookAnswer):
            problem = f"{self._name} returned {type(said).__name__}, not HookAnswer or None"
            raise HookFailed(hook, problem)
        return documents.checked(said, hook, self._name)

    async def _said(self, call: HookCall) -> object:
        if self._is_async:
            said: Any = self._work(call)
        else:  # in a list, because trio takes no coroutine from a thread
            [said] = await self._hop(lambda: [self._work(call)])
        return await said if inspect.isawaitable(said) else said


def _place(work: Work) -> str:
    """Where it is found, as `loaded` finds it; empty if it is found nowhere."""
    name = getattr(work, "__qualname__", "")
    module = getattr(work, "__module__", "")
    return f"{module}:{name}" if module and name and "<" not in name else ""


def loaded(place: str) -> Callable[..., Any]:
    """The callable at `package.module:attribute`; the attribute may have dots.

    :raises ConfigurationError: there is none
    """
    module_name, colon, attribute = place.partition(":")
    if not (module_name and colon and attribute):
        raise ConfigurationError(f"{place!r} has to be like package.module:function")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{place}: there is no module {error.name!r}") from error
    except Exception as error:  # a module may do anything
        problem = f"{place}: importing {module_name} raised {type(error).__name__}: {error}"
        raise ConfigurationError(problem) from error
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise ConfigurationError(f"{place}: there is no {name!r} there") from error
    if not callable(found):
        raise ConfigurationError(f"{place} is not callable")
    return found  # type: ignore[no-any-return]
