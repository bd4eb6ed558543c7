"""A password and a token in what the notebooks show and leave, wherever they came from."""

import json

import nbformat
import pytest
import requests

from tests.support.notebook_runs import Run
from toolkit.core.secrets import SECRETS
from toolkit.notebook.kernel import find_notebooks

from .conftest import TOP

PASSWORD = "marker-Pa55word-0123456789"

SHOW_EVERY_VARIABLE = """
for value in [value for name, value in globals().items() if not name.startswith("_") and not callable(value)]:
    print(repr(value), value)
    display(value)
"""
"""What a person does who wants to know what is in there."""


@pytest.fixture(scope="module")
def server():
    from standin.process import StandinProcess

    with StandinProcess(options=("--faults",), password=PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def token(server) -> str:
    wish = {"name": "x", "expiry_date": "2036-01-01T00:00:00Z", "read_only": False}
    auth = (server.username, PASSWORD)
    return requests.post(f"{server.url}/api/auth/access_tokens", json=wish, auth=auth, timeout=120).json()["value"]


def add_a_look_at_everything(made, name: str) -> None:
    path = made.folder / f"{name}.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_code_cell(SHOW_EVERY_VARIABLE))
    nbformat.write(notebook, path)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["configuration", "environment", "token"])
def test_no_secret_is_in_what_a_notebook_shows_or_leaves(tutorial, server, token, way):
    made = tutorial(server)
    others = {name: f"marker-other-{name}" for name in SECRETS}
    if way == "configuration":
        made.variables = others | {"CVAT_PASSWORD": "", "CVAT_ACCESS_TOKEN": ""}
    else:
        made.configure(cvat_password="marker-of-the-configuration" if way == "token" else None)
        made.variables = others | {"CVAT_PASSWORD": PASSWORD, "CVAT_ACCESS_TOKEN": ""}
    if way == "token":
        made.variables["CVAT_ACCESS_TOKEN"] = token
    runs: list[Run] = []
    for name in ("import_api", "export_api", *["convert_dataset"] * (way == "configuration")):
        tags = {"tags_from_folders = False": "tags_from_folders = True"} if name == "import_api" else None
        add_a_look_at_everything(made, name)
        runs.append(made.run(name, replace=tags))
        assert runs[-1].error is None
        assert "ConfigurationFile(" in runs[-1].text, "the variables were looked at"
    server.order_fault("status", status=500, path="/api/[!s]*", count=None, body="oops")
    runs.append(made.run("import_api"))
    server.clear_faults()
    assert runs[-1].shown_error
    for run in runs:
        assert "marker-" not in run.everything()
        assert token not in run.everything()
        json.loads(nbformat.writes(run.notebook))
    left = [path for path in (*made.home.rglob("*"), *made.folder.parents[2].rglob("*")) if path.is_file()]
    assert [path for path in left if b"marker-" in path.read_bytes() and path.name != "configuration.json"] == []
    assert [path for path in left if token.encode() in path.read_bytes()] == []


def test_the_notebooks_that_a_clone_has_show_nothing():
    """Beside what `make lint` says: what is in the files."""
    for path in find_notebooks(TOP / "tutorials"):
        for cell in nbformat.read(path, 4).cells:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path
            assert "attachments" not in cell, path
