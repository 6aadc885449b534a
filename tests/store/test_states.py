"""The states of a run against a plain model: several observers and processes, any of which may die at any moment."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from cengine.errors import StoreError
from cengine.store import lifecycle
from cengine.store.lifecycle import (
    ACTIVE,
    CANCELLED,
    FAILED,
    INTERRUPTED,
    QUEUED,
    RESUMABLE,
    RUNNING,
    SUCCEEDED,
    enter,
    settle,
)
from cengine.store.processes import identity_of
from cengine.store.records import Records, now

# What the docstring of lifecycle.py draws, written down once more by hand.
FOLLOWS = {
    QUEUED: {RUNNING, CANCELLED, INTERRUPTED, FAILED},
    RUNNING: {SUCCEEDED, FAILED, CANCELLED, INTERRUPTED},
    SUCCEEDED: set(),
    FAILED: {QUEUED, RUNNING},
    CANCELLED: {QUEUED, RUNNING},
    INTERRUPTED: {QUEUED, RUNNING},
}
LONG_AGO = "2020-01-01T00:00:00+00:00"
END = {"finish": SUCCEEDED, "fail": FAILED}


class Worker:
    """A process of this machine, real and killed for real; or one of another machine, known by its heartbeat alone."""

    def __init__(self, far: bool) -> None:
        self.far = far
        self.alive = True
        if far:
            self.process = None
            self.identity = f"elsewhere@1/{id(self)}/1"
        else:
            self.process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
            self.identity = identity_of(self.process.pid)

    def die(self) -> None:
        self.alive = False
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()


class States(RuleBasedStateMachine):
    """Rules are what processes and people do; `model` says what must have come of it: (status, the worker that has it)."""

    runs = Bundle("runs")
    workers = Bundle("workers")
    new_address: Callable[[], Path | str]

    def __init__(self) -> None:
        super().__init__()
        address = type(self).new_address()
        # Two observers, each with connections of its own.
        self.views = [Records(address), Records(address)]
        self.model: dict[int, tuple[str, Worker | None]] = {}
        self.history: dict[int, list[str]] = {}
        self.all_workers: list[Worker] = []

    @initialize()
    def a_pipeline(self) -> None:
        records = self.views[0]
        datasource = records.datasources.insert(name="d", type="csv", options={}, created_at=now())
        records.snapshots.insert_numbered(
            datasource_id=datasource,
            content="c",
            num_rows=1,
            num_columns=1,
            num_bytes=1,
            num_rejected=0,
            created_at=now(),
        )
        records.pipelines.insert(name="p", config_name="c", config_text="", datasource_id=datasource, created_at=now())

    def teardown(self) -> None:
        for worker in self.all_workers:
            if worker.alive:
                worker.die()
        for view in self.views:
            view.engine.dispose()

    def goes_to(self, run: int, status: str, worker: Worker | None) -> None:
        self.model[run] = (status, worker)
        self.history[run].append(status)

    @rule(target=workers, far=st.booleans())
    def begin_process(self, far: bool) -> Worker:
        worker = Worker(far)
        self.all_workers.append(worker)
        return worker

    @rule(target=runs, worker=workers, view=st.integers(0, 1))
    def queue(self, worker: Worker, view: int) -> int:
        if not worker.alive:
            return self.queue_nothing()
        row = self.views[view].runs.insert_numbered(
            pipeline_id=1,
            snapshot_id=1,
            status=QUEUED,
            completion_ratio=0.0,
            compute_cost=0.0,
            training_cost=0.0,
            started_at=now(),
            process_id=1,
            process=worker.identity,
            heartbeat_at=now(),
            stages=[],
        )
        self.history[row.id] = []
        self.goes_to(row.id, QUEUED, worker)
        return int(row.id)

    def queue_nothing(self) -> int:
        """A dead process queues nothing; rules of run 0 do nothing."""
        return 0

    def take_as(self, run: int, worker: Worker, view: int) -> bool:
        """What `take` does, in another process: the identity is that of the worker."""
        return enter(
            self.views[view], run, RUNNING, process=worker.identity, heartbeat_at=now(), ended_at=None, message=None
        )

    @rule(run=runs, one=workers, other=workers)
    def two_take(self, run: int, one: Worker, other: Worker) -> None:
        if not run or not one.alive or not other.alive:
            return
        before = self.model[run][0]
        won = [self.take_as(run, worker, view) for view, worker in enumerate((one, other))]
        assert won == [RUNNING in FOLLOWS[before], False]
        if won[0]:
            self.goes_to(run, RUNNING, one)

    @rule(run=runs, end=st.sampled_from(sorted(END)), view=st.integers(0, 1))
    def end(self, run: int, end: str, view: int) -> None:
        """The process that has the run says how it ended."""
        status, worker = self.model.get(run, (None, None))
        if status != RUNNING or not worker.alive:
            return
        assert enter(self.views[view], run, END[end])
        self.goes_to(run, END[end], None)

    @rule(run=runs, to=st.sampled_from(sorted(FOLLOWS)), view=st.integers(0, 1))
    def ask_for(self, run: int, to: str, view: int) -> None:
        """Anybody asks for any state: only what may follow does. `settle` and `end` know who may ask."""
        if not run or to in (QUEUED, RUNNING):
            return
        before, _ = self.model[run]
        changed = enter(self.views[view], run, to)
        assert changed == (to in FOLLOWS[before])
        if changed:
            self.goes_to(run, to, None)

    @rule(run=runs, worker=workers, view=st.integers(0, 1))
    def resume(self, run: int, worker: Worker, view: int) -> None:
        if not run or not worker.alive:
            return
        before = self.model[run][0]
        changed = enter(
            self.views[view], run, QUEUED, process=worker.identity, heartbeat_at=now(), ended_at=None, message=None
        )
        assert changed == (before in RESUMABLE)
        if changed:
            self.goes_to(run, QUEUED, worker)

    @rule(worker=consumes(workers))
    def die(self, worker: Worker) -> None:
        worker.die()
        if worker.far:  # nobody sees that it is gone; it beats no more, and time goes by
            for run, (status, owner) in self.model.items():
                if owner is worker and status in ACTIVE:
                    self.views[0].runs.update(run, heartbeat_at=LONG_AGO)
                    # We have looked at it for so long and seen no beat: writing the time above was none.
                    seen = lifecycle._Seen(LONG_AGO, True)
                    seen.at_seconds -= 2 * lifecycle.LOST_SECONDS
                    lifecycle._seen[str(self.views[0].engine.url), run, worker.identity] = seen

    @precondition(lambda self: any(status in ACTIVE for status, _ in self.model.values()))
    @rule(view=st.integers(0, 1))
    def look(self, view: int) -> None:
        """Somebody looks: after that, no run whose process is gone seems to go on, and none whose process lives is called dead."""
        records = self.views[view]
        for run, (status, worker) in self.model.items():
            if status in ACTIVE and worker.far and worker.alive:  # it has beaten all the time
                records.runs.update(run, heartbeat_at=now())
        for row in settle(records, records.runs.all()):
            status, worker = self.model[row.id]
            if status in ACTIVE and not worker.alive:
                self.goes_to(row.id, INTERRUPTED, None)
                assert "ended without a word" in row.message
                status = INTERRUPTED
            assert row.status == status

    @rule()
    def take_for_real(self) -> None:
        """This process takes one that may be taken, by `take` itself; a second time it is refused, in words."""
        for run, (status, _) in self.model.items():
            if RUNNING in FOLLOWS[status]:
                lifecycle.take(self.views[0], run)
                with pytest.raises(StoreError, match="is running and cannot be taken up"):
                    lifecycle.take(self.views[1], run)
                self.goes_to(run, RUNNING, None)
                assert enter(self.views[0], run, SUCCEEDED)
                self.goes_to(run, SUCCEEDED, None)
                return

    @invariant()
    def the_records_are_as_the_model_says(self) -> None:
        for view in self.views:
            assert {row.id: row.status for row in view.runs.all()} == {
                run: status for run, (status, _) in self.model.items()
            }

    @invariant()
    def only_what_may_follow_followed(self) -> None:
        for states in self.history.values():
            assert states[0] == QUEUED
            assert all(after in FOLLOWS[before] for before, after in itertools.pairwise(states))

    @invariant()
    def what_ended_has_an_end_and_what_goes_on_has_none(self) -> None:
        for row in self.views[0].runs.all():
            assert (row.ended_at is None) == (row.status in ACTIVE)


@pytest.mark.parametrize(("database", "num_examples"), [("sqlite", 25), ("postgres", 5)])
def test_the_states_keep_to_the_model(request, tmp_path, database, num_examples) -> None:
    if database == "sqlite":
        numbers = itertools.count()
        new = lambda: tmp_path / f"records-{next(numbers)}.db"  # noqa: E731
    else:
        new = request.getfixturevalue("postgres").new_database

    class Here(States):
        new_address = staticmethod(new)

    run_machine(
        Here,
        settings=settings(
            max_examples=num_examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_the_drawing_is_what_the_table_says() -> None:
    for before, after in FOLLOWS.items():
        assert {status for status, allowed in lifecycle.BEFORE.items() if before in allowed} == after
