"""Runs as the records know them: begun, watched, ended with the truth about how, looked up, taken up again."""

from __future__ import annotations

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

from cengine import stopping
from cengine.config.read import ConfigFile
from cengine.datasources.register import read_snapshot
from cengine.errors import CengineError, StoreError
from cengine.extras import DISTRIBUTION
from cengine.pipeline.execute import Outcome, StageRecord, execute
from cengine.pipeline.plan import Plan, plan
from cengine.runs.book import Book, planned_stages
from cengine.runs.heartbeat import Heartbeat
from cengine.runs.limits import Limits, Watch
from cengine.stages.progress import Journal, Progress
from cengine.stopping import Reason, Stopped, Wish
from cengine.store.lifecycle import ACTIVE, CANCELLED, FAILED, INTERRUPTED, QUEUED, RUNNING, enter, settle, take
from cengine.store.permissions import make_file, make_folder
from cengine.store.processes import identity_of, own_identity
from cengine.store.project import Project
from cengine.store.records import now
from cengine.store.rows import PipelineRow, RunRow
from cengine.store.settings import read_settings
from cengine.store.spare import keep_spare

# How often a run that waits looks whether its turn has come.
QUEUE_SECONDS = 0.5


def queue_run(plan: Plan, pipeline: PipelineRow, snapshot_id: int, options: dict[str, Any]) -> RunRow:
    """A new run that waits for a process to take it; `options` are what it is to be started with."""
    keep_spare(plan.project.records)
    return plan.project.records.runs.insert_numbered(
        pipeline_id=pipeline.id,
        snapshot_id=snapshot_id,
        status=QUEUED,
        completion_ratio=0.0,
        compute_cost=0.0,
        training_cost=0.0,
        started_at=now(),
        process_id=os.getpid(),
        process=own_identity(),
        heartbeat_at=now(),
        stages=planned_stages(plan),
        options=options,
        config_text=plan.config_text,
    )


def plan_of(project: Project, file: ConfigFile, snapshot_id: int, options: dict[str, Any], progress: Progress) -> Plan:
    """The plan of a run on a snapshot, with the options it was or is to be started with."""
    content = project.records.snapshots.get(snapshot_id).content
    return plan(
        project,
        file,
        read_snapshot(project, content),
        memory_bytes=options.get("memory_bytes"),
        threads=options.get("threads"),
        max_scanned_bytes=options.get("max_scanned_bytes"),
        engine=options.get("engine"),
        progress=progress,
    )


def requeue_run(project: Project, record: RunRow, options: dict[str, Any]) -> RunRow:
    """A run that ended before it was through, waiting again with these options. Raises StoreError where another process was quicker."""
    keep_spare(project.records)
    attempt = record.attempt + 1
    if not enter(
        project.records,
        record.id,
        QUEUED,
        attempt=attempt,
        process=own_identity(),
        process_id=os.getpid(),
        heartbeat_at=now(),
        ended_at=None,
        cancelled_at=None,
        message=None,
        options=options,
    ):
        raise StoreError(f"run {record.number} was taken up by another process just now")
    return project.records.runs.get(record.id)


def start_detached(project: Project, record: RunRow) -> None:
    """Starts a process of its own, in a session of its own, that does a queued run."""
    log = log_file(project, record)
    make_file(make_folder(log.parent) / log.name)
    program = [sys.executable, "-m", "cengine.cli.main"]
    command = [*program, "--project", str(project.folder), "pipeline", "work", str(record.id)]
    with log.open("ab") as stream:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd=project.folder
        )
    # From now on the run is as alive as that process is, and no longer as this one.
    project.records.update_run(record.id, (QUEUED,), process=identity_of(child.pid), process_id=child.pid)


def log_file(project: Project, record: RunRow) -> Path:
    """Where a run writes what it does."""
    return project.folder / "logs" / f"run-{record.id}.log"


