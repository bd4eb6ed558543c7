"""Object detection all the way: project, images, boxes, export, and the boxes drawn in the notebook and the report."""

import json
import re
import zipfile

import pytest
from cvat_sdk import make_client, models
from PIL import Image

from .conftest import DETECTION, run_script, signed_in

BOX = (20.0, 24.0, 76.0, 72.0)
"""Left, top, right and bottom in pixels of the sample images, which are 96 pixels wide and high."""


def draw_boxes(tutorial, task_id: int) -> int:
    """Draw a box on every frame, with the label that is its first folder, and a second one on every tenth."""
    server = tutorial.server
    with make_client(server.url, credentials=(server.username, server.password)) as client:
        task = client.tasks.retrieve(task_id)
        labels = {label.name: label.id for label in task.get_labels()}
        shapes = []
        for number, frame in enumerate(task.get_meta().frames):
            label = labels[frame.name.partition("/")[0]]
            boxes = [BOX, (2.0, 2.0, 12.0, 12.0)][: 1 + (number % 10 == 0)]
            shapes += [
                models.LabeledShapeRequest(type="rectangle", frame=number, label_id=label, points=list(box))
                for box in boxes
            ]
        task.set_annotations(models.LabeledDataRequest(shapes=shapes))
    return len(shapes)


@pytest.fixture
def boxed(tutorial, standin):
    """A detection tutorial whose images are imported and have boxes."""
    made = tutorial(standin, DETECTION)
    imported = made.run("import_api")
    assert imported.error is None
    assert "daisy (rectangle), rose (rectangle), tulip (rectangle)" in imported.text
    (task,) = made.tasks()
    assert draw_boxes(made, task["id"]) == 66
    return made


def exported_boxes(path, export_format) -> list[tuple[str, list[float]]]:
    """Read image name and box out of an export, without the toolkit."""
    with zipfile.ZipFile(path) as archive:
        if export_format == "COCO 1.0":
            (name,) = [name for name in archive.namelist() if name.startswith("annotations/instances_")]
            content = json.loads(archive.read(name))
            names = {image["id"]: image["file_name"] for image in content["images"]}
            return [
                (names[shape["image_id"]], [round(v, 1) for v in shape["bbox"]]) for shape in content["annotations"]
            ]
        text = archive.read("annotations.xml").decode()
        found = []
        for name, inner in re.findall(r'<image [^>]*name="([^"]+)"[^>]*>(.*?)</image>', text, re.DOTALL):
            for box in re.findall(r"<box [^>]*>", inner):
                left, top, right, bottom = (
                    float(re.search(rf'{key}="([\d.]+)"', box)[1]) for key in ("xtl", "ytl", "xbr", "ybr")
                )
                found.append((name, [left, top, right - left, bottom - top]))
        return found


@pytest.mark.parametrize("export_format", ["COCO 1.0", "CVAT for images 1.1"])
def test_boxes_come_out_and_are_drawn(boxed, export_format):
    boxed.configure(export_format=export_format)
    exported = boxed.run("export_api")
    assert exported.error is None
    assert "daisy: 22 boxes in 20 images" in exported.text
    assert exported.html.count('class="box"') >= 18
    assert f"read from {export_format}" in exported.text

    path = boxed.dataset / f"project_id_{boxed.project_id}.zip"
    boxes = exported_boxes(path, export_format)
    assert len(boxes) == 66
    assert ("daisy/garden/1.jpg", [20.0, 24.0, 56.0, 48.0]) in boxes

    report = boxed.home / "report.html"
    environment = signed_in(boxed.server)
    run_script("report_dataset", str(path), f"--output={report}", environment=environment, folder=boxed.home)
    page = report.read_text("utf-8")
    assert '<data id="boxes" value="66">' in page
    assert page.count('<rect class="box') >= 60


def test_a_classification_format_is_refused_before_the_server_works(boxed):
    boxed.configure(export_format="ImageNet 1.0")
    run = boxed.run("export_api")
    assert run.error is not None
    assert '"ImageNet 1.0" is not for detection' in run.shown_error[0]


def test_an_export_that_cannot_be_read_still_shows_what_is_in_it(tutorial, standin):
    """Of the 18 formats the report reads four; of the others the notebook shows folders and images."""
    from pathlib import Path

    from .notebook_runs import kernel_environment, run_notebook

    made = tutorial(standin, DETECTION)
    recorded = Path(__file__).parents[1] / "data/recordings/exports/detection/kitti_1.0.zip"
    changed = {
        "configuration = notebook_settings.open_configuration()": "",
        "notebook_export.show_export(exported, keys.export_format)": "from toolkit import notebook_export\n"
        f"notebook_export.show_export(Path({str(recorded)!r}), 'KITTI 1.0')",
        "exported = notebook_export.export(connection, keys, overwrite)": "",
    }
    notebook = made.folder / "export_api.ipynb"
    content = json.loads(notebook.read_text())
    content["cells"] = [
        cell
        for cell in content["cells"]
        if not any(word in "".join(cell["source"]) for word in ("show_keys", "show_project"))
    ]
    notebook.write_text(json.dumps(content))
    run = run_notebook(notebook, kernel_environment(made.home, {}), replace=changed)
    assert run.error is None, run.error
    with zipfile.ZipFile(recorded) as archive:
        images = [name for name in archive.namelist() if name.endswith(".jpg")]
        assert all(Image.open(archive.open(name)).size for name in images)
    assert f"images: {len(images)} images" in run.text
    assert "the boxes of KITTI 1.0 cannot be drawn here" in run.text
