"""The next item is made while this one is used, and nothing further ahead."""

import threading

import pytest

from whit.data.ahead import ahead


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_items_come_in_their_order(count):
    assert list(ahead(lambda x: x * x, range(count))) == [x * x for x in range(count)]


def test_one_item_is_made_ahead_of_the_caller_in_another_thread():
    made, reached = [], threading.Event()

    def make(item: int) -> int:
        made.append((item, threading.current_thread() is threading.main_thread()))
        if item == 1:
            reached.set()
        return item

    coming = ahead(make, range(4))
    assert next(coming) == 0 and reached.wait(10)
    assert made == [(0, False), (1, False)]
    assert list(coming) == [1, 2, 3]


def test_an_error_is_raised_when_its_item_is_due():
    coming = ahead(lambda x: 6 // x, [3, 0, 2])
    assert next(coming) == 2
    with pytest.raises(ZeroDivisionError):
        next(coming)
