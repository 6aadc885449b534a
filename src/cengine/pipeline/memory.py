"""How much memory there is, and how much of it a run takes when nobody says."""

from __future__ import annotations

import os
from pathlib import Path


def allowed_memory_bytes() -> int:
    """The machine's memory, or what the control group allows."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        total = min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        pass  # no control groups here
    return total


def default_memory_bytes() -> int:
    """Half of the machine's memory, or of what the control group allows."""
    return max(allowed_memory_bytes() // 2, 2 * 2**30)
