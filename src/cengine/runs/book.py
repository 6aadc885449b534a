"""What a run has done, written into its record: stages, completion, the stage at work, costs, how it ended."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from cengine.errors import StoreError
from cengine.forecast.completion import Completion
from cengine.forecast.costs import costs_of
from cengine.forecast.forecast import Forecast, forecast
from cengine.pipeline.execute import Position, StageRecord
from cengine.pipeline.plan import Plan
from cengine.runs.limits import Spent
from cengine.stages.evaluate import Evaluate
from cengine.store.lifecycle import ACTIVE, SUCCEEDED, enter
from cengine.store.processes import own_identity
from cengine.store.rows import RunRow
from cengine.store.settings import Prices


class Book:
    """The record of one run, as this process writes it."""

    def __init__(self, plan: Plan, record: RunRow, prices: Prices) -> None:
        self.plan = plan
        self.key = record.key
        self.stage = ""
        self._run_id = record.id
        self._prices = prices
        self._before = Spent(record.seconds or 0.0, record.compute_cost + record.training_cost)
        self._costs_before = record.compute_cost, record.training_cost, record.saved_cost
        self._begun_share = record.completion_ratio
        self._began: float | None = None
        self._stage_began = 0.0
        self._completion = Completion({})
        self._rows = planned_stages(plan)
        # What earlier attempts of this run have built: it was paid then, and nothing is saved by finding it.
        self._own = {row["fingerprint"]: row for row in record.stages if row.get("seconds") and not row["reused"]}
        self._done: list[dict[str, Any]] = []
        self._num_complete = 0

    @property
    def place(self) -> str:
        """Where the run is, as text: in a stage, or before the next one."""
        if self.stage:
            return f"in {self.stage}"
        return next((f"before {stage.name}" for stage in self.plan.stages[self._num_complete :]), "at its end")

    def begin(self) -> Spent:
        """From now on time counts. Gives what evaluation is expected to take, which is to be left of a limit."""
        self._began = time.monotonic()
        found = forecast(self.plan, self._prices, lambda: self.plan.project.records.runs.all())
        seconds = {stage.name: stage.seconds.expected for stage in found.stages if not stage.stored}
        self._completion = Completion(
            seconds, {stage.name: stage.first_step for stage in found.stages}, self._begun_share
        )
        return _of_evaluation(found)

    @property
    def seconds(self) -> float:
        """Of work so far, all attempts together; waiting in a queue is none."""
        return self._before.seconds + (0.0 if self._began is None else time.monotonic() - self._began)

    def spent(self) -> Spent:
        """Time and money so far, all attempts together."""
        compute, training, _ = self._costs()
        return Spent(self.seconds, compute + training)

    def beat(self) -> dict[str, Any]:
        """What is written with each sign of life, since a stage may say nothing for long."""
        if self._began is None:
            return {}
        compute, training, _ = self._costs()
        return {"seconds": self.seconds, "compute_cost": compute, "training_cost": training}

    def write(self, stages: list[StageRecord], position: Position | None) -> None:
        """What `execute` tells."""
        self._note(stages)
        share, progress = self._completion.share(), None
        if position is not None:
            if position.stage != self.stage:
                self.stage, self._stage_began = position.stage, time.monotonic() - position.seconds
            at = (position.stage, position.done, position.total)
            share = self._completion.share(*at)
            progress = position.to_json(self._completion.seconds_left(*at, position.seconds))
        # A full disk must not end a query's thread for want of a number that comes again; the end of a stage has to be written.
        with contextlib.suppress(*((StoreError,) if position is not None else ())):
            self.plan.project.records.runs.update(
                self._run_id, completion_ratio=share, stages=self._rows, progress=progress, **self._sums()
            )

    def end(self, stages: list[StageRecord], message: str | None) -> None:
        """The run came to its end."""
        self._note(stages)
        enter(
            self.plan.project.records,
            self._run_id,
            SUCCEEDED,
            completion_ratio=1.0,
            progress=None,
            message=message,
            stages=self._rows,
            **self._sums(),
        )

    def fail(self, status: str, message: str) -> None:
        """The run ended otherwise; where another process has it by now, that is none of ours."""
        records = self.plan.project.records
        # Where the records cannot be written (a full disk), whoever looks finds the process gone.
        with contextlib.suppress(StoreError):
            row = records.runs.get(self._run_id)
            if row.status in ACTIVE and row.process == own_identity():
                enter(records, self._run_id, status, message=message, **self._sums())

    def _note(self, stages: list[StageRecord]) -> None:
        mine = {stage.fingerprint for stage in stages if stage.reused} & set(self._own)
        self._num_complete = len(stages)
        self._done = [stage.to_json() for stage in stages if stage.fingerprint not in mine]
        rows = [self._own[stage.fingerprint] if stage.fingerprint in mine else stage.to_json() for stage in stages]
        self._rows = rows + planned_stages(self.plan)[len(stages) :]
        for stage in stages:
            self._completion.end(stage.name)
            if stage.name == self.stage:
                self.stage = ""

    def _sums(self) -> dict[str, Any]:
        compute, training, saved = self._costs()
        return {"seconds": self.seconds, "compute_cost": compute, "training_cost": training, "saved_cost": saved}

    def _costs(self) -> tuple[float, float, float]:
        """Compute, training, saved, with what earlier attempts have spent."""
        rows = list(self._done)
        if self.stage:
            rows.append({"name": self.stage, "seconds": time.monotonic() - self._stage_began, "saved_seconds": 0.0})
        found = costs_of(rows, self._prices, self.plan.context.threads)
        compute, training, saved = self._costs_before
        return compute + found.compute, training + found.training, saved + found.saved


def planned_stages(plan: Plan) -> list[dict[str, Any]]:
    """The stages of a plan as a run's record has them before anything is done."""
    return [
        {
            "name": s.name,
            "fingerprint": s.fingerprint,
            "reused": s.stored_seconds is not None,
            "seconds": None,
            "saved_seconds": None,
        }
        for s in plan.stages
    ]


def _of_evaluation(found: Forecast) -> Spent:
    stage = next(stage for stage in found.stages if stage.name == Evaluate.name)
    return Spent(stage.seconds.high, stage.cost.high)
