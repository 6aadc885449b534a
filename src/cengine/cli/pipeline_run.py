"""`cengine pipeline run`, `status`, `evaluate`."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import click

from cengine.cli.options import SETTINGS, json_option, project, resource_options
from cengine.cli.output import duration, gigabytes, print_json, print_table, short_duration

if TYPE_CHECKING:
    from cengine.pipeline.execute import Run
    from cengine.pipeline.plan import Plan

STATUS_COLUMNS = (
    "ID", "Name", "Pipeline Status", "Completion", "Compute Cost (€)", "Training Cost (€)", "Total Cost (€)", "Execution Time",
)  # fmt: skip


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME")
@click.option("--datasource", "datasource_key", metavar="ID|NAME", help="Run on this datasource instead of the pipeline's own.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--explain", is_flag=True, help="Show the plan only.")
@resource_options
@json_option
def run(
    key: str, datasource_key: str | None, yes: bool, explain: bool, memory_bytes: int | None, threads: int | None, as_json: bool
) -> None:  # fmt: skip
    """Run a pipeline: show the plan, ask, and go; what is stored already is reused."""
    from cengine.cli.progress import Bars
    from cengine.pipeline.api import newest_snapshot, pipeline_config, run_pipeline
    from cengine.pipeline.plan import plan
    from cengine.pipeline.register import read_snapshot

    home = project()
    record = home.records.find("pipelines", key)
    datasource = (
        home.records.find("datasources", datasource_key) if datasource_key else home.records.get("datasources", record["datasource_id"])
    )
    newest = newest_snapshot(home, datasource)
    bars = Bars()
    planned = plan(
        home, pipeline_config(record), read_snapshot(home, newest["content"]), memory_bytes=memory_bytes, threads=threads, progress=bars
    )
    if explain and as_json:
        print_json(_plan_json(planned))
        return
    if not as_json:
        _print_plan(record, datasource, planned)
    if explain:
        return
    if not yes:
        _ask()
    with bars:
        finished, result = run_pipeline(record, planned, newest["id"])
    if as_json:
        print_json(
            {"pipeline_id": record["id"], "run": finished["number"], "saved_seconds": result.saved_seconds, **_results_json(result, None)}
        )
        return
    _print_split(result, planned.snapshot.schema.num_rows)
    seconds = _seconds_between(finished["started_at"], finished["ended_at"])
    saved = f", {short_duration(result.saved_seconds)} saved by what was stored" if result.saved_seconds else ""
    click.echo(f"\nrun {finished['number']} of {record['name']} succeeded in {short_duration(seconds)}{saved}")
    _print_overall(result)
    click.echo(f"\nby slice: cengine pipeline evaluate {record['id']}")


@click.command(context_settings=SETTINGS)
@click.option("--pipeline-id", "key", metavar="ID|NAME", help="One pipeline only; by default all that were run.")
@json_option
def status(key: str | None, as_json: bool) -> None:
    """How far the newest run of each pipeline is, and what it cost."""
    from cengine.pipeline.api import settled_runs
    from cengine.store.records import now

    home = project()
    chosen = [home.records.find("pipelines", key)] if key else home.records.all("pipelines")
    runs = settled_runs(home)
    rows: list[tuple[Any, ...]] = []
    for record in chosen:
        own = [run for run in runs if run["pipeline_id"] == record["id"]]
        if not own and not key:
            continue
        if not own:
            rows.append((record["id"], record["name"], "Never run", "0%", 0, 0, 0, ""))
            continue
        newest = own[-1]
        seconds = _seconds_between(newest["started_at"], newest["ended_at"] or now())
        compute, training = _cost(newest["compute_cost"]), _cost(newest["training_cost"])
        rows.append((record["id"], record["name"], newest["status"], f"{100 * newest['completion_ratio']:.0f}%", compute, training,
                     _cost(newest["compute_cost"] + newest["training_cost"]), duration(seconds)))  # fmt: skip
    if as_json:
        names = ("id", "name", "status", "completion", "compute_cost", "training_cost", "total_cost", "execution_time")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    print_table(STATUS_COLUMNS, rows)
    if key and runs and (message := [r for r in runs if r["pipeline_id"] == chosen[0]["id"]][-1:]) and message[0]["message"]:
        click.echo(f"\n{message[0]['message']}")


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@click.option("--slice", "columns", multiple=True, help="Only the slices by this column (or a,b for a cross). May be repeated.")
@click.option("--sort", metavar="METRIC", help="Order slices by this metric, worst first; by default the largest first.")
@click.option("--rows", "num_rows", type=click.IntRange(min=1), default=10, show_default=True, help="Slices shown of each set.")
@click.option("--min-count", type=click.IntRange(min=0), default=0, help="Leave out slices with fewer rows.")
@click.option("--all", "show_all", is_flag=True, help="Show every slice.")
@json_option
def evaluate(
    key: str, columns: tuple[str, ...], sort: str | None, num_rows: int, min_count: int, show_all: bool, as_json: bool
) -> None:  # fmt: skip
    """How good the model of a pipeline's newest run is: overall, beside a constant, and by slice."""
    from cengine.errors import StoreError
    from cengine.pipeline.api import finished_run

    home = project()
    name, _, number = key.partition(":")
    if number and not number.isdigit():
        raise StoreError(f"'{number}' is not the number of a run", "write for example 1:2 for run 2 of pipeline 1")
    record = home.records.find("pipelines", name)
    finished, result = finished_run(home, record, int(number) if number else None)
    if as_json:
        print_json({"pipeline_id": record["id"], "run": finished["number"], **_results_json(result, sort)})
        return
    click.echo(f"{record['name']}, run {finished['number']}")
    _print_overall(result)
    _print_slices(result, columns, sort, None if show_all else num_rows, min_count)


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


