"""Files that are written aside and then take their place: no reader sees half of one, and no link leads a write elsewhere."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from cengine.errors import StoreError


def write_whole(file: Path, text: str, *, mode: int | None = None) -> Path:
    """The file, which holds the text or, if writing it fails, what it held before.

    A link in its place is replaced; what it points to stays as it is. `mode` is that of the file; by default what the umask leaves.
    Raises OSError.
    """
    aside = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}")
    descriptor = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        aside.replace(file)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return file


def refuse_link(folder: Path) -> Path:
    """The folder. Raises StoreError if it is a link: what is written below it would land elsewhere."""
    if folder.is_symlink():
        raise StoreError(
            f"{folder} is a link to {folder.readlink()}; nothing is written through it",
            "remove the link, or name another folder",
        )
    return folder
