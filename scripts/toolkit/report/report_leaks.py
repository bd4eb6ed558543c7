"""What a report says of images of equal bytes, by the manifest or by looking."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator

from toolkit.dataset.duplicates import name_equal
from toolkit.report.model import Dataset, Finding


def describe_equal_images(groups: Iterable[Iterable[str]]) -> Iterator[Finding]:
    """Tell what is wrong with images of equal bytes.

    Args:
        groups: For each content that is there more than once, the paths `<side>/<class>/<name>`.

    Yields:
        A finding for leaks between the sides, and one for images in several classes, if there are any.
    """
    leaks: list[str] = []
    ambiguous: list[str] = []
    for group in groups:
        paths = sorted(group)
        if len({path.split("/")[0] for path in paths}) > 1:
            leaks.append(name_equal(paths))
        if len({path.split("/")[1] for path in paths}) > 1:
            ambiguous.append(name_equal(paths))
    if leaks:
        both = "in training and in validation, byte for byte, so validation will look too good"
        yield Finding.of("leak", sorted(leaks), f"image is {both}", f"images are {both}")
    if ambiguous:
        several = "in several classes, byte for byte"
        yield Finding.of("several_classes", sorted(ambiguous), f"image is {several}", f"images are {several}")


def find_equal_images(dataset: Dataset) -> Iterator[list[str]]:
    """Compare the images of a dataset; only files of equal length are read.

    Args:
        dataset: A classification dataset.

    Yields:
        The paths of the images of one content, two or more.
    """
    by_length: dict[int, list[str]] = defaultdict(list)
    for image in dataset.images:
        if image.location is not None and image.length:
            by_length[image.length].append(image.location)
    for locations in by_length.values():
        if len(locations) > 1:
            by_content: dict[bytes, list[str]] = defaultdict(list)
            for location in locations:
                by_content[_sha256(dataset, location)].append(location)
            yield from (equal for equal in by_content.values() if len(equal) > 1)


def _sha256(dataset: Dataset, location: str) -> bytes:
    digest = hashlib.sha256()
    with dataset.open_image(location) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
