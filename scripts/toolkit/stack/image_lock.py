"""The digests of the images that were pulled, so that another image under the same tag does not go unnoticed."""

import json
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import ROOT, SERVICES, Stack
from toolkit.core.errors import ToolkitError
from toolkit.core.files import write_atomically
from toolkit.stack.engine import registry_digest

if TYPE_CHECKING:
    from docker import DockerClient

LOCK_FILE = ROOT / "config" / "cvat.lock"


def update(client: "DockerClient", stack: Stack) -> list[str]:
    """Write down the digests that the registry gave for the stack's images.

    Args:
        client: The engine.
        stack: The project, whose images were pulled.

    Returns:
        One line for each image that is not the one of the last pull.

    Raises:
        ToolkitError: The file cannot be written.
    """
    known = _read()
    digests = {image: registry_digest(client, image) for image in {stack.image(service) for service in SERVICES}}
    found = {image: digest for image, digest in digests.items() if digest}
    changed = [
        f"{image} is another image than at the last pull: {found[image]}, then {known[image]} ({LOCK_FILE.name})"
        for image in sorted(found)
        if known.get(image, found[image]) != found[image]
    ]
    if found.items() - known.items():
        try:
            write_atomically(LOCK_FILE, json.dumps(known | found, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            raise ToolkitError(f"cannot write {LOCK_FILE}: {error.strerror}") from error
    return changed


def _read() -> dict[str, str]:
    try:
        known = json.loads(LOCK_FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ToolkitError(f"{LOCK_FILE} cannot be read: remove it, and the next pull makes it again") from error
    return {str(image): str(digest) for image, digest in known.items()} if isinstance(known, dict) else {}
