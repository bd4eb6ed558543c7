"""What the stand-in remembers: one SQLite database and one folder of files under a data directory."""

import json
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT NOT NULL UNIQUE, password TEXT NOT NULL, email TEXT NOT NULL,
    date_joined TEXT NOT NULL, last_login TEXT);
CREATE TABLE IF NOT EXISTS login_tokens (key TEXT PRIMARY KEY, user_id INTEGER NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS access_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL, updated TEXT NOT NULL, expiry TEXT, last_used TEXT, read_only INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, user_id INTEGER NOT NULL, expiry TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, owner_id INTEGER NOT NULL, bug_tracker TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'annotation', created TEXT NOT NULL, updated TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS labels (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project_id INTEGER REFERENCES projects ON DELETE CASCADE,
    task_id INTEGER REFERENCES tasks ON DELETE CASCADE, name TEXT NOT NULL, color TEXT NOT NULL, type TEXT NOT NULL,
    attributes TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project_id INTEGER REFERENCES projects ON DELETE CASCADE, name TEXT NOT NULL,
    owner_id INTEGER NOT NULL, bug_tracker TEXT NOT NULL, subset TEXT NOT NULL, status TEXT NOT NULL,
    segment_size INTEGER NOT NULL, size INTEGER, image_quality INTEGER NOT NULL DEFAULT 70,
    deleted_frames TEXT NOT NULL DEFAULT '[]', created TEXT NOT NULL, updated TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frames (
    task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, position INTEGER NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (task_id, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    start INTEGER NOT NULL, stop INTEGER NOT NULL, stage TEXT NOT NULL DEFAULT 'annotation',
    state TEXT NOT NULL DEFAULT 'new', created TEXT NOT NULL, updated TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS annotations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    kind TEXT NOT NULL, frame INTEGER NOT NULL, label_id INTEGER NOT NULL REFERENCES labels ON DELETE CASCADE,
    body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS annotations_by_frame ON annotations (task_id, frame);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, user_id INTEGER NOT NULL, target TEXT NOT NULL, file TEXT NOT NULL, length INTEGER NOT NULL,
    received INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY, user_id INTEGER NOT NULL, type TEXT NOT NULL, target TEXT NOT NULL, project_id INTEGER,
    task_id INTEGER, job_id INTEGER, format TEXT, status TEXT NOT NULL, message TEXT NOT NULL, created TEXT NOT NULL,
    started TEXT, finished TEXT, expiry TEXT, result_file TEXT, result_name TEXT, result_path TEXT, result_id INTEGER);
"""

Row = sqlite3.Row


def now() -> str:
    """Return the current time as the server writes it: ISO 8601, UTC, microseconds."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """Write a time zone aware moment as the server does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Store:
    """The records and files of one data directory; safe to use from many threads and from a second process.

    Args:
        folder: The data directory; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            folder / "standin.sqlite3", timeout=30, isolation_level=None, check_same_thread=False
        )
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Write everything out and let go of the database."""
        with self._lock:
            self._connection.close()

    def all(self, query: str, *parameters: Any) -> list[Row]:
        """Return all rows of a query."""
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    def one(self, query: str, *parameters: Any) -> Row | None:
        """Return the first row of a query, or nothing."""
        with self._lock:
            row: Row | None = self._connection.execute(query, parameters).fetchone()
            return row

    def value(self, query: str, *parameters: Any) -> Any:
        """Return the first column of the first row of a query, or nothing."""
        row = self.one(query, *parameters)
        return row[0] if row else None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run statements that become visible together, or not at all."""
        with self._lock:
            if self._connection.in_transaction:  # a transaction within a transaction is part of it
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def insert(self, table: str, **values: Any) -> int:
        """Add one row and return its id."""
        columns = ", ".join(values)
        places = ", ".join("?" * len(values))
        with self.transaction() as connection:
            cursor = connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", tuple(values.values()))
        return cursor.lastrowid or 0

    def update(self, table: str, key: int | str, **values: Any) -> None:
        """Change the named columns of one row."""
        columns = ", ".join(f"{name} = ?" for name in values)
        with self.transaction() as connection:
            connection.execute(f"UPDATE {table} SET {columns} WHERE id = ?", (*values.values(), key))

    def touch_task(self, task_id: int) -> None:
        """Note that a task, and the project it is in, has just changed."""
        with self.transaction() as connection:
            connection.execute("UPDATE tasks SET updated = ? WHERE id = ?", (now(), task_id))
            connection.execute(
                "UPDATE projects SET updated = ? WHERE id = (SELECT project_id FROM tasks WHERE id = ?)",
                (now(), task_id),
            )

    def task_folder(self, task_id: int) -> Path:
        """Return the folder of a task's files; made if missing."""
        return self._made("tasks", str(task_id))

    def upload_folder(self, task_id: int) -> Path:
        """Return the folder that a task's uploaded files are collected in; made if missing."""
        return self._made("tasks", str(task_id), "upload")

    def scratch_folder(self, purpose: str) -> Path:
        """Return a folder for files that belong to no task (uploads under way, finished exports); made if missing."""
        return self._made(purpose)

    def delete_task_files(self, task_id: int) -> None:
        """Remove a task's files."""
        shutil.rmtree(self.folder / "tasks" / str(task_id), ignore_errors=True)

    def _made(self, *parts: str) -> Path:
        folder = self.folder.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def new_key(length: int = 20) -> str:
    """Return an unguessable lower-case hexadecimal key of twice the given number of characters."""
    return secrets.token_hex(length)


def dump(value: Any) -> str:
    """Write a value for a text column."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
