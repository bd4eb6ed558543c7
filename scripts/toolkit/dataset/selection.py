"""Which members of an export are images of which class, and what is left out of the dataset."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from toolkit.core.errors import ProblemsFound, ToolkitError
from toolkit.core.formats import IMAGE_EXTENSIONS, UNLABELLED
from toolkit.dataset.archive import Archive


class Unlabelled(StrEnum):
    """What becomes of the images without a tag."""

    DROP = "drop"
    KEEP = "keep"
    ERROR = "error"


class Reason(StrEnum):
    """Why a member of the export is in neither side of the dataset."""

    UNLABELLED = "no label"
    NO_IMAGE = "not an image by its extension"
    NO_CLASS = "not in a class folder"
    DOTS = "name with '..', which the reference loses"
    MULTI_LABEL = "more than one label"


class Image(NamedTuple):
    """An image of the dataset.

    Attributes:
        name: Its path below ``cvat_exported`` and, the same, below its side; the first folder is its class.
        class_name: Its class.
        size: Bytes.
        member: Its index among the archive's members.
    """

    name: str
    class_name: str
    size: int
    member: int

    @property
    def path_in_class(self) -> str:
        """The path without the class."""
        return self.name[len(self.class_name) + 1 :]


class Selection(NamedTuple):
    """What an export holds.

    Attributes:
        classes: Names of the class folders, empty ones too, by code point.
        images: The dataset's images in the reference's order: by class, then by folder, then by name.
        left_out: The other members by index, with the reason.
    """

    classes: list[str]
    images: list[Image]
    left_out: dict[int, Reason]


def select(archive: Archive, unlabelled: Unlabelled, as_reference: bool) -> Selection:
    """Sort an export's members into classes.

    Args:
        archive: The open archive.
        unlabelled: What to do with the images that have no tag.
        as_reference: Leave out what the reference's way of unpacking loses: names with ``..`` in them.

    Returns:
        Classes, images and what is left out.

    Raises:
        ToolkitError: There is no class folder.
        ProblemsFound: There are images without a tag, and that was to be an error.
    """
    classes: set[str] = set()
    images: list[Image] = []
    left_out: dict[int, Reason] = {}
    for folder in archive.folders:
        if not (as_reference and ".." in folder):
            classes.add(folder.partition("/")[0])
    interned: dict[str, str] = {}
    for index, member in enumerate(archive.members):
        class_name, slash, _ = member.name.partition("/")
        reason = _reason(member.name, class_name, slash, unlabelled, as_reference)
        if slash and reason in (None, Reason.NO_IMAGE):
            class_name = interned.setdefault(class_name, class_name)
            classes.add(class_name)
        if reason is None:
            images.append(Image(member.name, class_name, member.size, index))
        else:
            left_out[index] = reason
    if unlabelled is Unlabelled.ERROR and Reason.UNLABELLED in left_out.values():
        raise _unlabelled_found(archive, left_out)
    if unlabelled is Unlabelled.DROP:
        classes.discard(UNLABELLED)
    if not classes:
        raise _no_class(archive, left_out)
    images.sort(key=_listing_order)
    return Selection(sorted(classes), images, left_out)


def _listing_order(image: Image) -> tuple[str, str, str]:
    folder, _, name = image.name.rpartition("/")
    return image.class_name, folder, name


def _reason(name: str, class_name: str, slash: str, unlabelled: Unlabelled, as_reference: bool) -> Reason | None:
    if not slash:
        return Reason.NO_CLASS
    if as_reference and ".." in name:
        return Reason.DOTS
    if class_name == UNLABELLED and unlabelled is not Unlabelled.KEEP:
        return Reason.UNLABELLED
    return None if name.lower().endswith(IMAGE_EXTENSIONS) else Reason.NO_IMAGE


def without(selection: Selection, dropped: Iterable[int], reason: Reason) -> Selection:
    """Leave images out of a selection.

    Args:
        selection: The selection.
        dropped: Indices into its images.
        reason: Why.

    Returns:
        A new selection with the same classes.
    """
    gone = set(dropped)
    left_out = {**selection.left_out, **{selection.images[index].member: reason for index in gone}}
    images = [image for index, image in enumerate(selection.images) if index not in gone]
    return Selection(selection.classes, images, left_out)


def _unlabelled_found(archive: Archive, left_out: dict[int, Reason]) -> ToolkitError:
    names = list(_names(archive, left_out, Reason.UNLABELLED))
    return ProblemsFound(
        f"{archive.path} holds {len(names)} images without a label: tag them in CVAT and export again, "
        "or use --unlabelled drop",
        [*names[:100], *(["…"] if len(names) > 100 else [])],
    )


def _no_class(archive: Archive, left_out: dict[int, Reason]) -> ToolkitError:
    if any(reason is Reason.UNLABELLED for reason in left_out.values()):
        return ToolkitError(f"{archive.path} holds no labelled image: tag some in CVAT, then export again")
    names = set(_names(archive, left_out, Reason.NO_CLASS))
    if "synsets.txt" in names:
        return ToolkitError(
            f"{archive.path} was exported without images: export it again with images (make export takes them along)"
        )
    return ToolkitError(
        f"{archive.path} holds no folder for a class: is it an export in format ImageNet 1.0 of a project with tags?"
    )


def _names(archive: Archive, left_out: dict[int, Reason], reason: Reason) -> Iterator[str]:
    for index, found in left_out.items():
        if found is reason:
            yield archive.members[index].name
