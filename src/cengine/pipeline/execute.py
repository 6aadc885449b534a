"""Runs a plan: each stage is reused or run, and recorded."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cengine.errors import CengineError
from cengine.evaluation.results import Results, read_results
from cengine.pipeline.plan import Plan
from cengine.pipeline.progress import Progress
from cengine.pipeline.stages import STAGES, Work
from cengine.store.artifacts import disk_error

# Shares of a run's time, for its completion: training is most of it.
WEIGHTS = {"Split": 8, "Fit": 8, "Transform": 12, "Train": 62, "Evaluate": 10}


@dataclass(frozen=True)
class StageRecord:
    """What became of a stage."""

    name: str
    fingerprint: str
    reused: bool
    seconds: float
    saved_seconds: float


@dataclass(frozen=True)
class Run:
    """A finished run: its stages, their folders by name, and how good the model is."""

    stages: tuple[StageRecord, ...]
    folders: dict[str, Path]

    @property
    def results(self) -> Results:
        """Overall metrics, slices and verdicts."""
        return read_results(self.folders["Evaluate"])

    @property
    def predictions_file(self) -> Path:
        """The table of predictions, in Parquet."""
        return self.folders["Evaluate"] / "predictions.parquet"

    def predictions(self) -> Any:
        """The table of predictions, a pyarrow Table."""
        import pyarrow.parquet as pq

        return pq.read_table(self.predictions_file)

    def model(self) -> Any:
        """The trained Keras model; `signature.json` beside it says what its inputs are."""
        from cengine.training.model import load_model

        return load_model(self.folders["Train"])

    @property
    def saved_seconds(self) -> float:
        """The time that stored stages saved."""
        return sum(stage.saved_seconds for stage in self.stages)


@dataclass(frozen=True)
class Position:
    """Where the stage at work is: `done` of `total` in its unit, after so many seconds."""

    stage: str
    done: float
    total: int
    unit: str
    note: str
    seconds: float

    def to_json(self, share: float, run_seconds: float) -> dict[str, Any]:
        """Plain data, with the rate and the time left of the whole run, `share` of which is done after `run_seconds`."""
        rate = self.done / self.seconds if self.seconds > 0 else None
        left = run_seconds * (1 - share) / share if share > 0.02 else None
        return {"stage": self.stage, "done": self.done, "total": self.total, "unit": self.unit, "note": self.note, "rate": rate,
                "seconds_left": left}  # fmt: skip


# Told the share of the run that is done, the stages so far, and where the one at work is.
Recorded = Callable[[float, list[StageRecord], Position | None], None]


def execute(plan: Plan, recorded: Recorded = lambda share, stages, position: None) -> Run:
    """Runs what is not stored. Raises what the stages raise; whatever was complete before stays stored."""
    with contextlib.ExitStack() as held:
        held.enter_context(plan.project.artifacts.in_use("snapshot", plan.snapshot.content))
        return _execute(plan, recorded, held)


def _execute(plan: Plan, recorded: Recorded, held: contextlib.ExitStack) -> Run:
    folders: dict[str, Path] = {}
    records: list[StageRecord] = []
    progress = plan.context.progress
    for stage, planned in zip(STAGES, plan.stages, strict=True):
        artifacts = plan.project.artifacts
        began = time.monotonic()
        try:
            with artifacts.building(stage.name, planned.fingerprint, functools.partial(progress.wait, stage.name)) as building:
                if building is not None:
                    watched = _Watched(progress, stage.name, records, recorded)
                    watched.begin(stage.name, stage.size(plan.context, folders), stage.unit)
                    work = Work(dict(folders), building.folder, artifacts.work_folder(stage.name, planned.fingerprint), building.details)
                    stage.run(_with_progress(plan, watched), work)
        except OSError as error:
            raise disk_error(error) from error
        held.enter_context(artifacts.in_use(stage.name, planned.fingerprint))
        artifact = artifacts.find(stage.name, planned.fingerprint)
        if artifact is None:
            raise CengineError(f"the stored result of {stage.name} vanished while the run went on")
        folders[stage.name] = artifact.folder
        if building is None:
            records.append(StageRecord(stage.name, planned.fingerprint, True, 0.0, artifact.seconds))
            progress.reuse(stage.name, artifact.seconds)
        else:
            seconds = time.monotonic() - began
            records.append(StageRecord(stage.name, planned.fingerprint, False, seconds, 0.0))
            progress.end(stage.name, seconds)
        recorded(_done_share(records, None, 0.0), records, None)
    return Run(tuple(records), folders)


def _with_progress(plan: Plan, progress: Progress) -> Any:
    from dataclasses import replace

    return replace(plan.context, progress=progress)


def _done_share(records: list[StageRecord], current: str | None, share: float) -> float:
    done = sum(WEIGHTS[record.name] for record in records)
    return (done + (WEIGHTS[current] * share if current else 0.0)) / sum(WEIGHTS.values())


class _Watched(Progress):
    """Passes progress on and records the run's completion, at most once a second."""

    def __init__(self, progress: Progress, stage: str, records: list[StageRecord], recorded: Recorded) -> None:
        self.progress = progress
        self.stage = stage
        self.records = records
        self.recorded = recorded
        self.total = 0
        self.unit = ""
        self.began = time.monotonic()
        self.next_record = 0.0

    def begin(self, stage: str, total: int, unit: str) -> None:
        self.total, self.unit, self.began = total, unit, time.monotonic()
        self.progress.begin(stage, total, unit)

    def advance(self, done: float, note: str = "") -> None:
        self.progress.advance(done, note)
        if time.monotonic() >= self.next_record:
            self.next_record = time.monotonic() + 1.0
            position = Position(self.stage, done, self.total, self.unit, note, time.monotonic() - self.began)
            self.recorded(_done_share(self.records, self.stage, min(1.0, done / max(self.total, 1))), self.records, position)

    def end(self, stage: str, seconds: float) -> None:
        self.progress.end(stage, seconds)

    def reuse(self, stage: str, saved_seconds: float) -> None:
        self.progress.reuse(stage, saved_seconds)

    def wait(self, stage: str) -> None:
        self.progress.wait(stage)
