"""The split against observed outputs of the reference."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.conversions import converted, make_zip, side

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "golden-splits.json").read_text())[
    "vectors"
]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_splits_as_the_reference_did(vector: dict[str, Any], tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", vector["entries"])
    target = tmp_path / "dataset"
    converted(archive, target, "--validation-split", vector["split"], "--seed", vector["seed"], "--unlabelled", "keep")
    assert (target / "labels.json").read_text(encoding="utf-8") == json.dumps(vector["labels"], ensure_ascii=False)
    assert side(target, "validation") == set(vector["validation"])
    assert side(target, "training") == set(vector["ordered"]) - set(vector["validation"])
    assert side(target, "cvat_exported") == set(vector["entries"])


def test_order_of_the_zip_does_not_matter(tmp_path: Path) -> None:
    vector = VECTORS[1]
    archive = make_zip(tmp_path / "export.zip", sorted(vector["entries"], reverse=True))
    converted(archive, tmp_path / "dataset", "--validation-split", vector["split"], "--seed", vector["seed"])
    assert side(tmp_path / "dataset", "validation") == set(vector["validation"])
