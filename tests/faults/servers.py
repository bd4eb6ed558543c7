"""Servers that are not what they seem."""

import http.server
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.local_server import serving


class _Recorder(http.server.BaseHTTPRequestHandler):
    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.heard.append(f"{self.command} {self.path} {self.headers} {self.rfile.read(length)!r}")
        self.server.reply(self)

    do_GET = do_POST = do_PATCH = do_HEAD = do_DELETE = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        pass


def nothing(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer with an empty object."""
    handler.send_response(200)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    handler.wfile.write(b"{}")


def without_end(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer with JSON that does not end."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Set-Cookie", "sessionid=x")
    handler.end_headers()
    with suppress(OSError):
        handler.wfile.write(b'{"key": "x", "list": [0')
        while True:
            handler.wfile.write(b",0" * 500_000)


def with_slow_head(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer with a header that comes byte by byte, never silent and never through."""
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nServer: ")
        for _ in range(600):
            handler.wfile.write(b"x")
            time.sleep(0.1)


@contextmanager
def recorder(reply=nothing) -> Iterator[http.server.ThreadingHTTPServer]:
    """Run a server that notes all it hears in ``heard``; its address is ``url``."""
    with serving(_Recorder, heard=[], reply=reply) as server:
        yield server


def make_certificate(folder: Path) -> Path:
    """Make a self-signed certificate for localhost with openssl; returns the file with certificate and key."""
    both = folder / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(both),
        "-out",
        str(folder / "certificate.pem"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(both.read_text() + (folder / "certificate.pem").read_text())
    return both


@contextmanager
def tls_in_front_of(url: str, certificate: Path) -> Iterator[str]:
    """Serve what is at a plain address by TLS; yields the new address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    host, port = url.removeprefix("http://").split(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, (host, int(port))), daemon=True).start()
        yield f"https://localhost:{listener.getsockname()[1]}"


def _accept(listener: socket.socket, context: ssl.SSLContext, target: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_forward, args=(plain, context, target), daemon=True).start()


def _forward(plain: socket.socket, context: ssl.SSLContext, target: tuple[str, int]) -> None:
    with (
        suppress(OSError),
        plain,
        context.wrap_socket(plain, server_side=True) as near,
        socket.create_connection(target) as far,
    ):
        while True:
            ready = [near] if near.pending() else select.select([near, far], [], [])[0]
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                (far if source is near else near).sendall(data)
