"""`cengine predict`: predictions of the rows of a file or a datasource."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cengine.cli.options import SETTINGS, engine_options, json_option, looked_at, resource_options
from cengine.cli.output import cell, data_size, echo, percent, print_json, tell
from cengine.cli.pages import shown_path

if TYPE_CHECKING:
    from sqlglot import exp

    from cengine.inspection.run import Run
    from cengine.models.model import Model
    from cengine.prediction.predict import Predicted
    from cengine.prediction.source import Source

ALL = "*"
MAX_DRIFTS = 3


@click.command("predict", context_settings=SETTINGS)
@click.argument("model", metavar="RUN|BUNDLE")
@click.option(
    "--input",
    "place",
    metavar="FILE|DATASOURCE",
    required=True,
    help="The rows: a file, a glob in quotes, or a datasource.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write: .parquet, .csv or .jsonl.",
)
@click.option(
    "--keep",
    metavar="COLUMN,...",
    multiple=True,
    help="Columns of the input that stand before the predictions; '*' is all of them.",
)
@click.option(
    "--where", "filtered", is_flag=True, help="Only rows that pass the run's `where`, which chose the rows to train on."
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page that shows each feature beside the train rows.",
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@engine_options
@resource_options
@json_option
def predict(
    model: str,
    place: str,
    output: Path,
    keep: tuple[str, ...],
    filtered: bool,
    page: Path | None,
    overwrite: bool,
    engine: dict[str, Any],
    memory_bytes: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Predict the rows of a table of any size with the model of a run, or of a folder or bundle.

    \b
    cengine predict birth_year --input new_trips.parquet -o predicted.parquet
    cengine predict birth_year:2 --input trips -o predicted.csv --keep bikeid
    cengine predict model/ --input trips.csv.gz -o predicted.jsonl --keep '*'

    Rows stay in their order. The label is not needed; a feature that is missing or of another kind is refused before
    anything is read. If the command is interrupted, run it again: it continues.
    """  # fmt: skip
    from cengine.cli.progress import Bars
    from cengine.errors import StoreError
    from cengine.memory import default_memory_bytes
    from cengine.prediction.parts import Parts
    from cengine.prediction.predict import Limits, predict_table

    if output.exists() and not overwrite:
        raise StoreError(f"{output} exists already", "name another file, or replace it: --overwrite")
    limits = Limits(memory_bytes or default_memory_bytes(), threads)
    with ExitStack() as stack:
        opened, run = _opened(stack, model)
        parts = stack.enter_context(Parts(output))
        source = _source(stack, opened, run, place, parts.folder / "input", limits.memory_bytes)
        source = source.where(_filters(run)) if filtered else source
        source = _on_workers(source, run, engine)
        bars = stack.enter_context(Bars())
        done = predict_table(opened, source, parts, keep=_columns(keep, source), limits=limits, progress=bars)
    if page is not None:
        _write_page(page, done, source.title)
    if as_json:
        print_json(_described(done))
    else:
        _tell(done, page)


def _opened(stack: ExitStack, model: str) -> tuple[Model, Run | None]:
    """The model of a folder or a bundle, or of a run, which comes with it."""
    if Path(model).exists():
        from cengine.exports.formats import unpacked
        from cengine.models.model import load_model

        return load_model(stack.enter_context(unpacked(Path(model)))), None
    from cengine.inspection.run import find_run

    run = find_run(looked_at(), model)
    return run.model(), run


def _source(stack: ExitStack, model: Model, run: Run | None, place: str, folder: Path, memory_bytes: int) -> Source:
    """The rows of a file or a datasource."""
    from cengine.cli.progress import IngestBar
    from cengine.prediction.source import Origin, datasource_source, file_source, is_file

    if not is_file(place):
        return datasource_source(run.project if run is not None else looked_at(), place, tell)
    origin = Origin.of(run.datasource) if run is not None else None
    with IngestBar() as bar:
        found = file_source(place, model.signature.features, folder, origin=origin,
                            memory_bytes=memory_bytes, report=bar.report, say=tell)  # fmt: skip
        return stack.enter_context(found)


