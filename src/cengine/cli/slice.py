"""`cengine pipeline slice`: new slices of an old run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cengine.cli.evaluate import print_slices
from cengine.cli.options import SETTINGS, json_option, project
from cengine.cli.output import cell, print_json

if TYPE_CHECKING:
    from cengine.pipeline.slicing import Request, Sliced


@click.command("slice", context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@click.argument("text", metavar="'[COLUMN, ...] [where CONDITION]'")
@click.option("--sort", metavar="METRIC", help="Order slices by this metric, worst first; by default the largest first.")
@click.option("--rows", "num_rows", type=click.IntRange(min=1), default=10, show_default=True, help="Slices shown of each label.")
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
    from cengine.pipeline.finished import find_run
    from cengine.pipeline.slicing import slice_run

    run = find_run(project(), key)
    found = slice_run(run, text)
    tables = [(table.label, table.table.column_names, _chosen(table.table, found, sort, min_count)) for table in found.tables]
    if as_json:
        print_json({
            "pipeline_id": run.pipeline["id"], "run": run.record["number"], "columns": list(found.request.columns),
            "condition": found.request.condition, "num_rows": found.num_rows, "num_evaluated": found.num_evaluated,
            "labels": [{"label": label, "slices": rows} for label, _, rows in tables],
        })  # fmt: skip
        return
    click.echo(f"{run.name}: {_described(found)}")
    for label, names, rows in tables:
        shown = rows if show_all else rows[:num_rows]
        click.echo(f"\n{_title(found.request, label if len(tables) > 1 else None)}"
                   + (f" ({len(shown)} of {len(rows):,} slices)" if len(shown) < len(rows) else ""))  # fmt: skip
        several = len({row["split"] for row in rows}) > 1
        print_slices([name for name in names if several or name != "split"], shown)


def _chosen(table: Any, found: Sliced, sort: str | None, min_count: int) -> list[dict[str, Any]]:
    """The slices in the order that was asked for."""
    if sort is not None:
        from cengine.errors import StoreError, near_miss

        known = found.higher_is_better
        if sort not in (*known, "num_rows"):
            raise StoreError(f"there is no metric '{sort}'", f"metrics: {', '.join(known)}", *near_miss(sort, known))
        if sort in table.column_names:
            table = table.sort_by([(sort, "ascending" if known.get(sort) else "descending")])
    return [row for row in table.to_pylist() if row["num_rows"] >= min_count]


def _described(found: Sliced) -> str:
    if found.request.condition is None:
        return f"{found.num_evaluated:,} evaluated rows"
    return f"{found.num_rows:,} of {found.num_evaluated:,} evaluated rows pass {cell(found.request.condition)}"


def _title(request: Request, label: str | None) -> str:
    by = f"by {', '.join(cell(name) for name in request.columns)}" if request.columns else "overall"
    return f"{cell(label)}, {by}" if label else by
