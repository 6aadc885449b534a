"""Digests: of files, by which an unchanged one is known again and a damaged one is found; of data, by which a result is found again."""

from __future__ import annotations

import hashlib
import json
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


def fingerprint(data: object) -> str:
    """The SHA-256 of JSON-able data; the order of keys does not matter. Never of names, times or settings that are not read."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def text_number(text: str) -> int:
    """The number in [0, 2**28) that `expressions.keys.text_hash` is of a text in SQL: seven hexadecimal digits of its MD5."""
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:7], 16)
