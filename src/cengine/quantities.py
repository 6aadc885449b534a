"""Quantities as people write them: 4GB, 512MiB, 30d."""

from __future__ import annotations

import re

_BYTES = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86400, "W": 7 * 86400}


def parse_bytes(text: str) -> int:
    """The number of bytes of 4GB, 512MiB, 4G (of which 10**9), 1000. Raises ValueError for what is no size."""
    number, unit = _parts(text)
    unit = unit if unit in _BYTES else f"{unit}B"
    if number is None or unit not in _BYTES:
        raise ValueError(f"{text!r} is not a size such as 4GB")
    return int(number * _BYTES[unit])


def parse_seconds(text: str) -> float:
    """The seconds of 90s, 20m, 12h, 30d, 8w. Raises ValueError for what is no time; a number alone is none."""
    number, unit = _parts(text)
    if number is None or unit not in _SECONDS:
        raise ValueError(f"{text!r} is not a time such as 30d or 12h (s, m, h, d, w)")
    return number * _SECONDS[unit]


def _parts(text: str) -> tuple[float | None, str]:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([A-Z]*)", text.strip().upper(), re.ASCII)
    return (float(match.group(1)), match.group(2)) if match else (None, "")
