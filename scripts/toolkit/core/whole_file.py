"""A small file that is either as it was before or whole, whenever the writing of it is stopped."""

import os
from pathlib import Path


def write_whole(path: Path, text: str, is_private: bool = False) -> None:
    """Write a file beside its place and move it there.

    What a killed run has left beside it is written over by the next.

    Args:
        path: The file; an older one is replaced.
        text: Its whole content.
        is_private: Whether its owner alone may read it.

    Raises:
        OSError: It could not be written; what was there before is unchanged.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        descriptor = os.open(part, flags, 0o600 if is_private else 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            if is_private:
                os.fchmod(stream.fileno(), 0o600)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
