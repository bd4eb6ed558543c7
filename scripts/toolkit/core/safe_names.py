"""Member names of a zip: which of them cannot be unpacked safely, on this system or on any other."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

LONGEST_PART = 255
LONGEST_NAME = 3800
"""Bytes in UTF-8; Linux ends at 4096, and the folder of the dataset comes before the name."""
MOST_FOLDERS = 200
"""Folders in one another; removing a tree takes an open folder for each."""

BOMB_SIZE = 10 * 1024**2
BOMB_RATIO = 200

Lookalikes = list[tuple[str, str]]
"""Pairs of paths that are one name where case or Unicode form does not count."""


def is_bomb(size: int, packed: int) -> bool:
    """Tell whether so many bytes out of so few packed ones can be no images: a member's, or a whole archive's."""
    return size > BOMB_SIZE and size > BOMB_RATIO * packed


LARGEST_LIST = 4 << 20
"""Bytes of a list of classes or images, and of the labels of one image."""
_ANY_TEXT = 32 << 20
_LARGEST_TEXT = 1 << 30
_TEXT_RATIO = 60
"""Labels of many images repeat themselves: CVAT's own pack to a twentieth. More than this is no text of labels."""


def is_text_bomb(size: int, packed: int) -> bool:
    """Tell whether so many bytes out of so few packed ones can be no text of labels."""
    return size > _ANY_TEXT and (size > _LARGEST_TEXT or size > _TEXT_RATIO * packed)


_SUSPECT = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|(?:^|/)\.{0,2}(?:/|$)|^[A-Za-z]:(?:/|$)")

_SUSPECT_LINE = re.compile(_SUSPECT.pattern.replace(r"\x00-\x1f", r"\x00-\x09\x0b-\x1f"), re.MULTILINE)
"""The same in many names, a line each."""


def unsafe_names(names: Iterable[str], lookalikes: Lookalikes | None = None) -> Iterator[str]:
    """Yield a line for each name that must not be unpacked: the name and what is wrong with it.

    Args:
        names: Member names as the archive has them; those of folders end with a slash.
        lookalikes: Takes up the names that some file systems tell apart and others do not; None finds them unsafe.
    """
    names = list(names)
    if _are_plain(names):
        return
    seen = _Seen()
    for name in names:
        path = name[:-1] if name.endswith("/") else name
        reason = problem_with_name(path)
        if reason is None and (clash := seen.clash(path, is_folder=path is not name)) is not None:
            if lookalikes is not None and not clash.is_exact:
                lookalikes.append((path, clash.other))
            else:
                reason = clash.reason
        if reason is not None:
            yield f"{name}: {reason}"


def _are_plain(names: Sequence[str]) -> bool:
    """Tell of all at once that nothing is wrong with any, as in nearly every archive; False says nothing."""
    paths = [name.removesuffix("/") for name in names]
    text = "\n".join(paths)
    if text.count("\n") >= max(len(paths), 1) or _SUSPECT_LINE.search(text):
        return False
    if any(len(path) * 4 > LONGEST_PART and _too_long(path) for path in paths):
        return False
    files = [name for name in names if not name.endswith("/")]
    folders = {name[:-1] for name in names if name.endswith("/")}
    if len(files) + len(folders) < len(names):
        return False
    above = {path.rpartition("/")[0] for path in paths} - {""}
    while not above <= folders:
        folders |= above
        above = {path.rpartition("/")[0] for path in above} - {""}
    folded = set(fold("\n".join(files)).split("\n")) if files else set()
    folded_folders = {fold(folder) for folder in folders}
    return len(folded) == len(files) and len(folded_folders) == len(folders) and folded.isdisjoint(folded_folders)


def problem_with_name(path: str) -> str | None:
    """Say why a path must not be unpacked, whatever others there are; None if it may."""
    if not _SUSPECT.search(path):
        return _too_long(path) if len(path) * 4 > LONGEST_PART else None
    if path.startswith("/") or re.match(r"[A-Za-z]:(/|$)", path):
        return "is an absolute path"
    if "\\" in path:
        return "has a backslash, which is a folder separator elsewhere"
    if ".." in path.split("/"):
        return "leads out of the folder (..)"
    if any(unicodedata.category(character) == "Cc" for character in path):
        return "has a control character"
    return "has an empty part or a lone dot between its slashes"


