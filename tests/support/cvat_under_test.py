"""A CVAT to be tested: where it is, as whom to sign in, and what the tests made in it."""

import json
import os
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from cvat_sdk import Client
from cvat_sdk.core.client import AccessTokenCredentials, Config
from cvat_sdk.exceptions import ApiException

CLI_SECONDS = 240
POLL_SECONDS = 0.3


def write_zip(path: Path, images: dict[str, bytes]) -> Path:
    """Write a stored zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    return path


def read_zip(path: Path) -> dict[str, bytes]:
    """Read all members of a zip."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@dataclass
class CvatUnderTest:
    """A CVAT at a URL with credentials."""

    url: str
    username: str
    password: str | None
    token: str | None
    home: Path
    _undo: list[Callable[[Client], None]] = field(default_factory=list)

    @cached_property
    def version(self) -> tuple[int, int]:
        """The first two numbers of the server's version, for what differs by version."""
        major, minor, *_ = self.http("GET", "/api/server/about").json()["version"].split(".")
        return int(major), int(minor)

    def run(self, *arguments: object, password: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run the real cvat-cli as a process, whatever comes of it."""
        parts = urlsplit(self.url)
        # The one place that cvat-cli would take other credentials from is a home that has none.
        environment = {name: value for name, value in os.environ.items() if name not in ("CVAT_ACCESS_TOKEN", "PASS")}
        environment |= {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home), "XDG_CACHE_HOME": str(self.home)}
        sign_in: list[str] = []
        if self.token and password is None:
            environment["CVAT_ACCESS_TOKEN"] = self.token
        else:
            environment["PASS"] = password or self.password or ""
            sign_in = ["--auth", self.username]
        port = ["--server-port", str(parts.port)] if parts.port else []
        return subprocess.run(
            [
                *(sys.executable, "-m", "cvat_cli", *sign_in),
                *("--server-host", f"{parts.scheme}://{parts.hostname}", *port),
                *map(str, arguments),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLI_SECONDS,
        )

    def cli(self, *arguments: object) -> str:
        """Run the real cvat-cli, which must succeed; return what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def client(self, *, by_password: bool = False) -> Iterator[Client]:
        """Sign in with the SDK; with a session's cookies where ``by_password`` says so or no token was given."""
        config = Config(status_check_period=POLL_SECONDS, cache_dir=self.home / "cache")
        with Client(self.url, config=config, check_server_version=False) as client:
            by_token = self.token and not by_password
            client.login(AccessTokenCredentials(self.token) if by_token else (self.username, self.password or ""))
            yield client

    def http(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send one plain HTTP request, without any credentials but those given."""
        return urllib3.request(method, self.url + path, retries=False, timeout=120, **options)

    def signed_in(self, client: Client) -> dict[str, str]:
        """Return the headers that the SDK's signed-in client sends."""
        headers = dict(client.api_client.get_common_headers())
        client.api_client.update_params_for_auth(headers, [])
        return headers

    @staticmethod
    def unique(name: str) -> str:
        """Return a name that nothing on the server has."""
        return f"contract-{name}-{uuid.uuid4().hex[:12]}"

    def new_project(self, *labels: str, kind: str = "tag") -> int:
        """Make a project through cvat-cli; it is deleted with the test."""
        specs = json.dumps([{"name": name, "type": kind} for name in labels])
        project_id = int(self.cli("project", "create", self.unique("project"), "--labels", specs))
        self.delete_later("project", project_id)
        return project_id

    def new_task(self, project_id: int, *files: Path, options: tuple[object, ...] = ()) -> int:
        """Make a task of local files through cvat-cli; it goes with its project."""
        return int(
            self.cli(
                *("task", "create", self.unique("task"), "--project_id", project_id),
                *("--completion_verification_period", POLL_SECONDS, *options),
                *("local", *files),
            )
        )

    def export(self, project_id: int, file: Path, format_name: str, *, images: bool = True) -> dict[str, bytes]:
        """Export a project through cvat-cli and return the members of the zip."""
        self.cli(
            *("project", "export-dataset", project_id, file, "--format", format_name),
            *("--completion_verification_period", POLL_SECONDS, "--with-images", "yes" if images else "no"),
        )
        return read_zip(file)

    def delete_later(self, kind: str, number: int) -> None:
        """Have a project or task deleted when the test ends, if it is still there."""

        def delete(client: Client) -> None:
            with suppress(ApiException):
                (client.projects if kind == "project" else client.tasks).remove_by_ids([number])

        self._undo.append(delete)

    def clean_up(self) -> None:
        """Delete what the test made."""
        if not self._undo:
            return
        with self.client() as client:
            while self._undo:
                self._undo.pop()(client)
