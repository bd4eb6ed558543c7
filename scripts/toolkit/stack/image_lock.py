"""The digests of the images that were pulled: what is started is what was pulled, whatever the tag names later."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import LOCK_FILE, SERVICES, Stack, locked_digests
from toolkit.core.errors import ToolkitError
from toolkit.core.files import write_atomically
from toolkit.stack.engine import registry_digests

if TYPE_CHECKING:
    from docker import DockerClient


def by_tags(stack: Stack) -> Stack:
    """Return the stack whose images are named by their tags alone, for a pull that asks what these name now."""
    return replace(stack, digests={})


def update(client: "DockerClient", stack: Stack) -> tuple[Stack, list[str]]:
    """Write down the digests that the registry gave for the stack's images.

    Args:
        client: The engine.
        stack: The project, whose images are here.

    Returns:
        The stack that starts these images, and one line for each that is not the one of the last pull.

    Raises:
        ToolkitError: The file cannot be written.
    """
    names = {by_tags(stack).image(service): stack.image(service) for service in SERVICES}
    digests = {tag: registry_digests(client, image) for tag, image in sorted(names.items())}
    known = locked_digests()
    # An image has several when the registry's list of it for all kinds of machines was made anew.
    found = {tag: known[tag] if known.get(tag) in some else some[0] for tag, some in digests.items() if some}
    changed = [
        f"{tag} is another image than at the last pull: {digest}, then {known[tag]} ({LOCK_FILE.name})"
        for tag, digest in found.items()
        if known.get(tag, digest) != digest
    ]
    if found.items() - known.items():
        try:
            write_atomically(LOCK_FILE, json.dumps(known | found, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            raise ToolkitError(f"cannot write {LOCK_FILE}: {error.strerror}") from error
    return replace(stack, digests=known | found), changed
