"""Fingerprints: SHA-256 over content, never over names, times or settings that are not read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHUNK_BYTES = 4 * 2**20


def fingerprint(data: Any) -> str:
    """The digest of JSON-able data; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def file_digest(file: Path, progress: Callable[[int], None] | None = None) -> str:
    """The digest of a file's bytes; `progress` is told the number of bytes just read."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            if progress is not None:
                progress(len(chunk))
    return digest.hexdigest()
