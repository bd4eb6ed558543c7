"""The tutorials as files: what a clone has, and how the notebooks are kept."""

import ast
import json
import re
import subprocess
import sys

import pytest

from tests.support.script_runs import run_program, run_script
from toolkit.config.model import Configuration
from toolkit.notebook.kernel import find_notebooks

from .conftest import CLASSIFICATION, DETECTION, TOP, output_of, signed_in

TUTORIALS = TOP / "tutorials"
ANNOTATE = TUTORIALS / "2_prepare_dataset/annotate_images"


def test_the_tree_is_the_specified_one():
    wanted = [
        "README.md",
        "2_prepare_dataset/README.md",
        "2_prepare_dataset/annotate_images/README.md",
        *(
            f"2_prepare_dataset/annotate_images/{kind}/{name}"
            for kind in (CLASSIFICATION, DETECTION)
            for name in (
                "README.md",
                "configuration.example.json",
                "import_api.ipynb",
                "export_api.ipynb",
                "convert_dataset.ipynb",
            )
        ),
        "_common/dataset/.gitkeep",
    ]
    assert [name for name in wanted if not (TUTORIALS / name).is_file()] == []
    assert len(find_notebooks(TUTORIALS)) == 6


@pytest.mark.parametrize("kind", [CLASSIFICATION, DETECTION])
def test_the_samples_lead_to_the_common_folder(kind):
    folder = ANNOTATE / kind
    sample = json.loads((folder / "configuration.example.json").read_text("utf-8"))
    assert sample["cvat_password"] == ""
    assert (folder / sample["export_dir"]).resolve() == TUTORIALS / "_common/dataset"
    assert set(sample) == set(Configuration.model_fields)
    own = {CLASSIFICATION: "_common/dataset", DETECTION: "_common/dataset/boxes"}
    assert (folder / sample["dataset_conversion_dir"]).resolve() == TUTORIALS / own[kind]
    zip_file = (folder / sample["dataset_conversion_base_file"]).resolve()
    assert zip_file == TUTORIALS / f"_common/dataset/project_id_{sample['cvat_project_id']}.zip"


@pytest.mark.parametrize("kind", [CLASSIFICATION, DETECTION])
def test_the_readme_has_the_sample_of_every_key(kind):
    text = (ANNOTATE / kind / "README.md").read_text("utf-8")
    for key, value in json.loads((ANNOTATE / kind / "configuration.example.json").read_text("utf-8")).items():
        (line,) = [line for line in text.splitlines() if re.match(rf"\| .*`{key}`", line)]
        assert f"`{json.dumps(value)}`" in line


def test_outputs_are_found_and_stripped(tmp_path):
    """What `make lint` refuses and `make strip-notebooks` mends: outputs, counts, what an editor adds."""
    source = find_notebooks(TUTORIALS)[0]
    kept = json.loads(source.read_text("utf-8"))
    notebook = json.loads(source.read_text("utf-8"))
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["secret"]}]
    code["execution_count"] = 3
    notebook["metadata"]["vscode"] = {"interpreter": "/home/me"}
    notebook["metadata"]["language_info"]["version"] = "3.12.1"
    path = tmp_path / source.name
    path.write_text(json.dumps(notebook))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", source.name], check=True)
    strip = ["make", "-f", TOP / "Makefile", "-o", ".venv/.dev", "-o", ".venv/.runtime", "strip-notebooks"]
    found = run_program([*strip, "ARGS=--check"], cwd=tmp_path)
    assert found.returncode != 0
    assert source.name in found.stdout + found.stderr
    assert json.loads(path.read_text("utf-8")) == notebook
    assert subprocess.run(strip, cwd=tmp_path, capture_output=True).returncode == 0
    assert json.loads(path.read_text("utf-8")) == kept
    assert subprocess.run([*strip, "ARGS=--check"], cwd=tmp_path, capture_output=True).returncode == 0


@pytest.mark.parametrize("path", find_notebooks(TUTORIALS), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_notebooks_are_kept_alike(path):
    """Any person's kernel runs them, and a cell keeps its name from one change to the next."""
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell["metadata"] == {} and not cell.get("outputs") for cell in notebook["cells"])
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)


def test_a_missing_configuration_names_the_sample_beside_it(tutorial, standin):
    made = tutorial(standin)
    path = made.folder / "configuration.json"
    path.unlink()
    for script in ("import_images", "export_dataset", "convert_dataset", "open_task"):
        answer = run_script(script, f"--config={path}", environment=signed_in(standin))
        assert answer.returncode == 2
        assert f"`cp {made.folder}/configuration.example.json {path}`" in answer.stderr


def test_make_notebooks_lists_them():
    listed = output_of("list_notebooks", "--json", environment={}, folder=TOP)
    assert json.loads(listed)["notebooks"] == [str(path.relative_to(TOP)) for path in find_notebooks(TUTORIALS)]
    assert ".venv" in output_of("list_notebooks", environment={}, folder=TOP)


def test_the_first_cell_can_be_read_by_old_pythons():
    """A person may choose any kernel; the first cell and the module that it loads must get as far as the message."""
    sources = [
        (TOP / "scripts/toolkit/notebook/kernel.py").read_text(),
        (TOP / "scripts/toolkit/__init__.py").read_text(),
    ]
    for path in find_notebooks(TUTORIALS):
        cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
        sources.append("".join(cells[0]["source"]))
    for source in sources:
        ast.parse(source, feature_version=(3, 6))
    assert len(set(sources)) == 3  # all notebooks begin alike
