"""Runs a plan: each stage is reused or run, and recorded."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cengine import memory, stopping
from cengine.digests import fingerprint
from cengine.errors import CengineError, TrainingError
from cengine.evaluation.results import Results, read_results
from cengine.pipeline.plan import Plan, PlannedStage, limited_identity, parents_of
from cengine.stages.evaluate import Evaluate
from cengine.stages.progress import Progress
from cengine.stages.stage import Work
from cengine.stages.table import Series, scanned_bytes
from cengine.stages.train import Train, read_training
from cengine.stopping import LIMITS, Stopped, Wish
from cengine.store.artifacts import Artifact, Building
from cengine.store.disk import disk_error
from cengine.usage import Meter, Usage

# How often progress is recorded; less often where recording is slow, so that it takes no more than this share of the time.
RECORD_SECONDS, MOST_RECORDING = 1.0, 0.004
XLA_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"


@dataclass(frozen=True)
class StageRecord:
    """What became of a stage, and what it took: of a reused one `seconds` is 0, and the others are what it took when it was built.

    `limited_at` is the step at which a limit ended training.
    """

    name: str
    fingerprint: str
    reused: bool
    seconds: float
    saved_seconds: float
    load: dict[str, float] = field(default_factory=dict)
    guessed_load: dict[str, float] = field(default_factory=dict)
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    slowdown: float | None = None
    num_bytes: int | None = None
    scanned_bytes: int | None = None
    limited_at: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> StageRecord:
        """What `to_json` gave, in this version or an older one."""
        known = {field.name for field in fields(StageRecord)}
        return StageRecord(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True)
class Outcome:
    """What executing a plan came to: its stages, and their folders by name. `Train` is the model that is kept, `Train 2 of 5` one of a fold."""

    stages: tuple[StageRecord, ...]
    folders: dict[str, Path]

    @property
    def results(self) -> Results:
        """Overall metrics, slices and verdicts."""
        return read_results(self.folders[Evaluate.name])

    @property
    def training(self) -> dict[str, Any]:
        """How training went: its history, steps, the step whose weights were kept, and what limit ended it."""
        return read_training(self.folders[Train.name])

    @property
    def limit(self) -> dict[str, Any] | None:
        """That of `training` where a limit ended it before its last step."""
        return self.training if self.training.get("limit") else None

    @property
    def saved_seconds(self) -> float:
        """The time that stored stages saved."""
        return sum(stage.saved_seconds for stage in self.stages)


@dataclass(frozen=True)
class Position:
    """Where the stage at work is: `done` of `total` in its unit, after so many seconds; `rate` is what it does in one."""

    stage: str
    done: float
    total: int
    unit: str
    note: str
    seconds: float
    rate: float | None

    def to_json(self, seconds_left: float) -> dict[str, Any]:
        """Plain data, with the time left of the whole run."""
        return {
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "note": self.note,
            "rate": self.rate,
            "seconds_left": seconds_left,
        }


# Told the stages so far, and where the one at work is.
Recorded = Callable[[list[StageRecord], Position | None], None]


def execute(plan: Plan, recorded: Recorded = lambda stages, position: None, wish: Wish | None = None) -> Outcome:
    """Runs what is not stored. Raises what the stages raise; whatever was complete before stays stored.

    Where a limit ends training early (`wish`), what it reached is stored as what it is, and evaluated.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(plan.project.artifacts.in_use("snapshot", plan.snapshot.content))
        held.callback(plan.context.workers.release)
        return _execute(plan, recorded, wish or stopping.current(), held)


