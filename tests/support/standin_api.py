"""Plain requests to a stand-in: what its own tests look at, and what others find on it at their beginning."""

import io
import time
import zipfile
from dataclasses import dataclass
from typing import Any

import urllib3

from standin.process import StandinProcess

DEADLINE = 240


def zipped(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@dataclass
class Api:
    """A signed-in client."""

    server: StandinProcess

    def ask(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send one request, whatever is answered."""
        headers = urllib3.make_headers(basic_auth=f"{self.server.username}:{self.server.password}")
        headers |= options.pop("headers", {})
        return urllib3.request(
            method, f"{self.server.url}/api/{path}", headers=headers, retries=False, timeout=240, **options
        )

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send one request that must succeed."""
        response = self.ask(method, path, **options)
        assert response.status < 300, response.data
        return response.json()

    def wait(self, request_id: str) -> dict[str, Any]:
        """Poll a background request to its end."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            answer: dict[str, Any] = self.json("GET", f"requests/{request_id}")
            if answer["status"] in ("finished", "failed"):
                return answer
            time.sleep(0.01)
        raise AssertionError("not finished in time")

    def project(self, *labels: str, name: str = "p", label_type: str = "tag") -> int:
        specs = [{"name": label, "type": label_type} for label in labels]
        return int(self.json("POST", "projects", json={"name": name, "labels": specs})["id"])

    def task(self, project_id: int | None, files: dict[str, bytes], **spec: Any) -> tuple[int, dict[str, Any]]:
        """Make a task of files; return its id and how the import ended."""
        task_id = self.json("POST", "tasks", json={"name": "t", "project_id": project_id, **spec})["id"]
        form: dict[str, Any] = {"image_quality": "70"}
        form |= {f"client_files[{number}]": file for number, file in enumerate(files.items())}
        return task_id, self.wait(self.json("POST", f"tasks/{task_id}/data", fields=form)["rq_id"])

    def images(self, project_id: int | None, contents: dict[str, bytes], **spec: Any) -> int:
        """Make a task of a zip of images."""
        task_id, ended = self.task(project_id, {"images.zip": zipped(contents)}, **spec)
        assert ended["status"] == "finished", ended["message"]
        return task_id

    def tag(self, task_id: int, *tags: tuple[int, str]) -> None:
        """Tag frames, given by number, with labels."""
        labels = {label["name"]: label["id"] for label in self.json("GET", f"labels?task_id={task_id}")["results"]}
        given = [{"frame": frame, "label_id": labels[label]} for frame, label in tags]
        self.json("PATCH", f"tasks/{task_id}/annotations?action=create", json={"tags": given})

    def export(self, what: str, format_name: str = "ImageNet 1.0", *, images: bool = True) -> dict[str, bytes]:
        """Export ``projects/N`` or ``tasks/N``."""
        path = f"{what}/dataset/export?format={format_name}&save_images={images}"
        ended = self.wait(self.json("POST", path)["rq_id"])
        assert ended["status"] == "finished", ended["message"]
        return unzipped(self.ask("GET", ended["result_url"].split("/api/")[1]).data)
