"""Threads and processes that do one thing together: the first failure or Ctrl-C ends them all."""

import os
import pickle
import select
import signal
import struct
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from toolkit.core.errors import ToolkitError

if TYPE_CHECKING:
    from concurrent.futures import Future

_POLL_SECONDS = 0.05

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Work = Callable[[int, threading.Event], None]
"""What one thread does: it gets its number, and an event that tells it to end early."""


def in_background(work: Callable[[], _Result]) -> "Future[_Result]":
    """Do something on a thread that nothing waits for but who asks for its result, not even the end of the program."""
    from concurrent.futures import Future

    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever asks for the result raises it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def worker_count(most: int, tasks: int) -> int:
    """Choose how many threads are worth it for a number of tasks."""
    return min(most, os.cpu_count() or 1, tasks)


def run_workers(work: Work, count: int, on_poll: Callable[[], None] = lambda: None) -> None:
    """Run threads to their end.

    ``on_poll`` is called a few times a second, in the calling thread, and once at the end. What a thread raises first
    is raised here, once the others were told to stop and have ended.
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
    are_waiting: bool = False,
) -> list[_Result]:
    """Call a function for each item; the results are in the order of the items.

    Args:
        most: Threads at most.
        on_done: Called once for each item that is done, in the calling thread.
        are_waiting: Whether they wait for a network more than they compute, so that there may be more than cores.
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

    run_workers(work, min(most, len(items)) if are_waiting else worker_count(most, len(items)), show)
    show()
    return [results[at] for at in range(len(items))]


OnDone = Callable[[int], None]
"""Called with how much of a job is done since the last call."""


class Job(Protocol):
    """Something to be done that needs nothing but what it holds, so that it can be done anywhere, and again."""

    @property
    def weight(self) -> int:
        """How much is done when it is done."""


_Job = TypeVar("_Job", bound=Job)


def ignore(_count: int) -> None:
    """Be told of nothing, where nobody watches."""


class Engine(Protocol):
    """Where jobs are done that have nothing to do with one another.

    A job may take at most ``parallel`` threads or processes.
    """

    parallel: int

    def run(
        self, function: Callable[[_Job, OnDone], _Result], jobs: Sequence[_Job], on_done: OnDone = ignore
    ) -> list[_Result]:
        """Call a function with each job and give the results in the order of the jobs; the first failure ends it."""

    def settle(self) -> None:
        """Wait, after a failure, until no job is at work any more."""


class InTurn:
    """Does the jobs one after the other in this process."""

    def __init__(self, parallel: int = 4) -> None:
        self.parallel = parallel  # beyond a few only the disk is fought over

    def run(
        self, function: Callable[[_Job, OnDone], _Result], jobs: Sequence[_Job], on_done: OnDone = ignore
    ) -> list[_Result]:
        """Do them; see :class:`Engine`."""
        return [function(job, on_done) for job in jobs]

    def settle(self) -> None:
        """Nothing is at work."""


class InProcesses:
    """Does the jobs in forked processes, the largest first; what one that dies was at is done again."""

    parallel = 1

    def __init__(self, count: int) -> None:
        self._count = count

    def run(
        self, function: Callable[[_Job, OnDone], _Result], jobs: Sequence[_Job], on_done: OnDone = ignore
    ) -> list[_Result]:
        """Do them; see :class:`Engine`."""
        order = sorted(range(len(jobs)), key=lambda number: -jobs[number].weight)
        works = [partial(function, jobs[number], ignore) for number in order]
        done = run_together(works, self._count, lambda place: on_done(jobs[order[place]].weight), MOST_DEATHS)
        results = dict(zip(order, done, strict=True))
        return [results[number] for number in range(len(jobs))]

    def settle(self) -> None:
        """Whatever was at work has been killed."""


MOST_DEATHS = 3
"""How many workers may die before something must be wrong with the work."""


_LENGTH = struct.Struct("<I")
PIPE_SIZE = 4096
"""Bytes that a pipe takes at least without anybody reading (``pipe(7)``)."""


