"""How fast this machine is just now: others on the same hardware make it up to twice as slow, and no counter here tells.

python bench/pace.py        # seconds of a fixed piece of work, done on all processors at once
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

WORK = """
import numpy as np
rows = np.random.default_rng(1).integers(0, 2**62, 2_000_000)
print(flush=True)
input()
for _ in range(3):
    np.sort(rows)
total = 0
for number in range(3_000_000):
    total += number
"""


def pace() -> float:
    """Seconds of the work, from when all of its processes have started."""
    workers = [
        subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(os.cpu_count() or 1)
    ]
    for worker in workers:
        worker.stdout.readline()
    began = time.perf_counter()
    for worker in workers:
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate()
    return time.perf_counter() - began


def steady(usual: float, at_most_seconds: float = 300, tolerance: float = 1.2) -> float:
    """The pace, once it is no more than `tolerance` of the usual one, or when so much time has passed."""
    end = time.monotonic() + at_most_seconds
    while (now := pace()) > tolerance * usual and time.monotonic() < end:
        time.sleep(5)  # others' work comes and goes in minutes
    return now


if __name__ == "__main__":
    print(f"{pace():.2f} s")
