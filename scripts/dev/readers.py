"""What docs/reading.md promises: its snippets, run as they stand, and whether each reads every image right."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from toolkit.core.errors import ToolkitError, UsageError

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reading.md"
ENVIRONMENT = Path(".venv-frameworks")
CLASSIFICATION, DETECTION, SHARDS = "Classification", "Detection", "Shards"
LIGHT = {(CLASSIFICATION, "scikit-learn")}
"""What the environment of the tests can run; all others are in one of their own."""


# --- The page -----------------------------------------------------------------------------------------------------


class Snippet(NamedTuple):
    """Code of the page, as it stands there.

    Attributes:
        task: The chapter: classification, detection or shards.
        tool: The heading.
        code: The first block of Python below it.
    """

    task: str
    tool: str
    code: str


def snippets(page: Path = PAGE) -> list[Snippet]:
    """Find the snippets of the page.

    Raises:
        ToolkitError: There is one that nobody knows how to look into, or one is missing.
    """
    found = []
    for chapter in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        task = chapter.partition("\n")[0]
        for part in re.split(r"^### ", chapter, flags=re.MULTILINE)[1:]:
            if block := re.search(r"^```python\n(.*?)^```$", part, re.DOTALL | re.MULTILINE):
                found.append(Snippet(task, part.partition("\n")[0], block[1]))
    differing = {snippet[:2] for snippet in found} ^ _LOOK.keys()
    if differing:
        names = [f"{task}: {tool}" for task, tool in sorted(differing)]
        raise ToolkitError(f"{page} and the tools that are tried are not the same", names)
    return found


# One process for all datasets, for some tools take long to be imported. After the snippet, what looks into its result
# calls ``seen`` with an image's path and its id, or its boxes.
_RUNNER = """
import json, os, sys, traceback
from pathlib import Path

def seen(path, answer):
    boxes = isinstance(answer, list)
    answer = [[int(box[0]), *map(float, box[1:])] for box in answer] if boxes else answer
    found.append([Path(path).resolve().relative_to(Path.cwd()).as_posix(), answer])

def by_colour(pixels):
    import numpy
    from PIL import Image
    if not colours:
        for path in [*Path("training").rglob("*.*"), *Path("validation").rglob("*.*")]:
            colours[path] = numpy.asarray(Image.open(path).convert("RGB").resize((1, 1)), dtype=float)[0, 0]
    return min(colours, key=lambda path: abs(colours[path] - pixels.mean(axis=(0, 1))).sum())

task = json.load(sys.stdin)
answers = []
for folder in task["datasets"]:
    os.chdir(folder)
    found, colours = [], {}
    names = {"__name__": "__main__", "seen": seen, "by_colour": by_colour}
    try:
        exec(task["code"], names)
        answers.append(found)
    except Exception as error:
        traceback.print_exc()
        answers.append(traceback.format_exception_only(error)[-1].strip())
Path(task["answer"]).write_text(json.dumps(answers), "utf-8")
"""
_LOOK = {
    (CLASSIFICATION, "torchvision"): """
for part in (train, val):
    for (path, _), (_, number) in zip(part.samples, part, strict=True):
        seen(path, number)
""",
    (CLASSIFICATION, "Keras"): """
for part in (train, val):
    for pictures, numbers in part:
        for picture, number in zip(pictures, numbers, strict=True):
            seen(by_colour(keras.ops.convert_to_numpy(picture)), int(number))
""",
    (CLASSIFICATION, "Hugging Face datasets"): """
for part in dataset.values():
    for row in part:
        seen(row["image"].filename, row["label"])
""",
    (CLASSIFICATION, "timm"): """
for part in (train, val):
    for index, (_, number) in enumerate(part):
        seen(part.filename(index, absolute=True), number)
""",
    (CLASSIFICATION, "fastai"): """
for part in (loaders.train_ds, loaders.valid_ds):
    for path, (_, number) in zip(part.items, part, strict=True):
        seen(path, int(number))
