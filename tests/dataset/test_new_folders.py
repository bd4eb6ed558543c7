"""The folders of a tree are made under their own names, wherever on the disk they lie."""

import subprocess
from pathlib import Path

import pytest

from toolkit.core.files import make_folders

FOLDERS = ["cat", "dog/young/2024", "dog/old", ".hidden", "ünï code", ""]


def below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("root", ["/dev/shm", None], ids=["memory", "disk"])
def test_makes_all_that_lead_to_them_and_nothing_else(root: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "tree" if root is None else Path(root) / f"{tmp_path.parent.name}-{tmp_path.name}"
    folder.mkdir()
    try:
        make_folders(folder, FOLDERS)
        assert below(folder) == {"cat", "dog", "dog/young", "dog/young/2024", "dog/old", ".hidden", "ünï code"}
    finally:
        subprocess.run(["rm", "-r", folder], check=True)


def test_leaves_no_mark_on_the_folder(tmp_path: Path) -> None:
    def marks() -> str:
        asked = subprocess.run(["lsattr", "-d", tmp_path], capture_output=True, text=True, check=False)
        if asked.returncode:
            pytest.skip("this file system has no attributes; where it has: make test")
        return asked.stdout

    before = marks()
    make_folders(tmp_path, FOLDERS)
    assert marks() == before


def test_does_not_take_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "cat").write_text("mine")
    with pytest.raises(OSError, match="cat"):
        make_folders(tmp_path, ["cat"])
    assert (tmp_path / "cat").read_text() == "mine"
