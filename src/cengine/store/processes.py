"""Which process does a run: told so that a number given to another process, or a restart of the machine, is noticed."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


def process_exists(process_id: int) -> bool:
    """Whether there is a process of this number, whosoever; one that has ended and waits to be noticed does not count."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return _state(process_id) != "Z"


def own_identity() -> str:
    """This process, for the records."""
    return identity_of(os.getpid())


def identity_of(process_id: int) -> str:
    """A process of this machine, for the records: machine, number and start."""
    return f"{machine()}/{process_id}/{_started(process_id)}"


def is_alive(identity: str) -> bool | None:
    """Whether that process still goes on; None where only its heartbeat can tell, for it is on another machine."""
    host, number, started = identity.split("/", 2)
    if host != machine():  # or on this one before it was started again: two machines may have the same name
        return None
    return process_exists(int(number)) and _started(int(number)) == started


def machine() -> str:
    """This machine since its last start, as far as its processes see each other: `name@boot-namespace`."""
    try:
        boot = _BOOT.read_text().strip()[:8]
        # Containers may share a name and a boot, and number their processes each by itself.
        namespace = re.sub(r"\D", "", str(_NAMESPACE.readlink()))
    except OSError:
        boot = namespace = ""
    return f"{socket.gethostname()}@{boot}-{namespace}"


def _started(process_id: int) -> str:
    """When a process began, in a form that a moved clock does not change where the system has one."""
    try:
        return _stat(process_id)[19]
    except (OSError, IndexError):
        found = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(process_id)], capture_output=True, text=True, check=False
        )
        return found.stdout.strip()


def _state(process_id: int) -> str:
    try:
        return _stat(process_id)[0]
    except (OSError, IndexError):
        return ""


def _stat(process_id: int) -> list[str]:
    """The fields of /proc/N/stat after the name, which may hold anything: state first, start time twentieth."""
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