def _execute(plan: Plan, recorded: Recorded, wish: Wish, held: contextlib.ExitStack) -> Outcome:
    folders: dict[str, Path] = {}
    records: list[StageRecord] = []
    progress = plan.context.progress
    fingerprints: dict[str, str] = {}
    if any(planned.stored_seconds is None and planned.stage.loads_network for planned in plan.stages) and (
        refused := memory.too_little_for_training()
    ):
        raise TrainingError(*refused)
    for planned in plan.stages:
        stage = planned.stage
        # A limit may have ended a stage before, whose result is another one then.
        identity = {**planned.identity, **parents_of(stage, planned.sees(plan.context), fingerprints)}
        if stage.follows_limits:
            held.enter_context(wish.held(*LIMITS))
        at_work = _AtWork(
            plan, planned, identity, folders, wish, _Watched(progress, planned.name, records, recorded, wish), held
        )
        try:
            at_work.reach()
        except OSError as error:
            raise disk_error(error) from error
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and XLA_OUT_OF_MEMORY not in str(error):
                raise
            if (refused := memory.refusal(error)) is not None:
                raise TrainingError(*refused) from error
            limit = f"{plan.context.memory_bytes / 1e9:.1f} GB"
            raise TrainingError(
                f"{planned.name} got no more memory; the limit was {limit}",
                "give more with --memory, or train in smaller batches, with fewer or smaller layers",
            ) from error
        name = planned.name
        held.enter_context(plan.project.artifacts.in_use(name, at_work.fingerprint))
        artifact = plan.project.artifacts.find(name, at_work.fingerprint)
        if artifact is None:
            raise CengineError(f"the stored result of {name} vanished while the run went on")
        folders[name] = artifact.folder
        fingerprints[name] = at_work.fingerprint
        records.append(at_work.record(artifact))
        if at_work.built:
            progress.end(name, records[-1].seconds)
        else:
            progress.reuse(name, artifact.seconds)
        recorded(records, None)
    return Outcome(tuple(records), folders)


class _AtWork:
    """One stage of a run: reused where it is stored, else built, and measured."""

    def __init__(
        self,
        plan: Plan,
        planned: PlannedStage,
        identity: dict[str, Any],
        folders: dict[str, Path],
        wish: Wish,
        watched: _Watched,
        held: contextlib.ExitStack,
    ) -> None:
        self.plan, self.stage, self.name = plan, planned.stage, planned.name
        seen = planned.sees(plan.context)
        self.folders = seen.seen(folders)
        self.context = seen.at(self.folders.get(Series.name))
        self.wish, self.watched, self.held = wish, watched, held
        self.identity = identity
        self.wanted = self.fingerprint = fingerprint(identity)
        self.built = False
        self._seconds = 0.0
        self._load: dict[str, float] = {}
        self._guessed_load: dict[str, float] = {}
        self._usage = Usage(0.0, None, 1.0)
        self._limited_at: int | None = None

    def reach(self) -> None:
        """The stage is stored afterwards, under `fingerprint`: the wanted one, or another where a limit ended it early."""
        artifacts = self.plan.project.artifacts
        try:
            wait = functools.partial(self.watched.wait, self.name)
            with artifacts.building(self.name, self.wanted, wait) as building:
                if building is None:
                    return
                self.built = True
                work = self._work(building)
                if work.limited_at is not None:
                    self._limited_at = work.limited_at
                    self._store_limited(building, limited_identity(self.wanted, work.limited_at))
                    raise _Limited
        except _Limited:
            pass  # left by it, so that the draft is not taken for the whole and the checkpoints stay

    def _work(self, building: Building) -> Work:
        context, name = self.context, self.name
        kept = self.plan.project.artifacts.work_folder(name, self.wanted)
        work = Work(dict(self.folders), building.folder, kept, building.details, self.wish)
        meter = Meter()
        if self.stage.is_training and not context.folds:
            # Until the run ends: training hears of a limit by itself, and what it has reached is to be evaluated.
            self.held.enter_context(self.wish.held(*LIMITS))
        self.watched.begin(name, self.stage.size(context, self.folders), self.stage.unit)
        try:
            self.stage.run(replace(context, progress=self.watched), work)
        except Stopped:
            self.watched.leave()
            raise
        self._usage = meter.read()
        self._seconds = time.monotonic() - building.started
        steps = work.details.get("first_step", 0), work.limited_at
        self._load, self._guessed_load = (self.stage.load(context, folders, *steps) for folders in (self.folders, {}))
        if (traffic := context.table.traffic()) is not None:
            work.details["warehouse"] = traffic
            work.details["scanned_bytes"] = traffic["scanned_bytes"]
        # What would have to be compared to say why a result was not found again.
        work.details["identity"] = self.identity
        work.details.setdefault("scanned_bytes", scanned_bytes(self.stage, context))
        return work

    def _store_limited(self, building: Building, identity: dict[str, Any]) -> None:
        self.fingerprint = fingerprint(identity)
        with self.plan.project.artifacts.building(self.name, self.fingerprint) as shorter:
            if shorter is not None:
                for path in building.folder.iterdir():
                    path.rename(shorter.folder / path.name)
                shorter.details.update(building.details, identity={**identity, "whole": self.identity})
                shorter.started = building.started

    def record(self, artifact: Artifact) -> StageRecord:
        """What became of it."""
        scanned = artifact.details.get("scanned_bytes")
        if not self.built:
            return StageRecord(
                self.name,
                self.fingerprint,
                True,
                0.0,
                artifact.seconds,
                num_bytes=artifact.num_bytes,
                scanned_bytes=scanned,
            )
        usage = self._usage
        return StageRecord(
            self.name,
            self.fingerprint,
            False,
            self._seconds,
            0.0,
            self._load,
            self._guessed_load,
            usage.cpu_seconds,
            usage.peak_bytes,
            usage.slowdown,
            artifact.num_bytes,
            scanned,
            self._limited_at,
        )


