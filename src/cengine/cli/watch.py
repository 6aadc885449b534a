"""`cengine pipeline status`, `runs`, `logs`, `attach`, `cancel`: looking at runs from any terminal."""

from __future__ import annotations

import datetime
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from cengine.cli.options import SETTINGS, json_option, looked_at, project
from cengine.cli.output import (
    console,
    duration,
    echo,
    megabytes,
    print_json,
    print_table,
    short_duration,
    table_text,
)
from cengine.terminal import safe

if TYPE_CHECKING:
    from cengine.store.project import Project
    from cengine.store.rows import PipelineRow, RunRow

NAMES = ("id", "name", "status", "completion", "compute_cost", "training_cost", "total_cost", "execution_time")
# How often a terminal looks again at what another process does: nobody sees less, and it costs the run nothing.
REFRESH_SECONDS = 0.5


@click.command(context_settings=SETTINGS)
@click.option("--pipeline-id", "key", metavar="ID|NAME", help="One pipeline only; by default all that were run.")
@click.option(
    "--watch",
    "-w",
    is_flag=True,
    help="Stay, and show what changes until nothing goes on any more. Ctrl-C leaves; the runs go on.",
)
@json_option
def status(key: str | None, watch: bool, as_json: bool) -> None:
    """How far the newest run of each pipeline is, and what it cost."""
    home = looked_at()
    if as_json:
        rows, newest = _status_rows(home, key)
        at_work = {pipeline.id: {"progress": run.progress, "message": run.message} for pipeline, run in newest}
        print_json([dict(zip(NAMES, row, strict=True)) | at_work.get(row[0], {}) for row in rows])
    elif watch and sys.stdout.isatty():
        _watch(home, key)
    else:
        echo(_status_text(home, key)[0])


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME")
@json_option
def runs(key: str, as_json: bool) -> None:
    """All runs of a pipeline, the newest first."""
    from cengine.forecast.costs import month_cost
    from cengine.runs.runs import settled
    from cengine.store.settings import read_settings

    home = looked_at()
    pipeline = home.records.pipelines.find(key)
    found = settled(home.records.runs.all(pipeline_id=pipeline.id), home)[::-1]
    prices = read_settings(home.folder).prices
    rows = []
    for run in found:
        kept = sum(stage.get("num_bytes") or 0 for stage in run.stages)
        rows.append(
            (
                run.number,
                run.status,
                f"{100 * run.completion_ratio:.0f}%",
                run.attempt,
                run.started_at[:19].replace("T", " "),
                duration(_seconds(run)),
                run.compute_cost + run.training_cost,
                run.saved_cost,
                kept,
                month_cost(kept, prices),
                (run.message or "").split("\n")[0],
            )
        )
    if as_json:
        names = ("run", "status", "completion", "attempts", "started_at", "execution_time", "cost", "saved_cost", "kept_bytes",
                 "kept_month_cost", "message")  # fmt: skip
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    sign = prices.sign
    headers = ("Run", "Status", "Completion", "Attempts", "Started (UTC)", "Execution Time", f"Cost ({sign})", f"Saved ({sign})",
               "Kept (MB)", f"Kept ({sign}/month)", "Message")  # fmt: skip
    shown = [(*row[:6], _cost(row[6]), _cost(row[7]), megabytes(row[8]), _cost(row[9]), row[10]) for row in rows]
    chosen = [i for i in range(len(headers)) if i != 9 or prices.gb_month]
    print_table([headers[i] for i in chosen], [[row[i] for i in chosen] for row in shown])


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@click.option("--follow", "-f", is_flag=True, help="Stay, and print what is added until the run ends.")
def logs(key: str, follow: bool) -> None:
    """What a run wrote into its log: stages, their times, and what went wrong."""
    from cengine.errors import StoreError
    from cengine.runs.runs import find_record, log_file
    from cengine.store.lifecycle import ACTIVE

    home = looked_at()
    _, run = find_record(home, key)
    file = log_file(home, run)
    if not file.exists():
        where = (run.process or "").partition("@")[0]
        why = (
            f"its log is on {where}, where it runs"
            if home.store.database.shared
            else "it is of an older version, or its log was removed"
        )
        raise StoreError(f"run {run.number} has no log here", why)
    with file.open(encoding="utf-8", errors="replace") as stream:
        echo(stream.read(), nl=False)
        while follow and _refreshed(home, run).status in ACTIVE:
            time.sleep(REFRESH_SECONDS)
            echo(stream.read(), nl=False)
        echo(stream.read(), nl=False)


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
def cancel(key: str) -> None:
    """End a run; its stages and checkpoints are kept, and `resume` goes on from there."""
    from cengine.runs.runs import cancel_run, find_record
    from cengine.store.lifecycle import ACTIVE

    home = project()
    pipeline, run = find_record(home, key)
    cancel_run(home, run)
    while (run := _refreshed(home, run)).status in ACTIVE:
        time.sleep(REFRESH_SECONDS)
    ended = "cancelled" if run.status == "Cancelled" else f"over: it is {run.status.lower()}"
    echo(f"run {run.number} of {pipeline.name} is {ended}")


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
def attach(key: str) -> None:
    """The bars of a run that goes on elsewhere. Ctrl-C leaves; the run goes on."""
    from cengine.cli.progress import Bars
    from cengine.runs.runs import find_record
    from cengine.store.lifecycle import ACTIVE

    home = looked_at()
    pipeline, run = find_record(home, key)
    shown: set[str] = set()
    at_work = ""
    with Bars() as bars:
        while True:
            run = _refreshed(home, run)
            for stage in run.stages:
                if stage["seconds"] is not None and stage["name"] not in shown:
                    shown.add(stage["name"])
                    if stage["reused"]:
                        bars.reuse(stage["name"], stage["saved_seconds"])
                    elif stage["name"] == at_work:
                        bars.end(stage["name"], stage["seconds"])
            position = run.progress
            if position and position["stage"] not in shown:
                if position["stage"] != at_work:
                    at_work = position["stage"]
                    bars.begin(at_work, position["total"], position["unit"])
                bars.advance(position["done"], position["note"])
            if run.status not in ACTIVE:
                break
            time.sleep(REFRESH_SECONDS)
    echo(f"run {run.number} of {pipeline.name} is {run.status.lower()}" + (f": {run.message}" if run.message else ""))


