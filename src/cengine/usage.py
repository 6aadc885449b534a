"""What this process takes of the machine: processor time, the peak of its memory, and how much others keep it waiting."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_STATUS, _CLEAR, _THREADS = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/self/task")
# What tells the kernel to begin the peak anew (proc(5)).
_FROM_NOW_ON = "5"
# Below that a thread's waiting says nothing.
_LEAST_CPU_SECONDS = 0.05


@dataclass(frozen=True)
class Usage:
    """What was taken; `slowdown` is how many times as long it took as on a machine of one's own, 1 where that is not known."""

    cpu_seconds: float
    peak_bytes: int | None
    slowdown: float


class Meter:
    """Counts from now on."""

    def __init__(self) -> None:
        with contextlib.suppress(
            OSError
        ):  # where the peak cannot be begun anew, it is that since the start of the process
            _CLEAR.write_text(_FROM_NOW_ON)
        self._cpu = time.process_time()
        self._times = _thread_times()

    def read(self) -> Usage:
        """What was taken since."""
        ran = waited = 0.0
        for thread, (run, wait) in _thread_times().items():
            before = self._times.get(thread, (0.0, 0.0))
            ran, waited = ran + run - before[0], waited + wait - before[1]
        return Usage(time.process_time() - self._cpu, _peak_bytes(), _slowdown(ran, waited))


def slowdown_so_far() -> float:
    """How many times as long this process has taken until now as it would have alone."""
    times = _thread_times().values()
    return _slowdown(sum(ran for ran, _ in times), sum(waited for _, waited in times))


def _slowdown(ran: float, waited: float) -> float:
    return 1.0 + waited / ran if ran > _LEAST_CPU_SECONDS else 1.0


def _thread_times() -> dict[str, tuple[float, float]]:
    """Seconds that each living thread ran, and that it was ready to run and waited for a processor."""
    found = {}
    with contextlib.suppress(OSError):
        for thread in _THREADS.iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):  # a thread that has just ended
                ran, waited = (thread / "schedstat").read_text().split()[:2]
                found[thread.name] = (int(ran) / 1e9, int(waited) / 1e9)
    return found


def _peak_bytes() -> int | None:
    """The most memory that was held, None where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    with contextlib.suppress(ImportError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return None
