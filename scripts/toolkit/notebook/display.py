"""What a notebook shows: HTML from templates, each with a plain text for where there is no HTML."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.core.text import format_size, printable
from toolkit.report.page_templates import TEMPLATES, template_environment

if TYPE_CHECKING:
    from jinja2 import Environment


class Output:
    """A place in a cell's output; what is shown there can be replaced.

    It works in every front end, because it is nothing but messages of the Jupyter protocol: no widgets, no scripts.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, template: str, text: str, /, **values: Any) -> None:
        """Show something, in the place of what was shown before.

        Args:
            template: Name of a macro in ``notebook.html.jinja``.
            text: The same in plain text.
            values: The macro's arguments; text is escaped.
        """
        from IPython.display import display

        macro = getattr(_macros(), template)
        style = (TEMPLATES / "notebook.css").read_text("utf-8")
        bundle = {"text/html": f'<style>{style}</style><div class="cvat">{macro(**values)}</div>', "text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def show(template: str, text: str, /, **values: Any) -> None:
    """Show something that stays as it is; see :meth:`Output.show`."""
    Output().show(template, text, **values)


@functools.cache
def _macros() -> Any:
    return _environment().get_template("notebook.html.jinja").module


def _environment() -> "Environment":
    environment = template_environment()
    environment.filters["printable"] = printable
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["size"] = format_size
    return environment


def warn(text: str) -> None:
    """Show a warning that stays."""
    show("note", f"warning: {printable(text)}", text=text)


def from_top(path: Path) -> str:
    """Write a path as it is seen from the top folder of the repository, which the notebook lies in.

    Args:
        path: An absolute path.

    Returns:
        The path below the top folder, or the absolute path of a place elsewhere.
    """
    tops = [folder for folder in Path.cwd().parents if (folder / "scripts" / "toolkit").is_dir()]
    return str(path.relative_to(tops[0])) if tops and path.is_relative_to(tops[0]) else str(path)
