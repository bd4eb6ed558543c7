"""The front door's configuration, taken from the compose files as compose takes it, in a real nginx."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

FRONT_DOOR = Path(__file__).resolve().parents[2] / "compose" / "front-door.yml"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
START_SECONDS = 120

MIME_TYPES = """types {
    text/html html; text/css css; application/javascript js; application/json json map; application/wasm wasm;
    image/svg+xml svg; image/x-icon ico; image/png png;
}"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes


@dataclass
class FrontDoor:
    port: int

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Answer:
        """Send one request as it stands; of a header that comes more than once, all values are in the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        headers = {"Host": f"localhost:{self.port}", **(headers or {})}
        if body is not None:
            headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        cookies = [one.split(";")[0].partition("=") for one in response.headers.get_all("Set-Cookie") or []]
        names = {name.lower() for name in response.headers}
        answer = Answer(
            response.status,
            {name: ", ".join(response.headers.get_all(name) or []) for name in names},
            {name: value for name, _, value in cookies},
            response.read(),
        )
        connection.close()
        return answer


def configuration(**settings: str) -> str:
    """Return what nginx gets, with the settings put in as compose does it."""
    text: str = yaml.safe_load(FRONT_DOOR.read_text())["services"]["front_door"]["environment"]["FRONT_DOOR"]

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else settings.get(found[1]) or found[2]

    return re.sub(r"\$\$|\$\{([A-Z_]+):-([^}]*)\}", value, text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def front_door(folder: Path, server: str, **settings: str) -> Iterator[FrontDoor]:
    """Run nginx in a folder before a server in CVAT's place.

    Args:
        folder: An empty folder; its ``html`` becomes the web UI's files.
        server: The URL of the server.
        settings: `CVAT_HOSTS`, `CVAT_SIGN_UP`, `CVAT_BIND`.
    """
    (folder / "html" / "assets").mkdir(parents=True)
    (folder / "html" / "index.html").write_text("<!doctype html><title>CVAT</title>" + " " * 2000)
    (folder / "html" / "assets" / "worker.mjs").write_text("export const answer = 42;" * 100)
    (folder / "mime.types").write_text(MIME_TYPES)
    port = free_port()
    text = configuration(**settings)
    for inside in ("/tmp/", "/etc/nginx/"):
        text = text.replace(f" {inside}", f" {folder}/")
    for inside, here in (
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/usr/share/nginx/html", str(folder / "html")),
        ("error_log stderr notice;", f"error_log {folder}/error.log notice;"),
        ("access_log /dev/stdout;", "access_log off;"),
        ("http://cvat_server:8080", server.replace("localhost", "127.0.0.1")),
    ):
        assert text.count(inside) == 1, inside
        text = text.replace(inside, here)
    if os.geteuid() == 0:  # else its worker becomes nobody, who does not get here
        text = f"user root;\n{text}"
    (folder / "nginx.conf").write_text(text)
    assert NGINX is not None
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as nginx:
        try:
            deadline = time.monotonic() + START_SECONDS
            while nginx.poll() is None and time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            assert nginx.poll() is None, (folder / "error.log").read_text()
            yield FrontDoor(port)
        finally:
            nginx.terminate()
