"""Chain: assemblers one after another, each of which sees what the ones before made.

The engine gets one result. Of contents, paths and places elsewhere the later one counts; what goes
beside the file is put together, and so are answers, in which the later one has the last word. All
of them are called, unless one rejects the upload or fails; then nothing of it counts.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from tusjumbo.application import Arrival, Assembled, Assembler
from tusjumbo.assemblers.compressing import Compress
from tusjumbo.assemblers.manifest import Manifest
from tusjumbo.assemblers.moving import MoveTo
from tusjumbo.assemblers.pushing import Push
from tusjumbo.errors import ConfigurationError
from tusjumbo.hop import Stay
from tusjumbo.sessions.session import Answer

Said: TypeAlias = Assembled | str | None
Work: TypeAlias = Assembler | Callable[[Arrival], Said] | Callable[[Arrival], Awaitable[Said]]

_threads = Stay(40)


class Chain:
    def __init__(self, *assemblers: Assembler) -> None:
        """:raises ConfigurationError: a manifest that would be wrong, or kept nowhere"""
        for n, manifest in enumerate(assemblers):
            if not isinstance(manifest, Manifest):
                continue
            if any(isinstance(after, Compress) for after in assemblers[n:]):
                raise ConfigurationError("sha256 has to come after zstd, or it is wrong")
            if any(isinstance(one, Push) and not one.keeps for one in assemblers):
                raise ConfigurationError(
                    "sha256: nothing is kept beside a file that goes elsewhere (push); use copy"
                )
        self._assemblers = assemblers

    async def __call__(self, arrival: Arrival) -> Assembled:
        """:raises UploadRejected: one of them does not want it"""
        whole = Assembled()
        for assembler in self._assemblers:
            made = await assembler(arrival)
            if made is not None:
                arrival = _after(arrival, made)
                whole = _merged(whole, made)
        return whole


def _after(arrival: Arrival, made: Assembled) -> Arrival:
    """What the next one sees."""
    name = made.path or arrival.name
    if name.endswith("/"):  # a directory, in which it keeps its name
        name += arrival.name.rpartition("/")[2]
    return replace(arrival, path=made.content or arrival.path, name=name)


def _merged(before: Assembled, made: Assembled) -> Assembled:
    return Assembled(
        path=made.path or before.path,
        content=made.content or before.content,
        beside={**before.beside, **made.beside},
        elsewhere=made.elsewhere or before.elsewhere,
        answer=_answer(before.answer, made.answer),
    )


def _answer(before: Answer | None, later: Answer | None) -> Answer | None:
    if before is None or later is None:
        return later or before
    said = {name.lower() for name in later.headers}
    kept = {name: value for name, value in before.headers.items() if name.lower() not in said}
    status = before.status if later.status is None else later.status
    return Answer(status, {**kept, **later.headers}, later.body or before.body)


def of_function(work: Work) -> Assembler:
    """An assembler that calls a function of the application, in a thread unless it is async.

    It returns what it made of the upload, or where the file goes (`Assembled.path`), or nothing.
    The assemblers that `Chain` knows come back as they are.

    :raises ConfigurationError: it cannot be called
    """
    if isinstance(work, Chain | Compress | Manifest | MoveTo | Push):
        return work
    if not callable(work):
        raise ConfigurationError(f"an assembler has to be callable, and {work!r} is not")
    call = getattr(work, "__call__", None)  # noqa: B004 - an object whose call is async
    is_async = inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(call)

    async def assemble(arrival: Arrival) -> Assembled | None:
        # In a list: trio refuses coroutines that come out of a thread.
        (said,) = [work(arrival)] if is_async else await _threads(lambda: [work(arrival)])
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, str):
            return Assembled(path=said)
        if said is None or isinstance(said, Assembled):
            return said
        raise TypeError(f"{work!r} returned {said!r}, and not an Assembled, a path or None")

    return assemble
