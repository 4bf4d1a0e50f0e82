"""`hooks` and `replay`: what is to be told, as the catalog has it.

Both work beside a running server: it is the server that tells.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import cast

from tusjumbo.application import News, Outbox
from tusjumbo.cli import text
from tusjumbo.cli.inspecting import id_in, in_house, is_furnished
from tusjumbo.composition import House
from tusjumbo.settings import UploadSettings

_PAGE = 500


def list_news(settings: UploadSettings, address: str | None, *, every: bool, as_json: bool) -> None:
    """Print what waits to be told (with `every` also what does not), one line for each.

    :raises UploadNotFound: `address` is not one of an upload
    """
    upload_id = None if address is None else id_in(address)
    present = _objects if as_json else _table
    if is_furnished(settings):
        in_house(settings, partial(present, upload_id=upload_id, every=every))
    elif not as_json:
        print(_NOTHING)


def replay_news(settings: UploadSettings, numbers: Sequence[int]) -> int:
    """Have them told again, and return how many of them there are not."""
    found = 0
    if is_furnished(settings):
        found = in_house(settings, partial(_replay, numbers=numbers))
    print(f"To be told again: {found}.")
    return len(set(numbers)) - found


_NOTHING = "There is nothing to be told."


async def _replay(house: House, numbers: Sequence[int]) -> int:
    return await _outbox(house).replay(numbers, time.time())


async def _pages(house: House, upload_id: str | None, *, every: bool) -> AsyncIterator[News]:
    after = 0
    outbox = _outbox(house)
    while page := await outbox.news(
        upload_id=upload_id, waiting=not every, after=after, limit=_PAGE
    ):
        for news in page:
            yield news
        after = page[-1].number


def _outbox(house: House) -> Outbox:
    return cast(Outbox, house.uploads.outbox)


async def _objects(house: House, upload_id: str | None, *, every: bool) -> None:
    async for news in _pages(house, upload_id, every=every):
        print(json.dumps(_facts(news)))


async def _table(house: House, upload_id: str | None, *, every: bool) -> None:
    now = time.time()
    rows = [_row(news, now) async for news in _pages(house, upload_id, every=every)]
    if not rows:
        print(_NOTHING)
        return
    for line in text.table([_HEADER, *rows], numbers=(0, 1, 6)):
        print(line)


_HEADER = ("NUMBER", "AGE", "HOOK", "UPLOAD", "RECEIVER", "STATE", "ATTEMPTS", "PROBLEM")


def _row(news: News, now: float) -> tuple[str, ...]:
    return (
        str(news.number),
        text.span(now - news.created_at),
        news.call.hook.value,
        news.call.session.id,
        text.printable(news.receiver),
        _state(news),
        str(news.attempts),
        text.printable(news.problem),
    )


def _state(news: News) -> str:
    if news.told_at is not None and news.due_at is None:
        return "told"
    return "given up" if news.due_at is None else "waiting"


def _facts(news: News) -> dict[str, object]:
    moments = {"created_at": news.created_at, "due_at": news.due_at, "told_at": news.told_at}
    return {
        "number": news.number,
        "key": news.call.key,
        "hook": news.call.hook.value,
        "upload": news.call.session.id,
        "receiver": news.receiver,
        "state": _state(news),
        "attempts": news.attempts,
        "problem": news.problem,
        **{name: None if at is None else text.moment(at) for name, at in moments.items()},
    }
