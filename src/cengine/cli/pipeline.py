"""`cengine pipeline`: push a YAML, check it, list what there is. Other commands have files of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cengine.cli.compare import compare
from cengine.cli.evaluate import evaluate
from cengine.cli.options import SETTINGS, json_option, looked_at, project
from cengine.cli.output import ask, confirm, echo, gigabytes, print_json, print_table, warn
from cengine.cli.pipeline_run import resume, run, work
from cengine.cli.slice import slice_
from cengine.cli.statistics import pipeline_statistics
from cengine.cli.tensorboard import tensorboard
from cengine.cli.watch import attach, cancel, logs, runs, status

if TYPE_CHECKING:
    from cengine.config.read import ConfigFile
    from cengine.datasources.register import Snapshot
    from cengine.store.project import Project
    from cengine.store.rows import DatasourceRow
    from cengine.tables import TableSchema


@click.group(context_settings=SETTINGS)
def pipeline() -> None:
    """Push a YAML, run it, see how good the model is."""


datasource_option = click.option(
    "--datasource", "key", metavar="ID|NAME", help="The datasource; by default the active one."
)


@pipeline.command(context_settings=SETTINGS)
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("name")
@datasource_option
@json_option
def push(config: Path, name: str, key: str | None, as_json: bool) -> None:
    """Check CONFIG against the datasource and keep it as the pipeline NAME."""
    from cengine.inspection.early_leaks import early_leaks
    from cengine.pipeline.plan import checked, proposed_resources
    from cengine.runs.pushed import push_pipeline

    file, home, datasource, snapshot = _on_a_datasource(config, key, project)
    resolved, warnings = checked(home, file, snapshot.schema)
    warn([problem.render("warning") for problem in (*warnings, *early_leaks(snapshot, file, resolved))])
    record, new = push_pipeline(home, name, file, datasource)
    resources = proposed_resources(resolved, snapshot.schema)
    if as_json:
        print_json({"id": record.id, "name": name, "datasource": datasource.name, "resources": resources.to_json()})
        return
    echo(
        f"pipeline {record.id} ({name}) {'registered' if new else 'is there already, unchanged'}, on datasource {datasource.name} "
        f"with {snapshot.schema.num_rows:,} rows"
    )
    several = resources.workers > 1
    echo(
        f"proposed: {resources.workers} worker{'s' if several else ''} with {resources.cpus_per_worker} cpus_per_worker, "
        f"{gigabytes(resources.memory_bytes)} memory"
    )
    spark = (
        f" --engine spark --workers {resources.workers} --cpus_per_worker {resources.cpus_per_worker} --master URL"
        if several
        else ""
    )
    echo(f"run it:   cengine pipeline run {record.id}{spark}")


@pipeline.command(context_settings=SETTINGS)
@click.argument("config", type=click.Path(path_type=Path))
@datasource_option
def validate(config: Path, key: str | None) -> None:
    """Check CONFIG against the datasource; nothing is kept."""
    from cengine.pipeline.plan import checked

    file, home, datasource, snapshot = _on_a_datasource(config, key, looked_at)
    _, warnings = checked(home, file, snapshot.schema)
    warn([problem.render("warning") for problem in warnings])
    noted = f", {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else ""
    echo(f"{config} is valid on datasource {datasource.name}{noted}")


@pipeline.command(context_settings=SETTINGS)
@datasource_option
@click.option("--label", help="The column to predict.")
@click.option("--autoencoder", is_flag=True, help="A YAML that finds odd rows, without a label.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
def template(key: str | None, label: str | None, autoencoder: bool, output: Path | None) -> None:
    """Write a commented YAML for the datasource, ready to push and to change."""
    from cengine.config.template import template as make
    from cengine.config.template_of_rows import template_of_rows
    from cengine.datasources.catalogue import find_datasource, snapshot_of
    from cengine.inspection.sample import texts_of_single_rows

    home = looked_at()
    snapshot = snapshot_of(home, find_datasource(home, key))
    schema, single = snapshot.schema, texts_of_single_rows(snapshot)
    if autoencoder and label:
        raise click.UsageError("an autoencoder has no label: name --label or --autoencoder")
    if autoencoder:
        _write(template_of_rows(schema, of_single_rows=single), output)
        return
    _write(make(schema, _known(label, schema) if label else None, of_single_rows=single), output)


@pipeline.command(context_settings=SETTINGS)
@click.argument("output", type=click.Path(path_type=Path), default="pipeline.yaml")
@datasource_option
def configure(output: Path, key: str | None) -> None:
    """Ask for label, features and split, and write the YAML to OUTPUT (pipeline.yaml)."""
    import sys

    from cengine.config.template import guessed_label
    from cengine.config.template import template as make
    from cengine.datasources.catalogue import find_datasource, snapshot_of
    from cengine.inspection.sample import texts_of_single_rows

    home = looked_at()
    record = find_datasource(home, key)
    snapshot = snapshot_of(home, record)
    schema, single = snapshot.schema, texts_of_single_rows(snapshot)
    if not sys.stdin.isatty():
        _write(make(schema, of_single_rows=single), output)
        return
    echo(f"columns of {record.name}: {', '.join(schema.names)}")
    label = _known(ask("what is to be predicted", default=guessed_label(schema)), schema)
    able = [column.name for column in schema.columns if column.kind is not None and column.name != label]
    names = [name for name in able if name not in single] or able
    answer = ask("from which columns (comma-separated, or all)", default="all")
    features = (
        names
        if answer.strip() == "all"
        else [_known(name.strip(), schema) for name in answer.split(",") if name.strip()]
    )
    share = ask("share of rows to evaluate on", default=0.1, type=click.FloatRange(0, 1, min_open=True, max_open=True))
    if output.exists():
        confirm(f"{output} exists; replace it?", abort=True)
        output.unlink()
    _write(make(schema, label, features, share), output)


@pipeline.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
@click.option("--original", is_flag=True, help="The text as it was pushed, comments and all.")
def pull(key: str, output: Path | None, original: bool) -> None:
    """Give back a pipeline's YAML, in the nested spelling; with RUN that of the run, the defaults of its columns written out."""
    from cengine.config.template import to_yaml
    from cengine.runs.pushed import pipeline_config, run_config
    from cengine.runs.runs import find_record, parse_key

    home, (name, number) = looked_at(), parse_key(key)
    if number is None:
        record = home.records.pipelines.find(name)
        file = pipeline_config(record)
    else:
        record, run = find_record(home, key)
        file = run_config(record, run)
    _write(record.config_text if original else to_yaml(file.config.to_nested()), output)


