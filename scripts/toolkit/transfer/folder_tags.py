"""Tags taken from folders: an image gets the name of its first folder as its label."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from toolkit.core.errors import ToolkitError
from toolkit.cvat.api import Label
from toolkit.transfer.images import Image

ANNOTATION_FORMAT = "CVAT 1.1"
TAG_TYPES = ("tag", "any")


def check_folders(images: Sequence[Image], labels: Sequence[Label], project_id: int) -> None:
    """Check that every first folder is a label of the project that can be a tag.

    Args:
        images: The images to import.
        labels: The labels of the project.
        project_id: The project, for the message.

    Raises:
        ToolkitError: Folders without a label; both lists are named.
    """
    folders = sorted({image.folder for image in images if image.folder is not None})
    tags = sorted(label.name for label in labels if label.type in TAG_TYPES)
    unknown = [folder for folder in folders if folder not in tags]
    if unknown:
        raise ToolkitError(
            f"{len(unknown)} of the folders are no tag labels of project {project_id}, nothing was sent: "
            "rename them, or add the labels to the project",
            [
                f"no label: {', '.join(unknown)}",
                f"folders: {', '.join(folders)}",
                f"tag labels of the project: {', '.join(tags) or 'none'}",
            ],
        )


def write_annotations(images: Sequence[Image], sizes: Mapping[str, tuple[int, int]], target: Path) -> int:
    """Write the tags as an annotation file in the format "CVAT 1.1".

    Args:
        images: The images of the task.
        sizes: Width and height in pixels by image name; 0 is written where it is not known.
        target: The XML file to write.

    Returns:
        How many images got a tag; those at the top, in no folder, get none.
    """
    tagged = 0
    with target.open("w", encoding="utf-8") as stream:
        stream.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        for number, image in enumerate(sorted(images, key=lambda image: image.name)):
            if image.folder is None:
                continue
            width, height = sizes.get(image.name, (0, 0))
            stream.write(
                f'<image id="{number}" name={quoteattr(image.name)} width="{width}" height="{height}">'
                f'<tag label={quoteattr(image.folder)} source="manual"></tag></image>\n'
            )
            tagged += 1
        stream.write("</annotations>\n")
    return tagged
