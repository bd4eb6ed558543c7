"""Images that belong together (one video, one patient), so that a split can keep them on one side."""

import re
from collections.abc import Sequence

from toolkit.core.errors import UsageError
from toolkit.dataset.selection import Image


class GroupRule:
    """Reads an image's group from its path below the class folder.

    A number is a depth: the group is the first so many folders. Anything else is a regular expression, searched in the
    path: the group is what its parentheses match, or the whole match if it has none. An image without such a folder or
    match is a group by itself.
    """

    def __init__(self, text: str) -> None:
        if not text:
            raise UsageError("--group-by is empty: give a folder depth from 1, or a regular expression")
        self.text = text
        self._depth = int(text) if text.isascii() and text.isdigit() else None
        if self._depth == 0:
            raise UsageError("--group-by 0 groups nothing: give a folder depth from 1, or a regular expression")
        try:
            self._pattern = re.compile(text)
        except re.error as error:
            raise UsageError(f"--group-by is neither a folder depth nor a regular expression: {error}") from None

    def key(self, image: Image) -> str | None:
        """Tell an image's group; None if it is alone."""
        path = image.path_in_class
        if self._depth is not None:
            folders = path.split("/")[:-1]
            return "/".join(folders[: self._depth]) or None
        match = self._pattern.search(path)
        if match is None:
            return None
        return "\n".join(part or "" for part in match.groups()) if match.groups() else match.group()

    def keys(self, images: Sequence[Image]) -> list[str | None]:
        """Tell the group of every image.

        Args:
            images: The images.

        Returns:
            One key each, None for an image that is alone.

        Raises:
            UsageError: No image has a group, so the rule is a mistake.
        """
        keys = [self.key(image) for image in images]
        if images and not any(key is not None for key in keys):
            kind = "lies in a folder below its class" if self._depth is not None else "matches"
            raise UsageError(f"--group-by {self.text}: no image {kind} (such as {images[0].path_in_class})")
        return keys


def units(keys: Sequence[str | None]) -> list[list[int]]:
    """Put the images of one group together.

    Args:
        keys: The group of each image, None for an image that is alone.

    Returns:
        Lists of image indices, in the order of their first images.
    """
    found: dict[str, list[int]] = {}
    together: list[list[int]] = []
    for index, key in enumerate(keys):
        if key is not None and key in found:
            found[key].append(index)
            continue
        unit = [index]
        together.append(unit)
        if key is not None:
            found[key] = unit
    return together
