"""The stand-in on the address it is given, healthy only while what CVAT stands on is."""

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import mirror

from standin import server
from standin.data.state import ServerOptions

DATA = Path("/home/django/data")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # until uvicorn has its own way


def ping(host, port):
    with socket.create_connection((host, port), timeout=2) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(16).startswith(b"+PONG")


def database():
    answer = mirror.sql("SELECT 1;")
    assert answer.returncode == 0, answer.stderr


def rules():
    with urllib.request.urlopen("http://opa:8181/health?bundles", timeout=2) as answer:
        assert answer.status == 200


PARTS = {
    "DatabaseBackend": database,
    "RedisInMem": lambda: ping(os.environ["CVAT_REDIS_INMEM_HOST"], int(os.environ["CVAT_REDIS_INMEM_PORT"])),
    "RedisOnDisk": lambda: ping(os.environ["CVAT_REDIS_ONDISK_HOST"], int(os.environ["CVAT_REDIS_ONDISK_PORT"])),
    "OPAHealthCheck": rules,
}


def health():
    found = {}
    for name, part in PARTS.items():
        try:
            part()
            found[name] = "working"
        except (OSError, AssertionError) as error:
            found[name] = f"unavailable: {error}"
    return found


class InPlaceOfCvat:
    """Answers the health question for the whole stack, and the rules question that OPA asks.

    No answer leaves before the real database holds what it tells of, as with CVAT.
    """

    def __init__(self, app):
        self.app = app
        self.mirror = mirror.Mirror()

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "").rstrip("/")
        if path == "/api/server/health":
            found = await asyncio.to_thread(health)
            status = 200 if set(found.values()) == {"working"} else 500
            await self.answer(send, status, json.dumps(found).encode())
        elif path == "/api/auth/rules":
            await self.answer(send, 200, b"{}")
        else:

            async def send_mirrored(message):
                if message["type"] == "http.response.start":
                    await asyncio.to_thread(self.mirror.catch_up)
                await send(message)

            await self.app(scope, receive, send_mirrored)

    async def answer(self, send, status, body):
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


build = server.app.build
server.app.build = lambda state: InPlaceOfCvat(build(state))
key = Path("/home/django/keys/secret_key.py")
if not key.exists():
    key.write_text(f"SECRET_KEY = {os.urandom(16).hex()!r}\n")
listener = server.listen(sys.argv[1], int(sys.argv[2]))
server.serve(DATA, ServerOptions(), listener, lambda: None)
