"""The person's browser, where there is one."""

import os
import sys
import webbrowser
from collections.abc import Mapping

from toolkit.core.secrets import secrets_hidden


def open_page(address: str, environ: Mapping[str, str] | None = None) -> bool:
    """Open a page in the browser of the person.

    Without a screen only the browser that `BROWSER` names is tried (VS Code sets one that opens on the person's
    machine): what else there is would take over the terminal.

    Args:
        address: The page.
        environ: The environment (`BROWSER`, `DISPLAY`, `WAYLAND_DISPLAY`).

    Returns:
        Whether a browser was asked to open it.
    """
    environ = os.environ if environ is None else environ
    has_screen = sys.platform in ("darwin", "win32") or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    if not has_screen and not environ.get("BROWSER"):
        return False
    try:
        with secrets_hidden():
            return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
