"""The states of a run, and which may follow which. Whatever happens to its process, the records come to tell the truth.

Queued -> Running -> Succeeded
  |         |-> Failed       an error, its message is kept
  |         |-> Cancelled    somebody asked for it
  |         `-> Interrupted  Ctrl-C, SIGTERM, or the process is gone
  `-> Cancelled, Interrupted
Failed, Cancelled, Interrupted -> Queued, Running   by `resume`
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from typing import Any

from cengine.errors import StoreError
from cengine.store.processes import is_alive, own_identity, process_exists
from cengine.store.records import Records, now
from cengine.store.rows import RunRow
from cengine.store.spare import give_spare

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED, INTERRUPTED = (
    "Queued",
    "Running",
    "Succeeded",
    "Failed",
    "Cancelled",
    "Interrupted",
)
ACTIVE = (QUEUED, RUNNING)
RESUMABLE = (FAILED, CANCELLED, INTERRUPTED)
ENDED = (SUCCEEDED, *RESUMABLE)
# Before each state.
BEFORE = {
    QUEUED: RESUMABLE,
    RUNNING: (QUEUED, *RESUMABLE),
    SUCCEEDED: (RUNNING,),
    FAILED: ACTIVE,
    CANCELLED: ACTIVE,
    INTERRUPTED: ACTIVE,
}
HEARTBEAT_SECONDS = 5.0
# A process on another machine is known by its heartbeat alone: so long without one, and it is gone.
LOST_SECONDS = 30.0
# Its time is told by another clock than ours, and clocks are set. One that is old, or of the future, is watched for two
# beats before anything follows from that.
WATCH_SECONDS, LOOK_SECONDS = 2.4 * HEARTBEAT_SECONDS, 1.0


def enter(records: Records, run_id: int, status: str, among: Sequence[str] | None = None, **values: Any) -> bool:
    """Puts a run into a state where that may follow its present one (and is `among` these); says whether it did."""
    if status in ENDED:
        values.setdefault("ended_at", now())
    before = [state for state in BEFORE[status] if among is None or state in among]
    try:
        return records.update_run(run_id, before, status=status, **values)
    except StoreError:
        if status not in ENDED or not give_spare(records):
            raise
        return records.update_run(run_id, before, status=status, **values)


def take(
    records: Records, run_id: int, among: Sequence[str] | None = None, max_running: int | None = None, **values: Any
) -> bool:
    """Makes this process the one that does the run; says False where `max_running` others go on already.

    Raises StoreError where the run cannot be taken up.
    """
    begun = {"process": own_identity(), "heartbeat_at": now(), "ended_at": None, "message": None}
    if enter(records, run_id, RUNNING, among, max_running=max_running, **begun, **values):
        return True
    row = records.runs.get(run_id)
    if max_running is not None and row.status in (among or BEFORE[RUNNING]):
        return False
    raise StoreError(f"run {row.number} is {row.status.lower()} and cannot be taken up")


def settle(records: Records, runs: Sequence[RunRow]) -> list[RunRow]:
    """The runs with the truth about their state: those whose process is gone become Interrupted, in the records too.

    It may take WATCH_SECONDS where only a clock says that a process on another machine is gone.
    """
    found = {run.id: _goes_on(records, run) for run in runs if run.status in ACTIVE}
    doubtful = [run for run in runs if run.id in found and found[run.id] is None]
    found |= _watched(records, doubtful)
    return [_lost(records, run) if found.get(run.id) is False else run for run in runs]


def _lost(records: Records, run: RunRow) -> RunRow:
    """A run whose process is gone, as it is from now on."""
    message = "the process ended without a word: it was killed, perhaps by the system for want of memory, or the machine went down"
    ended = enter(records, run.id, INTERRUPTED, message=message, ended_at=run.heartbeat_at or now())
    return records.runs.get(run.id) if ended else run


def _goes_on(records: Records, run: RunRow) -> bool | None:
    """Whether a run's process is alive, None where that cannot be said without watching it."""
    if run.process is None:  # of an older version, or queued and not yet taken
        return process_exists(run.process_id)
    alive = is_alive(run.process)
    return _beats(records, run) if alive is None else alive


class _Seen:
    """A heartbeat as this process has seen it: when its text was new to us, by a clock that nobody sets, and whether we saw it change."""

    def __init__(self, text: str, changed: bool) -> None:
        self.text, self.changed, self.at_seconds = text, changed, time.monotonic()


_seen: dict[tuple[str, int, str | None], _Seen] = {}


def _beats(records: Records, run: RunRow) -> bool | None:
    if run.heartbeat_at is None:
        return False
    key = (str(records.engine.url), run.id, run.process)
    seen = _seen.get(key)
    if seen is None or seen.text != run.heartbeat_at:
        seen = _seen[key] = _Seen(run.heartbeat_at, seen is not None)
    if time.monotonic() - seen.at_seconds >= LOST_SECONDS:
        return False
    if seen.changed or abs(_age_seconds(seen.text)) < LOST_SECONDS:
        return True
    return None


def _watched(records: Records, runs: Sequence[RunRow]) -> dict[int, bool]:
    """Which of these runs give a sign of life while they are watched."""
    if not runs:
        return {}
    found = {run.id: False for run in runs}
    until = time.monotonic() + WATCH_SECONDS
    while not all(found.values()) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        for run in runs:
            row = records.runs.get(run.id)
            # One that ended, or that another process took up, is left to whoever looks next.
            moved = (row.status, row.process) != (run.status, run.process)
            found[run.id] = found[run.id] or moved or _beats(records, row) is True
    return found


def _age_seconds(text: str) -> float:
    return (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(text)).total_seconds()
