"""How what is not installed gets installed. The package index has the project under another name than the command and the import."""

from __future__ import annotations

import os
import shlex
import sys

DISTRIBUTION = "cengine-ml"


def install_command(extra: str) -> str:
    """The command that installs an extra into the environment that is running, as it can be typed here.

    It works for an installation from a clone too: pip takes the installed distribution for the one that is named.
    """
    python = min(sys.executable, os.path.relpath(sys.executable), key=len)
    return f"{shlex.quote(python)} -m pip install '{DISTRIBUTION}[{extra}]'"
