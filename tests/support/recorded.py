"""What a real CVAT was recorded to answer, and asking the same of the stand-in."""

import json
import re
import sqlite3
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from standin.data.store import Store
from standin.process import StandinProcess

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings"
EXPORTS = RECORDINGS / "exports"
RECORDED_ORIGIN = "http://127.0.0.1:8081"
COMPARED_HEADERS = ("content-type", "allow", "location", "content-disposition")
DEADLINE = 240

# What differs from server to server and moment to moment.
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{6}(Z|\+00:00)"), "<time>"),
    (re.compile(r"(?<=_)\d{4}(_\d\d){5}(?=[_.])"), "<time>"),
    (re.compile(r"#[0-9a-f]{6}"), "<colour>"),
    (re.compile(r"\d+_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<upload>"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "<origin>"),
)


def cases() -> dict[str, list[dict[str, Any]]]:
    """Return the recorded exchanges by case."""
    recorded = json.loads((RECORDINGS / "http.json").read_text(encoding="utf-8"))
    return {entry["case"]: entry["exchanges"] for entry in recorded}


def plain(value: Any) -> Any:
    """Return a recorded or fresh value without what varies."""
    if isinstance(value, str):
        for pattern, word in VARYING:
            value = pattern.sub(word, value)
        return value
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def primed_folder(folder: Path, **last_ids: int) -> Path:
    """Make a data directory whose next ids are those of the recording."""
    Store(folder).close()
    connection = sqlite3.connect(folder / "standin.sqlite3")
    with connection:
        connection.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", last_ids.items())
    connection.close()
    return folder


def images() -> dict[str, bytes]:
    """Return the recorded project's images by their frame names."""
    with zipfile.ZipFile(EXPORTS / "classification_imagenet_1.0.zip") as archive:
        found = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    return {name: content for name, content in found.items() if name not in ("1.jpg", "日本 語_1.jpg")}


@dataclass
class Replay:
    """Sends recorded requests to a stand-in and compares the answers."""

    server: StandinProcess
    files: dict[str, bytes] = field(default_factory=dict)
    key: str = ""

    def run(self, exchange: dict[str, Any]) -> urllib3.BaseHTTPResponse:
        """Send one request and compare its answer with the recorded one."""
        response = self._until_finished(exchange)
        where = f"{exchange['method']} {exchange['path']}"
        assert response.status == exchange["status"], where
        recorded_headers = {name.lower(): value for name, value in exchange["response_headers"].items()}
        for name in COMPARED_HEADERS:
            if name in recorded_headers or name in ("allow", "location"):
                assert plain(response.headers.get(name)) == plain(recorded_headers.get(name)), f"{where}: {name}"
        for name in set(recorded_headers) - ({"content-length"} if response.status == 204 else set()):
            assert name in response.headers, f"{where}: {name}"
            if name.startswith(("tus-", "upload-")):
                assert plain(response.headers[name]) == plain(recorded_headers[name]), f"{where}: {name}"
        self._compare_body(exchange, response, where)
        return response

    def _compare_body(self, exchange: dict[str, Any], response: urllib3.BaseHTTPResponse, where: str) -> None:
        recorded = exchange["response_body"]
        if recorded is None:
            assert response.data == b"", where
        elif isinstance(recorded, str):
            assert response.data.decode() == recorded, where
        elif isinstance(recorded, dict) and "binary_bytes" in recorded:
            assert response.data[:4].hex() == recorded["head_hex"][:8], where
        elif isinstance(recorded, dict) and recorded.get("key") == "<redacted>":
            self.key = response.json()["key"]
            assert len(self.key) == 40
        elif isinstance(recorded, dict) and "value" in recorded:
            assert set(response.json()) == set(recorded)
        else:
            assert plain(response.json()) == plain(recorded), where
            assert list(response.json()) == list(recorded), f"{where}: order of keys"

    def _until_finished(self, exchange: dict[str, Any]) -> urllib3.BaseHTTPResponse:
        end = time.monotonic() + DEADLINE
        while True:
            response = self._send(exchange)
            is_poll = exchange["path"].startswith("/api/requests/")
            if not is_poll or response.json()["status"] in ("finished", "failed") or time.monotonic() > end:
                return response
            time.sleep(0.02)

    def _send(self, exchange: dict[str, Any]) -> urllib3.BaseHTTPResponse:
        headers = {name: value for name, value in exchange["request_headers"].items() if "<redacted>" not in value}
        if self.key and not exchange["path"].startswith("/api/auth/login"):
            headers["Authorization"] = f"Token {self.key}"
        body = exchange["request_body"]
        options: dict[str, Any] = {}
        if isinstance(body, dict) and "multipart" in body:
            headers.pop("Content-Type")
            options["fields"] = [self._part(part["disposition"]) for part in body["multipart"]]
        elif isinstance(body, dict) and "binary_bytes" in body:
            options["body"] = self.files["annotations.xml"]
        elif body is not None:
            if body.get("password") == "<redacted>":
                body = {**body, "password": self.server.password}
            options["json"] = body
        return urllib3.request(
            exchange["method"],
            self.server.url + exchange["path"],
            headers=headers,
            retries=False,
            timeout=240,
            **options,
        )

    def _part(self, disposition: str) -> tuple[str, Any]:
        name = re.findall(r' name="([^"]*)"', disposition)[0]
        found = re.findall(r'filename="([^"]*)"', disposition)
        if not found:
            return name, "70"
        path = found[0].encode("latin-1").decode() if not found[0].isascii() else found[0]
        return name, (path, self.files[path.removeprefix("/home/user/")])
