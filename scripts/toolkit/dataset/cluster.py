"""Where exports are read and unpacked: in this process, in several, or on a Dask cluster that is there already."""

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from toolkit import __version__
from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.storage import Place
from toolkit.core.workers import Engine, InProcesses, InTurn, Job, OnDone, ignore

if TYPE_CHECKING:
    from distributed import Client, Future

_ANSWER_SECONDS = 20
_WORKER_SECONDS = 120
"""As long as a cluster that grows when it is needed may take for its first worker."""
_SETTLE_SECONDS = 30

_Job = TypeVar("_Job", bound=Job)
_Result = TypeVar("_Result")


@contextmanager
def open_engine(
    exports: Sequence[Place], target: Place, workers: int | None, scheduler: str | None
) -> Iterator[Engine]:
    """Choose where exports are read and unpacked: one after the other, some at a time here, or on a Dask cluster.

    Raises UsageError where ``workers`` and a scheduler's address are given, or what the cluster needs is not installed;
    ToolkitError where the cluster does not answer, or cannot do the work.
    """
    if scheduler is not None:
        if workers is not None:
            raise UsageError("--workers is for this machine and --scheduler for a cluster: name one of them")
        with _connected(scheduler) as client:
            paths = [path for path in exports if isinstance(path, Path) and path.exists()]
            if isinstance(target, Path):
                paths.append(next(folder for folder in (target, *target.parents) if folder.is_dir()))
            yield _Cluster(client, scheduler, paths)
    elif workers is None:
        yield InTurn()
    else:
        yield InTurn(workers) if len(exports) == 1 else InProcesses(workers)


@contextmanager
def _connected(address: str) -> Iterator["Client"]:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise UsageError(
            "--scheduler needs packages that are not installed: make convert gets them, as does pip install "
            "--no-deps --require-hashes -r requirements-distributed.txt"
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it has to say is raised as well
    try:
        with warnings.catch_warnings(action="ignore"):
            client = Client(address, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ToolkitError(f"no Dask scheduler answers at {address} (--scheduler): {reason}") from None
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=_ANSWER_SECONDS)


class _Cluster:
    """Does the jobs on the workers of a Dask cluster; what a worker that dies was at is done again by another."""

    parallel = 1
    """Dask gives a job one thread."""

    def __init__(self, client: "Client", address: str, paths: Sequence[Path]) -> None:
        self._client = client
        self._address = address
        self._futures: list[Future[bytes]] = []
        self._check(paths)

    def run(
        self, function: Callable[[_Job, OnDone], _Result], jobs: Sequence[_Job], on_done: OnDone = ignore
    ) -> list[_Result]:
        """Do them; see :class:`Engine`."""
        from distributed import as_completed

        order = sorted(range(len(jobs)), key=lambda number: -jobs[number].weight)
        self._futures = [self._submit(function, jobs[number]) for number in order]
        numbers = {future.key: number for future, number in zip(self._futures, order, strict=True)}
        results: dict[int, _Result] = {}
        for future in as_completed(self._futures, loop=self._client.loop):
            number = numbers[future.key]
            results[number] = self._result(future)
            on_done(jobs[number].weight)
        self._futures = []
        return [results[number] for number in range(len(jobs))]

    def settle(self) -> None:
        """Wait until what is at work has noticed that it is not needed any more."""
        from distributed import as_completed

        with suppress(Exception):  # a cluster that does not answer has nothing to say either
            for _ in as_completed(self._futures, loop=self._client.loop, timeout=_SETTLE_SECONDS):
                pass
        self._futures = []

    def _submit(self, function: Callable[[_Job, OnDone], _Result], job: _Job) -> "Future[bytes]":
        """Send a job as bytes, so that the scheduler, which unpacks what it is given, need not have this toolkit."""

        def call(sent: bytes) -> bytes:
            import pickle

            function, job, ignore = pickle.loads(sent)
            return pickle.dumps(function(job, ignore))

        with warnings.catch_warnings(action="ignore"):  # of the size of a job, which is its list of members
            return self._client.submit(call, pickle.dumps((function, job, ignore)), pure=False)

    def _result(self, future: "Future[bytes]", timeout: float | None = None) -> Any:
        from distributed import CancelledError, KilledWorker

        try:
            return pickle.loads(future.result(timeout))
        except KilledWorker:
            raise ToolkitError(
                f"workers of {self._address} died again and again of the same export: give them more memory"
            ) from None
        except CancelledError:
            raise ToolkitError(f"the Dask scheduler at {self._address} was lost: run again") from None

    def _check(self, paths: Sequence[Path]) -> None:
        """Ask one worker whether it has this toolkit, and sees what we see."""
        future = self._submit(_answer, _Question(paths))
        try:
            found, missing = self._result(future, _WORKER_SECONDS)
        except ImportError as error:
            raise ToolkitError(
                f"the workers of {self._address} lack {error.name or 'this toolkit'}: they need the packages of "
                "requirements.txt, and this toolkit's folder scripts in PYTHONPATH"
            ) from None
        except TimeoutError:
            raise ToolkitError(
                f"the scheduler at {self._address} gave no worker within {_WORKER_SECONDS} seconds: start some"
            ) from None
        if found != __version__:
            raise ToolkitError(
                f"the workers of {self._address} have version {found} of this toolkit instead of {__version__}"
            )
        if missing:
            raise ToolkitError(
                f"the workers of {self._address} do not see {missing[0]}: the zips and the dataset must lie on a file "
                "system that all machines have in the same place"
            )


class _Question(NamedTuple):
    """What a worker is asked: whether it sees some paths."""

    paths: Sequence[Path]
    weight: int = 0


def _answer(question: _Question, _on_done: OnDone) -> tuple[str, list[Path]]:
    from toolkit.dataset import exports  # noqa: F401  # whether all is there that it needs

    return __version__, [path for path in question.paths if not path.exists()]