def _too_long(path: str) -> str | None:
    if len(path.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} bytes"
    if path.count("/") > MOST_FOLDERS:
        return f"lies more than {MOST_FOLDERS} folders deep"
    if any(len(part.encode("utf-8", "surrogatepass")) > LONGEST_PART for part in path.split("/")):
        return f"has a part of more than {LONGEST_PART} bytes"
    return None


def fold(path: str) -> str:
    """Bring together what a file system that ignores case and Unicode form takes for one name."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


class _Clash(NamedTuple):
    """Why a name cannot be beside an earlier one; on every file system if the two are exactly the same."""

    reason: str
    other: str
    is_exact: bool


class _Seen:
    """The files and folders named so far, under their folded names."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._known: set[str] = set()  # folders by exact name: the short way for most members
        self._named: set[str] = set()  # folders that have a member of their own
        self._lookalikes: set[str] = set()  # files by exact name that share a folded name with an earlier one

    def clash(self, path: str, is_folder: bool) -> _Clash | None:
        """Take up one member and tell what it clashes with, if anything; an exact clash before any other."""
        parent, slash, _ = path.rpartition("/")
        above = self._folder(parent) if slash else None
        if above is not None and above.is_exact:
            return above
        own = self._named_folder(path) if is_folder else self._file(path)
        return own if own is not None and (own.is_exact or above is None) else above

    def _named_folder(self, path: str) -> _Clash | None:
        if path in self._named:
            return _Clash("is there twice", path, True)
        self._named.add(path)
        return self._folder(path)

    def _file(self, path: str) -> _Clash | None:
        folded = fold(path)
        if (other := self._files.get(folded)) is not None:
            if other == path or path in self._lookalikes:
                return _Clash("is there twice", path, True)
            self._lookalikes.add(path)
            return _collides(other)
        self._files[folded] = path
        if (folder := self._folders.get(folded)) is None:
            return None
        is_exact = path in self._known
        return _Clash(f"is a file and also a folder ({path if is_exact else folder})", folder, is_exact)

    def _folder(self, path: str) -> _Clash | None:
        if path in self._known:
            return None
        self._known.add(path)
        parent, slash, _ = path.rpartition("/")
        above = self._folder(parent) if slash else None
        folded = fold(path)
        own: _Clash | None
        if (file := self._files.get(folded)) is not None:
            is_exact = file == path or path in self._lookalikes
            own = _Clash(f"is in a folder that is also a file ({file})", file, is_exact)
        else:
            other = self._folders.setdefault(folded, path)
            own = None if other == path else _collides(other)
        return own if own is not None and (own.is_exact or above is None) else above


def _collides(other: str) -> _Clash:
    return _Clash(f"collides with {other} where case or Unicode form does not count", other, False)


_JUNK = """
__MACOSX .AppleDouble .DS_Store .localized .VolumeIcon.icns .Spotlight-V100 .Trashes .fseventsd .TemporaryItems
.DocumentRevisions-V100 Thumbs.db ehthumbs.db ehthumbs_vista.db desktop.ini $RECYCLE.BIN
.directory .Trash .Trash-1000 .thumbnails lost+found @eaDir #recycle .dropbox .dropbox.attr
.ipynb_checkpoints __pycache__ .git .gitignore .gitattributes .gitkeep .keep .svn .hg .idea .vscode
"""
_FOLDED_JUNK = {name.casefold() for name in _JUNK.split()} | {"system volume information"}


def is_junk(path: str) -> bool:
    """Tell whether a member is what operating systems, editors and notebooks leave beside a person's files."""
    folder, _, name = path.rpartition("/")
    return (
        name.startswith(("._", "~$")) or name.casefold() in _FOLDED_JUNK or (bool(folder) and _is_junk_folder(folder))
    )


@lru_cache(maxsize=1000)
def _is_junk_folder(path: str) -> bool:
    return is_junk(path)
