"""Images that stand out: dark, bright, blurred, oddly shaped, nearly equal, with odd boxes."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, combinations
from statistics import median

from toolkit.dataset.detection_labels import Box
from toolkit.dataset.duplicates import LIMITED, alike
from toolkit.report.facts import Dataset, DatasetImage, Examination, Finding, Outliers, Size
from toolkit.report.pictures import PLAIN, Look, in_threads, measure

DEFAULT_MOST = 10_000
_MOST_PIXELS = 4_000_000_000
"""Pixels of all images together that are measured if it is not said how many; 4,000 photographs of a megapixel."""

# Cleanlab's cleanvision has measured and published where pictures begin to look wrong; these are its limits.
_DARK = 82
_BRIGHT = 242
_NARROW = 0.35

_BLURRED = 4
"""Times the median softness of the dataset."""
_NAMED = 4
_FEW = 8
"""A median of fewer pictures tells nothing."""
_TINY_SIDE = 4.0
"""Pixels; a shorter side is tiny by itself."""
_TINY_SHARE = 1 / 16
"""Of the picture's shorter side: in pictures of a few pixels, boxes of a few pixels are usual."""
_TINY_PART = 0.0002
_OVERLAP = 0.85
_MOST_PAIRS = 200
"""Boxes of an image that are compared with one another."""
_MANY_BOXES = 20


