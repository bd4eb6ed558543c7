"""Datasets for trying readers: exports as CVAT writes them, of pictures that differ in colour, converted."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import ToolkitError
from toolkit.core.secrets import without_secrets

CONVERT = Path(__file__).parents[1] / "convert_dataset.py"
WIDTH, HEIGHT = 80, 64

FRAMES = [f"{folder}{number}" for folder in ("", "garden/", "garden/north side/") for number in range(5)]
PINNED = {"tulip": 0, "Rose": 2, "9": 3, "10": 4, "daisy": 6, "rare": 8}
BOXES = {"wheel": 0, "car": 1, "person": 3}
"""The ids that are pinned leave gaps, which convert fills for the tools that count."""


class Layout(NamedTuple):
    """A kind of dataset to try.

    Attributes:
        task: The chapter of docs/reading.md.
        name: What it is called in the table.
        options: What convert is given.
        labels: What is pinned by --labels, if anything.
        extensions: What the pictures are.
        is_default: Whether every tool has to read it right.
    """

    task: str
    name: str
    options: tuple[str, ...] = ()
    labels: dict[str, int] | None = None
    extensions: tuple[str, ...] = ("jpg", "JPG", "png", "jpeg")
    is_default: bool = True


LAYOUTS = [
    Layout("Classification", "flat"),
    Layout("Classification", "flat, `--labels`", labels=PINNED),
    Layout("Classification", "`--layout nested`", ("--layout", "nested"), is_default=False),
    Layout("Classification", "GIF and BMP", extensions=("gif", "bmp"), is_default=False),
    Layout("Shards", "`--labels`", ("--format", "webdataset", "--shard-size", "50KB"), labels=PINNED),
    Layout("Detection", "ids by name"),
    Layout("Detection", "`--labels`", labels=BOXES),
    Layout("Detection", "`--labels`, from 1", labels={name: number + 1 for name, number in BOXES.items()}),
]


def make_dataset(layout: Layout, folder: Path) -> Path:
    """Make a dataset below a folder, from an export that is made for it; one that is there is taken.

    Raises:
        ToolkitError: It could not be converted.
    """
    folder = folder / str(LAYOUTS.index(layout))
    if (folder / "dataset").exists():
        return folder / "dataset"
    folder.mkdir(parents=True)
    archive = folder / "export.zip"
    with zipfile.ZipFile(archive, "w") as export:
        for name, content in _members(layout):
            export.writestr(name, content)
    command = [sys.executable, str(CONVERT), "--base-file", str(archive), "--output-dir", str(folder / "dataset")]
    command += ["--unlabelled", "keep", "--json", *layout.options]
    if layout.labels is not None:
        (folder / "pinned.json").write_text(json.dumps(layout.labels), "utf-8")
        command += ["--labels", str(folder / "pinned.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=without_secrets())
    if done.returncode:
        raise ToolkitError(f"the dataset for {layout.name} could not be made: {done.stderr.strip()}")
    return folder / "dataset"


def _members(layout: Layout) -> Iterator[tuple[str, bytes | str]]:
    if layout.task == "Detection":
        yield from _boxed(layout)
    else:
        yield from _tagged(layout)


def _tagged(layout: Layout) -> Iterator[tuple[str, bytes]]:
    """Make an export in ImageNet 1.0; some frames lie in a folder that is named as another class."""
    number = 0
    classes = sorted(PINNED)
    for index, class_name in enumerate(classes):
        corrected = f"{classes[index - 1]}/1"
        frames = ["1"] if class_name == "rare" else [*FRAMES, corrected]  # on one side only
        for frame in frames:
            extension = layout.extensions[number % len(layout.extensions)]
            yield f"{class_name}/{frame}.{extension}", picture(number, extension)
            number += 1


def _boxed(layout: Layout) -> Iterator[tuple[str, bytes | str]]:
    """Make an export in CVAT for images 1.1; every fifth image has no box."""
    labels = sorted(BOXES)
    elements = []
    for number, frame in enumerate(FRAMES * 2):
        name = (
            f"{'street/' if number >= len(FRAMES) else ''}{frame}.{layout.extensions[number % len(layout.extensions)]}"
        )
        yield f"images/default/{name}", picture(number, name.rpartition(".")[2])
        shapes = "".join(
            f'<box label="{labels[(number + count) % 3]}" xtl="{2 + 9 * count}.5" ytl="{3 + number % 20}" '
            f'xbr="{30 + 12 * count}" ybr="{40 + number % 20}.25"></box>'
            for count in range(number % 5)
        )
        elements.append(
            f'<image id="{number}" name="{name}" subset="default" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
        )
    names = "".join(f"<label><name>{name}</name></label>" for name in labels)
    meta = f"<meta><project><labels>{names}</labels></project></meta>"
    yield "annotations.xml", f"<annotations><version>1.1</version>{meta}{''.join(elements)}</annotations>"


def picture(number: int, extension: str) -> bytes:
    """Draw one of up to 512 pictures of one colour each, which it keeps when it is packed."""
    from PIL import Image

    colour = tuple(16 + 32 * (number // 8**place % 8) for place in range(3))
    stream = io.BytesIO()
    kind = {"jpg": "JPEG", "jpeg": "JPEG"}.get(extension.lower(), extension.upper())
    Image.new("RGB", (WIDTH, HEIGHT), colour).save(stream, kind)
    return stream.getvalue()
