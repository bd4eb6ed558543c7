"""Names that CVAT would leave out or could not keep are told before anything is sent."""

import os
from pathlib import Path

from PIL import Image

from tests.support.script_runs import run_script


def test_names_that_cvat_leaves_out_or_cannot_keep(tmp_path: Path) -> None:
    long_name = "/".join(["f" * 250] * 5) + "/1.jpg"
    for name in ("__MACOSX/1.jpg", "a.DS_Store.jpg", long_name, "fine.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    call = run_script(
        "import_images.py",
        f"--import-dir={tmp_path / 'images'}",
        *("--extension=jpg", "--task-name=names", "--project-id=1"),
        # Nobody is there: it fails before that would matter.
        environment={**os.environ, "CVAT_URL": "http://127.0.0.1:9", "CVAT_USERNAME": "x", "CVAT_PASSWORD": "x"},
    )
    assert call.returncode == 1
    assert "3 problems with the images, nothing was sent" in call.stderr
    assert "__MACOSX/1.jpg: CVAT leaves out" in call.stderr
    assert "a.DS_Store.jpg: CVAT leaves out" in call.stderr
    assert "its name has 1260 characters, CVAT takes 1024" in call.stderr
    assert "fine.jpg" not in call.stderr
