"""Rows in the real PostgreSQL that say what the stand-in holds, in tables named as CVAT names its own."""

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time

TABLES = """
CREATE TABLE IF NOT EXISTS engine_project (id int PRIMARY KEY, name text);
CREATE TABLE IF NOT EXISTS engine_task (id int PRIMARY KEY, name text, project_id int);
CREATE TABLE IF NOT EXISTS engine_data (id int PRIMARY KEY, size int);
CREATE TABLE IF NOT EXISTS engine_labeledimage (id int PRIMARY KEY, frame int);
CREATE TABLE IF NOT EXISTS engine_labeledshape (id int PRIMARY KEY, frame int);
CREATE TABLE IF NOT EXISTS engine_labeledtrack (id int PRIMARY KEY, frame int);
CREATE TABLE IF NOT EXISTS auth_user (id int PRIMARY KEY, username text);
CREATE TABLE IF NOT EXISTS django_migrations (app text PRIMARY KEY);
"""
COPIES = {
    "engine_project": "SELECT id, name FROM projects",
    "engine_task": "SELECT id, name, project_id FROM tasks",
    "engine_data": "SELECT id, coalesce(size, 0) FROM tasks",
    "engine_labeledimage": "SELECT id, frame FROM annotations WHERE kind = 'tag'",
    "engine_labeledshape": "SELECT id, frame FROM annotations WHERE kind = 'shape'",
    "auth_user": "SELECT id, username FROM users",
}


def sql(text):
    environment = {**os.environ, "PGPASSWORD": os.environ["CVAT_POSTGRES_PASSWORD"], "PGCONNECT_TIMEOUT": "3"}
    command = [
        "psql",
        "-q",
        "-X",
        "-h",
        os.environ["CVAT_POSTGRES_HOST"],
        "-U",
        "root",
        "-d",
        "cvat",
        "-v",
        "ON_ERROR_STOP=1",
    ]
    return subprocess.run([*command, "-f", "-"], input=text, env=environment, capture_output=True, text=True)


def unprepared():
    """Return what the database says when it is not ready for this version, None when it is."""
    answer = sql(f"SELECT 1 / count(*) FROM django_migrations WHERE app = '{os.environ['FAKE_VERSION']}';")
    return answer.stderr.strip() if answer.returncode else None


def prepare():
    """Wait for the database's port and make its tables, as `manage.py migrate` does: it ends when it may not."""
    while True:
        try:
            socket.create_connection((os.environ["CVAT_POSTGRES_HOST"], 5432), timeout=2).close()
            break
        except OSError:
            time.sleep(1)
    answer = sql(
        TABLES + f"INSERT INTO django_migrations VALUES ('{os.environ['FAKE_VERSION']}') ON CONFLICT DO NOTHING;"
    )
    if answer.returncode:
        sys.exit(f"django.db.utils.OperationalError: {answer.stderr.strip()}")
    if os.environ.get("FAKE_BROKEN"):
        sql("DELETE FROM engine_labeledimage;")
        sys.exit('django.db.utils.ProgrammingError: column "something" does not exist')


def literal(value):
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


class Mirror:
    """Brings the tables up to the stand-in's store; safe to use from many threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.store = sqlite3.connect(
            "file:/home/django/data/standin.sqlite3?mode=ro", uri=True, timeout=30, check_same_thread=False
        )
        self.copied = None

    def catch_up(self):
        with self.lock:
            (version,) = self.store.execute("PRAGMA data_version").fetchone()
            if version == self.copied:
                return
            lines = ["BEGIN;"]
            for table, query in COPIES.items():
                rows = [f"({', '.join(map(literal, row))})" for row in self.store.execute(query)]
                lines.append(f"DELETE FROM {table};")
                if rows:
                    lines.append(f"INSERT INTO {table} VALUES {', '.join(rows)};")
            answer = sql("\n".join([*lines, "COMMIT;"]))
            if answer.returncode:
                print(f"mirror: {answer.stderr}")
            else:
                self.copied = version


if __name__ == "__main__":
    prepare()