""",
    (CLASSIFICATION, "ultralytics"): """
for loader in (model.trainer.train_loader, model.trainer.test_loader):
    for path, number, *_ in loader.dataset.samples:
        seen(path, number)
""",
    (CLASSIFICATION, "scikit-learn"): """
for part in (train, val):
    for path, number in zip(part.filenames, part.target, strict=True):
        seen(path, int(number))
""",
    (CLASSIFICATION, "supervision"): """
for part in (train, val):
    for path, _, found in part:
        seen(path, int(found.class_id[0]))
""",
    (CLASSIFICATION, "datumaro"): """
for part in (train, val):
    for item in part:
        seen(item.media.path, item.annotations[0].label)
""",
    (CLASSIFICATION, "cleanvision"): """
for part in (train, val):
    for path in part.issues.index:
        seen(path, None)
""",
    (DETECTION, "ultralytics"): """
from PIL import Image
for loader in (model.trainer.train_loader, model.trainer.test_loader):
    for image in loader.dataset.labels:
        width, height = Image.open(image["im_file"]).size
        boxes = zip(image["cls"][:, 0], image["bboxes"], strict=True)
        seen(image["im_file"], [
            [number, (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
            for number, (x, y, w, h) in boxes
        ])
""",
    (DETECTION, "supervision"): """
for part in (train, val):
    for path, _, found in part:
        seen(path, [[number, *box] for number, box in zip(found.class_id, found.xyxy, strict=True)])
""",
    (DETECTION, "torchvision"): """
for part in (train, val):
    for number, (_, found) in zip(part.ids, part, strict=True):
        boxes = [(entry["category_id"], *entry["bbox"]) for entry in found]
        path = f"{part.root}/{part.coco.imgs[number]['file_name']}"
        seen(path, [[number, x, y, x + w, y + h] for number, x, y, w, h in boxes])
""",
    (DETECTION, "SAHI"): """
for part in (train, val):
    for image in part.images:
        boxes = [(entry.category_id, *entry.bbox) for entry in image.annotations]
        seen(f"{part.image_dir}/{image.file_name}", [[number, x, y, x + w, y + h] for number, x, y, w, h in boxes])
""",
    (DETECTION, "datumaro"): """
for item in dataset:
    seen(item.media.path, [[entry.label, *entry.points] for entry in item.annotations])
""",
    (SHARDS, "WebDataset"): """
for part in (train, val):
    for sample in part:
        picture, = (key for key in ("jpg", "png") if key in sample)
        assert sample[picture].size == (80, 64)
        seen(f"{sample['__url__']}/{sample['__key__']}.{picture}", sample["json"]["class_id"])
""",
}


# --- Reading ------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """How a tool read a dataset.

    Attributes:
        right: Images that it has once, with their own id or boxes.
        wrong: Images with another id or other boxes.
        lost: Images that it does not have.
        surplus: What else it took for an image of the dataset, or has again.
        error: The last line of what stopped it.
    """

    right: int = 0
    wrong: int = 0
    lost: int = 0
    surplus: int = 0
    error: str = ""

    @property
    def is_right(self) -> bool:
        """Tell whether it has all images and nothing else."""
        return bool(self.right) and self[1:] == (0, 0, 0, "")

    def __str__(self) -> str:
        if self.error:
            return f"stops: {self.error}"
        others = [f"{count} {name}" for name, count in zip(self._fields[1:4], self[1:4], strict=True) if count]
        return f"right ({self.right})" if self.is_right else ", ".join([f"{self.right} right", *others])


def python_of(snippet: Snippet, environment: Path) -> Path:
    """Give the interpreter that has the tool of a snippet.

    Raises:
        UsageError: It is in an environment that is not there.
    """
    if snippet[:2] in LIGHT:
        return Path(sys.executable)
    python = environment.absolute() / "bin" / "python"
    if not python.exists():
        raise UsageError(f"{environment} is not there: make readers makes it (--environment)")
    return python


_SETTINGS = {"ultralytics": "from ultralytics import settings; settings.update({'runs_dir': 'runs'})\n"}
"""What a tool keeps of its user's wishes. In a repository ultralytics writes its results into that one's folder."""


def read(python: Path, snippet: Snippet, datasets: Sequence[Path], home: Path) -> list[Outcome]:
    """Run a snippet in the folder of each dataset, and compare what it has with what the dataset holds.

    There is no network for it, and nothing of the environment: tools keep settings, and do otherwise in CI.

    Args:
        python: The interpreter that has the tool.
        snippet: What to run.
        datasets: The folders.
        home: A folder for what tools keep.
    """
    home.mkdir(parents=True, exist_ok=True)
    answer = home / "seen.json"
    answer.unlink(missing_ok=True)
    environment = {
        **{name: os.environ[name] for name in ("LANG", "PATH", "TMPDIR") if name in os.environ},
        "HOME": str(home),
        "CUDA_VISIBLE_DEVICES": "",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(home / "huggingface"),
        "HF_HUB_OFFLINE": "1",
        "KERAS_BACKEND": "torch",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "YOLO_AUTOINSTALL": "false",
        "YOLO_CONFIG_DIR": str(home),
        "YOLO_OFFLINE": "true",
    }
    task = {
        "code": _SETTINGS.get(snippet.tool, "") + snippet.code + _LOOK[snippet[:2]],
        "datasets": [str(dataset.resolve()) for dataset in datasets],
        "answer": str(answer),
    }
    done = subprocess.run(
        [str(python), "-c", _RUNNER],
        input=json.dumps(task),
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if not answer.exists():
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        raise ToolkitError(f"{snippet.tool} ended without an answer: {last}")
    return [
        Outcome(error=found) if isinstance(found, str) else compare(expected(dataset), found)
        for dataset, found in zip(datasets, json.loads(answer.read_text("utf-8")), strict=True)
    ]


def expected(dataset: Path) -> dict[str, Any]:
    """Give the id of each image for training and validation, or its boxes, by what the dataset says of itself."""
    manifest = json.loads((dataset / "manifest.json").read_text("utf-8"))
    numbers = json.loads((dataset / "labels.json").read_text("utf-8"))
    images = [image for image in manifest["images"] if not image["path"].startswith(("test/", "images/test/"))]
    if "class" in images[0]:
        return {image["path"]: numbers[image["class"]] for image in images}
    found: dict[str, Any] = {image["path"]: [] for image in images}
    for path in (dataset / "annotations").glob("instances_*.json"):
        content = json.loads(path.read_text("utf-8"))
        side = path.stem.removeprefix("instances_")
        files = {image["id"]: f"images/{side}/{image['file_name']}" for image in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        for entry in content["annotations"]:
            left, top, width, height = entry["bbox"]
            box = [numbers[names[entry["category_id"]]], left, top, left + width, top + height]
            found[files[entry["image_id"]]].append(box)
    return found


def compare(wanted: Mapping[str, Any], seen: Sequence[tuple[str, Any]]) -> Outcome:
    """Count what was seen right: each image once, with its id or its boxes to a pixel; None where a tool has no ids."""
    times = Counter(path for path, _ in seen)
    answers = dict(seen)
    right = sum(path in answers and _same(wanted[path], answers[path]) for path in wanted)
    surplus = sum(count - (path in wanted) for path, count in times.items())
    lost = sum(path not in answers for path in wanted)
    return Outcome(right, len(wanted) - lost - right, lost, surplus)


def _same(wanted: Any, seen: Any) -> bool:
    if not isinstance(wanted, list):
        return seen is None or bool(seen == wanted)
    pairs = zip(sorted(wanted), sorted(seen), strict=False)
    return len(wanted) == len(seen) and all(
        one[0] == other[0] and all(abs(a - b) < 1 for a, b in zip(one, other, strict=True)) for one, other in pairs
    )
