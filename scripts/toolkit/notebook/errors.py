"""Errors in a notebook: one message that stops it, as in a terminal."""

from types import TracebackType
from typing import Any

from toolkit.core.errors import ToolkitError
from toolkit.core.text import printable

INTERRUPTED = "interrupted: run the cell again when you like"
_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"


def show_errors_briefly() -> None:
    """Arrange that errors are shown without a traceback; outside of a notebook nothing happens.

    The toolkit's own errors, those of the file system and the stop button get a message; anything else, which nobody
    expected, gets the one line that IPython calls "minimal". ``%xmode context`` and ``%tb`` then show its traceback.
    """
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        return
    shell.InteractiveTB.set_mode(mode="Minimal")
    shell.set_custom_exc((ToolkitError, OSError, KeyboardInterrupt), _show)


def _show(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    lines = lines_of(error)
    # The attribute is IPython's own way to let an exception say how it is shown; the cell still counts as failed.
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
    shell.showtraceback((kind, error, trace))


def lines_of(error: BaseException) -> list[str]:
    """Say what an error means.

    Args:
        error: One of the toolkit's errors, of the file system, or an interrupt; its notes say what was undone.

    Returns:
        The lines to show; the first begins with a coloured "error:".
    """
    details = [*getattr(error, "__notes__", ())]
    if isinstance(error, KeyboardInterrupt):
        return [f"{_RED}{INTERRUPTED}{_PLAIN}", *_listed(details)]
    if isinstance(error, ToolkitError):
        message = error.message
        details = [*error.details, *details]
    else:
        assert isinstance(error, OSError)
        reason = error.strerror or str(error)
        message = f"{reason}: {error.filename}" if error.filename else reason
    return [f"{_RED}error:{_PLAIN} {printable(message)}", *_listed(details)]


def _listed(details: list[str]) -> list[str]:
    return [f"  - {printable(detail)}" for detail in details]
