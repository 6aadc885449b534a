"""A plan with what it will take: each stage's time, memory, disk and cost, as intervals; what is stored takes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from cengine.forecast.costs import GB, hourly
from cengine.forecast.estimates import MEASURES, NOTHING, Interval, expected, history, while_busy
from cengine.pipeline.plan import Plan
from cengine.stages.sizes import is_guessed
from cengine.stages.stage import Load
from cengine.stages.table import Series, scanned_bytes
from cengine.store.rows import RunRow
from cengine.store.settings import Prices
from cengine.usage import slowdown_so_far


@dataclass(frozen=True)
class StageForecast:
    """What a stage will take. Of one that is stored everything is 0 but `num_bytes`, what is kept of it.

    `first_step` is where training goes on from a checkpoint; `scanned_bytes` is what its queries read of the source.
    """

    name: str
    stored: bool
    load: Load
    first_step: int
    seconds: Interval
    cpu_seconds: Interval
    peak_bytes: Interval
    num_bytes: Interval
    scanned_bytes: int
    cost: Interval

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        intervals = {
            name: getattr(self, name).to_json()
            for name in ("seconds", "cpu_seconds", "peak_bytes", "num_bytes", "cost")
        }
        return {**intervals, "scanned_bytes": self.scanned_bytes, "first_step": self.first_step}


@dataclass(frozen=True)
class Forecast:
    """What a run will take."""

    stages: tuple[StageForecast, ...]
    prices: Prices
    # How many times as long everything takes at present as on a machine of one's own: contained in the times.
    slowdown: float
    # Whether there is an earlier run on this machine to go by, for every stage that is to run.
    has_history: bool

    @property
    def seconds(self) -> Interval:
        """Of all stages, one after the other."""
        return reduce(Interval.__add__, (stage.seconds for stage in self.stages), NOTHING)

    @property
    def cost(self) -> Interval:
        """Of all stages, in the currency of the prices, without what keeping the results costs."""
        return reduce(Interval.__add__, (stage.cost for stage in self.stages), NOTHING)

    @property
    def peak_bytes(self) -> Interval:
        """Of the stage that needs most."""
        return max((stage.peak_bytes for stage in self.stages), key=lambda found: found.expected, default=NOTHING)

    @property
    def num_bytes(self) -> Interval:
        """What is kept of all stages."""
        return reduce(Interval.__add__, (stage.num_bytes for stage in self.stages), NOTHING)

    @property
    def month_cost(self) -> Interval:
        """What keeping the results costs a month."""
        return self.num_bytes.times(self.prices.gb_month / GB)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the stages."""
        names = ("seconds", "peak_bytes", "num_bytes", "cost", "month_cost")
        return {
            **{name: getattr(self, name).to_json() for name in names},
            "currency": self.prices.currency,
            "slowdown": self.slowdown,
            "has_history": self.has_history,
        }


def forecast(plan: Plan, prices: Prices, runs: Callable[[], Sequence[RunRow]]) -> Forecast:
    """What running a plan will take; `runs` gives the records of earlier runs, and is asked only where a stage is to run."""
    folders: dict[str, Path] = {}
    missing = [stage for stage in plan.stages if stage.stored_seconds is None]
    past = history(runs()) if missing else []
    slowdown = slowdown_so_far()
    stages = []
    for planned in plan.stages:
        stage, name, artifacts = planned.stage, planned.name, plan.project.artifacts
        artifact = artifacts.find(name, planned.fingerprint)
        if artifact is not None and planned.stored_seconds is not None:
            folders[name] = artifact.folder
            kept = Interval(artifact.num_bytes, artifact.num_bytes, artifact.num_bytes)
            stages.append(StageForecast(name, True, {}, 0, NOTHING, NOTHING, NOTHING, kept, 0, NOTHING))
            continue
        context = planned.sees(plan.context)
        before = context.seen(folders)
        first_step = stage.first_step(context, artifacts.work_folder(name, planned.fingerprint))
        load = stage.load(context.at(before.get(Series.name)), before, first_step)
        seconds, cpu, peak, kept = (
            expected(measure, stage, load, past, guessed=is_guessed(before)) for measure in MEASURES
        )
        seconds = while_busy(seconds, slowdown)
        read = scanned_bytes(stage, plan.context) if prices.gb_scanned else 0
        cost = seconds.times(hourly(stage.name, prices, plan.context.threads) / 3600, read * prices.gb_scanned / GB)
        stages.append(StageForecast(name, False, load, first_step, seconds, cpu, _within(peak, plan), kept, read, cost))
    return Forecast(
        tuple(stages),
        prices,
        slowdown,
        {planned.stage.name for planned in missing} <= {measured.stage for measured in past},
    )


def _within(peak: Interval, plan: Plan) -> Interval:
    """Not more than the limit, which stages keep to."""
    limit = plan.context.memory_bytes
    return Interval(min(peak.expected, limit), min(peak.low, limit), min(peak.high, limit))
