"""The format "ImageNet 1.0": one folder a label."""

from collections.abc import Iterator

from standin.exports.archive import Contents, placed
from standin.exports.dataset import Dataset, Item

NO_LABEL = "no_label"


def contents(dataset: Dataset, with_images: bool, merge_label_folder: bool) -> Contents:
    """Lay out an export.

    Args:
        dataset: What to export.
        with_images: Images in folders of labels; else two kinds of text files.
        merge_label_folder: Leave out a name's first folder where it is the label's name.
    """
    if with_images:
        return placed(_images(dataset, merge_label_folder))
    files: Contents = {"synsets.txt": "".join(f"{label['name']}\n" for label in dataset.labels).encode()}
    for subset, items in dataset.subsets().items():
        files[f"{subset}.txt"] = "".join(_line(dataset, item) for item in items).encode()
    return files


def _images(dataset: Dataset, merge_label_folder: bool) -> Iterator[tuple[str, Item]]:
    label_names = dataset.names_by_label_id()
    for item in dataset.items:
        name = item.lowered_name
        if ":" in item.stem and not merge_label_folder:
            # datumaro 1.10 takes what stands before a colon for a label that an import put there.
            name = "_".join(item.stem.split(":")[1:]) + name.removeprefix(item.stem)
        found = dict.fromkeys(label_names[tag["label_id"]] for tag in item.tags)
        for label in found or [NO_LABEL]:
            folder, _, rest = name.partition("/")
            yield (name if merge_label_folder and rest and folder == label else f"{label}/{name}"), item


def _line(dataset: Dataset, item: Item) -> str:
    places = {label["id"]: place for place, label in enumerate(dataset.labels)}
    numbers = sorted({places[tag["label_id"]] for tag in item.tags})
    extension = item.lowered_name.removeprefix(item.stem)
    stem = f'"{item.stem}"' if len(item.stem.split()) > 1 else item.stem
    return f"{stem}{extension} {' '.join(map(str, numbers))}\n"
