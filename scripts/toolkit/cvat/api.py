"""What cvat-cli cannot say, asked of the server through cvat-sdk: frame names, labels, formats, deleting leftovers."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from toolkit.core.errors import ToolkitError
from toolkit.core.retry import RetryPolicy, read_retry_policy
from toolkit.cvat.connection import Connection
from toolkit.cvat.errors import explain

ANSWER_WITHIN = 60.0
"""Seconds after which a silent server counts as unreachable."""
_PAGE = 100
"""Tasks to ask for at once."""


@dataclass(frozen=True)
class Label:
    """A label of a project.

    Attributes:
        name: Its name.
        type: What it can mark: "tag", "rectangle", …, or "any".
    """

    name: str
    type: str


@dataclass(frozen=True)
class Task:
    """A task of a project.

    Attributes:
        id: Its number.
        name: Its name.
        frames: How many frames it has.
    """

    id: int
    name: str
    frames: int


@dataclass(frozen=True)
class TaskFacts:
    """What tells a task from others.

    Attributes:
        id: Its number.
        name: Its name.
        project_id: Its project, None if it has none.
        created: When the server made it, in its own words.
        frames: How many frames it has; 0 as long as it has no data.
    """

    id: int
    name: str
    project_id: int | None
    created: str
    frames: int


@dataclass(frozen=True)
class Api:
    """A signed-in session with the server."""

    _client: Any
    _connection: Connection

    def labels(self, project_id: int) -> list[Label]:
        """Return the labels of a project.

        Raises:
            ToolkitError: There is no such project, or the server did not answer.
        """
        from cvat_sdk.api_client.exceptions import NotFoundException

        with self._explained():
            try:
                project = self._client.projects.retrieve(project_id)
            except NotFoundException:
                raise ToolkitError(
                    f"there is no project {project_id} at {self._connection.url}, or this user may not see it: "
                    "check cvat_project_id, or make one with make project"
                ) from None
            return [Label(str(label.name), str(label.type)) for label in project.get_labels()]

    def project_name(self, project_id: int) -> str:
        """Return the name of a project."""
        with self._explained():
            return str(self._client.projects.retrieve(project_id).name)

    def projects(self, name: str) -> set[int]:
        """Return the numbers of the projects of a name."""
        with self._explained():
            found = self._get(f"/api/projects?name={quote(name)}&page_size=100")["results"]
            return {int(project["id"]) for project in found if project["name"] == name.strip()}

    def delete_project(self, project_id: int) -> None:
        """Delete a project; one that is gone already is no error."""
        with self._explained():
            self._client.projects.remove_by_ids([project_id])

    def tasks(self, project_id: int | None = None) -> list[Task]:
        """Return the tasks of a project, or all that this user may see, in the order of their numbers."""
        from cvat_sdk.core.helpers import get_paginated_collection

        endpoint = self._client.api_client.tasks_api.list_endpoint
        only = {} if project_id is None else {"project_id": project_id}
        with self._explained():
            found = get_paginated_collection(endpoint, page_size=_PAGE, **only)
            tasks = [Task(int(task.id), str(task.name), _size(task)) for task in found]
        return sorted(tasks, key=lambda task: task.id)

    def next_job(self, task_id: int) -> int | None:
        """Return the number of a task's first job that is not completed, else of its first; None if it has none."""
        from cvat_sdk.core.helpers import get_paginated_collection

        endpoint = self._client.api_client.jobs_api.list_endpoint
        with self._explained():
            found = get_paginated_collection(endpoint, page_size=_PAGE, task_id=task_id, type="annotation")
            jobs = [(str(job.state) == "completed", int(job.start_frame), int(job.id)) for job in found]
        return min(jobs)[2] if jobs else None

    def frame_names(self, task_id: int) -> list[str]:
        """Return the names of a task's frames, in the order of the frames."""
        with self._explained():
            # The SDK's models would take several kB a frame.
            return [str(frame["name"]) for frame in self._get(f"/api/tasks/{task_id}/data/meta")["frames"]]

    def frame_count(self, project_id: int) -> int:
        """Return how many frames all tasks of a project have together."""
        with self._explained():
            return sum(_size(task) for task in self._client.projects.retrieve(project_id).get_tasks())

    def empty_tasks(self, project_id: int, name: str) -> set[int]:
        """Return the numbers of a project's tasks of a name that have no data."""
        from cvat_sdk.core.helpers import get_paginated_collection

        with self._explained():
            endpoint = self._client.api_client.tasks_api.list_endpoint
            tasks = get_paginated_collection(endpoint, project_id=project_id, name=name)
            return {task.id for task in tasks if task.name == name and not _size(task)}

    def running_exports(self, project_id: int, format_name: str) -> dict[str, str]:
        """Return the dataset exports of a project that this user has under way, with their states."""
        with self._explained():
            requests = self._get(f"/api/requests?project_id={project_id}&action=export&page_size=100")["results"]
            return {
                str(request["id"]): str(request["status"])
                for request in requests
                if request["status"] in ("queued", "started")
                and request["operation"]["type"] == "export:dataset"
                and request["operation"]["format"] == format_name
            }

    def cancel_request(self, request_id: str) -> None:
        """Take back a request that no worker has begun with."""
        with self._explained():
            self._client.api_client.requests_api.create_cancel(request_id)

    def export_formats(self) -> list[str]:
        """Return the names of the dataset formats that this server can export."""
        with self._explained():
            formats, _ = self._client.api_client.server_api.retrieve_annotation_formats()
            return [str(exporter.name) for exporter in formats.exporters if exporter.enabled]

    def task_facts(self, task_id: int) -> TaskFacts | None:
        """Return what tells a task from others, None if there is none of that number."""
        from cvat_sdk.api_client.exceptions import NotFoundException

        with self._explained():
            try:
                task = self._get(f"/api/tasks/{task_id}")
            except NotFoundException:
                return None
            return TaskFacts(
                task_id, str(task["name"]), task.get("project_id"), str(task["created_date"]), task.get("size") or 0
            )

    def has_annotations(self, task_id: int) -> bool:
        """Tell whether a task has a tag, shape or track; one without data has none."""
        with self._explained():
            found = self._get(f"/api/tasks/{task_id}/annotations")
            return any(found.get(kind) for kind in ("tags", "shapes", "tracks"))

    def delete_task(self, task_id: int) -> None:
        """Delete a task with all its data; one that is gone already is no error."""
        with self._explained():
            self._client.tasks.remove_by_ids([task_id])

    def _get(self, path: str) -> Any:
        from cvat_sdk.core.helpers import make_request_headers

        client = self._client.api_client
        return json.loads(
            client.rest_client.GET(self._connection.url + path, headers=make_request_headers(client)).data
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with _explained(self._connection):
            yield


def _size(task: Any) -> int:
    """Return a task's number of frames; the server leaves the key out of a task without data."""
    return getattr(task, "size", None) or 0


@contextmanager
def session(
    connection: Connection,
    notice: Callable[[str], None] = lambda line: None,
    policy: RetryPolicy | None = None,
) -> Iterator[Api]:
    """Sign in to the server for a few questions.

    Args:
        connection: The server, and as whom.
        notice: Called with a line when a request is tried again.
        policy: How long to wait, and how often to try; by default as the environment says.

    Yields:
        The session.

    Raises:
        ToolkitError: The server did not answer, or refused the credentials.
    """
    from cvat_sdk.core.client import AccessTokenCredentials, Client, PasswordCredentials

    from toolkit.cvat.http import harden

    client = Client(connection.url, check_server_version=False)
    harden(client.api_client.rest_client.pool_manager, connection.url, policy or read_retry_policy(), notice)
    with client:
        with _explained(connection):
            if connection.token is not None:
                client.login(AccessTokenCredentials(connection.token))
            else:
                client.login(PasswordCredentials(connection.username or "", connection.password or ""))
        if connection.organization is not None:
            client.organization_slug = connection.organization
        yield Api(client, connection)


@contextmanager
def _explained(connection: Connection) -> Iterator[None]:
    from cvat_sdk.core.exceptions import CvatSdkException
    from cvat_sdk.exceptions import ApiException, OpenApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        raise explain(str(error), connection) from error
    except HTTPError as error:
        raise explain(f"{type(error).__name__}: {error}", connection) from error
    except (CvatSdkException, OpenApiException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolkitError(f"{connection.url} does not answer as CVAT does: is CVAT_URL right?") from error