def do_run(record: RunRow, plan: Plan) -> tuple[RunRow, Outcome]:
    """Takes a run and executes its plan; the records say the truth about its end whatever the end is.

    Raises Stopped (a KeyboardInterrupt) where the current wish ends it, LimitError for a limit that leaves nothing to evaluate.
    """
    project, wish, limits = plan.project, stopping.current(), Limits.of(record.options)
    settings = read_settings(project.folder)
    journal = Journal(log_file(project, record), plan.context.progress)
    plan = replace(plan, context=replace(plan.context, progress=journal))
    book = Book(plan, record, settings.prices)
    try:
        project.records.update_run(record.id, (QUEUED,), process=own_identity(), process_id=os.getpid())
        with Heartbeat(project.records, record.id, wish, book.beat):
            limit = record.options.get("max_parallel") or settings.max_parallel
            while not take(
                project.records, record.id, (QUEUED,), _turn(project, record, limit, wish), process_id=os.getpid()
            ):
                time.sleep(QUEUE_SECONDS)  # another one was quicker
            journal.write(
                f"attempt {record.attempt}, process {os.getpid()}, cengine {importlib.metadata.version(DISTRIBUTION)}"
            )
            with Watch(limits, wish, book.spent, book.begin()):
                outcome = execute(plan, book.write, wish)
            with wish.held(*Reason):
                _succeed(outcome, book, journal, limits)
                _tidy(plan, outcome, journal)
    except BaseException as error:
        with wish.held(*Reason):
            told = _ended(error, book, journal, limits, wish)
        raise told from (None if told is error else error)
    return project.records.runs.get(record.id), outcome


def _succeed(outcome: Outcome, book: Book, journal: Journal, limits: Limits) -> None:
    """Writes that a run came to its end, and where a limit ended its training."""
    for found in outcome.results.verdicts:
        journal.write(f"{found['split']}: {found['sentence']}")
    message = limits.note(outcome.limit) if outcome.limit else None
    if message:
        journal.write(message)
    book.end(list(outcome.stages), message)


def _ended(error: BaseException, book: Book, journal: Journal, limits: Limits, wish: Wish) -> BaseException:
    """Writes how a run ended otherwise than well, and gives what is to be raised.

    Whatever comes out of a place where a wish to end was raised is that wish: libraries make errors of their own of it.
    """
    reason = wish.reason
    if not (isinstance(error, KeyboardInterrupt) or (wish.was_raised and reason is not None)):
        text = error.render() if isinstance(error, CengineError) else f"{type(error).__name__}: {error}"
        journal.write(text if isinstance(error, CengineError) else "".join(traceback.format_exception(error)))
        book.fail(FAILED, text)
        return error
    reason = reason or Reason.INTERRUPTED
    told: BaseException = Stopped(reason)
    message = reason.sentence
    if reason.is_limit:
        told = limits.error(reason, book.place, book.key)
        message = told.render()
    elif reason is not Reason.CANCELLED:
        message += "; resume it, or run again"
    journal.write(message)
    if not isinstance(error, Stopped):
        journal.write("".join(traceback.format_exception(error)))
    if reason is not Reason.TAKEN_OVER:
        book.fail(CANCELLED if reason is Reason.CANCELLED else INTERRUPTED, message)
    return told


def _tidy(plan: Plan, outcome: Outcome, journal: Journal) -> None:
    """Keeps the artifacts within `cache_max_size`; what this run made stays, and one that made nothing changes nothing."""
    limit = read_settings(plan.project.folder).cache_max_size
    if limit is None or all(stage.reused for stage in outcome.stages):
        return
    from cengine.store.cache import keep_within

    gone = keep_within(plan.project, limit, [plan.snapshot.content, *(stage.fingerprint for stage in outcome.stages)])
    if gone:
        journal.write(f"removed {len(gone)} artifacts, the least recently used, to keep within cache_max_size")


def run_pipeline(
    pipeline: PipelineRow, plan: Plan, snapshot_id: int, options: dict[str, Any] | None = None
) -> tuple[RunRow, Outcome]:
    """Executes a plan as a new recorded run."""
    return do_run(queue_run(plan, pipeline, snapshot_id, options or {}), plan)


