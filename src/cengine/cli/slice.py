"""`cengine pipeline slice`: new slices of an old run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cengine.cli.evaluate import print_slices, sorted_slices
from cengine.cli.options import SETTINGS, json_option, looked_at
from cengine.cli.output import cell, echo, print_json

if TYPE_CHECKING:
    from cengine.inspection.slicing import Request, Sliced


@click.command("slice", context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@click.argument("text", metavar="'[COLUMN, ...] [where CONDITION]'")
@click.option(
    "--sort",
    metavar="METRIC|num_rows",
    help="Order slices by this metric, worst first; by default the most harmful first.",
)
@click.option(
    "--rows", "num_rows", type=click.IntRange(min=1), default=10, show_default=True, help="Slices shown of each label."
)
@click.option("--min-count", type=click.IntRange(min=0), default=0, help="Leave out slices with fewer rows.")
@click.option("--all", "show_all", is_flag=True, help="Show every slice.")
@json_option
def slice_(key: str, text: str, sort: str | None, num_rows: int, min_count: int, show_all: bool, as_json: bool) -> None:
    """New slices of a finished run, from the predictions that were kept: nothing is run again.

    \b
    cengine pipeline slice 1 start_station_name
    cengine pipeline slice 1:2 "gender, usertype where tripduration > 3600"
    cengine pipeline slice 1 "usertype where error > 20"

    Any column of the table will do, a name with commas or quotes in double quotes; without columns it is the overall of
    the rows that pass. A condition may also read `prediction` and, of a regression, `error`, how far off it is.
    """
    from cengine.inspection.run import find_run
    from cengine.inspection.slicing import slice_run

    run = find_run(looked_at(), key)
    found = slice_run(run, text)
    tables = [
        (
            table.label,
            table.table.column_names,
            sorted_slices(table.table, sort, found.higher_is_better, overall.table.to_pylist(), min_count),
        )
        for table, overall in zip(found.tables, found.overall, strict=True)
    ]
    if as_json:
        print_json(
            {
                "pipeline_id": run.pipeline.id,
                "run": run.record.number,
                "columns": list(found.request.columns),
                "condition": found.request.condition,
                "num_rows": found.num_rows,
                "num_evaluated": found.num_evaluated,
                "labels": [{"label": label, "slices": rows} for label, _, rows in tables],
            }
        )
        return
    echo(f"{run.name}: {_described(found)}")
    for label, names, rows in tables:
        print_slices(
            _title(found.request, label if len(tables) > 1 else None), names, rows, None if show_all else num_rows, sort
        )


def _described(found: Sliced) -> str:
    if found.request.condition is None:
        return f"{found.num_evaluated:,} evaluated rows"
    return f"{found.num_rows:,} of {found.num_evaluated:,} evaluated rows pass {cell(found.request.condition)}"


def _title(request: Request, label: str | None) -> str:
    by = f"by {', '.join(cell(name) for name in request.columns)}" if request.columns else "overall"
    return f"{cell(label)}, {by}" if label else by
