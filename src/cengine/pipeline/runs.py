"""Runs as the records know them: begun, watched, ended with the truth about how, looked up, taken up again."""

from __future__ import annotations

import _thread
import importlib.metadata
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cengine.errors import CengineError, StoreError
from cengine.pipeline.api import pipeline_config
from cengine.pipeline.costs import costs_of
from cengine.pipeline.execute import Position, Run, StageRecord, execute
from cengine.pipeline.heartbeat import Heartbeat
from cengine.pipeline.plan import Plan, plan
from cengine.pipeline.progress import Journal, Progress
from cengine.pipeline.register import read_snapshot
from cengine.store.lifecycle import ACTIVE, CANCELLED, FAILED, INTERRUPTED, QUEUED, RUNNING, SUCCEEDED, enter, settle, take
from cengine.store.permissions import make_file, make_folder
from cengine.store.processes import identity_of, own_identity
from cengine.store.project import Project
from cengine.store.records import now
from cengine.store.settings import Prices, read_settings
from cengine.store.spare import keep_spare

# How often a run that waits looks whether its turn has come.
QUEUE_SECONDS = 0.5


def queue_run(plan: Plan, pipeline: dict[str, Any], snapshot_id: int, options: dict[str, Any]) -> dict[str, Any]:
    """A new run that waits for a process to take it; `options` are what it is to be started with."""
    keep_spare(plan.project.records)
    return dict(plan.project.records.insert_numbered(
        "runs", "pipeline_id", pipeline_id=pipeline["id"], snapshot_id=snapshot_id, status=QUEUED, completion_ratio=0.0,
        compute_cost=0.0, training_cost=0.0, started_at=now(), process_id=os.getpid(), process=own_identity(), heartbeat_at=now(),
        stages=_planned(plan), options=options,
    ))  # fmt: skip


def plan_of(project: Project, pipeline: dict[str, Any], snapshot_id: int, options: dict[str, Any], progress: Progress) -> Plan:
    """The plan of a run on a snapshot, with the options it was or is to be started with."""
    content = project.records.get("snapshots", snapshot_id)["content"]
    return plan(project, pipeline_config(pipeline), read_snapshot(project, content), memory_bytes=options.get("memory_bytes"),
                threads=options.get("threads"), progress=progress)  # fmt: skip


def requeue_run(project: Project, record: dict[str, Any]) -> dict[str, Any]:
    """A run that ended before it was through, waiting again. Raises StoreError where another process was quicker."""
    keep_spare(project.records)
    attempt = record["attempt"] + 1
    if not enter(project.records, record["id"], QUEUED, attempt=attempt, process=own_identity(), process_id=os.getpid(), heartbeat_at=now(),
                 ended_at=None, cancelled_at=None, message=None):  # fmt: skip
        raise StoreError(f"run {record['number']} was taken up by another process just now")
    return project.records.get("runs", record["id"])


def start_detached(project: Project, record: dict[str, Any]) -> None:
    """Starts a process of its own, in a session of its own, that does a queued run."""
    log = log_file(project, record)
    make_file(make_folder(log.parent) / log.name)
    command = [sys.executable, "-m", "cengine.cli.main", "--project", str(project.folder), "pipeline", "work", str(record["id"])]
    with log.open("ab") as stream:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd=project.folder
        )
    # From now on the run is as alive as that process is, and no longer as this one.
    project.records.update_run(record["id"], (QUEUED,), process=identity_of(child.pid), process_id=child.pid)


def log_file(project: Project, record: dict[str, Any]) -> Path:
    """Where a run writes what it does."""
    return project.folder / "logs" / f"run-{record['id']}.log"


