"""Boxes of YOLO 1.1 and of the Ultralytics YOLO formats: a file of lines beside each image."""

import re
from pathlib import PurePosixPath

from toolkit.core.errors import ToolkitError
from toolkit.dataset.detection_labels import Finding, ImageLabels, Reading

YOLO = re.compile(r"obj_(?P<subset>[^/]+)_data/(?P<name>.+)")
ULTRALYTICS = re.compile(r"(?:images|labels)/(?P<subset>[^/]+)/(?P<name>.+)")


def stem_of(name: str) -> str:
    """Take the extension off a path."""
    return str(PurePosixPath(name).with_suffix(""))


def _found(pattern: re.Pattern[str], reading: Reading) -> dict[str, tuple[str, str]]:
    """Name subset and image of each member that fits."""
    matches = ((name, pattern.fullmatch(name)) for name in reading.names)
    return {name: (match["subset"], match["name"]) for name, match in matches if match}


def read_yolo(reading: Reading) -> None:
    """Read `obj_<subset>_data/<name>.txt` beside the images; class numbers count the lines of `obj.names`."""
    lines = reading.text("obj.names", is_list=True).splitlines()
    names = dict(enumerate(line.strip() for line in lines if line.strip()))
    found = _found(YOLO, reading)
    pictures = {stem_of(name): name for name in found if not name.endswith(".txt")}
    labels = {stem_of(name): name for name in found if name.endswith(".txt")}
    _take_yolo(reading, names, found, pictures, labels, keypoints=False)


def read_ultralytics(reading: Reading) -> None:
    """Read `labels/<subset>/<name>.txt` of `images/<subset>/<name>`; class numbers are those of `data.yaml`."""
    import yaml  # what most runs do without

    file = "data.yml" if "data.yml" in reading else "data.yaml"
    text = reading.text(file, is_list=True)
    try:
        content = yaml.safe_load(text)
        given = content["names"]
        numbered = given if isinstance(given, dict) else dict(enumerate(given))
        if not all(isinstance(value, str | int | float) for value in numbered.values()):
            raise ValueError("a name is no text")
        names = {int(key): str(value) for key, value in numbered.items()}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ToolkitError(f"{reading.archive.path}: {file} cannot be read ({problem}): export it again") from None
    found = _found(ULTRALYTICS, reading)
    pictures = {stem_of(name).partition("/")[2]: name for name in found if name.startswith("images/")}
    labels = {stem_of(name).partition("/")[2]: name for name in found if name.startswith("labels/")}
    _take_yolo(reading, names, found, pictures, labels, keypoints="kpt_shape" in content)


def _take_yolo(
    reading: Reading,
    names: dict[int, str],
    found: dict[str, tuple[str, str]],
    pictures: dict[str, str],
    labels: dict[str, str],
    keypoints: bool,
) -> None:
    reading.classes.update(dict.fromkeys(names.values()))
    for stem in sorted(pictures.keys() | labels.keys()):
        location = pictures.get(stem)
        subset, name = found[location or labels[stem]]
        of_image = ImageLabels(reading, name)
        for line in reading.text(labels[stem], is_list=True).splitlines() if stem in labels else ():
            if line.strip():
                with of_image.entry():
                    _take_yolo_line(of_image, names, line.split(), keypoints)
        of_image.finish(subset, [location] if location else [], None, are_shares=True)


def _take_yolo_line(labels: ImageLabels, names: dict[int, str], words: list[str], keypoints: bool) -> None:
    """Take a line by its length: class and box, the same with a track or key points, or the corners of an outline."""
    label = names.get(int(words[0]))
    values = [float(word) for word in words[1:]]
    if len(values) in (4, 5) or keypoints:
        x, y, width, height = values[:4]
        if keypoints:
            labels.note(Finding.SKELETON)
        elif len(values) == 5:
            labels.note(Finding.TRACK)
        labels.box(label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        return
    points = list(zip(values[::2], values[1::2], strict=True))
    if len(points) < 3:
        raise ValueError("too few numbers")
    if len(points) == 4 and len(set(values[::2])) == 2 and len(set(values[1::2])) == 2:
        across, down = zip(*points, strict=True)
        labels.box(label, (min(across), min(down), max(across), max(down)))
    else:
        labels.outline(Finding.ROTATED if len(points) == 4 else Finding.POLYGON, label, points)
