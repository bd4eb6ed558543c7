"""Member names of a zip: which of them cannot be unpacked safely, on this system or on any other."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

LONGEST_PART = 255
LONGEST_NAME = 3800
"""Bytes in UTF-8; Linux ends at 4096, and the folder of the dataset comes before the name."""

_SUSPECT = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|(?:^|/)\.{0,2}(?:/|$)|^[A-Za-z]:(?:/|$)")


def unsafe_names(names: Iterable[str]) -> Iterator[str]:
    """Find the names that must not be unpacked.

    Args:
        names: Member names as the archive has them; those of folders end with a slash.

    Yields:
        One line an offender: its name and what is wrong with it.
    """
    seen = _Seen()
    for name in names:
        path = name[:-1] if name.endswith("/") else name
        reason = _unsafe(path)
        if reason is None and len(path) * 4 > LONGEST_PART:
            reason = _too_long(path)
        if reason is None:
            reason = seen.collision(path, is_folder=path is not name)
        if reason is not None:
            yield f"{name}: {reason}"


def _unsafe(path: str) -> str | None:
    if not _SUSPECT.search(path):
        return None
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
    if any(len(part.encode("utf-8", "surrogatepass")) > LONGEST_PART for part in path.split("/")):
        return f"has a part of more than {LONGEST_PART} bytes"
    return None


def fold(path: str) -> str:
    """Bring together what a file system that ignores case and Unicode form takes for one name.

    Args:
        path: A name.

    Returns:
        The same text for all names that collide somewhere.
    """
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


class _Seen:
    """The files and folders named so far, under their folded names."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._known: set[str] = set()  # folders by exact name: the short way for most members
        self._named: set[str] = set()  # folders that have a member of their own

    def collision(self, path: str, is_folder: bool) -> str | None:
        """Take up one member and tell what it collides with, if anything."""
        parent, slash, _ = path.rpartition("/")
        if slash and (reason := self._folder(parent)) is not None:
            return reason
        if is_folder:
            if path in self._named:
                return "is there twice"
            self._named.add(path)
            return self._folder(path)
        folded = fold(path)
        if (other := self._files.get(folded)) is not None:
            return "is there twice" if other == path else _collides(other)
        self._files[folded] = path
        return f"is a file and also a folder ({other})" if (other := self._folders.get(folded)) else None

    def _folder(self, path: str) -> str | None:
        if path in self._known:
            return None
        self._known.add(path)
        parent, slash, _ = path.rpartition("/")
        if slash and (reason := self._folder(parent)) is not None:
            return reason
        folded = fold(path)
        if (other := self._files.get(folded)) is not None:
            return f"is in a folder that is also a file ({other})"
        other = self._folders.setdefault(folded, path)
        return None if other == path else _collides(other)


def _collides(other: str) -> str:
    return f"collides with {other} where case or Unicode form does not count"