@pipeline.command("list", context_settings=SETTINGS)
@json_option
def list_(as_json: bool) -> None:
    """The pipelines, with their datasource and how their newest run ended."""
    from cengine.runs.runs import settled_runs

    home = looked_at()
    runs = settled_runs(home)
    rows: list[Any] = []
    for record in home.records.pipelines.all():
        own = [run for run in runs if run.pipeline_id == record.id]
        name = home.records.datasources.get(record.datasource_id).name
        rows.append(
            (
                record.id,
                record.name,
                name,
                record.created_at[:19].replace("T", " "),
                len(own),
                own[-1].status if own else "Never run",
            )
        )
    if as_json:
        names = ("id", "name", "datasource", "created", "runs", "status")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(("ID", "Name", "Datasource", "Created (UTC)", "Runs", "Pipeline Status"), rows)


def _on_a_datasource(
    config: Path, key: str | None, open_: Callable[[], Project]
) -> tuple[ConfigFile, Project, DatasourceRow, Snapshot]:
    """The YAML, which may be wrong in places yet, and what it is to be checked against; without that the YAML's mistakes come first."""
    from cengine.config.read import load_config
    from cengine.datasources.catalogue import find_datasource, snapshot_of
    from cengine.errors import CengineError

    file = load_config(config, partly=True)
    try:
        home = open_()
        datasource = find_datasource(home, key)
        return file, home, datasource, snapshot_of(home, datasource)
    except CengineError:
        file.must_be_whole()
        raise


def _known(name: str, schema: TableSchema) -> str:
    """The column as the table spells it."""
    from cengine.errors import SourceError

    found = schema.lookup.find(name)
    if found is None:
        raise SourceError(*schema.lookup.fault(name))
    return str(found)


def _write(text: str, output: Path | None) -> None:
    from cengine.errors import StoreError
    from cengine.store.disk import disk_errors

    if output is None:
        echo(text, nl=False)
        return
    if output.exists():
        raise StoreError(f"'{output}' exists already", "choose another name with -o, or remove it")
    with disk_errors():
        output.write_text(text)
    echo(f"written to {output}")


for command in (
    run,
    resume,
    work,
    status,
    runs,
    logs,
    attach,
    cancel,
    evaluate,
    tensorboard,
    slice_,
    compare,
    pipeline_statistics,
):
    pipeline.add_command(command)