def do_run(record: dict[str, Any], plan: Plan) -> tuple[dict[str, Any], Run]:
    """Takes a run and executes its plan; the records say the truth about its end whatever the end is."""
    records, prices = plan.project.records, read_settings(plan.project.folder).prices
    limit = record["options"].get("max_parallel") or read_settings(plan.project.folder).max_parallel
    if limit is not None:
        _wait_for_turn(plan.project, record, limit)
    take(records, record["id"], process_id=os.getpid())
    book = _Book(plan, record, prices)
    journal = Journal(log_file(plan.project, record), plan.context.progress)
    plan = replace(plan, context=replace(plan.context, progress=journal))
    journal.write(f"attempt {record['attempt']}, process {os.getpid()}, cengine {importlib.metadata.version('cengine')}")
    # Ctrl-C from within: the main thread ends what it does, and says why by the heartbeat's word.
    with Heartbeat(records, record["id"], _thread.interrupt_main) as heartbeat:
        try:
            run = execute(plan, book.write)
        except KeyboardInterrupt:
            ended = CANCELLED if heartbeat.cancelled or _cancelled(plan.project, record) else INTERRUPTED
            message = "cancelled" if ended == CANCELLED else "interrupted; resume it, or run again"
            enter(records, record["id"], ended, message=message, seconds=book.seconds)
            journal.write(message)
            raise
        except CengineError as error:
            enter(records, record["id"], FAILED, message=error.render(), seconds=book.seconds)
            journal.write(error.render())
            raise
        except BaseException as error:
            enter(records, record["id"], FAILED, message=f"{type(error).__name__}: {error}", seconds=book.seconds)
            journal.write("".join(traceback.format_exception(error)))
            raise
    book.write(1.0, list(run.stages), None)
    for found in run.results.verdicts:
        journal.write(f"{found['split']}: {found['sentence']}")
    enter(records, record["id"], SUCCEEDED, completion_ratio=1.0, progress=None, seconds=book.seconds)
    _tidy(plan, run, journal)
    return records.get("runs", record["id"]), run


def _tidy(plan: Plan, run: Run, journal: Journal) -> None:
    """Keeps the artifacts within `cache_max_size`; what this run made stays, and one that made nothing changes nothing."""
    limit = read_settings(plan.project.folder).cache_max_size
    if limit is None or all(stage.reused for stage in run.stages):
        return
    from cengine.store.cache import keep_within

    gone = keep_within(plan.project, limit, [plan.snapshot.content, *(stage.fingerprint for stage in run.stages)])
    if gone:
        journal.write(f"removed {len(gone)} artifacts, the least recently used, to keep within cache_max_size")


def run_pipeline(
    pipeline: dict[str, Any], plan: Plan, snapshot_id: int, options: dict[str, Any] | None = None
) -> tuple[dict[str, Any], Run]:
    """Executes a plan as a new recorded run."""
    return do_run(queue_run(plan, pipeline, snapshot_id, options or {}), plan)


def cancel_run(project: Project, run: dict[str, Any]) -> None:
    """Asks a run to end. One that waits ends at once, one that goes on at its next heartbeat, with its checkpoints kept."""
    (run,) = settled([run], project)
    if run["status"] == QUEUED and enter(project.records, run["id"], CANCELLED, message="cancelled before it began"):
        return
    if not project.records.update_run(run["id"], ("Running",), cancelled_at=now()):
        status = project.records.get("runs", run["id"])["status"].lower()
        raise StoreError(f"run {run['number']} does not go on any more: it is {status}")


def settled_runs(project: Project) -> list[dict[str, Any]]:
    """All runs; those whose process is gone become Interrupted."""
    return settled(project.records.all("runs"), project)


def settled(runs: list[dict[str, Any]], project: Project) -> list[dict[str, Any]]:
    """These runs with the truth about their state."""
    settle(project.records, runs)
    return runs


def parse_key(key: str | int) -> tuple[str, int | None]:
    """The pipeline's id or name and the run's number in `ID|NAME[:RUN]`. Raises StoreError for what is no number."""
    name, _, number = str(key).partition(":")
    if number and not number.isdigit():
        raise StoreError(f"'{number}' is not the number of a run", "write for example 1:2 for run 2 of pipeline 1")
    return name, int(number) if number else None


