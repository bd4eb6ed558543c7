"""A Docker engine on a socket of its own, of which only what the scripts ask is there.

It stands in for the engine where a test is about what is handed to it, and about the questions a script asks before it
acts; what the scripts do to a real engine is tested in tests/stack.
"""

import base64
import fcntl
import io
import json
import re
import shutil
import socketserver
import struct
import tarfile
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from toolkit.config.local_cvat import PASSWORD_KEY, SERVICES, VOLUMES

PROJECT = "cvat-fake"
STDOUT = 1

Answer = tuple[int | None, str]
"""Exit code and output; without a code the engine has closed the stream before its end."""


def _nothing(command: list[str]) -> Answer:
    return 0, ""


class FakeEngine:
    """An engine that holds a stack of the project :data:`PROJECT`; leave the ``with`` block and it is gone.

    Args:
        executes: Answers the commands that are run inside a container, with exit code and output.
        stopped: Services that do not run.
        is_empty: Whether there is no stack at all.

    Attributes:
        executed: The bodies of the requests to run a command: ``Cmd`` and ``Env``.
        asked: Methods and paths of all requests.
    """

    def __init__(
        self,
        executes: Callable[[list[str]], Answer] = _nothing,
        stopped: tuple[str, ...] = (),
        is_empty: bool = False,
    ) -> None:
        self.executes = executes
        self.executed: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.services = () if is_empty else SERVICES
        self.volumes = () if is_empty else VOLUMES
        self.stopped = stopped

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="engine-"))  # the path of a socket must be short
        self._server = _Server(str(self._folder / "socket"), _Handler)
        self._server.engine = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._folder)

    def environment(self) -> dict[str, str]:
        """Return the variables that lead the scripts here."""
        return {
            "DOCKER_HOST": f"unix://{self._folder}/socket",
            "COMPOSE_PROJECT_NAME": PROJECT,
            "CVAT_SETTINGS_FILE": str(self._folder / "cvat.env"),
            PASSWORD_KEY: "marker-database-0123456789",
        }

    def container(self, service: str) -> dict[str, Any]:
        runs = service not in self.stopped
        return {
            "Id": service,
            "Name": f"/{PROJECT}-{service}-1",
            "State": {"Status": "running" if runs else "exited", "Running": runs, "ExitCode": 0, "StartedAt": ""},
            "Config": {
                "Image": service,
                "Labels": {"com.docker.compose.project": PROJECT, "com.docker.compose.service": service},
            },
        }


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    engine: FakeEngine


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_DELETE = do_HEAD = do_GET

    def _answer(self) -> None:
        engine = self.server.engine
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = re.sub(r"^/v[\d.]+", "", unquote(urlsplit(self.path).path))
        engine.asked.append(f"{self.command} {path}")
        if path == "/version":
            self._send({"ApiVersion": "1.47", "Version": "27.0.0"})
        elif path == "/_ping":
            self._send("OK")
        elif path == "/containers/json":
            (filters,) = parse_qs(urlsplit(self.path).query).get("filters", ["{}"])
            labels = json.loads(filters).get("label", [])
            wanted = [label.rpartition("=")[2] for label in labels if ".service=" in label]
            found = [one for one in engine.services if not wanted or one in wanted]
            self._send([{"Id": service} for service in found])
        elif match := re.fullmatch(r"/containers/(\w+)/json", path):
            self._send(engine.container(match[1]))
        elif path == "/volumes":
            self._send({"Volumes": [_volume(name) for name in engine.volumes]})
        elif match := re.fullmatch(r"/images/(.+)/json", path):
            self._send({"Id": f"sha256:{match[1]}"})
        elif re.fullmatch(r"/containers/\w+/archive", path):
            self._send_tree()
        elif re.fullmatch(r"/containers/\w+/exec", path):
            engine.executed.append(json.loads(body))
            self._send({"Id": str(len(engine.executed) - 1)}, 201)
        elif match := re.fullmatch(r"/exec/(\d+)/start", path):
            # What the toolkit runs is wrapped in a shell, which tells the exit code behind the output.
            code, output = engine.executes(engine.executed[int(match[1])]["Cmd"][4:])
            self._send_output(f"{output}\nended with {code}\n".encode() if code is not None else output.encode())
        elif match := re.fullmatch(r"/exec/(\d+)/json", path):
            self._send({"ExitCode": 0})
        else:
            self._send({"message": f"no such thing: {path}"}, 404)

    def _send(self, value: Any, status: int = 200) -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_tree(self) -> None:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tree:
            tree.addfile(tarfile.TarInfo("data"))
        self.send_response(200)
        stat = json.dumps({"name": "data", "size": 0, "mode": 0o755}).encode()
        self.send_header("X-Docker-Container-Path-Stat", base64.b64encode(stat).decode())
        self.send_header("Content-Length", str(len(stream.getvalue())))
        self.end_headers()
        self.wfile.write(stream.getvalue())

    def _send_output(self, output: bytes) -> None:
        """Send what a command has printed, once the client has read the headers: the rest it reads off the socket."""
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.end_headers()
        end = time.monotonic() + 30
        while _unread(self.connection.fileno()) and time.monotonic() < end:
            time.sleep(0.002)
        self.wfile.write(struct.pack(">BxxxL", STDOUT, len(output)) + output)
        self.close_connection = True


def _unread(socket: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(socket, termios.TIOCOUTQ, b"\0" * 4))[0])


def _volume(name: str) -> dict[str, Any]:
    labels = {"com.docker.compose.project": PROJECT, "com.docker.compose.volume": name}
    return {"Name": f"{PROJECT}_{name}", "Labels": labels}
