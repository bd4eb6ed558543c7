"""Images in, dataset out: import, export and convert one after the other, on real pictures."""

import hashlib
import json
import secrets
from collections import Counter
from pathlib import Path

import numpy
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from sklearn.neighbors import KNeighborsClassifier

from tests.support.images import jpeg

from .conftest import Shell


def go_the_whole_way(shell: Shell, *labels: str) -> Path:
    """Take the folder `images` through CVAT, its first folders as tags, and return the dataset's folder."""
    project = shell.project(*labels)
    values = {
        "cvat_project_id": project,
        "import_dir": "images",
        "import_image_extension": "jpg",
        "import_task_name": "whole way",
        "export_format": "ImageNet 1.0",
        "export_dir": "dataset/",
        "dataset_conversion_base_file": f"dataset/project_id_{project}.zip",
        "dataset_conversion_dir": "dataset/",
        "dataset_conversion_validation_split": 0.2,
        "dataset_conversion_seed": 123,
    }
    (shell.folder / "configuration.json").write_text(json.dumps(values))
    for script, *options in (["import_images", "--tags-from-folders"], ["export_dataset"], ["convert_dataset"]):
        answer = shell.run(script, "--config=configuration.json", *options)
        assert answer.returncode == 0, f"{script}: {answer.stderr}"
    return shell.folder / "dataset"


def digests(folder: Path) -> Counter[str]:
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.jpg"))


def load_side(folder: Path, labels: dict[str, int]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Read one side as training code does: pixels as rows, the ids of labels.json as targets."""
    paths = sorted(folder.rglob("*.jpg"))
    pixels = numpy.array([numpy.asarray(Image.open(path)).ravel() for path in paths]) / 255
    return pixels, numpy.array([labels[path.relative_to(folder).parts[0]] for path in paths])


def test_a_classifier_learns_from_the_dataset(shell):
    digits = load_digits()
    for number, (picture, target) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = shell.folder / f"images/{target}/{number % 7}/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((picture * 15).astype("uint8")).resize((16, 16)).save(path, quality=95)
    dataset = go_the_whole_way(shell, *map(str, range(10)))
    labels = json.loads((dataset / "labels.json").read_text("utf-8"))
    assert labels == {str(digit): digit for digit in range(10)}
    pixels, targets = load_side(dataset / "training", labels)
    unseen_pixels, unseen_targets = load_side(dataset / "validation", labels)
    assert (len(targets), len(unseen_targets)) == (1438, 359)
    classifier = KNeighborsClassifier().fit(pixels, targets)
    assert classifier.score(unseen_pixels, unseen_targets) > 0.9


def test_photographs_come_out_byte_for_byte(shell):
    pictures = load_sample_images()
    for name, picture in zip(pictures.filenames, pictures.images, strict=True):
        for label in ("photo", "copy"):
            path = shell.folder / "images" / label / "deep" / Path(name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path, quality=95 if label == "photo" else 60)
        (shell.folder / "images/photo" / f"again {Path(name).name}").write_bytes(path.read_bytes() + b"trailer")
    sent = digests(shell.folder / "images")
    dataset = go_the_whole_way(shell, "photo", "copy")
    assert digests(dataset / "training") + digests(dataset / "validation") == sent
    assert digests(dataset / "cvat_exported") == sent


@pytest.mark.slow
def test_five_thousand_nested_images_with_equal_names_lose_nothing(shell):
    for number in range(5000):
        path = shell.folder / f"images/class {number % 5}/{number % 50}/deep {number % 500}/{number // 500}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg() + secrets.token_bytes(8))
    sent = digests(shell.folder / "images")
    assert len(sent) == 5000
    assert len({path.name for path in (shell.folder / "images").rglob("*.jpg")}) == 10
    dataset = go_the_whole_way(shell, *(f"class {number}" for number in range(5)))
    assert digests(dataset / "training") + digests(dataset / "validation") == sent
    assert sum(digests(dataset / "validation").values()) == 1000
