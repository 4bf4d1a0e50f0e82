"""An outbox in memory, a clock that is set by hand, and receivers that do as they are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import anyio

from tusjumbo.application import Hook, HookAnswer, HookCall, News
from tusjumbo.errors import CatalogFailed


class Time:
    """A clock."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class MemoryOutbox:
    """See `tusjumbo.application.Outbox`. `is_broken`: nothing works then."""

    def __init__(self) -> None:
        self.rows: dict[int, News] = {}
        self.claims: dict[int, float] = {}
        self.asked: list[str] = []
        self.is_broken = False

    def _look(self, what: str) -> None:
        self.asked.append(what)
        if self.is_broken:
            raise CatalogFailed

    async def post(self, news: Sequence[News]) -> None:
        self._look("post")
        for each in news:
            number = len(self.rows) + 1
            self.rows[number] = replace(each, number=number)

    def _first(self, receivers: Collection[str]) -> list[News]:
        """The oldest of each upload and receiver that is in anybody's way."""
        first: dict[tuple[str, str], News] = {}
        for news in self.rows.values():
            if news.receiver in receivers and news.told_at is None and news.due_at is not None:
                first.setdefault((news.call.session.id, news.receiver), news)
        return sorted(first.values(), key=lambda news: (news.due_at or 0.0, news.number))

    async def claim(
        self, receivers: Collection[str], now: float, until: float, limit: int
    ) -> Sequence[News]:
        self._look("claim")
        await anyio.lowlevel.checkpoint()
        assert limit > 0
        due = [news for news in self._first(receivers) if (news.due_at or 0.0) <= now][:limit]
        for news in due:
            self.rows[news.number] = replace(news, due_at=until, attempts=news.attempts + 1)
        return [self.rows[news.number] for news in due]

    async def settle(self, news: News, now: float) -> None:
        self._look("settle")
        await anyio.lowlevel.checkpoint()
        row = self.rows[news.number]
        self.rows[news.number] = replace(row, told_at=row.told_at or now, due_at=None, problem="")

    async def postpone(self, news: News, due_at: float | None, problem: str) -> None:
        self._look("postpone")
        await anyio.lowlevel.checkpoint()
        row = self.rows[news.number]
        if row.told_at is None:
            self.rows[news.number] = replace(row, due_at=due_at, problem=problem)

    async def next_due(self, receivers: Collection[str]) -> float | None:
        self._look("next_due")
        return next((news.due_at for news in self._first(receivers)), None)

    async def news(
        self,
        *,
        upload_id: str | None = None,
        waiting: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> Sequence[News]:
        return [
            news
            for number, news in self.rows.items()
            if number > after
            and upload_id in (None, news.call.session.id)
            and not (waiting and news.due_at is None)
        ][:limit]

    async def replay(self, numbers: Collection[int], now: float) -> int:
        found = [number for number in numbers if number in self.rows]
        for number in found:
            self.rows[number] = replace(
                self.rows[number], told_at=None, due_at=now, attempts=0, created_at=now
            )
        return len(found)

    async def forget_told(self, before: float) -> int:
        self._look("forget")
        gone = [
            n
            for n, news in self.rows.items()
            if news.due_at is None and (news.told_at or news.created_at) < before
        ]
        for number in gone:
            del self.rows[number]
        return len(gone)


@dataclass
class Listener:
    """A receiver. `answer` says what it answers, or raises; all calls are kept."""

    name: str = "app"
    hooks: Collection[Hook] = frozenset(Hook)
    answer: Callable[[HookCall], HookAnswer] = lambda _: HookAnswer()
    calls: list[HookCall] = field(default_factory=list)

    async def __call__(self, call: HookCall) -> HookAnswer:
        await anyio.lowlevel.checkpoint()
        self.calls.append(call)
        return self.answer(call)
