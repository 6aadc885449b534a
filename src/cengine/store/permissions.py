"""Who may read the store: its user, and the group where its folder was opened to the group; nobody else, whatever the umask.

A project's folder is made for its user alone, and what is in a folder is as open as the folder. Whoever wants to share one opens it
once (`chmod 2770`), and all that is written into it afterwards follows.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

OWN = 0o700
FOLLOWED = 0o2070  # of the group, and that new files are the group's


def folder_mode(parent: Path) -> int:
    """The mode of folders in `parent`."""
    return OWN | (stat.S_IMODE(parent.stat().st_mode) & FOLLOWED)


def file_mode(parent: Path) -> int:
    """The mode of files in `parent`."""
    return folder_mode(parent) & 0o660


def make_folder(folder: Path) -> Path:
    """The folder, made with all above it where they are missing."""
    missing = []
    found = folder
    while not found.is_dir():
        missing.append(found)
        found = found.parent
    for one in reversed(missing):
        one.mkdir(mode=OWN, exist_ok=True)
        _set(one, folder_mode(one.parent))
    return folder


def make_file(file: Path) -> Path:
    """The file, made empty where it is missing."""
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    _set(file, file_mode(file.parent))
    return file


def restrict(path: Path) -> None:
    """Makes a file, or a folder with all in it, as open as the folder it is in; links are left alone."""
    if path.is_symlink():
        return
    if not path.is_dir():
        _set(path, file_mode(path.parent))
        return
    _set(path, folder_mode(path.parent))
    for child in path.iterdir():
        restrict(child)


def _set(path: Path, mode: int) -> None:
    """Changes a mode where it is another one; another user's file stays as it is."""
    found = path.stat()
    if stat.S_IMODE(found.st_mode) != mode and found.st_uid == os.geteuid():
        path.chmod(mode)
