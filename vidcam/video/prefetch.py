"""Prefetching: an iterator that runs ahead on its own thread, and a function called on several threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def prefetch(items: Iterable[T], most: int) -> Generator[T]:
    """Yield the items in their order, made on another thread while the earlier ones are used.

    Decoding, resizing, drawing and encoding release Python's lock while they work, so that stages really overlap.
    An exception of the iterator is raised here. Closing this generator ends the thread and closes the iterator.

    Args:
        items: the iterator that runs on the thread.
        most: largest number of items that wait, the one that is being made included.
    """
    waiting: SimpleQueue[T | _End] = SimpleQueue()
    room, stopped = Semaphore(most), Event()

    def make() -> None:
        error: BaseException | None = None
        try:
            made = iter(items)
            with closing(made) if isinstance(made, Generator) else nullcontext(), suppress(StopIteration):
                while room.acquire() and not stopped.is_set():
                    waiting.put(next(made))
        except BaseException as raised:
            error = raised
        waiting.put(_End(error))

    thread = Thread(target=make, name="vidcam-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        room.release()
        thread.join()


def in_order(function: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R]:
    """Yield what a function returns for each item, in the order of the items, called on several threads at once.

    An exception of the function is raised here in place of what it returns. The items are made on the thread of the caller.

    Args:
        function: called with an item.
        items: taken one by one, as many ahead as there are threads.
        threads: number of threads; with 1 the function is called on the thread of the caller.

    Example:
        >>> list(in_order(abs, [-1, 2, -3], 2))
        [1, 2, 3]
    """
    if threads == 1:
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, "vidcam-in-order") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
