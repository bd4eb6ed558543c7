"""Honest little pages in place of CVAT's web interface."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from standin.api import frames
from standin.data.state import State

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title} – CVAT stand-in</title></head>
<body>
<p><strong>This is a stand-in for CVAT, not CVAT.</strong> It answers cvat-cli and cvat-sdk as CVAT {version} does;
there is no annotation tool here.</p>
<h1>{title}</h1>
{body}
</body>
</html>
"""
MAX_LISTED = 1000


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    version = state.options.version.release

    def page(title: str, body: str, status: int = 200) -> Response:
        return HTMLResponse(PAGE.format(title=escape(title), body=body, version=version), status)

    def home(_request: Request) -> Response:
        return page("Sign in", "<p>Sign in with cvat-cli, cvat-sdk or the toolkit's scripts.</p>")

    def task(request: Request) -> Response:
        row = state.store.one("SELECT * FROM tasks WHERE id = ?", request.path_params["id"])
        if row is None:
            return page("No such task", "", 404)
        rows = frames.of_task(state.store, row["id"])
        items = "".join(f"<li>{escape(frame['name'])}</li>\n" for frame in rows[:MAX_LISTED])
        more = f"<p>and {len(rows) - MAX_LISTED} more</p>" if len(rows) > MAX_LISTED else ""
        title = f"Task {row['id']}: {row['name']}"
        return page(title, f'<p>{len(rows)} frames</p>\n<ol start="0">\n{items}</ol>\n{more}')

    def project(request: Request) -> Response:
        row = state.store.one("SELECT * FROM projects WHERE id = ?", request.path_params["id"])
        if row is None:
            return page("No such project", "", 404)
        rows = state.store.all("SELECT * FROM tasks WHERE project_id = ? ORDER BY id", row["id"])
        items = "".join(f'<li><a href="/tasks/{task["id"]}">{escape(task["name"])}</a></li>\n' for task in rows)
        return page(f"Project {row['id']}: {row['name']}", f"<p>{len(rows)} tasks</p>\n<ul>\n{items}</ul>")

    return [
        Route("/", home),
        Route("/projects/{id:int}", project),
        Route("/auth/login", home),
        Route("/tasks/{id:int}", task),
    ]
