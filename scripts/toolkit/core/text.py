"""Text for people: what is safe to print, sizes, a few names of many."""

from collections.abc import Iterable


def printable(text: str) -> str:
    """Make text from outside (a file name, a server's answer) safe to print on one line.

    Control characters, line and paragraph separators, bidirectional marks and undecodable bytes come out as escapes, so
    that a name can neither break a line nor colour or reorder the terminal's text.

    Args:
        text: Any string, surrogate escapes included.

    Returns:
        The text with every character that does not show as itself replaced by its backslash escape.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


NAMES_SHOWN = 5


def some_names(names: Iterable[str], count: int = NAMES_SHOWN) -> str:
    """Name the first few of many.

    Args:
        names: The names.
        count: How many to name at most.

    Returns:
        The names separated by commas, with an ellipsis if there are more.
    """
    given = list(names)
    return ", ".join(given[:count]) + (", …" if len(given) > count else "")


def format_size(count: int) -> str:
    """Write a number of bytes for people, such as "350 bytes" or "1.2 MiB"."""
    if count < 1024:
        return f"{count} bytes"
    power = min(4, (count.bit_length() - 1) // 10)
    return f"{count / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"
