"""Whether a stored file is what was written, and what mends one that is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cengine.digests import file_digest
from cengine.errors import StoreError

SNAPSHOT = "snapshot"
# So small a file is read whole when its artifact is used: that takes less than a millisecond.
SMALL_BYTES = 256 * 1024


def flaw(
    file: Path, name: str, known: Mapping[str, Any], report: Callable[[int], None] | None = None, *, digest: bool = True
) -> str:
    """What is wrong with a file, nothing if it is as it was written. Without `digest` only its size is looked at."""
    try:
        size = file.stat().st_size
        if size != known["num_bytes"]:
            return f"{name} has {size:,} bytes, not {known['num_bytes']:,}"
        return (
            ""
            if not digest or file_digest(file, report) == known["sha256"]
            else f"{name} holds other bytes than were written"
        )
    except FileNotFoundError:
        return f"{name} is not there"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"


def mend(stage: str) -> str:
    """How a damaged artifact of a stage is mended, in a sentence."""
    if stage == SNAPSHOT:
        return (
            "cengine cache verify --repair --snapshots removes it, then cengine datasource commit reads the files again"
        )
    return "cengine cache verify --repair removes it, and the next run builds it again"


def refuse_damaged(stage: str, folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises StoreError for an artifact with a file of another size, or a small one of other bytes, than were written."""
    for name, known in files.items():
        if wrong := flaw(folder / name, name, known, digest=known["num_bytes"] <= SMALL_BYTES):
            raise StoreError(f"the stored {stage} is damaged: {wrong}", mend(stage))
