"""Giving a new folder what an old one holds besides its dataset."""

import errno
import os
import shutil
import stat
from collections.abc import Container
from pathlib import Path

from toolkit.dataset.exchange import CannotExchange


def carry_over(source: Path, target: Path, without: Container[str]) -> None:
    """Give a new folder the attributes of the old one, and by hard links its content.

    Args:
        source: The old folder.
        target: The new one, on the same file system.
        without: Names in the old folder that stay behind.

    Raises:
        CannotExchange: Something in it cannot be linked: another file system, or a rule of this one.
    """
    device = source.stat().st_dev
    try:
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.name not in without:
                    _link_tree(Path(entry.path), target / entry.name, device)
        _copy_attributes(source, target)
        os.utime(target)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP):
            raise CannotExchange from None
        raise


def _link_tree(source: Path, target: Path, device: int) -> None:
    found = source.lstat()
    if found.st_dev != device:
        raise CannotExchange
    if not stat.S_ISDIR(found.st_mode):
        os.link(source, target, follow_symlinks=False)
        return
    target.mkdir()
    with os.scandir(source) as entries:
        for entry in entries:
            _link_tree(Path(entry.path), target / entry.name, device)
    _copy_attributes(source, target)


def _copy_attributes(source: Path, target: Path) -> None:
    owner = source.stat()
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), target.stat().st_gid):
        os.chown(target, owner.st_uid, owner.st_gid)
    shutil.copystat(source, target)
