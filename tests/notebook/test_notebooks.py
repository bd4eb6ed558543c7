"""The tutorials' notebooks, executed headless against the stand-in server."""

import json
import re
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest

from tests.support.images import jpeg
from tests.support.script_runs import run_program
from tests.support.standin_api import Api

from .conftest import CLASSIFICATION, DETECTION, TOP

NOTEBOOKS = ("import_api", "export_api", "convert_dataset")
TAGGED = {"tags_from_folders = False": "tags_from_folders = True"}


def write_export(tutorial, labels=("daisy", "rose", "tulip"), each=10) -> Path:
    """Put an "ImageNet 1.0" export where the convert notebook looks for it."""
    path = tutorial.dataset / f"project_id_{tutorial.project_id}.zip"
    data = next((tutorial.folder / "images").rglob("*.jpg")).read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for label in labels:
            for number in range(each):
                archive.writestr(f"{label}/{number}.jpg", data)
    return path


def one_message(run) -> str:
    """Return the error's first line; the error must be short, without a traceback, and have stopped the notebook."""
    assert run.error is not None
    lines = run.shown_error
    assert len(lines) <= 12
    assert "Traceback" not in "".join(lines)
    assert "line " not in lines[0]
    failed = [number for number, cell in enumerate(run.notebook.cells) if "error:" in str(cell.get("outputs"))]
    after = run.notebook.cells[failed[-1] + 1 :] if failed else []
    assert not any(cell.get("outputs") for cell in after)
    return lines[0]


def test_the_whole_way(tutorial, standin):
    made = tutorial(standin)
    imported = made.run("import_api", replace=TAGGED)
    assert imported.error is None
    (task,) = made.tasks()
    for step in (
        "configuration.json exists",
        f"cvat_project_id: {made.project_id}",
        f"signed in as {standin.username} to CVAT",
        "labels: daisy (tag), rose (tag), tulip (tag)",
        "60 images will be imported",
        f"task {task['id']}: 60 frames",
    ):
        assert step in imported.text
    assert imported.html.count("<image href") == 24
    assert f'href="{standin.url}/tasks/{task["id"]}"' in imported.html
    assert "every parameter is there" in imported.html

    exported = made.run("export_api")
    assert exported.error is None
    assert "daisy: 20\nrose: 20\ntulip: 20" in exported.text
    assert (made.dataset / f"project_id_{made.project_id}.zip").is_file()

    newer = made.dataset / "project_id_999.zip"
    newer.touch()
    converted = made.run("convert_dataset")
    assert converted.error is None
    assert f"project_id_{made.project_id}.zip is older than {newer.name} beside it" in converted.text
    newer.unlink()
    assert json.loads((made.dataset / "labels.json").read_text()) == {"daisy": 0, "rose": 1, "tulip": 2}
    sides = {side: len(list((made.dataset / side).rglob("*.jpg"))) for side in ("training", "validation")}
    assert sides == {"training": 48, "validation": 12}
    for side, count in sides.items():
        assert f"{side}: {count} images" in converted.text
    assert 'role="img" aria-label="Images of each class and side' in converted.html
    for run in (imported, exported, converted):
        assert standin.password not in run.everything()
    assert made.leftovers() == []


def test_what_the_notebooks_write_is_ignored_by_git():
    """The real configuration, the images and the datasets must never get into git by accident."""
    folder = "tutorials/2_prepare_dataset/annotate_images"
    paths = [
        f"{folder}/{kind}/{name}"
        for kind in (CLASSIFICATION, DETECTION)
        for name in ("configuration.json", "images/1.jpg")
    ]
    paths += [f"tutorials/_common/dataset/{name}" for name in ("project_id_1.zip", "training/a/1.jpg", "labels.json")]
    answer = run_program(["git", "check-ignore", "--no-index", *paths], cwd=TOP)
    if answer.returncode == 128:
        pytest.skip("this is no git checkout; run the tests in a clone")
    assert answer.stdout.split() == paths
    kept = ["tutorials/_common/dataset/.gitkeep", f"{folder}/{CLASSIFICATION}/configuration.example.json"]
    answer = run_program(["git", "check-ignore", "--no-index", *kept], cwd=TOP)
    assert answer.stdout.split() == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_missing_configuration(tutorial, standin, name):
    made = tutorial(standin)
    (made.folder / "configuration.json").unlink()
    run = made.run(name)
    assert one_message(run).startswith("error: configuration.json does not exist beside this notebook")
    command = run.shown_error[1].removeprefix("  - ")
    assert re.fullmatch(r"cp '/.*/configuration\.example\.json' '/.*/configuration\.json'", command)
    subprocess.run(command, shell=True, check=True)  # noqa: S602 - the command that the person is told to run
    assert (made.folder / "configuration.json").is_file()


