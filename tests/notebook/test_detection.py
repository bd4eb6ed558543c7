"""Object detection all the way: project, images, boxes, export, and the boxes drawn in the notebook and the report."""

import json
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import nbformat
from cvat_sdk import make_client, models
from PIL import Image, ImageChops

from .conftest import DETECTION, output_of, signed_in


def flower_box(path: Path) -> list[float]:
    """Find the flower of a sample picture: everything that is not the green of the ground."""
    with Image.open(path) as picture:
        red, green, blue = picture.convert("RGB").split()
    marks = ImageChops.lighter(
        ImageChops.subtract(red, green), ImageChops.subtract(blue.point(lambda v: v - 40), green)
    )
    bright = ImageChops.lighter(marks, ImageChops.darker(red, blue).point(lambda v: 255 if v > 120 else 0))
    box = bright.point(lambda v: 255 if v > 30 else 0).getbbox()
    assert box is not None
    return [float(value) for value in box]


def draw_boxes(tutorial, task_id: int) -> dict[str, list[float]]:
    """Draw a box around every flower but those of the pictures named 10; return left, top, right, bottom by name."""
    server = tutorial.server
    drawn = {}
    with make_client(server.url, credentials=(server.username, server.password)) as client:
        task = client.tasks.retrieve(task_id)
        labels = {label.name: label.id for label in task.get_labels()}
        shapes = []
        for number, frame in enumerate(task.get_meta().frames):
            if frame.name.endswith("/10.jpg"):
                continue
            box = drawn[frame.name] = flower_box(tutorial.folder / "images" / frame.name)
            label = labels[frame.name.partition("/")[0]]
            shapes.append(models.LabeledShapeRequest(type="rectangle", frame=number, label_id=label, points=box))
        task.set_annotations(models.LabeledDataRequest(shapes=shapes))
    return drawn


def exported_boxes(path: Path, export_format: str) -> dict[str, list[float]]:
    """Read the box of each image out of an export, without the toolkit."""
    with zipfile.ZipFile(path) as archive:
        if export_format == "COCO 1.0":
            (name,) = [name for name in archive.namelist() if name.startswith("annotations/instances_")]
            content = json.loads(archive.read(name))
            names = {image["id"]: image["file_name"] for image in content["images"]}
            boxes = [(names[shape["image_id"]], *shape["bbox"]) for shape in content["annotations"]]
            return {name: [x, y, x + width, y + height] for name, x, y, width, height in boxes}
        found = {}
        for image in ElementTree.fromstring(archive.read("annotations.xml")).iter("image"):
            for box in image.iter("box"):
                found[image.get("name")] = [float(box.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")]
        return found


def test_boxes_come_out_and_are_drawn(tutorial, standin):
    made = tutorial(standin, DETECTION)
    imported = made.run("import_api")
    assert imported.error is None
    assert "daisy (rectangle), rose (rectangle), tulip (rectangle)" in imported.text
    (task,) = made.tasks()
    drawn = draw_boxes(made, task["id"])
    assert len(drawn) == 54
    for export_format in ("COCO 1.0", "CVAT for images 1.1"):
        check_export(made, export_format, drawn)
    check_sides(made, drawn)


def check_export(made, export_format: str, drawn: dict[str, list[float]]) -> None:
    made.configure(export_format=export_format)
    exported = made.run("export_api", replace={"overwrite = False": "overwrite = True"})
    assert exported.error is None
    assert "daisy: 18 boxes in 18 images" in exported.text
    assert "warning: 6 images have no box" in exported.text
    assert "no boxes: 6 images" in exported.text
    assert exported.html.count('class="box"') == 12
    assert f"read from {export_format}" in exported.text

    path = made.dataset / f"project_id_{made.project_id}.zip"
    assert exported_boxes(path, export_format) == drawn

    report = made.home / "report.html"
    environment = signed_in(made.server)
    output_of("report_dataset", str(path), f"--output={report}", environment=environment, folder=made.home)
    page = report.read_text("utf-8")
    assert '<data id="boxes" value="54">' in page
    assert page.count('<rect class="box') >= 54  # the pictures of the outliers show theirs once more


def check_sides(made, drawn: dict[str, list[float]]) -> None:
    converted = made.run("convert_dataset")
    assert converted.error is None
    dataset = made.dataset / "boxes"
    sides = {side: len(list((dataset / "images" / side).iterdir())) for side in ("train", "val")}
    assert sum(sides.values()) == len(drawn)
    labels = [line for path in dataset.glob("labels/*/*.txt") for line in path.read_text().splitlines()]
    assert len(labels) == len(drawn)
    assert 'role="img" aria-label="Boxes of each class and side' in converted.html
    for side, count in sides.items():
        assert f"{side}: {count} images" in converted.text
    assert "images left out, no label, and their job is not completed: 6" in converted.text
    assert converted.html.count('class="box"') >= 2 * 3  # of each class on both sides


def test_a_classification_format_is_refused_before_the_server_works(tutorial, standin):
    made = tutorial(standin, DETECTION)
    made.configure(export_format="ImageNet 1.0")
    run = made.run("export_api")
    assert run.error is not None
    assert '"ImageNet 1.0" is not for detection' in run.shown_error[0]


def test_an_export_that_cannot_be_read_still_shows_what_is_in_it(tutorial, standin):
    """Of the formats that the report does not read, the notebook shows folders and images."""
    made = tutorial(standin, DETECTION)
    recorded = Path(__file__).parents[1] / "data/recordings/exports/detection/icdar_localization_1.0.zip"
    (setup, *_) = [
        cell for cell in nbformat.read(made.folder / "export_api.ipynb", 4).cells if cell.cell_type == "code"
    ]
    look = "from toolkit.notebook import steps\n"
    look += f"steps.show_export(Path({str(recorded)!r}), 'ICDAR Localization 1.0')"
    cells = [setup, nbformat.v4.new_code_cell(look)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), made.folder / "look.ipynb")
    run = made.run("look")
    assert run.error is None
    with zipfile.ZipFile(recorded) as archive:
        images = [name for name in archive.namelist() if name.endswith(".jpg")]
    assert f"images: {len(images)} images" in run.text
    assert "the boxes of ICDAR Localization 1.0 cannot be drawn here" in run.text
    assert run.html.count("<image href") == len(images)
