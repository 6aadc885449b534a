"""How much memory there is, what of it the system lets this process have, and how much a run takes by default."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
# Keras, JAX and DuckDB map so much address space before they hold anything; with less, XLA ends the process without an error.
TRAINING_ADDRESS_BYTES = 3_800_000_000
ENGINE_ADDRESS_BYTES = 500_000_000
_SIGNS = (
    "bad allocation",
    "failed to map segment",
    "Cannot allocate memory",
    "can't start new thread",
    "std::bad_alloc",
    "RESOURCE_EXHAUSTED",
)


def system_limit() -> tuple[int, str] | None:
    """The least limit that the system puts on this process, in bytes, and what it is called; None without one."""
    return min(_limits(), default=None)


def allowed_memory_bytes() -> int:
    """The machine's memory, or less if the system allows this process less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = system_limit()
    return total if limit is None else min(total, limit[0])


def default_memory_bytes() -> int:
    """Half of the allowed memory; at least 2 GiB, but not more than three quarters of what is allowed."""
    allowed = allowed_memory_bytes()
    return max(allowed // 2, min(2 * 2**30, allowed * 3 // 4))


def refusal(error: BaseException) -> tuple[str, str] | None:
    """What is to be said of an error that comes of the system's limit, and what helps; None for any other error."""
    limit = system_limit()
    if limit is None or not (isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS)):
        return None
    return f"the system allows this process no more memory: {_said(limit)}", _HELP


def too_little_for_training() -> tuple[str, str] | None:
    """What is to be said if the libraries that train cannot even be loaded, and what helps; None if they can."""
    limit = _address_space()
    if limit is None or limit[0] >= TRAINING_ADDRESS_BYTES:
        return None
    needed = f"{TRAINING_ADDRESS_BYTES / 1e9:.1f} GB of address space are needed to train"
    return f"the system allows this process too little memory: {_said(limit)}; {needed}", _HELP


def too_little_for_engine() -> tuple[str, str] | None:
    """What is to be said if DuckDB could not start its threads, which ends the process without an error, and what helps."""
    limit = _address_space()
    if limit is None or limit[0] - _mapped_bytes() >= ENGINE_ADDRESS_BYTES:
        return None
    return f"the system allows this process too little memory: {_said(limit)}", _HELP


_HELP = "raise the limit (`ulimit -v unlimited`, or the container's), and bound the program with --memory instead"


def _said(limit: tuple[int, str]) -> str:
    return f"its limit is {limit[0] / 1e9:.1f} GB ({limit[1]})"


def _limits() -> Iterator[tuple[int, str]]:
    if (space := _address_space()) is not None:
        yield space
    for file in _group_files():
        try:
            text = file.read_text().strip()
        except OSError:
            continue  # no control group, or one of another version
        if text.isdigit() and int(text) < 2**60:  # version 1 writes "no limit" as a huge number
            yield int(text), "control group"


def _address_space() -> tuple[int, str] | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else (soft, "ulimit -v")


def _mapped_bytes() -> int:
    """The address space that this process has taken."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # not Linux


def _group_files() -> Iterator[Path]:
    """The files that limit the process's control group and those above it."""
    yield GROUPS / "memory.max"
    yield GROUPS / "memory" / "memory.limit_in_bytes"
    try:
        own = next(
            (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), "/"
        )
    except OSError:
        return  # not Linux
    folder = GROUPS / own.strip("/")
    while folder != GROUPS and GROUPS in folder.parents:
        yield folder / "memory.max"
        folder = folder.parent
