"""Work that goes on after the answer: what CVAT's workers do, and the requests that clients poll meanwhile."""

import contextlib
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from standin.data.store import Row, Store, now, timestamp
from standin.faults.rules import Faults

KEPT_FAILED = timedelta(days=365)
UNFINISHED = ("queued", "started")


class AlreadyRunningError(Exception):
    """The same request is under way."""


@dataclass(frozen=True)
class Result:
    """What a finished request leaves: a file to download, or the id of something new."""

    file: Path | None = None
    name: str | None = None
    id: int | None = None


@dataclass(frozen=True)
class Order:
    """A piece of background work.

    Attributes:
        id: The request's id as clients poll it.
        type: What is done, as ``export:dataset``.
        target: ``project``, ``task`` or ``job``.
        kept: How long the finished request can be asked for.
        download_path: The path below which the result's file is offered.
    """

    id: str
    type: str
    target: str
    user_id: int
    kept: timedelta
    project_id: int | None = None
    task_id: int | None = None
    job_id: int | None = None
    format: str | None = None
    download_path: str | None = None


Work = Callable[[], Result | None]


class Background:
    """A few threads and the table of their requests."""

    def __init__(self, store: Store, faults: Faults, workers: int) -> None:
        self._store = store
        self._faults = faults
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="standin-worker")
        self._lock = threading.Lock()
        with store.transaction() as connection:
            connection.execute(
                "UPDATE requests SET status = 'failed', message = ?, finished = ?, expiry = ? "
                "WHERE status IN ('queued', 'started')",
                ("The stand-in was stopped meanwhile\n", now(), timestamp(datetime.now(UTC) + KEPT_FAILED)),
            )

    def submit(self, order: Order, work: Work) -> str:
        """Queue a piece of work and return the id to poll.

        Raises:
            AlreadyRunningError: One of this id is queued or running.
        """
        self._forget_expired()
        with self._lock, self._store.transaction() as connection:
            status = self._store.value("SELECT status FROM requests WHERE id = ?", order.id)
            if status in UNFINISHED:
                raise AlreadyRunningError(order.id)
            self._remove(order.id)
            asked = now()
            connection.execute(
                "INSERT INTO requests (id, user_id, type, target, project_id, task_id, job_id, format, status, message,"
                " created, result_path) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', '', ?, ?)",
                (
                    order.id,
                    order.user_id,
                    order.type,
                    order.target,
                    order.project_id,
                    order.task_id,
                    order.job_id,
                    order.format,
                    asked,
                    order.download_path,
                ),
            )
        fault = self._faults.take_worker(order.type)
        if fault is not None and fault.action == "stay-queued":
            return order.id
        if fault is not None:
            work = _failing(fault.message)
        self._pool.submit(self._run, order, asked, work)
        return order.id

    def get(self, request_id: str) -> Row | None:
        """Return a request that is not past its expiry."""
        return self._store.one(
            "SELECT * FROM requests WHERE id = ? AND (expiry IS NULL OR expiry > ?)", request_id, now()
        )

    def of_user(self, user_id: int) -> list[Row]:
        """Return a user's requests, newest first."""
        return self._store.all(
            "SELECT * FROM requests WHERE user_id = ? AND (expiry IS NULL OR expiry > ?) ORDER BY created DESC",
            user_id,
            now(),
        )

    def cancel(self, request_id: str, *, started: bool) -> str | None:
        """Drop a request that is queued, or also one that is under way.

        Args:
            request_id: The request.
            started: Whether one that is under way may be dropped; what its work makes is thrown away.

        Returns:
            Nothing when it is gone, else the status that forbids it.
        """
        with self._lock, self._store.transaction():
            status = str(self._store.value("SELECT status FROM requests WHERE id = ?", request_id))
            if status != "queued" and not (started and status == "started"):
                return status
            self._remove(request_id)
        return None

    def close(self) -> None:
        """Drop what is queued and wait for what runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, order: Order, asked: str, work: Work) -> None:
        with self._lock:
            if not self._is_current(order, asked):
                return
            self._store.update("requests", order.id, status="started", started=now())
        try:
            result = work() or Result()
        except Exception as error:
            self._finish(order, asked, "failed", KEPT_FAILED, message=_last_line(error))
            return
        kept = self._finish(
            order,
            asked,
            "finished",
            order.kept,
            result_file=str(result.file) if result.file else None,
            result_name=result.name,
            result_id=result.id,
        )
        if not kept and result.file:
            result.file.unlink(missing_ok=True)

    def _is_current(self, order: Order, asked: str) -> bool:
        """Tell whether a request was neither cancelled nor, after that, made anew."""
        return bool(self._store.value("SELECT created FROM requests WHERE id = ?", order.id) == asked)

    def _finish(self, order: Order, asked: str, status: str, kept: timedelta, **values: Any) -> bool:
        finished = datetime.now(UTC)
        with self._lock:
            if not self._is_current(order, asked):
                return False
            self._store.update(
                "requests",
                order.id,
                status=status,
                finished=timestamp(finished),
                expiry=timestamp(finished + kept),
                **values,
            )
        return True

    def _forget_expired(self) -> None:
        with self._store.transaction():
            for row in self._store.all("SELECT id FROM requests WHERE expiry < ?", now()):
                self._remove(row["id"])

    def _remove(self, request_id: str) -> None:
        with self._store.transaction() as connection:
            file = self._store.value("SELECT result_file FROM requests WHERE id = ?", request_id)
            connection.execute("DELETE FROM requests WHERE id = ?", (request_id,))
        if file:
            with contextlib.suppress(OSError):
                Path(file).unlink()


def _failing(message: str) -> Work:
    def fail() -> Result | None:
        raise RuntimeError(message)

    return fail


def _last_line(error: Exception) -> str:
    # A CVAT reports the last line of the worker's traceback, the newline included.
    return "".join(traceback.format_exception_only(error))
