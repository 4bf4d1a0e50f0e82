from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.gates.admissions import asking
from tusjumbo.application import Admission, Identity
from tusjumbo.errors import Forbidden, HookFailed, Unauthorized
from tusjumbo.gates.functions import Asked
from tusjumbo.gates.together import Together

OPERATOR = Identity("carol", is_operator=True)


@pytest.mark.parametrize(
    ("said", "identity"),
    [(None, None), (True, None), ("alice", Identity("alice")), (OPERATOR, OPERATOR)],
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_what_it_may_say(said: Any, identity: Identity | None, is_async: bool) -> None:
    threads: list[int] = []

    def plain(admission: Admission) -> Any:
        threads.append(threading.get_ident())
        return said

    async def waiting(admission: Admission) -> Any:
        return plain(admission)

    class Object:
        async def __call__(self, admission: Admission) -> Any:
            return plain(admission)

    works: list[Any] = [waiting, Object()] if is_async else [plain]
    for work in works:
        assert await Asked(work).admit(asking()) == identity
    assert (threads[0] == threading.get_ident()) == is_async


@pytest.mark.parametrize("said", ["", 0, 1, [], {"owner": "alice"}])
async def test_what_is_no_answer_lets_nobody_in(said: Any) -> None:
    with pytest.raises(HookFailed, match="application"):
        await Asked(lambda _: said).admit(asking())


async def test_no_is_no() -> None:
    with pytest.raises(Forbidden):
        await Asked(lambda _: False).admit(asking())


@pytest.mark.parametrize(
    ("error", "expected"), [(Unauthorized(), Unauthorized), (KeyError("x"), HookFailed)]
)
async def test_what_it_may_raise(error: Exception, expected: type[Exception]) -> None:
    def work(admission: Admission) -> None:
        raise error

    with pytest.raises(expected):
        await Asked(work).admit(asking())


class Way:
    def __init__(self, name: str) -> None:
        self.name = name
        self.challenge = f"Way {name}"

    def claims(self, admission: Admission) -> bool:
        return admission.query == self.name

    async def admit(self, admission: Admission) -> Identity:
        if admission.client:
            return Identity(self.name)
        raise Unauthorized(self.challenge)


async def test_whose_credentials_they_are_decides_alone() -> None:
    both = Together([Way("a"), Way("b"), Way("b")])
    assert await both.admit(asking(query="b")) == Identity("b")
    with pytest.raises(Unauthorized) as refused:
        await both.admit(asking(query="a", client=""))
    assert refused.value.challenge == "Way a"
    with pytest.raises(Unauthorized) as refused:
        await both.admit(asking(query="c"))
    assert refused.value.challenge == "Way a, Way b"
    last = Together([Way("a")], Asked(lambda _: "last"))
    assert await last.admit(asking(query="c")) == Identity("last")
