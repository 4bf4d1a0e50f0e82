from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.hooks.receivers import call
from tusjumbo.application import Hook, HookAnswer, HookCall, Receiver
from tusjumbo.errors import ConfigurationError, HookFailed, TerminationRejected, UploadRejected
from tusjumbo.hooks.functions import Function, loaded
from tusjumbo.sessions.session import Answer

ANSWER = HookAnswer(upload_id="mine")


def plain(call: HookCall) -> HookAnswer:
    return ANSWER


async def waiting(call: HookCall) -> HookAnswer:
    await anyio.sleep(0)
    return ANSWER


def silent(call: HookCall) -> None:
    """Has nothing to say."""


class Thing:
    def method(self, call: HookCall) -> HookAnswer:
        return ANSWER

    def __call__(self, call: HookCall) -> HookAnswer:
        return ANSWER


class AsyncThing:
    async def __call__(self, call: HookCall) -> HookAnswer:
        await anyio.sleep(0)
        return ANSWER


FORMS: list[Callable[[HookCall], Any]] = [
    plain,
    waiting,
    Thing().method,
    Thing(),
    AsyncThing(),
    functools.partial(plain),
    functools.partial(waiting),
    lambda _: ANSWER,
    lambda call: waiting(call),
]


@pytest.mark.parametrize("work", FORMS)
async def test_any_callable_is_asked(work: Callable[[HookCall], Any]) -> None:
    function = Function(work, name="mine")
    assert await function(call()) is ANSWER


async def test_it_gets_the_call() -> None:
    got: list[HookCall] = []
    asked = call(Hook.POST_CREATE, key="k")
    assert await Function(got.append, name="list")(asked) == HookAnswer()
    assert got == [asked]


async def test_nothing_said_is_an_answer() -> None:
    assert await Function(silent)(call()) == HookAnswer()


async def test_what_is_not_async_has_a_thread_and_the_rest_has_not() -> None:
    threads: list[threading.Thread] = []

    def here(call: HookCall) -> None:
        threads.append(threading.current_thread())

    async def there(call: HookCall) -> None:
        threads.append(threading.current_thread())

    await Function(here, name="a")(call())
    await Function(there, name="b")(call())
    assert threads[0] is not threading.current_thread()
    assert threads[1] is threading.current_thread()


async def test_many_at_once() -> None:
    """As many as may be in threads meet there."""
    barrier = threading.Barrier(3)

    def work(call: HookCall) -> None:
        barrier.wait(20)

    function = Function(work, name="a", at_once=3)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(function, call())


@pytest.mark.parametrize("rejection", [UploadRejected, TerminationRejected])
async def test_a_rejection_is_passed_on(rejection: type[UploadRejected]) -> None:
    raised = rejection("No.", status=402, headers={"X-A": "b "}, body=b"pay")

    def work(call: HookCall) -> None:
        raise raised

    with pytest.raises(rejection) as caught:
        await Function(work, name="a")(call())
    assert caught.value is raised
    assert (raised.status, raised.headers, raised.body) == (402, {"X-A": "b"}, b"pay")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": 101}, "the status 101"),
        ({"headers": {"X": "a\r\nb"}}, "as the header X"),
        ({"headers": {"X\n": "a"}}, "as a header's name"),
    ],
)
async def test_a_rejection_that_http_cannot_carry(changes: dict[str, Any], problem: str) -> None:
    def work(call: HookCall) -> None:
        raise UploadRejected(**changes)

    with pytest.raises(HookFailed) as failure:
        await Function(work, name="mine")(call())
    assert failure.value.problem.startswith("mine answered with ")
    assert problem in failure.value.problem


