"""`cengine pipeline run`, `resume`: here, or in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cengine.cli.evaluate import print_overall, results_json
from cengine.cli.options import SETTINGS, json_option, project, resource_options
from cengine.cli.output import data_size, gigabytes, print_json, print_table, short_duration

if TYPE_CHECKING:
    from cengine.cli.progress import Bars
    from cengine.pipeline.execute import Run
    from cengine.pipeline.plan import Plan
    from cengine.pipeline.warehouse import Scan
    from cengine.store.project import Project


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME")
@click.option("--datasource", "datasource_key", metavar="ID|NAME", help="Run on this datasource instead of the pipeline's own.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--explain", is_flag=True, help="Show the plan only.")
@click.option("--detach", "-d", is_flag=True, help="Go on in the background, also when this terminal closes.")
@click.option(
    "--max-parallel", type=click.IntRange(min=1), help="Wait while so many runs go on. Default: that of settings.yaml, else no bound."
)
@click.option(
    "--max-gb-scanned", type=click.FloatRange(min=0.01), help="Do not let a warehouse scan more than so many GB (10**9 bytes) for this run."
)
@resource_options
@json_option
def run(
    key: str, datasource_key: str | None, yes: bool, explain: bool, detach: bool, max_parallel: int | None, max_gb_scanned: float | None,
    memory_bytes: int | None, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Run a pipeline: show the plan, ask, and go; what is stored already is reused."""
    from cengine.cli.progress import Bars
    from cengine.pipeline.api import newest_snapshot
    from cengine.pipeline.runs import plan_of, queue_run

    home = project()
    pipeline = home.records.find("pipelines", key)
    datasource = (
        home.records.find("datasources", datasource_key) if datasource_key else home.records.get("datasources", pipeline["datasource_id"])
    )
    newest = newest_snapshot(home, datasource)
    options = {"memory_bytes": memory_bytes, "threads": threads, "max_parallel": max_parallel,
               "max_scanned_bytes": None if max_gb_scanned is None else int(max_gb_scanned * 1e9)}  # fmt: skip
    bars = Bars()
    planned = plan_of(home, pipeline, newest["id"], options, bars)
    scan = planned.scan()
    if explain and as_json:
        print_json(_plan_json(planned) | ({"scan": scan.to_json()} if scan else {}))
        return
    if not as_json:
        _print_plan(pipeline, datasource, planned)
        if scan is not None:
            _print_scan(planned, scan, max_gb_scanned)
    if explain:
        return
    if not yes:
        _ask()
    record = queue_run(planned, pipeline, newest["id"], options)
    if detach:
        _detach(home, pipeline, record, as_json)
    else:
        _go(pipeline, record, planned, bars, as_json)


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@click.option("--detach", "-d", is_flag=True, help="Go on in the background, also when this terminal closes.")
@json_option
def resume(key: str, detach: bool, as_json: bool) -> None:
    """Go on with a run that was interrupted, cancelled or failed: finished stages are kept, training goes on from its checkpoint."""
    from cengine.cli.progress import Bars
    from cengine.pipeline.runs import find_record, plan_of, requeue_run
    from cengine.store.lifecycle import RESUMABLE

    home = project()
    pipeline, record = find_record(home, key, RESUMABLE)
    bars = Bars()
    planned = plan_of(home, pipeline, record["snapshot_id"], record["options"], bars)
    record = requeue_run(home, record)
    if detach:
        _detach(home, pipeline, record, as_json)
    else:
        _go(pipeline, record, planned, bars, as_json)


@click.command("work", context_settings=SETTINGS, hidden=True)
@click.argument("run_id", type=int)
def work(run_id: int) -> None:
    """What `--detach` starts: does a queued run."""
    from cengine.pipeline.progress import Silent
    from cengine.pipeline.runs import do_run, plan_of

    home = project()
    record = home.records.get("runs", run_id)
    pipeline = home.records.get("pipelines", record["pipeline_id"])
    do_run(record, plan_of(home, pipeline, record["snapshot_id"], record["options"], Silent()))


def _go(pipeline: dict[str, Any], record: dict[str, Any], planned: Plan, bars: Bars, as_json: bool) -> None:
    from cengine.pipeline.runs import do_run

    with bars:
        finished, result = do_run(record, planned)
    if as_json:
        print_json(
            {
                "pipeline_id": pipeline["id"],
                "run": finished["number"],
                "saved_seconds": result.saved_seconds,
                **results_json(result.results, None),
            }
        )
        return
    _print_split(result, planned.snapshot.schema.num_rows)
    saved = f", {short_duration(result.saved_seconds)} saved by what was stored" if result.saved_seconds else ""
    click.echo(f"\nrun {finished['number']} of {pipeline['name']} succeeded in {short_duration(finished['seconds'])}{saved}")
    print_overall(result.results)
    click.echo(f"\nby slice, as a page and a notebook: cengine pipeline evaluate {pipeline['id']}")


