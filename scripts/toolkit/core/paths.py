"""Paths as people give them: made absolute against a folder, symbolic links refused."""

import os
from pathlib import Path

from toolkit.core.errors import UsageError


def resolve(given: str | os.PathLike[str], folder: Path) -> Path:
    """Make a given path absolute without following any symbolic link.

    Checked is every part of the path that was typed below ``folder``; of an absolute path that leads elsewhere only the
    last part is, because a system's own links (such as ``/tmp`` on macOS) are nobody's mistake.

    Args:
        given: The path as typed, relative to ``folder`` or absolute.
        folder: The absolute folder that a relative path counts from.

    Returns:
        The absolute, normalised path; it need not exist.

    Raises:
        UsageError: A part of the path is a symbolic link.
    """
    absolute = Path(os.path.normpath(folder / given))
    for part in _typed_parts(Path(given), folder, absolute):
        if part.is_symlink():
            raise UsageError(f"{part} is a symbolic link, which is not supported: name the real file or folder")
    return absolute


def _typed_parts(given: Path, folder: Path, absolute: Path) -> list[Path]:
    if not given.is_absolute():
        parts = []
        current = folder
        for name in given.parts:
            current = current.parent if name == os.pardir else current / name
            parts.append(current)
        return parts
    if absolute.is_relative_to(folder):
        below = absolute.relative_to(folder).parts
        return [folder.joinpath(*below[: depth + 1]) for depth in range(len(below))]
    return [absolute]
