"""The peak of this process's memory, from a moment on."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# What tells the kernel to begin the peak anew (proc(5)).
_FROM_NOW_ON = "5"


def begin_peak() -> None:
    """From now on `peak_bytes` counts; where the system cannot, it counts from the start of the process."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text(_FROM_NOW_ON)


def peak_bytes() -> int | None:
    """The most that was held, None where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    with contextlib.suppress(ImportError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return None
