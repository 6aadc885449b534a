"""`cengine export`: a trained model in a format that others run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cengine.cli.options import SETTINGS, json_option, looked_at
from cengine.cli.output import cell, echo, print_json
from cengine.cli.progress import Busy
from cengine.exports.formats import FORMATS, SQL_DIALECTS

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.models.model import Model

_TOLD = "".join(f"\n{name:<7} {text}" for name, (_, text) in FORMATS.items())


@click.command(
    context_settings=SETTINGS,
    help=f"""A model in a format that others run, compared with the model before it is written.

    RUN is a pipeline's newest run (`1`, `birth_year`) or one of them (`1:2`); BUNDLE a folder, or .zip, that was written before.

    \b{_TOLD}

    The certificate beside it tells what was compared: all rows that the run was evaluated on, and 20,000 made-up ones. A file that
    predicts something else than the model is not written.
    """,
)
@click.argument("key", metavar="RUN|BUNDLE")
@click.option("--format", "name", type=click.Choice(list(FORMATS)), default="bundle", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A new folder, or a new file that ends in .zip.",
)
@click.option("--dialect", type=click.Choice(SQL_DIALECTS), help="Of --format sql; by default duckdb.")
@click.option("--table", metavar="NAME", help="Of --format sql, the table that it selects from; by default rows.")
@click.option(
    "--keep",
    metavar="COLUMNS",
    multiple=True,
    help="Of --format sql, columns that come out beside, with commas between.",
)
@click.option("--force", is_flag=True, help="Write SQL however large it is.")
@click.option(
    "--hash-outside",
    is_flag=True,
    help="Of --format onnx, take the hash of a column as an input `COLUMN hash`, since ONNX has no MD5.",
)
@json_option
def export(
    key: str,
    name: str,
    output: Path,
    dialect: str | None,
    table: str | None,
    keep: tuple[str, ...],
    force: bool,
    hash_outside: bool,
    as_json: bool,
) -> None:
    from cengine.exports.certificate import PROBABILITY, measured_in
    from cengine.exports.formats import export as write

    columns = [column for columns in keep for column in columns.split(",")]
    given = {"dialect": dialect, "table": table, "keep": columns, "force": force, "hash_outside": hash_outside}
    options = {option: value for option, value in given.items() if value}
    for option in options:
        if name != (of := "onnx" if option == "hash_outside" else "sql"):
            raise click.UsageError(f"--{option.replace('_', '-')} is an option of --format {of}")
    with opened_model(key) as (model, tables), Busy() as busy:
        busy.say("comparing with the model")
        told = write(
            model, name, output, tables, lambda rows: busy.say(f"compared {rows:,} rows with the model"), **options
        )
    if as_json:
        print_json({"output": str(output), "format": name, **told})
        return
    echo(f"written to {cell(str(output))}")
    if told.get("warning"):
        echo(f"warning: {told['warning']}", err=True)
    echo(f"compared with the model on {told['rows']:,} evaluated rows and {told['made_up_rows']:,} made-up ones")
    for one in told["labels"]:
        classes = f", rows whose class differs: {one['classes_differ']:,}" if one["unit"] == PROBABILITY else ""
        echo(
            f"{cell(one['label'])}: largest difference {one['largest_difference']:.2g} {cell(measured_in(one['unit']))}, "
            f"bound {one['bound']:.2g}{classes}"
        )


@contextlib.contextmanager
def opened_model(key: str) -> Iterator[tuple[Model, Iterator[pa.Table]]]:
    """The model of RUN or BUNDLE, and the rows that a run was evaluated on or that the bundle has kept of them."""
    path = Path(key)
    if not path.exists():
        from cengine.inspection.run import find_run

        run = find_run(looked_at(), key)
        with run.evaluated() as tables:
            yield run.model(), tables
        return
    from cengine.exports.bundle import GOLDEN, golden_rows
    from cengine.exports.formats import unpacked
    from cengine.models.model import load_model

    with unpacked(path) as folder:
        model = load_model(folder)
        kept = (folder / GOLDEN).exists()
        yield model, iter([golden_rows(folder, model.features)] if kept else [])
