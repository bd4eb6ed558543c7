"""A registry on loopback that hands out images of one small file: what an engine asks when it pulls, and no more."""

import gzip
import hashlib
import io
import json
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"


class Registry:
    """Leave the ``with`` block and it is gone.

    Attributes:
        address: Host and port, what the images' names begin with.
    """

    def __enter__(self) -> Self:
        self._blobs: dict[str, bytes] = {}
        self._manifests: dict[tuple[str, str], bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, name: str, tag: str, text: str) -> str:
        """Have a tag name an image with this text in it; return the image's digest."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tree:
            member = tarfile.TarInfo("text")
            member.size = len(text)
            tree.addfile(member, io.BytesIO(text.encode()))
        diff = {"type": "layers", "diff_ids": [_digest(layer.getvalue())]}
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/text"]}, "rootfs": diff}
        manifest = {
            "schemaVersion": 2,
            "mediaType": _TYPE,
            "config": self._blob(_CONFIG_TYPE, json.dumps(config).encode()),
            "layers": [self._blob(_LAYER_TYPE, gzip.compress(layer.getvalue(), mtime=0))],
        }
        data = json.dumps(manifest).encode()
        self._manifests[name, tag] = self._manifests[name, _digest(data)] = data
        return _digest(data)

    def _blob(self, kind: str, data: bytes) -> dict[str, object]:
        self._blobs[_digest(data)] = data
        return {"mediaType": kind, "size": len(data), "digest": _digest(data)}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        blobs, manifests = self._blobs, self._manifests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                found: bytes | None = b"{}" if self.path == "/v2/" else None
                kind = "application/json"
                if match := re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path):
                    found, kind = manifests.get((match[1], match[2])), _TYPE
                elif match := re.fullmatch(r"/v2/.+/blobs/(.+)", self.path):
                    found, kind = blobs.get(match[1]), "application/octet-stream"
                body = b"{}" if found is None else found
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Docker-Content-Digest", _digest(body))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

        return Handler


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