WRONG = {
    "import_api": {
        "import_image_extension": ("png", "must be one of jpg, JPG, jpeg, JPEG, or an array of some of jpg, "),
        "cvat_project_id": ("1", "must be an integer of at least 1, found a string (1)"),
    },
    "export_api": {
        "export_format": ("COCO", "must be a format as the server names it, such as "),
        "cvat_username": (None, "missing, must be a non-empty string"),
    },
    "convert_dataset": {
        "dataset_conversion_validation_split": (1, "must be a number above 0 and below 1, found an integer (1)"),
        "dataset_conversion_seed": (-1, "must be an integer from 0 to 4294967295, found an integer (-1)"),
    },
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_two_wrong_values_at_once(tutorial, standin, name):
    made = tutorial(standin)
    made.configure(**{key: value for key, (value, _) in WRONG[name].items()})
    run = made.run(name)
    assert one_message(run).startswith("error: 2 problems in configuration.json")
    assert len(run.shown_error) == 3
    for key, (_, said) in WRONG[name].items():
        assert any(line.startswith(f"  - {key}: {said}") for line in run.shown_error)
    assert standin.password not in run.everything()
    assert made.tasks() == []


@pytest.mark.parametrize("name", ["import_api", "export_api"])
def test_a_wrong_password(tutorial, standin, name):
    made = tutorial(standin)
    made.configure(cvat_password="not the password")
    run = made.run(name)
    assert f"refused the password of user {standin.username}" in one_message(run)
    assert "not the password" not in run.everything()
    assert made.tasks() == []
    assert made.leftovers() == []


def test_import_interrupted_and_run_again(tutorial, faulty_standin):
    made = tutorial(faulty_standin)
    faulty_standin.order_fault("hang", method="POST", path="/api/tasks/*/data*", seconds=60)

    def when(text: str) -> bool:
        if "importing:" not in text or not made.tasks():
            return False
        faulty_standin.clear_faults()
        return True

    run = made.run("import_api", interrupt_at=when)
    assert one_message(run) == "interrupted: run the cell again when you like"
    assert any("deleted the unfinished task" in line for line in run.shown_error)
    assert made.tasks() == []
    assert made.leftovers() == []
    for _ in range(2):
        assert made.run("import_api").error is None
    assert [(task["name"], task["size"]) for task in made.tasks()] == [("first", 60)] * 2


def test_export_interrupted_and_run_again(tutorial, faulty_standin):
    made = tutorial(faulty_standin)
    api = Api(faulty_standin)
    api.tag(api.images(made.project_id, {"1.jpg": jpeg()}), (0, "rose"))
    faulty_standin.order_fault("stay-queued", path="export:dataset")
    run = made.run("export_api", interrupt_at=lambda text: "exporting: export: queued" in text)
    assert one_message(run) == "interrupted: run the cell again when you like"
    assert any("no zip and no temporary file was left" in line for line in run.shown_error)
    assert made.leftovers() == []
    assert sorted(path.name for path in made.dataset.iterdir()) == [".gitkeep"]
    faulty_standin.clear_faults()
    path = made.dataset / f"project_id_{made.project_id}.zip"
    assert made.run("export_api").error is None
    before = path.stat().st_ino
    again = made.run("export_api")
    assert "exists already" in one_message(again)
    assert path.stat().st_ino == before
    assert made.run("export_api", replace={"overwrite = False": "overwrite = True"}).error is None
    assert path.stat().st_ino != before


def test_conversion_interrupted_and_run_again(tutorial, standin):
    made = tutorial(standin)
    write_export(made, each=8000)
    run = made.run("convert_dataset", interrupt_at=lambda text: "converting: 0 of 100" in text)
    assert one_message(run) == "interrupted: run the cell again when you like"
    assert any("the folder is as it was before" in line for line in run.shown_error)
    assert sorted(path.name for path in made.dataset.iterdir()) == [".gitkeep", f"project_id_{made.project_id}.zip"]
    assert made.leftovers() == []
    write_export(made)
    assert made.run("convert_dataset").error is None
    again = made.run("convert_dataset")
    assert "already contains a dataset" in one_message(again)
    changed = {"overwrite = False": "overwrite = True", '"reference"\n': '"stratified"\n'}
    assert made.run("convert_dataset", replace=changed).error is None
    assert len(list((made.dataset / "validation/rose").iterdir())) == 2


def test_a_wrong_kernel_is_told_in_one_line(tutorial, standin):
    made = tutorial(standin)
    # As in a Python that has ipykernel, but not what the toolkit needs.
    (made.home / "sitecustomize.py").write_text("import sys\nsys.modules['cvat_sdk'] = None\n")
    made.variables = {"PYTHONPATH": str(made.home)}
    run = made.run("import_api")
    assert "without cvat_sdk" in one_message(run)
    assert "make notebooks" in run.shown_error[0]
    assert len(run.shown_error) == 1


def test_what_nobody_expected_is_one_line_too(tutorial, standin):
    made = tutorial(standin)
    (setup, *_) = [
        cell for cell in nbformat.read(made.folder / "import_api.ipynb", 4).cells if cell.cell_type == "code"
    ]
    for source, line in (
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("open('missing.jpg')", "error: No such file or directory: missing.jpg"),
    ):
        cells = [setup, nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), made.folder / "look.ipynb")
        assert [text.strip() for text in made.run("look").shown_error] == [line]