def _detach(home: Project, pipeline: dict[str, Any], record: dict[str, Any], as_json: bool) -> None:
    from cengine.pipeline.runs import log_file, start_detached

    start_detached(home, record)
    key = f"{pipeline['id']}:{record['number']}"
    if as_json:
        print_json({"pipeline_id": pipeline["id"], "run": record["number"], "log": str(log_file(home, record))})
        return
    click.echo(f"run {record['number']} of {pipeline['name']} goes on in the background\n"
               f"  how far it is:  cengine pipeline status --pipeline_id {pipeline['id']} --watch\n"
               f"  its bars here:  cengine pipeline attach {key}\n"
               f"  end it:         cengine pipeline cancel {key}")  # fmt: skip


def _ask() -> None:
    from cengine.errors import CengineError

    try:
        answer = input("\nrun it? [Y/n] ").strip().lower()
    except EOFError:
        raise CengineError("there is no terminal to answer at", "add -y to run without asking") from None
    if answer not in ("", "y", "yes"):
        click.echo("nothing was run")
        raise click.exceptions.Exit(1)


def _print_plan(record: dict[str, Any], datasource: dict[str, Any], planned: Plan) -> None:
    schema = planned.snapshot.schema
    click.echo(f"pipeline {record['id']} ({record['name']}) on {datasource['name']}, {schema.num_rows:,} rows\n")
    rows = []
    for stage in planned.stages:
        what = f"{stage.size:,} {stage.unit}" if stage.size else ""
        state = "stored" if stage.stored_seconds is not None else "to run"
        rows.append((stage.name, state, what, short_duration(stage.stored_seconds) if stage.stored_seconds is not None else None))
    print_table(("Stage", "State", "Size", "Saves"), rows)
    threads = planned.context.threads or "all"
    click.echo(f"\nmemory up to {gigabytes(planned.context.memory_bytes)}, {threads} cores")


def _print_scan(planned: Plan, scan: Scan, max_gb_scanned: float | None) -> None:
    """What the table's warehouse will read for the run, and what that costs."""
    from cengine.pipeline.costs import scan_cost
    from cengine.store.settings import read_settings

    prices = read_settings(planned.project.folder).prices
    cost = f", {scan_cost(scan.num_bytes, prices):.2f} {prices.sign}" if prices.gb_scanned else ""
    bound = f"; at most {max_gb_scanned:g} GB are allowed" if max_gb_scanned is not None else ""
    assert planned.context.warehouse is not None
    click.echo(f"{planned.context.warehouse.source.title} will scan about {data_size(scan.num_bytes)} "
               f"in {scan.num_queries} queries of {data_size(scan.query_bytes)}{cost}{bound}")  # fmt: skip


def _plan_json(planned: Plan) -> dict[str, Any]:
    return {"rows": planned.snapshot.schema.num_rows, "saved_seconds": planned.saved_seconds, "memory_bytes": planned.context.memory_bytes,
            "stages": [{"name": s.name, "stored": s.stored_seconds is not None, "fingerprint": s.fingerprint, "size": s.size, "unit": s.unit}
                       for s in planned.stages]}  # fmt: skip


def _print_split(result: Run, num_rows: int) -> None:
    from cengine.preprocess.split import read_split

    split = read_split(result.folders["Split"])
    report = split.report
    shown = ", ".join(f"{name} {rows:,}" for name, rows in report.rows.items())
    groups = f" in {report.num_groups:,} groups of {split.by}" if split.by else ""
    click.echo(f"\nsplit: {shown} rows{groups}")
    if report.num_small_groups:
        named = ", ".join(str(name) for name in report.small_groups)
        click.echo(f"  {report.num_small_groups:,} groups have fewer rows than there are splits and fill train first: {named}")
    unused = num_rows - sum(report.rows.values()) - report.num_left_out
    if unused:
        click.echo(f"  {unused:,} of {num_rows:,} rows do not pass `where` or have no label")
    if report.num_left_out:
        click.echo(f"  {report.num_left_out:,} rows are of groups that no split names, and are left out")
