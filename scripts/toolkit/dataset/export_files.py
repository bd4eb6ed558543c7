"""The files of an export: what kind it is, told from their names alone, and labels read with bounds."""

import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from toolkit.core.formats import IMAGE_EXTENSIONS, IMAGENET
from toolkit.core.images import NoImage, read_header
from toolkit.core.safe_names import LARGEST_LIST, fold, is_junk, is_text_bomb
from toolkit.core.text import format_size
from toolkit.dataset.archive import Archive
from toolkit.dataset.unpack import open_member

IMAGE_KINDS = (*IMAGE_EXTENSIONS, ".tif", ".tiff", ".webp", ".heic", ".avif", ".jfif")
"""What counts as an image where a format is told; more than a dataset takes."""


class Kind(NamedTuple):
    """What an archive is.

    The name is the format as CVAT spells it, such as "ImageNet 1.0" or "YOLO 1.1", or words for what is none of CVAT's.
    ``root`` is the folder that all members lie in, with a slash at the end; empty without one.
    """

    name: str
    is_export: bool
    root: str


def recognise(names: Sequence[str], keep_junk: bool = False) -> Kind:
    """Tell what an archive is by its members, without folders; "ImageNet 1.0" where images in folders are all there is.

    With ``keep_junk``, junk and a folder around everything are taken for what they look like.
    """
    kept = [name for name in names if keep_junk or not is_junk(name)]
    outer = _by_files(kept)
    tops = {name.partition("/")[0] if "/" in name else "" for name in kept}
    if outer is not None and outer not in _NO_EXPORT:
        return Kind(outer, True, "")
    if keep_junk or len(tops) != 1 or not (top := tops.pop()):
        return Kind(outer or IMAGENET, outer is None, "")
    inner = [name[len(top) + 1 :] for name in kept]
    found = _by_files(inner)
    if found is not None and (outer is None or found not in _NO_EXPORT):
        return Kind(found, found not in _NO_EXPORT, f"{top}/")
    if outer is not None:  # less telling than a format that is found inside
        return Kind(outer, False, "")
    return Kind(IMAGENET, True, f"{top}/" if _are_classes(inner, top) else "")


def _are_classes(names: Sequence[str], top: str) -> bool:
    """Tell whether the only folder of an archive is one that a person's packing put around the classes.

    A single class whose frames lie in folders looks alike. Images right in it, or a folder of its own name again, tell
    it apart; without these signs a single class for all images is the less likely of the two.
    """
    folders = {name.partition("/")[0] for name in names if "/" in name}
    return len(folders) > 1 and top not in folders and not any("/" not in name and is_image(name) for name in names)


def is_image(name: str) -> bool:
    """Tell by its extension whether a file is an image, also one that a dataset does not take."""
    return name.lower().endswith(IMAGE_KINDS)


_CONVERTED = "a dataset that convert made already"
_SPLIT = "a dataset that is split into sides already"
_ANNOTATED = "images with a file of annotations each"
_BACKUP = "a backup of a CVAT project or task"
_NO_IMAGES = "an archive without images"
_NO_EXPORT = {_CONVERTED, _SPLIT, _ANNOTATED, _BACKUP, _NO_IMAGES}