def _refreshed(home: Project, run: RunRow) -> RunRow:
    from cengine.runs.runs import settled

    return settled([home.records.runs.get(run.id)], home)[0]


def _watch(home: Project, key: str | None) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(console=console(err=False), refresh_per_second=4) as live:
        going_on = True
        while going_on:
            text, going_on = _status_text(home, key)
            live.update(Text(safe(text)))
            time.sleep(REFRESH_SECONDS)


def _status_text(home: Project, key: str | None) -> tuple[str, bool]:
    """The table, what the stages at work are at, the message of one pipeline's run; and whether any run goes on."""
    from cengine.store.lifecycle import ACTIVE

    rows, newest = _status_rows(home, key)
    sign = _sign(home)
    headers = ("ID", "Name", "Pipeline Status", "Completion", f"Compute Cost ({sign})", f"Training Cost ({sign})", f"Total Cost ({sign})",
               "Execution Time")  # fmt: skip
    lines = [table_text(headers, rows)]
    for pipeline, run in newest:
        if run.status in ACTIVE and run.progress:
            lines.append(f"{pipeline.name}: {_at_work(run.progress)}")
        elif key and run.message:
            lines.append(run.message + _where_its_log_is(home, run))
    return "\n\n".join(lines), any(run.status in ACTIVE for _, run in newest)


def _where_its_log_is(home: Project, run: RunRow) -> str:
    from cengine.runs.runs import log_file
    from cengine.store.lifecycle import FAILED

    has_log = run.status == FAILED and log_file(home, run).exists()
    return f"\nlog: cengine pipeline logs {run.key}" if has_log else ""


def _at_work(position: dict[str, Any]) -> str:
    rate = f", {position['rate']:,.0f} {position['unit']}/s" if position["rate"] else ""
    left = f", about {short_duration(position['seconds_left'])} left" if position["seconds_left"] else ""
    note = f", {position['note']}" if position["note"] else ""
    return f"{position['stage']}, {position['done']:,.0f} of {position['total']:,} {position['unit']}{rate}{note}{left}"


def _status_rows(home: Project, key: str | None) -> tuple[list[tuple[Any, ...]], list[tuple[PipelineRow, RunRow]]]:
    """The rows of the table, and the pipelines that were run with their newest run."""
    from cengine.runs.runs import settled_runs

    chosen = [home.records.pipelines.find(key)] if key else home.records.pipelines.all()
    last = {run.pipeline_id: run for run in settled_runs(home)}
    rows: list[tuple[Any, ...]] = []
    for pipeline in chosen:
        run = last.get(pipeline.id)
        if run is not None:
            compute, training = run.compute_cost, run.training_cost
            rows.append(
                (
                    pipeline.id,
                    pipeline.name,
                    run.status,
                    f"{100 * run.completion_ratio:.0f}%",
                    _cost(compute),
                    _cost(training),
                    _cost(compute + training),
                    duration(_seconds(run)),
                )
            )
        elif key:
            rows.append((pipeline.id, pipeline.name, "Never run", "0%", 0, 0, 0, ""))
    return rows, [(pipeline, last[pipeline.id]) for pipeline in chosen if pipeline.id in last]


def _seconds(run: RunRow) -> float:
    """Of work, as the run says it every few seconds by a clock that nobody sets; of one that has not begun, since it was asked for."""
    from cengine.store.records import now

    if run.seconds is not None:
        return float(run.seconds)
    began, ended = (datetime.datetime.fromisoformat(text) for text in (run.started_at, run.ended_at or now()))
    return max(0.0, (ended - began).total_seconds())


def _sign(home: Project) -> str:
    from cengine.store.settings import read_settings

    return read_settings(home.folder).prices.sign


def _cost(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)
