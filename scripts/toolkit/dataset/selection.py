"""Which members of an export are images of which class, where they go, and what is left out of the dataset."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from enum import StrEnum
from typing import NamedTuple

from toolkit.core.errors import ProblemsFound, ToolkitError
from toolkit.core.formats import IMAGE_EXTENSIONS, IMAGENET, UNLABELLED
from toolkit.core.safe_names import fold, is_junk, unsafe_names
from toolkit.core.sequences import Compact
from toolkit.dataset.archive import Archive
from toolkit.dataset.exports import Export, Exports, in_several, results_of
from toolkit.dataset.layout import flat_candidates

_SHOWN = 100


class Unlabelled(StrEnum):
    """What becomes of the images without a tag or box; ``completed`` keeps those of completed jobs, of boxes alone."""

    DROP = "drop"
    KEEP = "keep"
    COMPLETED = "completed"
    ERROR = "error"


class Layout(StrEnum):
    """Where in its class folder an image lies whose frame is in folders."""

    FLAT = "flat"
    NESTED = "nested"


class Reason(StrEnum):
    """Why a member of the export is on no side of the dataset."""

    UNLABELLED = "no label"
    NO_IMAGE = "not an image by its extension"
    NO_CLASS = "not in a class folder"
    JUNK = "left by an operating system or an editor"
    DOTS = "name with '..', which the reference loses"
    MULTI_LABEL = "more than one label"


class Image(NamedTuple):
    """An image of the dataset.

    Attributes:
        name: Its path below ``cvat_exported``.
        class_name: Its class.
        frame: The frame's own path in CVAT; a first folder of the class's name is left out, for some servers repeat it.
        place: Its path below its side.
        size: Bytes.
        member: Its index among the members of all exports.
    """

    name: str
    class_name: str
    frame: str
    place: str
    size: int
    member: int


class Selection(NamedTuple):
    """What the exports hold.

    Attributes:
        classes: Names of the class folders, empty ones too, by code point.
        images: The dataset's images in the reference's order: by class, then by folder, then by name.
        left_out: The other members by index, with the reason.
        file_classes: Classes whose folders hold files that are no images.
    """

    classes: list[str]
    images: Sequence[Image]
    left_out: dict[int, Reason]
    file_classes: Set[str] = frozenset()


class Choice(NamedTuple):
    """What is taken from an export.

    Attributes:
        unlabelled: What to do with the images that have no tag.
        as_reference: Leave out what the reference's way of unpacking loses: names with ``..`` in them.
        keep_junk: Take folders of junk for classes, and a folder around everything for a class, as the reference does.
        layout: Where images of frames in folders lie.
    """

    unlabelled: Unlabelled
    as_reference: bool
    keep_junk: bool = False
    layout: Layout = Layout.FLAT


def select(exports: Exports, choice: Choice) -> Selection:
    """Sort the members of exports of tags into classes.

    Raises:
        ToolkitError: One is something else, or has no class folder.
        ProblemsFound: There are images without a tag, and that was to be an error.
    """
    selected = [_select_from(start, export, choice) for start, export in exports.numbered()]
    each = results_of(selected)
    left_out = {index: reason for one in each for index, reason in one.left_out.items()}
    if choice.unlabelled is Unlabelled.ERROR and Reason.UNLABELLED in left_out.values():
        raise _unlabelled_found(exports, left_out)
    classes = {name for one in each for name in one.classes}
    if not classes:
        raise ToolkitError(f"{exports.title} holds no labelled image: tag some in CVAT, then export again")
    found: dict[str, array[int]] = {}
    for one in each:
        for name, members in one.found.items():
            found.setdefault(name, array("Q")).extend(members)
    return Selection(
        sorted(classes),
        Compact(Image, _placed(exports, found, choice.layout)),
        left_out,
        {name for one in each for name in one.file_classes},
    )


class _Found(NamedTuple):
    """What one export holds.

    Attributes:
        classes: Names of its class folders.
        found: By class, the indices of its images.
        left_out: Its other members.
        file_classes: Classes whose folders hold files that are no images.
    """

    classes: set[str]
    found: "dict[str, array[int]]"
    left_out: dict[int, Reason]
    file_classes: set[str]


def _select_from(start: int, export: Export, choice: Choice) -> "_Found | ToolkitError":
    archive = export.archive
    if export.kind.name != IMAGENET:
        return _other_kind(export)
    root = export.root
    classes: set[str] = set()
    found: dict[str, array[int]] = {}
    left_out: dict[int, Reason] = {}
    file_classes: set[str] = set()
    for folder in archive.folders:
        is_left_out = (is_junk(folder) and not choice.keep_junk) or (choice.as_reference and ".." in folder)
        if f"{folder}/" != root and not is_left_out:
            classes.add(folder.removeprefix(root).partition("/")[0])
    for index, member in enumerate(archive.members, start):
        class_name, slash, _ = member.name.removeprefix(root).partition("/")
        reason = _reason(member.name, class_name, slash, choice)
        if reason is None:
            found.setdefault(class_name, array("Q")).append(index)
            continue
        left_out[index] = reason
        if reason is Reason.NO_IMAGE:
            file_classes.add(class_name)
    classes |= found.keys() | file_classes
    if choice.unlabelled is Unlabelled.DROP:
        classes.discard(UNLABELLED)
    if not classes and Reason.UNLABELLED not in left_out.values():
        return _no_class(archive)
    return _Found(classes, found, left_out, file_classes)


def _reason(name: str, class_name: str, slash: str, choice: Choice) -> Reason | None:
    if not choice.keep_junk and is_junk(name):
        return Reason.JUNK
    if not slash:
        return Reason.NO_CLASS
    if choice.as_reference and ".." in name:
        return Reason.DOTS
    if class_name == UNLABELLED and choice.unlabelled is not Unlabelled.KEEP:
        return Reason.UNLABELLED
    return None if name.lower().endswith(IMAGE_EXTENSIONS) else Reason.NO_IMAGE


def _placed(exports: Exports, found: Mapping[str, Sequence[int]], layout: Layout) -> Iterator[Image]:
    export_of = exports.finder()
    for class_name in sorted(found):
        again = f"{class_name}/"
        rows = []
        for index in found[class_name]:
            member = exports.members[index]
            path = member.name[len(export_of(index).root) + len(again) :]
            frame = path.removeprefix(again)
            folder, _, name = frame.rpartition("/")
            rows.append((folder, name, index, path, frame, member.name, member.size))
        rows.sort()
        paths, frames = [row[3] for row in rows], [row[4] for row in rows]
        places = _places(paths, frames, [export_of(row[2]).folder for row in rows], layout)
        for (_, _, index, _, frame, name, size), place in zip(rows, places, strict=True):
            yield Image(name, class_name, frame, again + place, size, index)


def _places(paths: Sequence[str], frames: Sequence[str], folders: Sequence[str], layout: Layout) -> Sequence[str]:
    """Place the images of one class; names that several exports have are told apart by the folders of these."""
    if layout is Layout.FLAT:
        apart = list(in_several([fold(frame) for frame in frames], folders)) if any(folders) else []
        return flat_names(_behind(folders, paths, apart), _behind(folders, frames, apart))
    has_clash = any(folders) and next(unsafe_names(paths), None) is not None
    return _behind(folders, paths, range(len(paths))) if has_clash else paths


def _behind(folders: Sequence[str], paths: Sequence[str], apart: Iterable[int]) -> Sequence[str]:
    named = list(paths)
    for index in apart:
        named[index] = f"{folders[index]}/{paths[index]}"
    return named


def flat_names(paths: Sequence[str], frames: Sequence[str]) -> list[str]:
    """Give the images of one class names without folders, such as ``garden__north__1.jpg``.

    What lies in no folder keeps its name. What would collide, also where case or Unicode form does not count, or would
    be too long, gets a hash of its path before the extension.

    Args:
        paths: Their paths below the class folder, each once.
        frames: The same without a first folder of the class's name.

    Returns:
        A name each, no two the same.
    """
    if not any("/" in path for path in paths):
        return list(paths)
    taken = {fold(path) for path in paths if "/" not in path}
    names = []
    for path, frame in zip(paths, frames, strict=True):
        if "/" not in path:
            names.append(path)
            continue
        name = next(name for name in flat_candidates(frame, path) if fold(name) not in taken)
        taken.add(fold(name))
        names.append(name)
    return names


def without(selection: Selection, dropped: Iterable[int], reason: Reason) -> Selection:
    """Leave images out of a selection, by their indices; its classes stay."""
    gone = set(dropped)
    left_out = {**selection.left_out, **{selection.images[index].member: reason for index in gone}}
    images = Compact(Image, (image for index, image in enumerate(selection.images) if index not in gone))
    return selection._replace(images=images, left_out=left_out)


def _other_kind(export: Export) -> ToolkitError:
    path, kind = export.archive.path, export.kind
    if kind.is_export:
        from toolkit.dataset.detection_read import READERS

        return ToolkitError(
            f"{path} is an export in format {kind.name}: a dataset is made of tags in {IMAGENET}, or of boxes "
            f"in one of {', '.join(READERS)}: export again in one of these"
        )
    return ToolkitError(
        f"{path} is {kind.name}, no export of tags or boxes: name the zip that CVAT exported (--base-file)"
    )


def _unlabelled_found(exports: Exports, left_out: dict[int, Reason]) -> ToolkitError:
    names = [exports.members[index].name for index, reason in left_out.items() if reason is Reason.UNLABELLED]
    return ProblemsFound(
        f"{exports.title} holds {len(names)} images without a label: tag them in CVAT and export again, "
        "or use --unlabelled drop",
        [*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])],
    )


def _no_class(archive: Archive) -> ToolkitError:
    if any(member.name == f"{archive.prefix}synsets.txt" for member in archive.members):
        return ToolkitError(
            f"{archive.path} was exported without images: export it again with images (make export takes them along)"
        )
    return ToolkitError(
        f"{archive.path} holds no folder for a class: is it an export in format {IMAGENET} of a project with tags?"
    )
