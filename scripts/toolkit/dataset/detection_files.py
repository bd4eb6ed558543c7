"""The files of a detection dataset, in a zip or in a folder, read with bounds."""

import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from toolkit.core.images import NoImage, read_header
from toolkit.core.safe_names import LARGEST_LIST, fold, is_junk, is_text_bomb
from toolkit.core.text import format_size
from toolkit.dataset.archive import Archive
from toolkit.dataset.archive_kind import Kind, is_image, recognise
from toolkit.dataset.unpack import open_member


class LabelProblem(ValueError):
    """Labels are not what their format says; the message tells what is wrong."""


class LabelFiles:
    """The files below the folder that all of an export lies in.

    Attributes:
        kind: What they were recognised as.
        names: Paths, sorted, without what operating systems and editors leave.
        junk: What they left.
    """

    def __init__(self, lengths: Mapping[str, tuple[int, int]], kind: Kind, open_file: Callable[[str], IO[bytes]]):
        self.kind = kind
        self.junk = [name for name in lengths if is_junk(name)]
        self._lengths = {name.removeprefix(kind.root): length for name, length in lengths.items() if not is_junk(name)}
        self.names = sorted(self._lengths)
        self._open = open_file
        self._folded: dict[str, str] | None = None
        self._pictures: dict[str, str] | None = None

    @classmethod
    def of_archive(cls, archive: Archive, kind: Kind) -> "LabelFiles":
        """Find the files of an open zip."""
        members = {member.name: member for member in archive.members}
        lengths = {name: (member.size, member.packed) for name, member in members.items()}
        return cls(lengths, kind, lambda name: open_member(archive, members[name]))

    @classmethod
    def of_folder(cls, folder: Path) -> "LabelFiles":
        """Find the files of a folder; symbolic links are left out."""
        lengths = {}
        for place, folders, files in os.walk(folder):
            folders.sort()
            for name in files:
                path = Path(place, name)
                if not path.is_symlink() and path.is_file():
                    size = path.stat().st_size
                    lengths[path.relative_to(folder).as_posix()] = (size, size)
        return cls(lengths, recognise(list(lengths)), lambda name: (folder / name).open("rb"))

    def open(self, name: str) -> IO[bytes]:
        """Open a file; safe to call from threads."""
        return self._open(self.kind.root + name)

    def __contains__(self, name: str) -> bool:
        return name in self._lengths

    def matches(self, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
        """Find the files whose whole paths fit, sorted."""
        for name in self.names:
            if match := pattern.fullmatch(name):
                yield name, match

    def length(self, name: str) -> int:
        """Bytes of a file."""
        return self._lengths[name][0]

    def first(self, *names: str) -> str | None:
        """Return the first of these files that is there, exactly or but for its case."""
        if (found := next((name for name in names if name in self._lengths), None)) is not None:
            return found
        if self._folded is None:
            self._folded = {fold(name): name for name in self.names}
        return next((self._folded[key] for key in map(fold, names) if key in self._folded), None)

    def picture(self, *stems: str) -> str | None:
        """Return the first image that has one of these paths without its extension."""
        if self._pictures is None:
            self._pictures = {stem_of(name): name for name in self.names if is_image(name)}
        return next((self._pictures[stem] for stem in stems if stem in self._pictures), None)

    def picture_size(self, name: str) -> tuple[int, int] | None:
        """Read the size of an image, turned as its EXIF says, which is how CVAT counts; None if it is broken."""
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
            small: Whether it is a list of classes, or the labels of one image.

        Raises:
            LabelProblem: It is not there, is too large, or cannot be opened.
        """
        if name not in self._lengths:
            raise LabelProblem(f"the export holds no {name}")
        length, packed = self._lengths[name]
        if small and length > LARGEST_LIST:
            most = format_size(LARGEST_LIST)
            raise LabelProblem(f"it is too large: {format_size(length)} are too much for a list, {most} are read")
        if is_text_bomb(length, packed):
            raise LabelProblem(f"it is too large: {format_size(length)} packed to {format_size(packed)} are no labels")
        try:
            stream = self.open(name)
        except OSError as error:
            raise LabelProblem(f"it cannot be opened: {error}") from None
        with stream:
            yield stream

    def text(self, name: str, small: bool = False) -> str:
        """Read a label file; see :meth:`open_text`."""
        with self.open_text(name, small) as stream:
            return stream.read().decode("utf-8-sig")

    def lines(self, name: str, small: bool = True) -> Iterator[str]:
        """Read the lines of a text one by one, without blanks around them and without empty ones."""
        with self.open_text(name, small) as stream, io.TextIOWrapper(stream, "utf-8-sig") as text:
            for line in text:
                if shown := line.strip():
                    yield shown


def stem_of(path: str) -> str:
    """Take the extension off a path."""
    return str(PurePosixPath(path).with_suffix(""))


def suffix_of(path: str | None) -> str:
    """Name the extension of a path, with its dot; empty without a path."""
    return PurePosixPath(path or "").suffix


def read_text(value: Any, what: str) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise LabelProblem(f"its {what} is no text")
    return value