def _print_overall(result: Run) -> None:
    results = result.results
    rows = []
    for row in results.overall.to_pylist():
        skill = None if row["skill"] is None else f"{100 * row['skill']:.1f} %"
        rows.append((row["split"], row["label"], row["metric"], row["model"], row["constant"], row["constant_is"], skill, row["num_rows"]))
    click.echo()
    print_table(("Split", "Label", "Metric", "Model", "Constant", "The constant is", "Better by", "Rows"), rows)
    click.echo()
    for found in results.verdicts:
        prefix = f"{found['split']}: " if len(results.verdicts) > 1 else ""
        click.echo(prefix + found["sentence"])


def _print_slices(result: Run, columns: tuple[str, ...], sort: str | None, num_rows: int | None, min_count: int) -> None:
    from cengine.errors import StoreError

    wanted = [tuple(c.strip() for c in text.split(",")) for text in columns]
    known = [found.columns for found in result.results.slices]
    for choice in wanted:
        if choice not in known:
            raise StoreError(f"there are no slices by {', '.join(choice)}", f"there are slices by: {'; '.join(', '.join(k) for k in known)}",
                             "add them under `evaluator:`, push and run; all but the evaluation is reused")  # fmt: skip
    for found in result.results.slices:
        if wanted and found.columns not in wanted:
            continue
        table = _sorted(found.table, sort, result)
        rows = [row for row in table.to_pylist() if row["num_rows"] >= min_count]
        shown = rows if num_rows is None else rows[:num_rows]
        click.echo(f"\nby {', '.join(found.columns)}" + (f" ({len(shown)} of {len(rows):,} slices)" if len(shown) < len(rows) else ""))
        several = len({row["split"] for row in rows}) > 1
        headers = [name for name in table.column_names if several or name != "split"]
        print_table(
            [{"num_rows": "rows"}.get(name, name) for name in headers], [[_slice_cell(row[name]) for name in headers] for row in shown]
        )


def _slice_cell(value: Any) -> Any:
    return "null" if value is None else value


def _sorted(table: Any, sort: str | None, result: Run) -> Any:
    if sort is None:
        return table
    from cengine.errors import StoreError, near_miss

    metrics = {row["metric"]: row["higher_is_better"] for row in result.results.overall.to_pylist()}
    if sort not in (*metrics, "num_rows"):
        raise StoreError(f"there is no metric '{sort}'", f"metrics: {', '.join(metrics)}", *near_miss(sort, metrics))
    if sort not in table.column_names:
        return table
    return table.sort_by([(sort, "ascending" if metrics.get(sort) else "descending")])


def _results_json(result: Run, sort: str | None) -> dict[str, Any]:
    results = result.results
    return {
        "metrics": results.overall.to_pylist(),
        "verdicts": results.verdicts,
        "slices": [
            {"label": s.label, "columns": list(s.columns), "rows": _sorted(s.table, sort, result).to_pylist()} for s in results.slices
        ],
    }


def _seconds_between(start: str, end: str) -> float:
    return (datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(start)).total_seconds()


def _cost(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)
