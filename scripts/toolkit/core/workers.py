"""One way to have a few threads do one thing: the first failure or Ctrl-C ends them all."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

_POLL_SECONDS = 0.05

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Work = Callable[[int, threading.Event], None]
"""What one thread does: it gets its number, and an event that tells it to end early."""


def worker_count(most: int, tasks: int) -> int:
    """Choose how many threads are worth it for a number of tasks."""
    return min(most, os.cpu_count() or 1, tasks)


def run_workers(work: Work, count: int, on_poll: Callable[[], None] = lambda: None) -> None:
    """Run threads to their end.

    Args:
        work: What each does.
        count: How many.
        on_poll: Called a few times a second, in the calling thread, and once at the end.

    Raises:
        BaseException: The first that a thread raised; the others were told to stop and have ended.
    """
    stopped = threading.Event()
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number, stopped)
        except BaseException as error:  # whatever it is, the waiting thread raises it
            failures.append(error)
            stopped.set()

    threads = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(count)]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(_POLL_SECONDS)
            on_poll()
    finally:
        stopped.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if failures:
        raise failures[0]


def map_in_threads(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    most: int,
    on_done: Callable[[], None] = lambda: None,
) -> list[_Result]:
    """Call a function for each item.

    Args:
        function: What to call.
        items: The items.
        most: Threads at most.
        on_done: Called once for each item that is done, in the calling thread.

    Returns:
        The results in the order of the items.
    """
    results: dict[int, _Result] = {}
    waiting = iter(range(len(items)))  # the threads share it
    shown = 0

    def work(_number: int, stopped: threading.Event) -> None:
        for at in waiting:
            if stopped.is_set():
                return
            results[at] = function(items[at])

    def show() -> None:
        nonlocal shown
        while shown < len(results):
            on_done()
            shown += 1

    run_workers(work, worker_count(most, len(items)), show)
    show()
    return [results[at] for at in range(len(items))]