def cancel_run(project: Project, run: RunRow) -> None:
    """Asks a run to end. One that waits ends at once, one that goes on at its next heartbeat, with its checkpoints kept."""
    (run,) = settled([run], project)
    if run.status == QUEUED and enter(project.records, run.id, CANCELLED, message="cancelled before it began"):
        return
    if not project.records.update_run(run.id, ("Running",), cancelled_at=now()):
        status = project.records.runs.get(run.id).status.lower()
        raise StoreError(f"run {run.number} does not go on any more: it is {status}")


def settled_runs(project: Project) -> list[RunRow]:
    """All runs; those whose process is gone become Interrupted."""
    return settled(project.records.runs.all(), project)


def settled(runs: Sequence[RunRow], project: Project) -> list[RunRow]:
    """These runs with the truth about their state."""
    return settle(project.records, runs)


def parse_key(key: str | int) -> tuple[str, int | None]:
    """The pipeline's id or name and the run's number in `ID|NAME[:RUN]`. Raises StoreError for what is no number."""
    name, _, number = str(key).partition(":")
    if number and not number.isdigit():
        raise StoreError(f"'{number}' is not the number of a run", "write for example 1:2 for run 2 of pipeline 1")
    return name, int(number) if number else None


def find_record(project: Project, key: str, among: Sequence[str] | None = None) -> tuple[PipelineRow, RunRow]:
    """The records of pipeline and run of `ID|NAME[:RUN]`, the newest run (of a state `among` these) where no number is given.

    Raises StoreError where there is none.
    """
    name, number = parse_key(key)
    pipeline = project.records.pipelines.find(name)
    runs = settled(project.records.runs.all(pipeline_id=pipeline.id), project)
    chosen = [run for run in runs if number in (None, run.number)]
    if not chosen:
        what = f"has no run {number}" if number is not None else "was never run"
        raise StoreError(f"pipeline '{pipeline.name}' {what}", f"run it: cengine pipeline run {pipeline.id}")
    fitting = [run for run in chosen if among is None or run.status in among]
    if not fitting:
        newest = chosen[-1]
        raise StoreError(f"run {newest.number} of pipeline '{pipeline.name}' is {newest.status.lower()}")
    return pipeline, fitting[-1]


def finished_run(project: Project, pipeline: PipelineRow, number: int | None) -> tuple[RunRow, Outcome]:
    """A run that succeeded, by number or the newest one, with its folders."""
    runs = project.records.runs.all(pipeline_id=pipeline.id)
    chosen = [run for run in runs if run.status == "Succeeded" and number in (None, run.number)]
    if not chosen:
        what = f"run {number} of pipeline '{pipeline.name}'" if number else f"pipeline '{pipeline.name}'"
        state = f"the newest run is {runs[-1].status.lower()}" if runs else "it was never run"
        raise StoreError(f"{what} has no results: {state}", f"run it: cengine pipeline run {pipeline.id}")
    record = chosen[-1]
    folders = {}
    for stage in record.stages:
        artifact = project.artifacts.find(stage["name"], stage["fingerprint"])
        if artifact is None:
            raise StoreError(
                f"the stored result of {stage['name']} is gone", f"run it again: cengine pipeline run {pipeline.id}"
            )
        project.artifacts.touch(stage["name"], stage["fingerprint"])
        folders[stage["name"]] = artifact.folder
    return record, Outcome(tuple(StageRecord.from_json(stage) for stage in record.stages), folders)


def _turn(project: Project, record: RunRow, limit: int | None, wish: Wish) -> int | None:
    """The limit, once fewer runs than that go on and no older one waits. Raises Stopped where the run is not to begin any more."""
    while limit is not None:
        wish.raise_if_due()
        runs = [run for run in settled_runs(project) if run.status in ACTIVE]
        if record.id not in [run.id for run in runs]:
            wish.express(Reason.CANCELLED)
            raise Stopped(Reason.CANCELLED)
        ahead = [run for run in runs if run.status == RUNNING or run.id < record.id]
        if len(ahead) < limit:
            break
        time.sleep(QUEUE_SECONDS)
    return limit