def choose(dataset: Dataset, most: int | None) -> list[DatasetImage]:
    """Choose the images to measure, spread evenly over the dataset.

    Args:
        dataset: The dataset, with sizes.
        most: How many at most; None chooses so many that it does not take long.
    """
    images = [image for image in dataset.images if image.location is not None and image.problem is None]
    count = min(len(images), DEFAULT_MOST if most is None else most)
    if most is None and images:
        pixels = sum(image.size[0] * image.size[1] for image in images if image.size) / len(images)
        count = min(count, int(_MOST_PIXELS / max(pixels, 1)) + 1)
    return [images[index * len(images) // count] for index in range(count)]


def find_outliers(dataset: Dataset, chosen: Sequence[DatasetImage], step: Callable[[], None]) -> Examination:
    """Measure images and find those that stand out.

    Args:
        dataset: The dataset; the `problem` of images that turn out to be broken is set.
        chosen: The images to measure; shapes and boxes are looked at in all.
        step: Called after each.
    """
    measured = zip(chosen, in_threads(lambda image: measure(dataset, image), chosen, step), strict=True)
    looks = [(image, look) for image, look in measured if look is not None]
    groups, is_limited = alike([look.hash for _, look in looks])
    if is_limited:
        dataset.findings.append(Finding("near_duplicates", LIMITED, []))
    alike_images = [[looks[at][0] for at in group] for group in groups]
    found = [*_of_looks(looks), _of_groups(alike_images), *_of_shapes(dataset.images), *_of_boxes(dataset.images)]
    return Examination(len(looks), [kind for kind in found if kind.images])


def _of_looks(looks: Sequence[tuple[DatasetImage, Look]]) -> Iterator[Outliers]:
    def ranked(
        kind: str, title: str, hint: str, pick: Callable[[Look], float | None], tell: Callable[[Look], str]
    ) -> Outliers:
        picked = [(value, image, look) for image, look in looks if (value := pick(look)) is not None]
        picked.sort(key=lambda entry: entry[0])
        names = [f"{image.location}: {tell(look)}" for _, image, look in picked]
        return Outliers(kind, title, hint, [image for _, image, _ in picked], names)

    yield ranked(
        "dark",
        "Dark",
        "hardly any point of them is bright",
        lambda look: look.brightest if look.brightest < _DARK else None,
        lambda look: f"its brightest points have {look.brightest} of 255",
    )
    yield ranked(
        "bright",
        "Bright",
        "hardly any point of them is dark",
        lambda look: -look.darkest if look.darkest > _BRIGHT else None,
        lambda look: f"its darkest points have {look.darkest} of 255",
    )
    yield ranked(
        "plain",
        "Of one colour",
        "there is next to nothing in them",
        lambda look: look.contrast if look.contrast < PLAIN else None,
        lambda look: f"contrast {look.contrast:.1f}",
    )
    textured = [look.softness for _, look in looks if look.contrast >= PLAIN]
    if len(textured) >= _FEW:
        usual = median(textured)
        yield ranked(
            "blurred",
            "Blurred",
            "their edges are much softer than those of the others",
            lambda look: -look.softness if look.contrast >= PLAIN and look.softness > _BLURRED * usual else None,
            lambda look: f"edges {look.softness / max(usual, 0.01):.0f} times as soft as usual",
        )


def _of_groups(groups: Sequence[Sequence[DatasetImage]]) -> Outliers:
    return Outliers(
        "near_duplicate",
        "Near-duplicates",
        "they show the same, although their bytes differ; in two splits they are data leakage",
        [image for group in groups for image in group],
        [_alike(group) for group in groups],
    )


def _alike(group: Sequence[DatasetImage]) -> str:
    names = [str(image.location) for image in group]
    if len(names) <= _NAMED:
        return " ≈ ".join(names)
    return f"{' ≈ '.join(names[: _NAMED - 1])} ≈ … ({len(names):,} in all)"


def _of_shapes(images: Sequence[DatasetImage]) -> Iterator[Outliers]:
    sizes = Counter(image.size for image in images if image.size is not None)
    ratios = sorted((min(size) / max(size), count) for size, count in sizes.items())
    middle = bisect_left(list(accumulate(count for _, count in ratios)), sizes.total() / 2)
    usual = ratios[middle][0] if ratios else 1.0
    limit = min(_NARROW, usual * 0.6)  # where all are panoramas, none is odd
    odd = {size for size in sizes if min(size) / max(size) < limit}
    narrow = sorted((image for image in images if image.size in odd), key=_ratio)
    names = [f"{image.location or image.name}: {_pixels(image)}" for image in narrow]
    yield Outliers("odd_shape", "Oddly shaped", "they are much longer one way", narrow, names)


def _ratio(image: DatasetImage) -> float:
    width, height = image.size or (1, 1)
    return min(width, height) / max(width, height)


def _pixels(image: DatasetImage) -> str:
    width, height = image.size or (0, 0)
    return f"{width} × {height}"


def _of_boxes(images: Sequence[DatasetImage]) -> Iterator[Outliers]:
    tiny: list[tuple[DatasetImage, str]] = []
    overlapping: list[tuple[DatasetImage, str]] = []
    counts = [len(image.boxes) for image in images if image.boxes]
    usual = median(counts) if counts else 0
    crowded = [image for image in images if len(image.boxes) > max(_MANY_BOXES, 5 * usual)]
    for image in images:
        if not image.boxes:
            continue
        small = [box for box in image.boxes if image.size and _is_tiny(box, image.size)]
        if small:
            tiny.append((image, ", ".join(f"{box.label} {_extent(box)}" for box in small[:3])))
        if (pair := _overlapping(image.boxes)) is not None:
            overlapping.append((image, f"{pair[0].label} and {pair[1].label} cover nearly the same"))
    for kind, title, hint, found in (
        ("tiny_box", "With tiny boxes", "a slip of the mouse leaves boxes of a few pixels", tiny),
        ("overlapping_boxes", "With boxes on top of each other", "an object may have been labelled twice", overlapping),
    ):
        yield Outliers(
            kind, title, hint, [image for image, _ in found], [f"{image.name}: {what}" for image, what in found]
        )
    crowded.sort(key=lambda image: -len(image.boxes))
    names = [f"{image.name}: {len(image.boxes)} boxes" for image in crowded]
    yield Outliers("many_boxes", "With very many boxes", f"{usual:g} are usual", crowded, names)


def _extent(box: Box) -> str:
    return f"{box.right - box.left:.0f} × {box.bottom - box.top:.0f}"


def _is_tiny(box: Box, size: Size) -> bool:
    width, height = box.right - box.left, box.bottom - box.top
    shortest = min(_TINY_SIDE, _TINY_SHARE * min(size))
    return min(width, height) < shortest or width * height < _TINY_PART * size[0] * size[1]


def _overlapping(boxes: Sequence[Box]) -> tuple[Box, Box] | None:
    for first, second in combinations(boxes[:_MOST_PAIRS], 2):
        width = min(first.right, second.right) - max(first.left, second.left)
        height = min(first.bottom, second.bottom) - max(first.top, second.top)
        if width > 0 and height > 0:
            common = width * height
            areas = [(box.right - box.left) * (box.bottom - box.top) for box in (first, second)]
            if common >= _OVERLAP * (areas[0] + areas[1] - common):
                return first, second
    return None
