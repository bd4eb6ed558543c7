"""The images of a bucket that the server knows as a cloud storage: a task is made of them without an upload."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.errors import UsageError
from toolkit.cvat.api import Api, CloudStorage
from toolkit.transfer.images import ALL_EXTENSIONS, FoundImages, Image, no_images, reason_by_name

_MOST_BYTES = 500_000
"""Of names on cvat-cli's command line; macOS takes a million bytes there, the environment included."""


@dataclass(frozen=True, slots=True)
class StoredImage(Image):
    """An image in a bucket; its name is its whole key, and its size is not known.

    Attributes:
        prefix: The folder of the bucket that is imported, with a slash at its end; empty for all.
    """

    prefix: str = ""

    @property
    def folder(self) -> str | None:
        """The first folder below the imported one, or None for an image right in it."""
        first, slash, _ = self.name[len(self.prefix) :].partition("/")
        return first if slash else None


def folder_of(prefix: str | None) -> str:
    """Return what a person has typed for a folder of a bucket with a slash at its end alone; empty for all of it."""
    folder = (prefix or "").strip("/")
    return f"{folder}/" if folder else ""


def find_stored(api: Api, storage: CloudStorage, prefix: str, extensions: str | Collection[str]) -> FoundImages:
    """Find the images at any depth below a folder of a bucket, as :func:`toolkit.transfer.images.find_images` does.

    Raises:
        ToolkitError: The server cannot read the bucket, or there is no such image.
    """
    wanted = {extensions} if isinstance(extensions, str) else set(extensions)
    found = FoundImages()
    for key in sorted(api.stored_files(storage, prefix)):
        below = key[len(prefix) :].split("/")
        hidden = next((part for part in below[:-1] if part.startswith(".")), None)
        reason = reason_by_name(hidden or below[-1], wanted)
        if reason:
            found.left_out.setdefault(reason, []).append(key)
        else:
            found.images.append(StoredImage(key, Path("/"), 0, prefix))
    if not found.images:
        raise no_images(f"{storage.url}{prefix}", wanted, found)
    return found


def check_stored(images: Sequence[Image], images_per_task: int | None) -> None:
    """Check that the names of each task fit on the command line of cvat-cli.

    Raises:
        UsageError: They do not; the message says how many do.
    """
    longest = max(len(image.name.encode("utf-8", "surrogatepass")) + 1 for image in images)
    most = max(1, _MOST_BYTES // longest)
    if min(images_per_task or len(images), len(images)) > most:
        raise UsageError(
            f"{len(images)} names are too many for one task: give --images-per-task {most} or a smaller number"
        )


def misnamed_in_exports(images: Sequence[Image]) -> list[str]:
    """Name the images whose extension an export writes in small letters, so that an index of it would not find them."""
    endings = [image.name.rpartition(".")[2] for image in images]
    return [
        image.name
        for image, ending in zip(images, endings, strict=True)
        if ending != ending.lower() and ending.lower() in ALL_EXTENSIONS
    ]
