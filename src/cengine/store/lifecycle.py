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
from typing import Any

from cengine.errors import StoreError
from cengine.store.processes import is_alive, own_identity, process_exists
from cengine.store.records import Records, now
from cengine.store.spare import give_spare

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED, INTERRUPTED = "Queued", "Running", "Succeeded", "Failed", "Cancelled", "Interrupted"
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
# A process on another machine is known by its heartbeat alone.
LOST_SECONDS = 30.0


def enter(records: Records, run_id: int, status: str, **values: Any) -> bool:
    """Puts a run into a state where that may follow its present one; says whether it did."""
    if status in ENDED:
        values.setdefault("ended_at", now())
    try:
        return records.update_run(run_id, BEFORE[status], status=status, **values)
    except StoreError:
        if status not in ENDED or not give_spare(records):
            raise
        return records.update_run(run_id, BEFORE[status], status=status, **values)


def take(records: Records, run_id: int, **values: Any) -> None:
    """Makes this process the one that does the run. Raises StoreError where the run cannot be taken up."""
    if not enter(records, run_id, RUNNING, process=own_identity(), heartbeat_at=now(), ended_at=None, message=None, **values):
        row = records.get("runs", run_id)
        raise StoreError(f"run {row['number']} is {row['status'].lower()} and cannot be taken up")


def settle(records: Records, runs: list[dict[str, Any]]) -> None:
    """Those of the runs whose process is gone become Interrupted, in the records and in `runs`."""
    for run in runs:
        if run["status"] in ACTIVE and not _goes_on(run):
            message = "the process ended without a word: it was killed, or the machine went down"
            if enter(records, run["id"], INTERRUPTED, message=message, ended_at=run["heartbeat_at"] or now()):
                run.update(records.get("runs", run["id"]))


def _goes_on(run: dict[str, Any]) -> bool:
    if run["process"] is None:  # of an older version, or queued and not yet taken
        return process_exists(run["process_id"])
    alive = is_alive(run["process"])
    if alive is None:
        return _age_seconds(run["heartbeat_at"]) < LOST_SECONDS
    return alive


def _age_seconds(time: str | None) -> float:
    if time is None:
        return float("inf")
    return (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(time)).total_seconds()
