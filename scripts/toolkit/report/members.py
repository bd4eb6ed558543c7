"""The files of a detection dataset, in a zip or in a folder, read with bounds."""

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from toolkit.core.errors import ToolkitError
from toolkit.core.images import NoImage, read_header
from toolkit.core.safe_names import LARGEST_LIST, is_bomb, is_junk, is_text_bomb
from toolkit.core.text import format_size

_IMAGE_EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"))


class LabelProblem(ValueError):
    """Labels are not what their format says; the message tells what is wrong."""


def is_image(name: str) -> bool:
    """Tell by its extension whether a file is an image."""
    return PurePosixPath(name).suffix.lower() in _IMAGE_EXTENSIONS


class Members:
    """The files below one folder of an export.

    Attributes:
        names: Paths, without what file managers leave in a zip.
        junk: What they left.
    """

    def __init__(self, lengths: dict[str, tuple[int, int]]) -> None:
        self.junk = [name for name in lengths if is_junk(name)]
        self._lengths = {name: length for name, length in lengths.items() if not is_junk(name)}
        self._prefix = ""
        self._pictures: dict[str, str] | None = None
        self.names = list(self._lengths)

    def open(self, name: str) -> IO[bytes]:
        """Open a file."""
        raise NotImplementedError

    def look_through_wrapper(self) -> bool:
        """Leave out the only folder at the top, if there is one; tell whether."""
        first, slash, _ = next(iter(self.names), "").partition("/")
        wrapper = first + slash
        if not slash or not all(name.startswith(wrapper) for name in self.names):
            return False
        self._prefix += wrapper
        self._lengths = {name.removeprefix(wrapper): length for name, length in self._lengths.items()}
        self.names = list(self._lengths)
        self._pictures = None
        return True

    def __contains__(self, name: str) -> bool:
        return name in self._lengths

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Tell whether a file's whole path fits."""
        return any(map(pattern.fullmatch, self.names))

    def has_folder(self, folder: str) -> bool:
        """Tell whether there is a file in a folder."""
        return any(name.startswith(f"{folder}/") for name in self.names)

    def matches(self, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
        """Find the files whose whole paths fit, sorted."""
        for name in sorted(self.names):
            if match := pattern.fullmatch(name):
                yield name, match

    def length(self, name: str) -> int:
        """Bytes of a file."""
        return self._lengths[name][0]

    def first(self, *names: str) -> str | None:
        """Return the first of these files that is there."""
        return next((name for name in names if name in self._lengths), None)

    def picture(self, *stems: str) -> str | None:
        """Return the first image that has one of these paths without its extension."""
        if self._pictures is None:
            images = (name for name in self.names if is_image(name))
            self._pictures = {str(PurePosixPath(name).with_suffix("")): name for name in images}
        return next((self._pictures[stem] for stem in stems if stem in self._pictures), None)

    def picture_size(self, name: str) -> tuple[int, int] | None:
        """Read the size of an image, turned as its EXIF says; None if it is broken, which is found out later."""
        try:
            with self.open(name) as stream:
                return read_header(stream, upright=True).size
        except NoImage:
            return None

    @contextmanager
    def open_text(self, name: str, small: bool = False) -> Iterator[IO[bytes]]:
        """Open a label file.

        Args:
            name: The file.
            small: Whether it is a list, or the labels of one image.

        Raises:
            LabelProblem: It is too large, or it cannot be read.
        """
        length, packed = self._lengths[name]
        if small and length > LARGEST_LIST:
            raise LabelProblem(f"{format_size(length)} are too much for a list; {format_size(LARGEST_LIST)} are read")
        if is_text_bomb(length, packed):
            raise LabelProblem(f"{format_size(length)} packed to {format_size(packed)} are no labels")
        try:
            stream = self.open(name)
        except Exception as error:  # a zip can be damaged in many ways
            raise LabelProblem(f"it cannot be opened: {error}") from None
        with stream:
            yield stream

    def text(self, name: str, small: bool = False) -> str:
        """Read a label file; see :meth:`open_text`."""
        with self.open_text(name, small) as stream:
            try:
                return stream.read().decode("utf-8-sig")
            except Exception as error:
                raise LabelProblem(f"{type(error).__name__}: {error}") from None

    def lines(self, name: str, small: bool = True) -> list[str]:
        """Read the lines of a text, without blanks around them and without empty ones."""
        return [line.strip() for line in self.text(name, small).splitlines() if line.strip()]

    def begins_with(self, name: str, *words: str) -> bool:
        """Tell whether one of these words stands near the beginning of a file."""
        try:
            with self.open_text(name) as stream:
                head = stream.read(4096).decode("utf-8", "replace")
        except Exception:  # not readable, so it does not
            return False
        return any(word in head for word in words)


class ZipMembers(Members):
    """The files of a zip.

    Raises:
        ToolkitError: It would unpack to so much more than it is that it is a zip bomb.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        size = sum(entry.file_size for entry in entries)
        packed = path.stat().st_size
        if is_bomb(size, packed):
            largest = max(entries, key=lambda entry: entry.file_size)
            raise ToolkitError(
                f"{path} unpacks to {format_size(size)} from {format_size(packed)}, as a zip bomb does "
                f"(its largest file is {largest.filename}, {format_size(largest.file_size)}): it is not read"
            )
        super().__init__({entry.filename: (entry.file_size, entry.compress_size) for entry in entries})

    def open(self, name: str) -> IO[bytes]:
        """Open a file, safe to call from threads."""
        return self._archive.open(self._prefix + name)


class FolderMembers(Members):
    """The files of a folder; symbolic links are left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        lengths = {}
        for place, folders, files in os.walk(folder):
            folders.sort()
            for name in files:
                path = Path(place, name)
                if not path.is_symlink() and path.is_file():
                    size = path.stat().st_size
                    lengths[path.relative_to(folder).as_posix()] = (size, size)
        super().__init__(lengths)

    def open(self, name: str) -> IO[bytes]:
        """Open a file, safe to call from threads."""
        return (self._folder / self._prefix / name).open("rb")
