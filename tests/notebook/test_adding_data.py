"""Adding data later: what the classification README says, with its numbers."""

import json
import re
from pathlib import Path

from standin.sample_images import write_sample_images

from .conftest import CLASSIFICATION, TOP, output_of, signed_in

README = TOP / "tutorials/2_prepare_dataset/annotate_images" / CLASSIFICATION / "README.md"


def sides(folder: Path) -> dict[str, str]:
    """Return the side of each image of a dataset, by its content."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return {image["sha256"]: image["side"] for image in manifest["images"]}


def test_old_images_keep_their_sides(tutorial, standin, tmp_path):
    made = tutorial(standin)
    environment = signed_in(standin)
    second = made.folder / "images_2"
    write_sample_images(second, seed=2)
    datasets = {}
    for folder, name in ((made.folder / "images", "first"), (second, "second")):
        arguments = [f"--project-id={made.project_id}", f"--import-dir={folder}", f"--task-name={name}"]
        output_of(
            "import_images", *arguments, "--extension=jpg", "--tags-from-folders",
            environment=environment, folder=tmp_path,
        )  # fmt: skip
        arguments = [f"--project-id={made.project_id}", "--format=ImageNet 1.0", "--export-dir=.", "--overwrite"]
        output_of("export_dataset", *arguments, environment=environment, folder=tmp_path)
        for method in ("stable", "reference"):
            target = tmp_path / f"{name}-{method}"
            arguments = [f"--base-file=project_id_{made.project_id}.zip", f"--output-dir={target}"]
            output_of(
                "convert_dataset", *arguments, f"--split-method={method}", environment=environment, folder=tmp_path
            )
            datasets[name, method] = sides(target)

    moved = {}
    for method in ("stable", "reference"):
        before, after = datasets["first", method], datasets["second", method]
        assert (len(before), len(after)) == (60, 120)
        moved[method] = sum(after[content] != side for content, side in before.items())
    assert moved["stable"] == 0
    assert moved["reference"] > 0

    text = README.read_text("utf-8")
    row = re.search(r"\| `reference`.*\| (\d+) of 60 \|", text)
    assert row is not None
    assert int(row[1]) == moved["reference"]
    counts = {
        (name, method): f"{list(found.values()).count('training')} + {list(found.values()).count('validation')}"
        for (name, method), found in datasets.items()
    }
    for method in ("reference", "stable"):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{method}`")]
        assert f"| {counts['first', method]} | {counts['second', method]} | {moved[method]} of 60 |" in line
