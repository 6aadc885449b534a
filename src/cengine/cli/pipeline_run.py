"""`cengine pipeline run`, `resume`: here, or in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cengine.cli.evaluate import print_overall, results_json
from cengine.cli.explain import plan_json, print_plan, print_scan
from cengine.cli.options import SETTINGS, engine_options, json_option, project, resource_options
from cengine.cli.output import echo, print_json, short_duration
from cengine.cli.truth import print_cautions

if TYPE_CHECKING:
    from cengine.cli.progress import Bars
    from cengine.pipeline.execute import Outcome
    from cengine.pipeline.plan import Plan
    from cengine.store.project import Project
    from cengine.store.rows import PipelineRow, RunRow


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--max-minutes` and `--max-cost`."""
    command = click.option(
        "--max-cost",
        type=click.FloatRange(min=0, min_open=True),
        metavar="AMOUNT",
        help="Likewise, by the prices of settings.yaml and in their currency.",
    )(command)
    return click.option(
        "--max-minutes",
        type=click.FloatRange(min=0, min_open=True),
        metavar="MINUTES",
        help="End training early so that the run takes no longer; the best checkpoint so far is evaluated.",
    )(command)


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME")
@click.option(
    "--datasource", "datasource_key", metavar="ID|NAME", help="Run on this datasource instead of the pipeline's own."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--explain", is_flag=True, help="Show the plan only.")
@click.option("--detach", "-d", is_flag=True, help="Go on in the background, also when this terminal closes.")
@click.option(
    "--max-parallel",
    type=click.IntRange(min=1),
    help="Wait while so many runs go on. Default: that of settings.yaml, else no bound.",
)
@click.option(
    "--max-gb-scanned",
    type=click.FloatRange(min=0.01),
    help="Do not let a warehouse scan more than so many GB (10**9 bytes) for this run.",
)
@limit_options
@engine_options
@resource_options
@json_option
def run(
    key: str,
    datasource_key: str | None,
    yes: bool,
    explain: bool,
    detach: bool,
    max_parallel: int | None,
    max_gb_scanned: float | None,
    max_minutes: float | None,
    max_cost: float | None,
    engine: dict[str, Any],
    memory_bytes: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run a pipeline: show the plan, ask, and go; what is stored already is reused."""
    from cengine.cli.progress import Bars
    from cengine.datasources.catalogue import newest_snapshot
    from cengine.forecast.forecast import forecast
    from cengine.runs.limits import Limits, Spent
    from cengine.runs.pushed import pipeline_config
    from cengine.runs.runs import plan_of, queue_run
    from cengine.store.settings import read_settings

    home = project()
    prices = read_settings(home.folder).prices
    Limits(max_minutes, max_cost).check(Spent(0.0, 0.0), prices)
    pipeline = home.records.pipelines.find(key)
    datasource = (
        home.records.datasources.find(datasource_key)
        if datasource_key
        else home.records.datasources.get(pipeline.datasource_id)
    )
    newest = newest_snapshot(home, datasource)
    options = {
        "memory_bytes": memory_bytes,
        "threads": threads,
        "max_parallel": max_parallel,
        "max_minutes": max_minutes,
        "max_cost": max_cost,
        "max_scanned_bytes": None if max_gb_scanned is None else int(max_gb_scanned * 1e9),
        "engine": engine,
    }
    bars = Bars()
    planned = plan_of(home, pipeline_config(pipeline), newest.id, options, bars)
    scan = planned.scan()
    if explain and as_json:
        print_json(plan_json(planned, forecast(planned, prices, lambda: home.records.runs.all()), scan))
        return
    if not as_json:
        echo(
            f"pipeline {pipeline.id} ({pipeline.name}) on {datasource.name}, {planned.snapshot.schema.num_rows:,} rows\n"
        )
        print_plan(planned, forecast(planned, prices, lambda: home.records.runs.all()))
        if scan is not None:
            print_scan(planned, scan, prices, max_gb_scanned)
    if explain:
        return
    if not yes:
        _ask()
    record = queue_run(planned, pipeline, newest.id, options)
    if detach:
        _detach(home, pipeline, record, as_json)
    else:
        _go(pipeline, record, planned, bars, as_json)


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@click.option("--detach", "-d", is_flag=True, help="Go on in the background, also when this terminal closes.")
@click.option("--no-limits", is_flag=True, help="Without the limits that the run was started with.")
@limit_options
@resource_options
@json_option
def resume(
    key: str,
    detach: bool,
    no_limits: bool,
    max_minutes: float | None,
    max_cost: float | None,
    memory_bytes: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Go on with a run that was interrupted, cancelled or failed: finished stages are kept, training goes on from its checkpoint.

    What it was started with holds on, unless it is given anew; limits are of all its attempts together.
    """
    from cengine.cli.progress import Bars
    from cengine.runs.limits import Limits, Spent
    from cengine.runs.pushed import run_config
    from cengine.runs.runs import find_record, plan_of, requeue_run
    from cengine.store.lifecycle import RESUMABLE
    from cengine.store.settings import read_settings

    home = project()
    pipeline, record = find_record(home, key, RESUMABLE)
    options = dict(record.options)
    if no_limits:
        options |= {"max_minutes": None, "max_cost": None}
    given = {"max_minutes": max_minutes, "max_cost": max_cost, "memory_bytes": memory_bytes, "threads": threads}
    options |= {name: value for name, value in given.items() if value is not None}
    spent = Spent(record.seconds or 0.0, record.compute_cost + record.training_cost)
    Limits.of(options).check(spent, read_settings(home.folder).prices)
    bars = Bars()
    planned = plan_of(home, run_config(pipeline, record), record.snapshot_id, options, bars)
    record = requeue_run(home, record, options)
    if detach:
        _detach(home, pipeline, record, as_json)
    else:
        _go(pipeline, record, planned, bars, as_json)


@click.command("work", context_settings=SETTINGS, hidden=True)
@click.argument("run_id", type=int)
def work(run_id: int) -> None:
    """What `--detach` starts: does a queued run."""
    from cengine.runs.pushed import run_config
    from cengine.runs.runs import do_run, plan_of
    from cengine.stages.progress import Silent

    home = project()
    record = home.records.runs.get(run_id)
    pipeline = home.records.pipelines.get(record.pipeline_id)
    do_run(record, plan_of(home, run_config(pipeline, record), record.snapshot_id, record.options, Silent()))


def _go(pipeline: PipelineRow, record: RunRow, planned: Plan, bars: Bars, as_json: bool) -> None:
    from cengine.runs.runs import do_run

    with bars:
        finished, result = do_run(record, planned)
    if as_json:
        print_json(
            {
                "pipeline_id": pipeline.id,
                "run": finished.number,
                "saved_seconds": result.saved_seconds,
                "note": finished.message,
                **results_json(result.results, None),
            }
        )
        return
    _print_split(result, planned.snapshot.schema.num_rows)
    saved = f", {short_duration(result.saved_seconds)} saved by what was stored" if result.saved_seconds else ""
    echo(f"\nrun {finished.number} of {pipeline.name} succeeded in {short_duration(finished.seconds or 0.0)}{saved}")
    if finished.message:
        echo(f"  {finished.message}")
    print_overall(result.results)
    _print_training(result)
    print_cautions(result.results)
    echo(f"\nby slice, as a page and a notebook: cengine pipeline evaluate {pipeline.id}")


def _print_training(result: Outcome) -> None:
    from cengine.reports.training import training_told

    told = training_told(result.training)
    if told:
        echo("")
    for sentence in told:
        echo(f"training: {sentence}")


def _detach(home: Project, pipeline: PipelineRow, record: RunRow, as_json: bool) -> None:
    from cengine.runs.runs import log_file, start_detached

    start_detached(home, record)
    key = record.key
    if as_json:
        print_json({"pipeline_id": pipeline.id, "run": record.number, "log": str(log_file(home, record))})
        return
    echo(
        f"run {record.number} of {pipeline.name} goes on in the background\n"
        f"  how far it is:  cengine pipeline status --pipeline_id {pipeline.id} --watch\n"
        f"  its bars here:  cengine pipeline attach {key}\n"
        f"  end it:         cengine pipeline cancel {key}"
    )


def _ask() -> None:
    from cengine.errors import CengineError

    try:
        answer = input("\nrun it? [Y/n] ").strip().lower()
    except EOFError:
        raise CengineError("there is no terminal to answer at", "add -y to run without asking") from None
    if answer not in ("", "y", "yes"):
        echo("nothing was run")
        raise click.exceptions.Exit(1)


def _print_split(result: Outcome, num_rows: int) -> None:
    import textwrap

    from cengine.cli.truth import WIDTH
    from cengine.metrics.verdicts import FEW_ROWS
    from cengine.preprocess.point_split import told
    from cengine.preprocess.series import read_report
    from cengine.preprocess.split import FoldedSplit, read_split
    from cengine.stages.series import Series
    from cengine.stages.split import Split

    split = read_split(result.folders[Split.name])
    report = split.report
    shown = ", ".join(f"{name} {rows:,}" for name, rows in report.rows.items())
    groups = f" in {report.num_groups:,} groups of {split.by}" if split.by else ""
    if isinstance(split, FoldedSplit):
        least, most = (end(split.dealt.report.rows.values()) for end in (min, max))
        shown = f"{split.num_folds} folds of {f'{least:,} to {most:,}' if least < most else f'{most:,}'}"
    echo(f"\nsplit: {shown} rows{groups}")
    if Series.name in result.folders:
        for line in told(read_report(result.folders[Series.name])):
            echo(textwrap.fill(line, WIDTH, subsequent_indent="  "))
    few = [name for name, rows in report.rows.items() if rows < FEW_ROWS]
    if few:
        echo(f"  fewer than {FEW_ROWS} rows are in {', '.join(few)}: too few to tell how good a model is")
    if report.num_small_groups:
        named = ", ".join(str(name) for name in report.small_groups)
        which = "1 group has" if report.num_small_groups == 1 else f"{report.num_small_groups:,} groups have"
        first = "fills" if report.num_small_groups == 1 else "fill"
        end = f"splits and {first} train first"
        if isinstance(split, FoldedSplit):
            end = "folds and " + ("is not in each" if report.num_small_groups == 1 else "are not in each")
        echo(f"  {which} fewer rows than there are {end}: {named}")
    unused = num_rows - sum(report.rows.values()) - report.num_left_out
    if unused:
        echo(f"  {unused:,} of {num_rows:,} rows do not pass `where` or have no label")
    if report.num_left_out:
        echo(f"  {report.num_left_out:,} rows are of groups that no split names, and are left out")
