"""Our class is used where it works, and uvicorn's own where it does not."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn.protocols.http
from uvicorn.protocols.http import httptools_impl as stock

from tusjumbo.server import cycle
from tusjumbo.server.choice import http_class
from tusjumbo.server.protocol import UploadProtocol

OURS_MODULES = ("tusjumbo.server.protocol", "tusjumbo.server.cycle")


def test_our_class_works_with_this_uvicorn(caplog: pytest.LogCaptureFixture) -> None:
    assert http_class() is UploadProtocol
    assert caplog.records == []


def warning(caplog: pytest.LogCaptureFixture) -> str:
    [record] = [one for one in caplog.records if one.name == "tusjumbo"]
    assert record.levelno == logging.WARNING
    assert "\n" not in record.getMessage()
    return record.getMessage()


def test_without_httptools(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "httptools" else real(name)
    )
    assert http_class() == "auto"
    assert "Install tusjumbo[fast]" in warning(caplog)


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have our modules imported anew, and put back what was there."""
    for name in OURS_MODULES:
        monkeypatch.delitem(sys.modules, name)


def _no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    _forget(monkeypatch)
    monkeypatch.setitem(sys.modules, stock.__name__, None)
    monkeypatch.delattr(uvicorn.protocols.http, "httptools_impl")


def _no_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    _forget(monkeypatch)
    monkeypatch.delattr(stock, "RequestResponseCycle")


def _no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are started in another way."""
    original = stock.HttpToolsProtocol._start_asgi_task
    monkeypatch.delattr(stock.HttpToolsProtocol, "_start_asgi_task")
    monkeypatch.setattr(stock.HttpToolsProtocol, "_start", original, raising=False)


def _other_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of another shape, which cannot become ours."""

    class Slotted:
        __slots__ = ("scope",)

        def __init__(self, **given: Any) -> None:
            self.scope = given["scope"]

    monkeypatch.setattr(stock, "RequestResponseCycle", Slotted)


def _other_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event that says "there is news" has another name."""
    original = stock.RequestResponseCycle.__init__

    def renamed(self: Any, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        self.news = self.message_event
        del self.message_event

    monkeypatch.setattr(stock.RequestResponseCycle, "__init__", renamed)


def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses are sent by another method."""

    async def send(self: Any, message: Any) -> None:
        pass

    monkeypatch.setattr(stock.RequestResponseCycle, "send", send)


def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut that is not delivered: the reason why all this exists."""
    original = cycle.UploadCycle.receive

    async def receive(self: cycle.UploadCycle) -> Any:
        return {"type": "http.disconnect"} if self.disconnected else await original(self)

    monkeypatch.setattr(cycle.UploadCycle, "receive", receive)


def _mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trailers are put where the headers are."""
    original = UploadProtocol.on_headers_complete

    def completed(self: UploadProtocol) -> None:
        headers = self.headers
        original(self)
        self.headers = headers

    monkeypatch.setattr(UploadProtocol, "on_headers_complete", completed)


def _stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never ends."""
    monkeypatch.setattr(cycle.UploadCycle, "_has_news", lambda self: False)
    monkeypatch.setattr("tusjumbo.server.choice.PATIENCE", 0.1)


@pytest.mark.parametrize(
    "change",
    [
        _no_module,
        _no_cycle,
        _no_seam,
        _other_cycle,
        _other_event,
        _silent,
        _forgetful,
        _mixed,
        _stuck,
    ],
    ids=lambda change: change.__name__,
)
def test_with_another_uvicorn(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    change(monkeypatch)
    assert http_class() == "auto"
    assert "other versions of uvicorn" in warning(caplog)