def run_processes(
    start: Callable[[], Callable[[_Item], _Result]],
    take: Callable[[int], _Item | None],
    count: int,
    on_result: Callable[[_Result], None],
    deaths: int = 0,
    ahead: int = 1,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Share tasks out among forked processes, where threads would wait for one another's interpreter lock.

    A single one would only be waited for, so this process does its work.

    Args:
        start: Called once in each process; gives what does a task there.
        take: Gives the next task for a process, by its number; None when there is none left. Called in this process.
        count: How many processes.
        on_result: Called in this process with each result, in the order in which they come.
        deaths: How many processes may die; what one of them was at is done again by a new one.
        ahead: How many tasks each begins with, which keep it busy while this process makes something of the first
            results. Pickled they take :data:`PIPE_SIZE` bytes at most.
        meanwhile: Called in this process once all have begun.

    Raises:
        ToolkitError: A process died.
        Exception: What the first process to fail raised; the others have ended.
    """
    if count == 1:
        do = start()
        while (task := take(0)) is not None:
            on_result(do(task))
        meanwhile()
        return
    workers: list[_Worker] = []

    def give(wanted: int) -> None:
        for number, worker in enumerate(workers):  # those without a task among them: a result may have brought new ones
            while len(worker.tasks) < wanted and (task := take(number)) is not None:
                worker.give(task)

    try:
        for _ in range(count):
            workers.append(_Worker(start, workers))
        give(ahead)
        meanwhile()
        while busy := {worker.results: number for number, worker in enumerate(workers) if worker.tasks}:
            for number in (busy[pipe] for pipe in select.select(list(busy), (), ())[0]):
                worker = workers[number]
                try:
                    result = worker.result()
                except _WorkerDied:
                    if not deaths:
                        raise
                    deaths -= 1
                    workers[number] = _Worker(start, workers)
                    for task in worker.tasks:
                        workers[number].give(task)
                    worker.end()
                    continue
                on_result(result)
                # Who gets one waits for us now, and reads: with a task ahead, both could wait with full pipes.
                give(1)
    finally:
        for worker in workers:
            worker.end()


def run_together(
    works: Sequence[Callable[[], _Result]],
    most: int,
    on_done: Callable[[int], None] = ignore,
    deaths: int = 0,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[_Result]:
    """Call some functions in forked processes, the first ones first, and give their results in their order.

    What they do to this process's memory is lost; where two write into one folder the kernel lets one do so at a time.

    Args:
        most: Processes at most.
        on_done: Called in this process with the index of each that is done.
        deaths: How many processes may die; what one was at is done again.
        meanwhile: Called in this process once they have begun.

    Raises:
        ToolkitError: A process died.
        Exception: What the first one to fail raised; the others have been ended.
    """
    results: dict[int, _Result] = {}
    waiting = iter(range(len(works)))

    def start() -> Callable[[int], tuple[int, _Result]]:
        return lambda number: (number, works[number]())

    def keep(answer: tuple[int, _Result]) -> None:
        number, results[number] = answer
        on_done(number)

    run_processes(start, lambda _process: next(waiting, None), min(most, len(works)), keep, deaths, meanwhile=meanwhile)
    return [results[number] for number in range(len(works))]


class _Worker:
    """A forked process, a pipe to it with tasks, and one back with results."""

    def __init__(self, start: Callable[[], Callable[[Any], Any]], earlier: list["_Worker"]) -> None:
        tasks, self.orders = os.pipe()
        self.results, results = os.pipe()
        self.tasks: deque[Any] = deque()  # what it has not done yet
        # Until the child ignores it, a signal waits: it is for this process, which then ends the child.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of threads beside us
                self.process = os.fork()
            if not self.process:
                for worker in (*earlier, self):  # or a pipe stays open in them when this process is killed
                    os.close(worker.orders)
                    os.close(worker.results)
                _serve(start, tasks, results, held)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            os.close(tasks)
            os.close(results)

    def give(self, task: object) -> None:
        """Send a task."""
        self.tasks.append(task)
        with suppress(BrokenPipeError):  # it has died, as its result will tell
            _send(self.orders, task)

    def result(self) -> Any:
        """Receive what came of its next task, or raise it."""
        try:
            failure, result = _receive(self.results)
        except EOFError:
            raise _WorkerDied from None
        self.tasks.popleft()
        if failure is not None:
            raise failure
        return result

    def end(self) -> None:
        """Kill the process if it still runs; nothing of it is left."""
        os.close(self.orders)
        os.close(self.results)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


_DIED = "a process of this run ended before its work was done; if memory ran out, free some; run again"


class _WorkerDied(ToolkitError):
    """A worker ended before its task was done."""

    def __init__(self, message: str = _DIED, details: Sequence[str] = ()) -> None:
        super().__init__(message, details)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _serve(start: Callable[[], Callable[[Any], Any]], tasks: int, results: int, held: set[Any]) -> NoReturn:
    """Do tasks until there are none, or nobody is left who wants their results."""
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        threading.Thread(target=_end_with_parent, args=(tasks,), daemon=True).start()
        do = start()
        while True:
            task = _receive(tasks)
            answer: tuple[BaseException | None, Any]
            try:
                answer = (None, do(task))
            except BaseException as error:  # whatever it is, the process that asked raises it
                answer = (error, None)
            _send(results, answer)
    except (EOFError, BrokenPipeError):
        os._exit(0)
    finally:
        os._exit(1)


def _end_with_parent(tasks: int) -> None:
    """End this process once nobody can give it tasks any more, whatever it is at: it would hold its parent's locks."""
    parent = select.poll()
    parent.register(tasks, 0)  # tells of the other end alone
    parent.poll()
    os._exit(1)


def _send(pipe: int, message: object) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        left = left[os.write(pipe, left) :]


def _receive(pipe: int) -> Any:
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return pickle.loads(_read(pipe, length))


def _read(pipe: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = os.read(pipe, length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
