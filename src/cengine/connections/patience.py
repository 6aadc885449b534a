"""Trying again: a server that is away for a moment must not end a run of an hour. It is said each time, and it has an end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# How long a server that is away is waited for: by whoever has not reached it yet, and by whoever is at work.
FIRST_PATIENCE_SECONDS = 5.0
PATIENCE_SECONDS = 90.0
FIRST_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 8.0

log = logging.getLogger("cengine")


def patiently(once: Callable[[], T], reason: Callable[[Exception], str | None], name: str, *, reached: bool) -> T:
    """What `once` gives, tried again with growing pauses. `reason` tells why an error may pass, or None where it will not.

    A server that was `reached` before is waited for longer. Raises the last error as it came.
    """
    patience = PATIENCE_SECONDS if reached else FIRST_PATIENCE_SECONDS
    began = time.monotonic()
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return once()
        except Exception as error:  # `reason` knows which of a client's errors pass; the others go on as they came
            passing = reason(error)
            if passing is None or time.monotonic() - began + pause > patience:
                raise
            log.warning("%s: %s; trying again in %g s", name, passing, pause)
        time.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_SECONDS)