def _on_workers(source: Source, run: Run | None, engine: dict[str, Any]) -> Source:
    """The source with the workers that `--engine` or the project's settings name."""
    from cengine.engines.table import EMBEDDED
    from cengine.stages.workers import workers_of

    home = run.project if run is not None else looked_at()
    workers = workers_of(home, engine, None if source.is_here else {})
    if workers.name == EMBEDDED:
        return source
    return replace(source, workers=lambda memory_bytes, threads: workers.open(home, memory_bytes, threads))


def _filters(run: Run | None) -> tuple[exp.Expr, ...]:
    """The filters of the run's YAML. Raises StoreError for a model that is by itself, and for a YAML that has none."""
    from cengine.errors import StoreError

    if run is None:
        raise StoreError("--where: a model in a folder does not know which rows it was trained on", "name the run")
    if not run.filters:
        raise StoreError(f"--where: the YAML of {run.name} has no `where`", "leave the option out")
    return run.filters


def _columns(keep: tuple[str, ...], source: Source) -> list[str]:
    """The columns that are to be kept; a name may have commas in it."""
    names: list[str] = []
    for text in keep:
        if text == ALL:
            names += source.rows.schema.names
        elif source.names.find(text) is not None:
            names.append(text)
        else:
            names += [name.strip() for name in text.split(",")]
    return names


def _tell(done: Predicted, page: Path | None) -> None:
    """What was written, and what was odd about the rows."""
    counts = done.counts
    resumed = f", {done.num_resumed:,} of them by the command that was interrupted" if done.num_resumed else ""
    echo(f"{counts.num_rows:,} rows predicted{resumed}: {cell(done.file)} ({data_size(done.file.stat().st_size)})")
    for name, number in counts.missing.items():
        if number:
            echo(f"  {cell(name)}: {_of(number, counts.num_rows)} cells are missing and were filled as in training")
    for name, number in counts.unseen.items():
        if number:
            echo(f"  {cell(name)}: {_of(number, counts.num_rows)} cells hold a value that no train row has")
    _tell_drift(done)
    if page is not None:
        echo(f"page: {shown_path(page)}")


def _tell_drift(done: Predicted) -> None:
    """Which features are not as they were in training."""
    from cengine.prediction.drift import NEW, differing

    if not done.columns:
        return
    found = differing(done.columns)
    if not found:
        echo(f"drift: none, all {len(done.columns)} features are like those of the train rows")
        return
    echo(f"drift: {len(found)} of {len(done.columns)} features differ from the train rows")
    for column in found[:MAX_DRIFTS]:
        assert column["drift"] is not None
        drift = column["drift"]["splits"][NEW]
        echo(f"  {drift['level']}: {cell(drift['sentence'])}")
    if len(found) > MAX_DRIFTS:
        echo(f"  and {len(found) - MAX_DRIFTS} more: --page FILE shows them")


def _write_page(page: Path, done: Predicted, title: str) -> None:
    """A page with the features beside the train rows."""
    from cengine.reports.html import render
    from cengine.store.disk import disk_errors
    from cengine.store.writing import write_whole

    heading = {"name": done.file.name, "under": f"{done.counts.num_rows:,} rows of {title}, beside the rows that the model was trained on"}  # fmt: skip
    text = render("statistics.html", cache=looked_at().cache, columns=done.columns, heading=heading)
    with disk_errors():
        write_whole(page, text)


def _of(number: int, total: int) -> str:
    return f"{number:,} ({percent(number / total)})"


def _described(done: Predicted) -> dict[str, Any]:
    """The same for programs."""
    from cengine.prediction.drift import NEW

    return {"file": str(done.file), "rows": done.counts.num_rows, "resumed": done.num_resumed,
            "missing": done.counts.missing, "unseen": done.counts.unseen,
            "drift": {one["name"]: one["drift"]["splits"][NEW] for one in done.columns if one["drift"]}}  # fmt: skip