@pytest.mark.parametrize("error", [ValueError("boo"), SystemExit(1), StopIteration(), OSError()])
@pytest.mark.parametrize("is_async", [False, True])
async def test_any_other_exception_is_a_failure(
    error: BaseException, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def work(call: HookCall) -> None:
        raise error

    async def later(call: HookCall) -> None:
        raise error

    with pytest.raises(HookFailed) as failure:
        await Function(later if is_async else work, name="mine")(call(Hook.PRE_FINISH))
    chain = [failure.value.__cause__, getattr(failure.value.__cause__, "__cause__", None)]
    assert error in chain
    assert failure.value.hook == "pre-finish"
    assert failure.value.problem.startswith("mine raised ")
    assert "boo" not in failure.value.problem
    [record] = [record for record in caplog.records if record.name == "tusjumbo"]
    assert record.exc_info is not None
    assert record.getMessage() == "pre-finish: mine failed"


@pytest.mark.parametrize("said", [{}, True, "no", Answer()])
async def test_anything_else_that_is_returned_is_a_failure(said: Any) -> None:
    with pytest.raises(HookFailed) as failure:
        await Function(lambda _: said, name="mine")(call())
    assert failure.value.problem == f"mine returned {type(said).__name__}, not HookAnswer or None"


@pytest.mark.parametrize(
    "said",
    [
        HookAnswer(answer=Answer(99)),
        HookAnswer(answer=Answer(headers={"X": "a\r\nY: b"})),
        HookAnswer(metadata={"a b": b""}),
    ],
)
async def test_what_clients_cannot_be_told_is_a_failure(said: HookAnswer) -> None:
    with pytest.raises(HookFailed, match="does not answer"):
        await Function(lambda _: said, name="mine")(call())


async def test_who_is_cancelled_is_not_a_failure() -> None:
    begun = anyio.Event()

    async def work(call: HookCall) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(Function(work, name="a"), call())
        await begun.wait()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancelled_caught


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (plain, "tests.hooks.test_functions:plain"),
        (waiting, "tests.hooks.test_functions:waiting"),
        (Thing().method, "tests.hooks.test_functions:Thing.method"),
    ],
)
def test_the_name_is_where_it_is_found(work: Callable[[HookCall], Any], name: str) -> None:
    function: Receiver = Function(work)
    assert function.name == name
    assert callable(loaded(name))


def _local() -> Callable[[HookCall], None]:
    def local(call: HookCall) -> None:
        """Nothing."""

    return local


@pytest.mark.parametrize(
    "work", [lambda _: None, _local(), functools.partial(plain), Thing(), AsyncThing()]
)
def test_news_need_a_name_that_outlives_the_process(work: Callable[[HookCall], Any]) -> None:
    with pytest.raises(ConfigurationError, match="needs a name="):
        Function(work)
    with pytest.raises(ConfigurationError, match="needs a name="):
        Function(work, hooks=[Hook.PRE_CREATE, Hook.EXPIRED])
    assert Function(work, name="mine").name == "mine"
    assert Function(work, hooks=[Hook.PRE_CREATE, Hook.PRE_FINISH]).name


def test_it_wants_everything_unless_it_says() -> None:
    assert set(Function(plain).hooks) == set(Hook)
    assert set(Function(plain, hooks=[Hook.EXPIRED]).hooks) == {Hook.EXPIRED}
    assert set(Function(plain, hooks=[]).hooks) == set()


def test_what_is_not_callable_is_no_hook() -> None:
    with pytest.raises(ConfigurationError, match="callable"):
        Function("a")  # type: ignore[arg-type]


# --- loading -------------------------------------------------------------------------------------


def test_what_is_named_is_found() -> None:
    assert loaded("tests.hooks.test_functions:plain") is plain
    assert loaded("tests.hooks.test_functions:Thing.method") is Thing.method


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("", "has to be like"),
        ("json", "has to be like"),
        ("json:", "has to be like"),
        (":dumps", "has to be like"),
        ("no_such_module_x.y:f", "there is no module 'no_such_module_x'"),
        ("json.nothing:f", "there is no module 'json.nothing'"),
        ("json:nothing", "there is no 'nothing' there"),
        ("json:dumps.nothing", "there is no 'nothing' there"),
        ("json:__name__", "is not callable"),
        (".json:f", "importing .json raised TypeError"),
    ],
)
def test_what_is_not_there_is_said(place: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        loaded(place)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import no_such_module_x", "there is no module 'no_such_module_x'"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("def f(:", "raised SyntaxError"),
    ],
)
def test_a_module_that_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    (tmp_path / "breaking_x.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(ConfigurationError) as error:
            loaded("breaking_x:f")
    finally:
        sys.modules.pop("breaking_x", None)
    assert problem in str(error.value)
