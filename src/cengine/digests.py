"""Digests of files, by which an unchanged one is known again, and one that a disk has damaged is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 4 * 2**20


def file_digest(file: Path, progress: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file's bytes; `progress` is told the number of bytes just read."""
    digest = hashlib.sha256()
    with file.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            if progress is not None:
                progress(len(chunk))
    return digest.hexdigest()
