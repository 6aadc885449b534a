"""Trying again: a server that is away for a moment must not end a run of an hour. It is said each time, and it has an end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
FIRST_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 8.0

log = logging.getLogger("cengine")


def patiently(once: Callable[[], T], reason: Callable[[Exception], str | None], name: str, patience_seconds: float) -> T:
    """What `once` gives, tried again with growing pauses for so long. `reason` tells why an error may pass, or None where it will not.

    Raises the last error as it came.
    """
    began = time.monotonic()
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return once()
        except Exception as error:
            passing = reason(error)
            if passing is None or time.monotonic() - began + pause > patience_seconds:
                raise
            log.warning("%s: %s; trying again in %g s", name, passing, pause)
        time.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_SECONDS)