_FILES: tuple[tuple[str, str], ...] = (
    ("YOLO 1.1", r"obj\.(names|data)|obj_[^/]+_data/.*\.txt"),
    ("COCO 1.0", r"annotations/instances_[^/]*\.json|([^/]+/)?_annotations\.coco\.json"),
    ("COCO Keypoints 1.0", r"annotations/person_keypoints_[^/]*\.json"),
    ("PASCAL VOC 1.1", r"ImageSets/(Main|Layout|Action)/.*\.txt"),
    ("Segmentation mask 1.1", r"SegmentationClass/.*|SegmentationObject/.*"),
    ("PASCAL VOC 1.1", r"JPEGImages/.*"),
    ("LabelMe 3.0", r"Annotations/.*\.xml"),
    ("Open Images V6 1.0", r"annotations/.*\.csv"),
    ("MOTS PNG 1.0", r"[^/]+/instances/labels\.txt"),
    ("MOT 1.1", r"(.*/)?gt/(gt|labels)\.txt"),
    ("WiderFace 1.0", r"wider_face_split/.*|WIDER_[^/]+/images/.*"),
    ("VGGFace2 1.0", r"bb_landmark/.*\.csv"),
    ("LFW 1.0", r"[^/]+/annotations/(pairs|people|landmarks)\.txt"),
    ("Market-1501 1.0", r"bounding_box_(train|test)/.*|images_[^/]+\.txt"),
    ("ICDAR Localization 1.0", r"[^/]+/(.*/)?gt_[^/]*\.txt|[^/]+/gt/.*\.(txt|png)|[^/]+/gt\.txt"),
    ("Cityscapes 1.0", r"gtFine/.*|imgsFine/.*"),
    ("KITTI 1.0", r"([^/]+/)?(label_2/.*\.txt|image_2/.*|semantic_rgb/.*)"),
    ("CamVid 1.0", r"label_colors\.txt"),
    ("CVAT for images 1.1", r"annotations\.xml"),
    ("Datumaro 1.0", r"annotations/[^/]+\.json|dataset_meta\.json"),
    ("TFRecord 1.0", r".*\.tfrecord|label_map\.pbtxt"),
    ("Kitti Raw Format 1.0", r"tracklet_labels\.xml"),
    ("Sly Point Cloud Format 1.0", r"key_id_map\.json"),
    ("Ultralytics YOLO Detection 1.0", r"data\.ya?ml"),
    ("Ultralytics YOLO Classification 1.0", r"(train|val|valid|validation|test|default)/labels\.json"),
)
"""By format: files that only it has; the first that fits is it, so what is more telling comes first.

Formats that differ in their content alone go by one name: "CVAT for images 1.1" is "CVAT for video 1.1" as well, and
"Ultralytics YOLO Detection 1.0" all that have boxes, polygons or points.
"""

_TELLING: Callable[[str], object] = re.compile("|".join(f"(?:{pattern})" for _, pattern in _FILES)).fullmatch
_SIDES = {"train", "training", "val", "valid", "validation", "test", "testing"}


def _by_files(names: Sequence[str]) -> str | None:
    """Recognise what has a file that tells of it; None for images in folders."""
    found = {name for name in names if "/" not in name}
    if {"labels.json", "manifest.json"} <= found and any(name.startswith("training/") for name in names):
        return _CONVERTED
    if found & {"project.json", "task.json"} and not any(is_image(name) and name.count("/") == 1 for name in names):
        return _BACKUP
    telling = list(filter(_TELLING, names))
    for format_name, pattern in _FILES:
        if any(map(re.compile(pattern).fullmatch, telling)):
            return format_name
    images: list[str] = []
    others: list[str] = []
    for name in names:
        (images if is_image(name) else others).append(name)
    if not images:
        without_images = "synsets.txt" in found and len(found) == len(others)  # an export in ImageNet 1.0
        return None if not others or without_images else _NO_IMAGES
    tops = {name.partition("/")[0] for name in images}
    if len(tops) > 1 and {top.lower() for top in tops} <= _SIDES and all(name.count("/") > 1 for name in images):
        return _SPLIT
    return _ANNOTATED if _are_annotated(images, others) else None


def _are_annotated(images: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether at least half of the images have a text file of their name, beside them or in another folder."""
    stems = {
        name.rpartition("/")[2].rpartition(".")[0]
        for name in others
        if name.lower().endswith((".txt", ".xml", ".json"))
    }
    return bool(stems) and 2 * sum(name.rpartition("/")[2].rpartition(".")[0] in stems for name in images) >= len(
        images
    )


class LabelProblem(ValueError):
    """Labels are not what their format says; the message tells what is wrong."""


class LabelFiles:
    """The files below the folder that all of an export lies in.

    ``names`` are paths, sorted, without what operating systems and editors leave, which is in ``junk``.
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
        """Open a label file; a small one is a list of classes, or the labels of one image.

        Raises LabelProblem where it is not there, is too large, or cannot be opened.
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