def find_record(project: Project, key: str, among: Sequence[str] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The records of pipeline and run of `ID|NAME[:RUN]`, the newest run (of a state `among` these) where no number is given.

    Raises StoreError where there is none.
    """
    name, number = parse_key(key)
    pipeline = project.records.find("pipelines", name)
    runs = settled(project.records.all("runs", pipeline_id=pipeline["id"]), project)
    chosen = [run for run in runs if number in (None, run["number"])]
    if not chosen:
        what = f"has no run {number}" if number is not None else "was never run"
        raise StoreError(f"pipeline '{pipeline['name']}' {what}", f"run it: cengine pipeline run {pipeline['id']}")
    fitting = [run for run in chosen if among is None or run["status"] in among]
    if not fitting:
        newest = chosen[-1]
        raise StoreError(f"run {newest['number']} of pipeline '{pipeline['name']}' is {newest['status'].lower()}")
    return pipeline, fitting[-1]


def finished_run(project: Project, pipeline: dict[str, Any], number: int | None) -> tuple[dict[str, Any], Run]:
    """A run that succeeded, by number or the newest one, with its folders."""
    runs = project.records.all("runs", pipeline_id=pipeline["id"])
    chosen = [run for run in runs if run["status"] == "Succeeded" and number in (None, run["number"])]
    if not chosen:
        what = f"run {number} of pipeline '{pipeline['name']}'" if number else f"pipeline '{pipeline['name']}'"
        state = f"the newest run is {runs[-1]['status'].lower()}" if runs else "it was never run"
        raise StoreError(f"{what} has no results: {state}", f"run it: cengine pipeline run {pipeline['id']}")
    record = chosen[-1]
    folders = {}
    for stage in record["stages"]:
        artifact = project.artifacts.find(stage["name"], stage["fingerprint"])
        if artifact is None:
            raise StoreError(f"the stored result of {stage['name']} is gone", f"run it again: cengine pipeline run {pipeline['id']}")
        project.artifacts.touch(stage["name"], stage["fingerprint"])
        folders[stage["name"]] = artifact.folder
    stages = tuple(StageRecord(s["name"], s["fingerprint"], s["reused"], s["seconds"], s["saved_seconds"]) for s in record["stages"])
    return record, Run(stages, folders)


def _wait_for_turn(project: Project, record: dict[str, Any], limit: int) -> None:
    """Returns when fewer than `limit` runs go on and no older one waits."""
    while True:
        runs = [run for run in settled_runs(project) if run["status"] in ACTIVE]
        ahead = [run for run in runs if run["status"] == RUNNING or run["id"] < record["id"]]
        if len(ahead) < limit or record["id"] not in [run["id"] for run in runs]:
            return
        time.sleep(QUEUE_SECONDS)


class _Book:
    """Writes what a run has done into its record: stages, completion, the stage at work, costs."""

    def __init__(self, plan: Plan, record: dict[str, Any], prices: Prices) -> None:
        self.plan = plan
        self.run_id = record["id"]
        self.prices = prices
        self._before = record["seconds"] or 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Of work so far, all attempts together."""
        return self._before + time.monotonic() - self._began

    def write(self, share: float, stages: list[StageRecord], position: Position | None) -> None:
        """What `execute` tells."""
        rows = _stages(stages, self.plan)
        spent = list(rows)
        if position is not None:
            spent.append({"name": position.stage, "seconds": position.seconds, "saved_seconds": 0.0})
        costs = costs_of(spent, self.prices, self.plan.context.threads)
        self.plan.project.records.update(
            "runs", self.run_id, completion_ratio=share, stages=rows, compute_cost=costs.compute, training_cost=costs.training,
            saved_cost=costs.saved, seconds=self.seconds, progress=None if position is None else position.to_json(share, self.seconds),
        )  # fmt: skip


def _cancelled(project: Project, record: dict[str, Any]) -> bool:
    return project.records.get("runs", record["id"])["cancelled_at"] is not None


def _planned(plan: Plan) -> list[dict[str, Any]]:
    return [{"name": s.name, "fingerprint": s.fingerprint, "reused": s.stored_seconds is not None, "seconds": None, "saved_seconds": None}
            for s in plan.stages]  # fmt: skip


def _stages(done: list[StageRecord], plan: Plan) -> list[dict[str, Any]]:
    finished = [{"name": s.name, "fingerprint": s.fingerprint, "reused": s.reused, "seconds": s.seconds, "saved_seconds": s.saved_seconds}
                for s in done]  # fmt: skip
    return finished + _planned(plan)[len(done) :]
