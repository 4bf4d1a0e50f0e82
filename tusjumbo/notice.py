"""Notice: something is said once, and whoever listens hears it, also when listening late.

The way in which a lock holder is asked to leave and a running request learns that the server is
closing. It belongs to one event loop and calls its listeners in that loop, at once and in order; a
listener must not block or raise. Not an `anyio.Event`, because a listener here costs no task.
"""

from __future__ import annotations

from collections.abc import Callable


class Notice:
    __slots__ = ("_given", "_listeners")

    def __init__(self) -> None:
        self._given = False
        # By a mark each, in order: ten thousand requests may listen to one, and stop one by one.
        self._listeners: dict[object, Callable[[], None]] = {}

    @property
    def given(self) -> bool:
        return self._given

    def give(self) -> None:
        """Tell everybody who listens. Repeating it does nothing."""
        if self._given:
            return
        self._given = True
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called when this is given, or now if it was. Returns how to stop."""
        if self._given:
            listener()
            return lambda: None
        mark = object()
        self._listeners[mark] = listener

        def stop() -> None:
            self._listeners.pop(mark, None)

        return stop