class _Limited(Exception):
    """A limit has ended the stage early, and what it reached is stored."""


class _Watched(Progress):
    """Passes progress on, and records it at most once a second; where there is a wish to end, it ends here."""

    def __init__(
        self, progress: Progress, stage: str, records: list[StageRecord], recorded: Recorded, wish: Wish
    ) -> None:
        self.progress = progress
        self.stage = stage
        self.records = records
        self.recorded = recorded
        self.wish = wish
        self.total = 0
        self.unit = ""
        self.began = time.monotonic()
        # Training may begin at a checkpoint, and compiles before its first steps are done: the rate is that from there on.
        self.first: tuple[float, float] | None = None
        self.next_record = 0.0
        self.newest: tuple[float, str] | None = None

    def begin(self, stage: str, total: int, unit: str) -> None:
        self.wish.raise_if_due()
        self.total, self.unit, self.began = total, unit, time.monotonic()
        self.progress.begin(stage, total, unit)
        self.recorded(self.records, Position(stage, 0, total, unit, "", 0.0, None))

    def advance(self, done: float, note: str = "") -> None:
        self.wish.raise_if_due()
        self.progress.advance(done, note)
        now = time.monotonic()
        self.first, self.newest = self.first or (done, now), (done, note)
        if now >= self.next_record:
            rate = self._record(done, note, now)
            ended = time.monotonic()
            self.next_record = ended + max(RECORD_SECONDS if rate else 0.0, (ended - now) / MOST_RECORDING)

    def leave(self) -> None:
        """Records the newest progress of a stage that is left before its end: the last record may be seconds old."""
        if self.newest is not None:
            self._record(*self.newest, time.monotonic())

    def _record(self, done: float, note: str, now: float) -> float | None:
        """Records how far the stage is, and gives its pace, None where that is not known yet."""
        assert self.first is not None
        rate = (done - self.first[0]) / (now - self.first[1]) if now > self.first[1] else None
        self.recorded(
            self.records, Position(self.stage, done, self.total, self.unit, note, now - self.began, rate or None)
        )
        return rate

    def end(self, stage: str, seconds: float) -> None:
        self.progress.end(stage, seconds)

    def reuse(self, stage: str, saved_seconds: float) -> None:
        self.progress.reuse(stage, saved_seconds)

    def wait(self, stage: str) -> None:
        self.progress.wait(stage)

    def say(self, text: str) -> None:
        self.progress.say(text)
