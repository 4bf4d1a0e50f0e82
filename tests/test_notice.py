from __future__ import annotations

import pytest

from tusjumbo.notice import Notice


def test_a_notice_is_given_once_and_stays_given() -> None:
    notice = Notice()
    heard: list[str] = []
    notice.listen(lambda: heard.append("once"))
    assert not notice.given
    notice.give()
    notice.give()
    assert notice.given
    assert heard == ["once"]


def test_everybody_hears_it_in_the_order_of_listening() -> None:
    notice = Notice()
    heard: list[int] = []
    for number in range(5):
        notice.listen(lambda number=number: heard.append(number))  # type: ignore[misc]
    notice.give()
    assert heard == [0, 1, 2, 3, 4]


def test_who_listens_late_hears_it_at_once() -> None:
    notice = Notice()
    notice.give()
    heard: list[str] = []
    stop = notice.listen(lambda: heard.append("late"))
    assert heard == ["late"]
    stop()
    notice.give()
    assert heard == ["late"]


def test_who_has_stopped_hears_nothing() -> None:
    notice = Notice()
    heard: list[str] = []
    stop = notice.listen(lambda: heard.append("stopped"))
    notice.listen(lambda: heard.append("stays"))
    stop()
    stop()
    notice.give()
    stop()
    assert heard == ["stays"]


def test_one_listener_may_listen_twice_and_stop_once() -> None:
    notice = Notice()
    heard: list[str] = []

    def listener() -> None:
        heard.append("heard")

    notice.listen(listener)
    notice.listen(listener)()
    notice.give()
    assert heard == ["heard"]


def test_a_listener_sees_the_notice_given_and_may_listen_again() -> None:
    notice = Notice()
    heard: list[bool] = []

    def listener() -> None:
        heard.append(notice.given)
        notice.listen(lambda: heard.append(notice.given))
        notice.give()

    notice.listen(listener)
    notice.give()
    assert heard == [True, True]


def test_a_listener_may_stop_another_one() -> None:
    """A request that ends because of a notice stops listening while the notice is being given."""
    notice = Notice()
    heard: list[str] = []
    stops = [notice.listen(lambda: stops[0]())]
    notice.listen(lambda: heard.append("heard"))
    notice.give()
    assert heard == ["heard"]


def test_to_stop_is_to_look_at_nobody_else() -> None:
    compared: list[object] = []

    class Listener:
        def __call__(self) -> None:
            heard.append(self)

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return self is other

        __hash__ = object.__hash__

    notice = Notice()
    heard: list[Listener] = []
    listeners = [Listener() for _ in range(1000)]
    stops = [notice.listen(listener) for listener in listeners]
    for stop in stops[1:]:
        stop()
    notice.give()
    assert compared == []
    assert [id(each) for each in heard] == [id(listeners[0])]


def test_a_notice_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Notice().asked = True  # type: ignore[attr-defined]
