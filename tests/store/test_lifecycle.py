"""States of runs: what may follow what, and what becomes of a run whose process is gone."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys

import pytest

from cengine.errors import StoreError
from cengine.store.lifecycle import (
    BEFORE,
    CANCELLED,
    ENDED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    enter,
    settle,
    take,
)
from cengine.store.processes import identity_of, is_alive, own_identity
from cengine.store.records import Records, now


@pytest.fixture
def records(records: Records) -> Records:
    datasource = records.datasources.insert(name="d", type="csv", options={}, created_at=now())
    records.snapshots.insert_numbered(
        datasource_id=datasource, content="c", num_rows=1, num_columns=1, num_bytes=1, num_rejected=0, created_at=now()
    )
    records.pipelines.insert(name="p", config_name="c", config_text="", datasource_id=datasource, created_at=now())
    return records


def new_run(records: Records, status: str = QUEUED, **values) -> int:
    row = records.runs.insert_numbered(
        pipeline_id=1,
        snapshot_id=1,
        status=status,
        completion_ratio=0.0,
        compute_cost=0.0,
        training_cost=0.0,
        started_at=now(),
        process_id=os.getpid(),
        stages=[],
        **values,
    )
    return int(row.id)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("after", BEFORE)
def test_only_what_may_follow_follows(records, before, after) -> None:
    run = new_run(records, before)
    assert enter(records, run, after) == (before in BEFORE[after])
    assert records.runs.get(run).status == (after if before in BEFORE[after] else before)


def test_nothing_follows_success() -> None:
    assert all(SUCCEEDED not in before for before in BEFORE.values())
    assert set(ENDED) < set(BEFORE)


def test_of_two_that_want_a_run_one_gets_it(records) -> None:
    run = new_run(records)
    take(records, run)
    with pytest.raises(StoreError, match="is running and cannot be taken up"):
        take(records, run)
    assert records.runs.get(run).process == own_identity()


def test_a_run_whose_process_was_killed_is_interrupted(records) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = new_run(records, RUNNING, process=identity_of(child.pid), heartbeat_at=now())
    rows = settle(records, records.runs.all())
    assert rows[0].status == RUNNING
    child.kill()  # and not yet waited for: it is a zombie now
    while is_alive(rows[0].process):
        pass
    rows = settle(records, rows)
    assert rows[0].status == records.runs.get(run).status == INTERRUPTED
    assert "ended without a word" in rows[0].message
    child.wait()


def test_a_process_number_that_another_process_has_now_is_not_alive() -> None:
    machine, number, started = own_identity().split("/", 2)
    assert is_alive(own_identity())
    assert is_alive(f"{machine}/{number}/{started}1") is False
    assert (
        is_alive(f"{machine}x/{number}/{started}") is None
    )  # another machine of this name, or this one before its last start
    assert is_alive(f"elsewhere@1234/{number}/{started}") is None


@pytest.mark.parametrize(
    ("beat", "status"), [("2020-01-01T00:00:00+00:00", INTERRUPTED), (None, INTERRUPTED), ("now", RUNNING)]
)
def test_on_another_machine_the_heartbeat_tells(records, beat, status) -> None:
    new_run(records, RUNNING, process="elsewhere@1/1/1", heartbeat_at=now() if beat == "now" else beat)
    rows = settle(records, records.runs.all())
    assert rows[0].status == status


# A process of its own, since whoever looks is not the one that beats: a clock an hour ahead or behind, a beat every second.
BEATING = """
import datetime, pathlib, sys, time
from cengine.store.records import Records
records = Records(sys.argv[1] if "://" in sys.argv[1] else pathlib.Path(sys.argv[1]))
while True:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=float(sys.argv[3]))
    records.runs.update(int(sys.argv[2]), heartbeat_at=then.isoformat())
    print("beat", flush=True)
    time.sleep(1)
"""


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_kills_nobody_and_keeps_nobody_alive(address, records, hours) -> None:
    """What beats goes on whatever its clock says; what does not is gone, also where its last sign of life is of the future."""
    beating = new_run(records, RUNNING, process="elsewhere@1/1/1", heartbeat_at=now())
    future = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    silent = new_run(records, RUNNING, process="elsewhere@1/2/2", heartbeat_at=future.isoformat())
    with subprocess.Popen(
        [sys.executable, "-c", BEATING, str(address), str(beating), str(hours)], stdout=subprocess.PIPE
    ) as child:
        try:
            child.stdout.readline()
            rows = settle(records, records.runs.all())
            assert {row.id: row.status for row in rows} == {beating: RUNNING, silent: INTERRUPTED}
        finally:
            child.kill()


def test_a_halted_process_is_not_gone(records) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        new_run(records, RUNNING, process=identity_of(child.pid), heartbeat_at="2020-01-01T00:00:00+00:00")
        child.send_signal(signal.SIGSTOP)
        rows = settle(records, records.runs.all())
        assert rows[0].status == RUNNING
    finally:
        child.kill()
        child.wait()


def test_a_run_that_waits_can_be_cancelled_and_taken_up_again(records) -> None:
    run = new_run(records)
    assert enter(records, run, CANCELLED)
    assert enter(records, run, QUEUED)
