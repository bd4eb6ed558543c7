"""What cvat-cli cannot say, asked of the server through cvat-sdk: frames, labels, formats, tags, deleting tasks."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode

from toolkit.core.errors import ToolkitError
from toolkit.core.retry import RetryPolicy, read_retry_policy
from toolkit.core.workers import in_background
from toolkit.cvat.connection import Connection
from toolkit.cvat.errors import classify, translate_error

_PAGE = 100
"""Entries to ask for at once."""
_MOST_PAGES = 10_000
_STORED_PAGE = 500
"""Objects of a bucket to ask for at once; the server gives no more."""
_TAGS_AT_ONCE = 10_000
"""Tags in one request; each takes about 100 bytes, and the server's limits are not known."""


@dataclass(frozen=True)
class Label:
    """A label of a project; its type is "tag", "rectangle", … by what it can mark, or "any"."""

    name: str
    type: str
    id: int = 0


@dataclass(frozen=True)
class Task:
    """A task of a project.

    It has 0 frames as long as it has no data, and ``created`` and ``updated`` are in the server's own words.
    """

    id: int
    name: str
    frames: int
    project_id: int | None = None
    created: str = ""
    updated: str = ""


@dataclass(frozen=True)
class Frames:
    """The frames of a task, in their order.

    ``deleted`` has the numbers of those that a person has deleted; their names are among the names all the same.
    """

    names: Sequence[str]
    deleted: frozenset[int] = frozenset()

    @property
    def present(self) -> list[str]:
        """The names of the frames that are not deleted."""
        return [name for number, name in enumerate(self.names) if number not in self.deleted]


@dataclass(frozen=True)
class CloudStorage:
    """A bucket that the server knows.

    ``resource`` is its own name, ``scheme`` how addresses of its objects begin ("s3", "az" or "gs"), and ``prefix``
    what the keys begin with that the server shows of it; empty for all.
    """

    id: int
    resource: str
    scheme: str
    prefix: str = ""

    @property
    def url(self) -> str:
        """The address of the bucket, to which a key is added."""
        return f"{self.scheme}://{self.resource}/"


_SCHEMES = {"AWS_S3_BUCKET": "s3", "AZURE_CONTAINER": "az", "GOOGLE_CLOUD_STORAGE": "gs"}


@dataclass(frozen=True)
class Format:
    """A dataset format that the server can export, for a kind of data such as "2d"."""

    name: str
    dimension: str


