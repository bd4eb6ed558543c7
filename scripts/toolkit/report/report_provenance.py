"""What a dataset's manifest tells a report: where the dataset comes from, and its equal images."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from toolkit.dataset import manifest
from toolkit.dataset.layout import MANIFEST
from toolkit.report.model import Dataset, Finding
from toolkit.report.report_leaks import describe_equal_images, find_equal_images


def add_provenance(dataset: Dataset) -> None:
    """Add what the manifest tells; without a manifest, look for equal images oneself.

    Args:
        dataset: A classification dataset; findings and provenance are added.

    Raises:
        ToolkitError: The manifest is damaged or of another version.
    """
    path = dataset.source / MANIFEST
    if not _is_manifest(path):
        dataset.findings[:0] = describe_equal_images(find_equal_images(dataset))
        dataset.provenance = [("Folder", dataset.source.name), ("Manifest", "none: where it comes from is not known")]
        return
    record = manifest.read(path)
    inside = [[path for path in equal.paths if path.split("/")[0] in dataset.sides] for equal in record.duplicates]
    dataset.findings[:0] = describe_equal_images(paths for paths in inside if len(paths) > 1)
    dataset.findings += _differences(dataset, [image.path for image in record.images])
    dataset.notes = list(record.warnings)
    dataset.provenance = [
        ("Source", record.source.name),
        ("Size of the source", f"{record.source.size:,} bytes"),
        ("SHA-256 of the source's directory", record.source.directory_sha256),
        ("Converted by", f"cvat-toolkit {record.tool}"),
        *((name.replace("_", " ").capitalize(), _shown(value)) for name, value in record.options.items()),
    ]
    if record.left_out:
        dataset.provenance.append(("Left out of both sides", f"{len(record.left_out):,} files of the export"))


def _is_manifest(path: Path) -> bool:
    return path.is_file() and manifest.is_manifest(path)


def _differences(dataset: Dataset, recorded: Iterable[str]) -> Iterator[Finding]:
    there = {image.location for image in dataset.images}
    differing = sorted(there.symmetric_difference(recorded), key=str)
    if differing:
        not_both = "not both in the folder and in its manifest (make verify tells more)"
        names = [str(path) for path in differing]
        yield Finding.of("manifest_differs", names, f"image is {not_both}", f"images are {not_both}")


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
