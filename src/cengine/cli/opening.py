"""Opens a page in the browser and a notebook in Jupyter, where there is somebody to look."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

from cengine.cli.output import echo
from cengine.extras import install_command


def open_page(page: Path | str) -> bool:
    """Whether a page, a file or an address, is being opened in a browser; without a display nothing is.

    The browser runs by itself: nothing waits for it, and what it prints is not shown.
    """
    if not _has_display():
        return False
    address = page.absolute().as_uri() if isinstance(page, Path) else page
    silent = subprocess.DEVNULL
    command = [sys.executable, "-m", "webbrowser", address]
    browser = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent, start_new_session=True)
    threading.Thread(target=browser.wait, daemon=True).start()
    return True


def open_notebook(notebook: Path) -> None:
    """Becomes JupyterLab on the notebook, as if `jupyter lab NOTEBOOK` had been typed: Ctrl-C and what follows are Jupyter's.

    Without a display, or without JupyterLab, it says how to open it, and that is all.
    """
    from importlib.util import find_spec

    if find_spec("jupyterlab") is None:
        echo(
            f"JupyterLab is not installed, the notebook is not opened: {install_command('notebook')}; the page needs nothing: --browser"
        )
        return
    command = f"jupyter lab {shlex.quote(str(notebook))}"
    if not _has_display():
        echo(f"there is no display to open it on; where there is one: {command}")
        return
    # Said, so that it can be typed again, with whatever Jupyter may ask for.
    echo(f"opening it, Ctrl-C ends: {command}")
    os.execv(sys.executable, jupyter_command(notebook))


def jupyter_command(notebook: Path) -> list[str]:
    """The command that shows the notebook; its own folder is Jupyter's root, for Jupyter opens nothing in a hidden one."""
    file = notebook.absolute()
    return [sys.executable, "-m", "jupyterlab", str(file), f"--ServerApp.root_dir={file.parent}"]


def _has_display() -> bool:
    """Whether a window can be shown; a BROWSER that somebody has named is taken at its word."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
