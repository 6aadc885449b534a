"""Fingerprints: SHA-256 over content, never over names, times or settings that are not read."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(data: Any) -> str:
    """The digest of JSON-able data; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()