@dataclass(frozen=True)
class Api:
    """A signed-in session with the server.

    Every method raises ToolkitError where the server does not answer, or answers something that is none of CVAT's.
    """

    _client: Any
    _connection: Connection

    @property
    def cookies(self) -> dict[str, str]:
        """What others take part in the session with, as it came; empty for a token, which needs no session."""
        return {name: morsel.coded_value for name, morsel in self._client.api_client.cookies.items()}

    def labels(self, project_id: int) -> list[Label]:
        """Return the labels of a project; raises ToolkitError where there is no such project."""
        labels = in_background(partial(self._list, "labels", project_id=project_id))
        self.project_name(project_id)
        found = labels.result()
        with self._explained():
            return [Label(_text(label, "name"), _text(label, "type"), _number(label, "id")) for label in found]

    def project_name(self, project_id: int) -> str:
        """Return the name of a project."""
        return self._project(project_id)[0]

    def project_dimension(self, project_id: int) -> str:
        """Return the kind of data of a project's tasks, such as "2d"; empty as long as it has none."""
        return self._project(project_id)[1]

    def _project(self, project_id: int) -> tuple[str, str]:
        with self._explained():
            project = self._get_or_none(f"projects/{project_id}")
            if project is None:
                raise ToolkitError(
                    f"there is no project {project_id} at {self._connection.url}, or this user may not see it: "
                    "check cvat_project_id, or make one with make project"
                )
            dimension = _object(project).get("dimension")
            return _text(project, "name"), dimension if isinstance(dimension, str) else ""

    def projects(self, name: str) -> set[int]:
        """Return the numbers of the projects of a name."""
        found = self._list("projects", name=name)
        with self._explained():
            return {_number(project, "id") for project in found if _text(project, "name") == name.strip()}

    def delete_project(self, project_id: int) -> None:
        """Delete a project; one that is gone already is no error."""
        with self._explained():
            self._client.projects.remove_by_ids([project_id])

    def tasks(self, project_id: int | None = None) -> list[Task]:
        """Return the tasks of a project, or all that this user may see, in the order of their numbers."""
        found = self._list("tasks", **({} if project_id is None else {"project_id": project_id}))
        with self._explained():
            return sorted(map(_task, found), key=lambda task: task.id)

    def completed_frames(self, task_id: int) -> list[range]:
        """Return the frames of a task's completed jobs."""
        with self._explained():
            return [
                range(_number(job, "start_frame"), _number(job, "stop_frame") + 1)
                for job in self._list("jobs", task_id=task_id, type="annotation")
                if _text(job, "state") == "completed"
            ]

    def next_job(self, task_id: int) -> int | None:
        """Return the number of a task's first job that is not completed, else of its first; None if it has none."""
        with self._explained():
            found = self._list("jobs", task_id=task_id, type="annotation")
            jobs = [
                (_text(job, "state") == "completed", _number(job, "start_frame"), _number(job, "id")) for job in found
            ]
        return min(jobs)[2] if jobs else None

    def task(self, task_id: int) -> Task | None:
        """Return a task, None if there is none of that number."""
        with self._explained():
            found = self._get_or_none(f"tasks/{task_id}")
            return None if found is None else _task(found)

    def frames(self, task_id: int) -> Frames:
        """Return the frames of a task."""
        with self._explained():
            # The SDK's models would take several kB a frame.
            meta = _object(self._get(f"tasks/{task_id}/data/meta"))
            names = [_text(frame, "name") for frame in _list(meta["frames"])]
            deleted = [_whole(number) for number in _list(meta.get("deleted_frames") or [])]
            return Frames(names, frozenset(deleted))

    def tags(self, task_id: int) -> list[tuple[int, int]]:
        """Return the tags of a task: frame number and label number of each."""
        with self._explained():
            found = _object(self._get(f"tasks/{task_id}/annotations"))
            return [(_number(tag, "frame"), _number(tag, "label_id")) for tag in _list(found.get("tags") or [])]

    def labelled_frames(self, task_id: int, frames: int) -> set[int]:
        """Return the frames of a task that have any label, be it a tag, a shape, or one of a track."""
        with self._explained():
            found = _object(self._get(f"tasks/{task_id}/annotations"))
            labelled = {_number(one, "frame") for kind in ("tags", "shapes") for one in _list(found.get(kind) or [])}
            for track in _list(found.get("tracks") or []):
                shapes = sorted((_number(one, "frame"), bool(one.get("outside"))) for one in _list(track["shapes"]))
                ends = [*(frame for frame, _ in shapes[1:]), frames]
                for (frame, is_outside), end in zip(shapes, ends, strict=True):
                    labelled.update(() if is_outside else range(frame, min(end, frames)))
            return labelled

    def set_tags(self, task_id: int, tags: Sequence[tuple[int, int]]) -> None:
        """Tag frames of a task that has no tags yet, by frame number and label number."""
        with self._explained():
            for start in range(0, len(tags), _TAGS_AT_ONCE):
                some = tags[start : start + _TAGS_AT_ONCE]
                records = [{"frame": frame, "label_id": label, "attributes": []} for frame, label in some]
                body = {"version": 0, "tags": records, "shapes": [], "tracks": []}
                self._send("PATCH", f"tasks/{task_id}/annotations?action=create", body)

    def empty_tasks(self, project_id: int, name: str) -> set[int]:
        """Return the numbers of a project's tasks of a name that have no data."""
        found = self._list("tasks", project_id=project_id, name=name)
        with self._explained():
            tasks = map(_task, found)
            return {task.id for task in tasks if task.name == name and not task.frames}

    def running_exports(self, project_id: int, format_name: str, task_id: int | None = None) -> dict[str, str]:
        """Return the states of this user's dataset exports of a project, or of one task, that are under way, by id."""
        of = {"project_id": project_id} if task_id is None else {"task_id": task_id}
        found = self._list("requests", **of, action="export")
        with self._explained():
            running = {}
            for request in found:
                operation = _object(_object(request)["operation"])
                state = _text(request, "status")
                if (
                    state in ("queued", "started")
                    and operation.get("type") == "export:dataset"
                    and operation.get("format") == format_name
                    and (operation.get("task_id") is None) == (task_id is None)
                ):
                    running[_text(request, "id")] = state
            return running

    def cancel_request(self, request_id: str) -> None:
        """Take back a request that no worker has begun with."""
        with self._explained():
            self._client.api_client.requests_api.create_cancel(request_id)

    def export_formats(self) -> list[Format]:
        """Return the dataset formats that this server can export."""
        with self._explained():
            exporters = [_object(one) for one in _list(_object(self._get("server/annotation/formats"))["exporters"])]
            return [
                Format(_text(one, "name"), str(one.get("dimension") or "")) for one in exporters if one.get("enabled")
            ]

    def has_annotations(self, task_id: int) -> bool:
        """Tell whether a task has a tag, shape or track; one without data has none."""
        with self._explained():
            found = _object(self._get(f"tasks/{task_id}/annotations"))
            return any(found.get(kind) for kind in ("tags", "shapes", "tracks"))

    def cloud_storage(self, number: int) -> CloudStorage:
        """Return a bucket that the server knows; raises ToolkitError where there is none of that number."""
        with self._explained():
            found = self._get_or_none(f"cloudstorages/{number}")
            if found is None:
                raise ToolkitError(
                    f"there is no cloud storage {number} at {self._connection.url}, or this user may not see it: "
                    "the page Cloud Storages of the web UI shows the numbers, and adds one"
                )
            prefix = parse_qs(str(_object(found).get("specific_attributes") or "")).get("prefix", [""])[0]
            provider = _text(found, "provider_type")
            return CloudStorage(number, _text(found, "resource"), _SCHEMES.get(provider, "s3"), prefix)

    def stored_files(self, storage: CloudStorage, prefix: str) -> Iterator[str]:
        """List the keys of a bucket's objects below a folder, which ends with a slash; empty for all.

        Raises ToolkitError where the server cannot read the bucket.
        """
        if storage.prefix.startswith(prefix):
            prefix = storage.prefix  # the server shows nothing above it
        waiting = [prefix]
        while waiting:
            folder = waiting.pop()
            own = folder[: folder.rfind("/") + 1]  # an answer names what is behind the last slash
            for entry in self._stored_entries(storage, folder):
                key = own + _text(entry, "name")
                if _text(entry, "type") == "DIR":
                    waiting.append(f"{key}/")
                else:
                    yield key

    def _stored_entries(self, storage: CloudStorage, folder: str) -> Iterator[Any]:
        token = ""
        with self._explained():
            for _ in range(_MOST_PAGES):
                query = {"prefix": folder, "page_size": _STORED_PAGE, **({"next_token": token} if token else {})}
                answer = _object(self._get(f"cloudstorages/{storage.id}/content-v2?{urlencode(query)}"))
                yield from _list(answer["content"])
                before, token = token, str(answer.get("next") or "")
                if not token or token == before:
                    return

    def delete_task(self, task_id: int) -> None:
        """Delete a task with all its data; one that is gone already is no error."""
        with self._explained():
            self._client.tasks.remove_by_ids([task_id])

    def _list(self, what: str, **only: object) -> list[Any]:
        """Return all entries of a list that the server gives page by page."""
        found: list[Any] = []
        last: list[Any] = []
        with self._explained():
            for page in range(1, _MOST_PAGES):
                query = urlencode({**only, "page": page, "page_size": _PAGE}, errors="surrogatepass")
                answer = _object(self._get(f"{what}?{query}"))
                results = _list(answer["results"])
                if results and results == last:
                    raise ValueError("the same page again")
                found += results
                last = results
                if not answer.get("next") or not results:
                    break
        return found

    def _get(self, path: str) -> Any:
        return self._send("GET", path)

    def _get_or_none(self, path: str) -> Any:
        from cvat_sdk.api_client.exceptions import NotFoundException

        try:
            return self._get(path)
        except NotFoundException:
            return None

    def _send(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        from cvat_sdk.core.helpers import make_request_headers

        client = self._client.api_client
        answer = client.rest_client.request(
            method,
            f"{self._connection.url}/api/{path}",
            headers={"Content-Type": "application/json", **make_request_headers(client)},
            body=body,
        )
        return json.loads(answer.data)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with _explained(self._connection):
            yield


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not an array")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise TypeError("not a number")
    return value


def _text(value: Any, key: str) -> str:
    text = _object(value)[key]
    if not isinstance(text, str):
        raise TypeError(f"{key} is no text")
    return text


def _number(value: Any, key: str) -> int:
    return _whole(_object(value)[key])


def _task(value: Any) -> Task:
    fields = _object(value)
    project = fields.get("project_id")
    return Task(
        _number(fields, "id"),
        _text(fields, "name"),
        _whole(fields.get("size") or 0),  # the server leaves the key out of a task without data
        None if project is None else _whole(project),
        str(fields.get("created_date") or ""),
        str(fields.get("updated_date") or ""),
    )


@contextmanager
def session(
    connection: Connection,
    notice: Callable[[str], None] = lambda line: None,
    policy: RetryPolicy | None = None,
) -> Iterator[Api]:
    """Sign in to the server for a few questions; by default the environment says how long to wait and how often to try.

    ``notice`` is called with a line when a request is tried again. Raises ToolkitError where the server does not
    answer, or refuses the credentials.
    """
    from cvat_sdk.core.client import AccessTokenCredentials, Client, PasswordCredentials

    from toolkit.cvat.http import harden, sign_in_or_explain

    with _explained(connection):
        client = Client(connection.url, check_server_version=False)
        harden(client.api_client.rest_client.pool_manager, connection.url, policy or read_retry_policy(), notice)
    with client:
        with _explained(connection):
            if connection.token is not None:
                client.login(AccessTokenCredentials(connection.token))
            else:
                sign_in_or_explain(client.login)(
                    PasswordCredentials(connection.username or "", connection.password or "")
                )
            if connection.organization is not None:
                client.organization_slug = connection.organization
        yield Api(client, connection)


@contextmanager
def signing_in(connection: Connection, notice: Callable[[str], None]) -> Iterator[Callable[[], Api]]:
    """Sign in while something else is done; the function given waits for it, and raises what :func:`session` raises.

    ``notice`` is called with a line when a request is tried again, but not before somebody waits. A block that ends
    before waits for nothing.
    """
    said: list[str] = []
    is_awaited = threading.Event()
    entered = session(connection, lambda line: notice(line) if is_awaited.is_set() else said.append(line))
    signed_in = in_background(entered.__enter__)

    def wait() -> Api:
        is_awaited.set()
        for line in said:
            notice(line)
        return signed_in.result()

    try:
        yield wait
    finally:
        if signed_in.done() and signed_in.exception() is None:
            entered.__exit__(None, None, None)


@contextmanager
def _explained(connection: Connection) -> Iterator[None]:
    try:
        yield
    except ToolkitError:
        raise
    except Exception as error:  # whatever cvat-sdk trips over in an answer is the server's doing
        raise translate_error(classify(error), connection) from error
