from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcam.video.prefetch import in_order, prefetch


def _threads() -> int:
    return sum(thread.name == "vidcam-ahead" for thread in threading.enumerate())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers() | st.none()), st.integers(1, 4))
def test_the_same_items_in_the_same_order(items: list[int | None], most: int) -> None:
    assert list(prefetch(items, most)) == items
    assert list(prefetch(prefetch(iter(items), most), 1)) == items
    assert _threads() == 0


def test_making_goes_on_while_items_are_used_but_not_without_end() -> None:
    made: list[int] = []
    second, fourth = threading.Event(), threading.Event()

    def count() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 2:
                second.set()
            if number == 4:
                fourth.set()
            yield number

    with_two = prefetch(count(), 2)
    assert next(with_two) == 0
    assert second.wait(5), "items 1 and 2 are made with none of them asked for"
    assert not fourth.wait(0.05) and len(made) == 3, "and no third one while these wait"
    assert next(with_two) == 1 and next(with_two) == 2
    assert fourth.wait(5)
    with_two.close()
    assert _threads() == 0 and len(made) == 5


def test_an_error_in_the_making_comes_out_behind_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("the third stage fails")

    chain = prefetch(prefetch(broken(), 1), 1)
    assert next(chain) == 1
    with pytest.raises(ValueError, match="third stage"):
        next(chain)
    assert _threads() == 0


def test_stopping_early_closes_what_was_being_read() -> None:
    closed = threading.Event()

    def file() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    def user() -> None:
        reading = prefetch(file(), 1)
        try:
            for item in reading:
                if item == 3:
                    raise KeyboardInterrupt
        finally:
            reading.close()

    with pytest.raises(KeyboardInterrupt):
        user()
    assert closed.is_set() and _threads() == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_what_a_function_returns_has_the_order_of_the_items(threads: int) -> None:
    second = threading.Event()
    ran: set[str] = set()
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(40):
            taken.append(item)
            yield item

    def slow(item: int) -> int:
        ran.add(threading.current_thread().name)
        if threads > 1 and item == 0:
            assert second.wait(5), "the second item is begun before the first one is done"
        if item == 1:
            second.set()
        return item * item

    found = in_order(slow, items(), threads)
    assert next(found) == 0 and len(taken) <= threads + 1
    assert list(found) == [item * item for item in range(1, 40)]
    assert (threading.current_thread().name in ran) == (threads == 1) and len(ran) <= threads


@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_comes_in_the_place_of_its_item_and_no_thread_is_left(threads: int) -> None:
    def fails(item: int) -> int:
        if item == 2:
            raise ValueError("no")
        return item

    found = in_order(fails, range(9), threads)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="no"):
        next(found)
    unfinished = in_order(fails, range(9), threads)
    next(unfinished)
    unfinished.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vidcam-in-order")]
