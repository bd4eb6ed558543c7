"""The journal of a conversion that publishes its dataset, and bringing to an end what it says was begun.

See :mod:`toolkit.dataset.publish` for the two ways of publishing.
"""

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from toolkit.dataset.layout import OWN

INSIDE = ".converting"
"""Working folder inside a target that cannot have one beside it."""

NEW = "new"
"""The dataset in the working folder; after a swap, what the target was before."""

_OLD = "old"
_JOURNAL = "journal.json"


def note_swap(work: Path) -> None:
    """Write down that the new tree is about to be swapped with the target.

    Args:
        work: The locked working folder.
    """
    identity = (work / NEW).stat()
    _write(work, {"way": "swap", "device": identity.st_dev, "inode": identity.st_ino})


def note_renames(work: Path) -> None:
    """Write down that the parts of the new tree are about to be renamed into the target, one by one.

    Args:
        work: The locked working folder.
    """
    _write(work, {"way": "rename"})


def _write(work: Path, journal: dict[str, Any]) -> None:
    unfinished = work / f"{_JOURNAL}.unfinished"
    unfinished.write_text(json.dumps(journal))
    unfinished.rename(work / _JOURNAL)


def _read(work: Path) -> dict[str, Any]:
    try:
        journal: dict[str, Any] = json.loads((work / _JOURNAL).read_text())
    except FileNotFoundError:
        return {}
    return journal


def settle(work: Path, target: Path, keep: bool = False) -> None:
    """Bring a locked working folder to its end: complete what was begun to be published, remove the rest.

    Args:
        work: The working folder, left by this process or by a killed one.
        target: The folder of the dataset.
        keep: Leave the working folder itself, empty.
    """
    journal = _read(work)
    if journal.get("way") == "swap":
        now = target.stat() if target.is_dir() else None
        if now is not None and (now.st_dev, now.st_ino) == (journal["device"], journal["inode"]):
            _sweep(work / NEW, target)
    elif journal.get("way") == "rename":
        (work / _OLD).mkdir(exist_ok=True)
        for name in OWN:
            if os.path.lexists(work / NEW / name):
                if os.path.lexists(target / name):
                    (target / name).rename(work / _OLD / name)
                (work / NEW / name).rename(target / name)
    (work / _JOURNAL).unlink(missing_ok=True)
    with os.scandir(work) as entries:
        for entry in list(entries):
            remove(Path(entry.path))
    if not keep:
        work.rmdir()


def remove(path: Path) -> None:
    """Remove a file or a tree, also one that may not be written to."""

    def make_writable(_function: object, name: str, _error: object) -> None:
        stuck = Path(name)
        stuck.parent.chmod(stat.S_IRWXU)
        if stuck.is_dir() and not stuck.is_symlink():
            stuck.chmod(stat.S_IRWXU)
            shutil.rmtree(stuck)
        else:
            stuck.unlink()

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=make_writable)
    else:
        path.unlink()


def _sweep(old: Path, new: Path) -> None:
    """Take along what came into the old folder, or was saved anew in it, after its content had been carried over."""
    for entry in list(os.scandir(old)):
        if entry.name in OWN or entry.name == INSIDE:
            continue
        _sweep_entry(Path(entry.path), new / entry.name)


def _sweep_entry(old: Path, new: Path) -> None:
    if not os.path.lexists(new):
        old.rename(new)
    elif old.is_dir() and not old.is_symlink():
        if new.is_dir() and not new.is_symlink():
            for entry in list(os.scandir(old)):
                _sweep_entry(Path(entry.path), new / entry.name)
    elif not new.is_dir() and old.lstat().st_ino != new.lstat().st_ino:
        old.replace(new)
