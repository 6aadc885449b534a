"""`cengine pipeline evaluate`: how good a model is, at the terminal, as a page and as a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cengine.cli.odd_rows import fewer_metrics, print_odd_rows
from cengine.cli.options import SETTINGS, json_option, looked_at
from cengine.cli.output import cell, defined, echo, interval, print_json, print_table
from cengine.cli.pages import shown_path
from cengine.cli.progress import Busy
from cengine.cli.truth import WIDTH, print_cautions, print_features, print_worst_rows
from cengine.metrics.verdicts import LINEAR, SHORT_YARDSTICKS, YARDSTICKS
from cengine.names import ASIDE, Names

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.evaluation.results import OverallRow, Results, SliceTable
    from cengine.inspection.report import ReportFiles
    from cengine.inspection.run import Run

LOW, HIGH, BY_CONSTANT = ": low", ": high", ": constant"


@click.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@click.option(
    "--slice", "columns", multiple=True, help="Only the slices by this column (or a,b for a cross). May be repeated."
)
@click.option(
    "--sort",
    metavar="METRIC|num_rows",
    help="Order slices by this metric, worst first; by default the most harmful first.",
)
@click.option(
    "--rows", "num_rows", type=click.IntRange(min=1), default=10, show_default=True, help="Slices shown of each set."
)
@click.option("--min-count", type=click.IntRange(min=0), default=0, help="Leave out slices with fewer rows.")
@click.option("--all", "show_all", is_flag=True, help="Show every slice.")
@click.option("--against", metavar="ID|NAME[:RUN]", help="A second run, shown beside the first on the page.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for page and notebook. Default: in the project.",
)
@click.option("--browser", is_flag=True, help="Open the page instead of the notebook.")
@click.option("--no-open", is_flag=True, help="Write page and notebook, open neither.")
@json_option
def evaluate(
    key: str,
    columns: tuple[str, ...],
    sort: str | None,
    num_rows: int,
    min_count: int,
    show_all: bool,
    against: str | None,
    output: Path | None,
    browser: bool,
    no_open: bool,
    as_json: bool,
) -> None:
    """How good the model of a pipeline's newest run is: overall, beside a constant, and by slice; as a page and a notebook."""
    from cengine.errors import SourceError
    from cengine.inspection.run import find_run

    home = looked_at()
    run = find_run(home, key)
    other = find_run(home, against) if against else None
    if as_json:
        print_json({"pipeline_id": run.pipeline.id, "run": run.record.number, **results_json(run.results, sort)})
        return
    echo(run.name)
    print_overall(run.results)
    print_cautions(run.results)
    if not columns:
        print_odd_rows(run.results)
        print_features(run.results)
        print_worst_rows(run.results)
    _print_slices(run.results, columns, sort, None if show_all else num_rows, min_count)
    try:
        files = _write(run, other, output)
    except SourceError as error:  # the metrics are there whatever became of the table
        echo(f"\nno page and no notebook: {error.render().removeprefix('error: ')}")
        return
    echo(f"\npage:     {shown_path(files.page)}\nnotebook: {shown_path(files.notebook)}")
    if no_open:
        return
    from cengine.cli.opening import open_notebook, open_page

    if browser:
        open_page(files.page)
    else:
        open_notebook(files.notebook)


def _write(run: Run, other: Run | None, output: Path | None) -> ReportFiles:
    """The report, with a word on what takes its time."""
    from cengine.inspection.report import write_report

    with Busy() as busy:
        return write_report(run, other=other, folder=output, report=busy.say)


def print_overall(results: Results) -> None:
    """The metrics beside those of simpler models, a table for each label, and what is to be thought of them."""
    parts: dict[tuple[str, str], list[OverallRow]] = {}
    for row in results.overall_rows:
        parts.setdefault((row["label"], row["split"]), []).append(row)
    for (label, split), rows in parts.items():
        _print_metrics(f"{cell(label)} on {cell(split)}", rows)
        _print_folds(rows)
    if results.folds:
        echo("\n" + textwrap.fill(cell(results.folds), WIDTH))
    echo()
    for found in results.verdicts:
        prefix = f"{found['split']}: " if len(results.verdicts) > 1 else ""
        echo(prefix + found["sentence"])


def _print_metrics(title: str, rows: Sequence[OverallRow]) -> None:
    """The metrics of a label in a split, in a table that fits 80 columns, and what its constants are."""
    num_rows, names = rows[0]["num_rows"], shown_yardsticks(rows)
    echo(f"\n{title}, {num_rows:,} {'row' if num_rows == 1 else 'rows'}")
    constants: dict[str, list[str]] = {}
    for row in rows:
        constants.setdefault(row["constant_is"], []).append(row["metric"])
    told = [what if len(constants) == 1 else f"{what} for {', '.join(of)}" for what, of in constants.items()]
    line = f"constant: {cell('; '.join(told))}"
    echo(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) if "folds" in rows[0] else line)
    headers = ("Metric", "Model", "95 %", *(SHORT_YARDSTICKS[name] for name in names), "Constant")
    print_table(
        headers,
        [
            (
                row["metric"],
                _short(row["model"]),
                interval(_short(row["low"]), _short(row["high"])),
                *(_short(cast(Mapping[str, Any], row).get(name)) for name in names),
                _short(row["constant"]),
            )
            for row in rows
        ],
    )


def shown_yardsticks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The simpler models that tables show beside these metrics; where there is none, the linear one, as in older evaluations."""
    return [name for name in YARDSTICKS if any(row.get(name) is not None for row in rows)] or [LINEAR]


def _print_folds(rows: Sequence[OverallRow]) -> None:
    """How far each metric differs from fold to fold."""
    found = [(row["metric"], row["folds"]) for row in rows if "folds" in row]
    if not found:
        return
    echo(f"\nover the {len(found[0][1]['values'])} folds, each measured alone")
    print_table(
        ("Metric", "Mean", "Deviation", "Least", "Greatest"),
        [
            (metric, *map(_short, (folds["mean"], folds["deviation"], *_ends(folds["values"]))))
            for metric, folds in found
        ],
    )


def _ends(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    known = [value for value in values if value is not None]
    return min(known, default=None), max(known, default=None)


def _short(value: float | None) -> float:
    """Four digits; `--json` has them all."""
    return float(f"{defined(value):.4g}")


def _print_slices(
    results: Results, columns: tuple[str, ...], sort: str | None, num_rows: int | None, min_count: int
) -> None:
    from cengine.evaluation.results import labels_last

    wanted = _wanted(columns, [found.columns for found in results.slices])
    several = len({found.label for found in results.slices}) > 1
    for found in labels_last(results.slices):
        if wanted and found.columns not in wanted:
            continue
        rows = _sorted(results, found, sort, min_count)
        of = f"{cell(found.label)}, " if several else ""
        print_slices(f"{of}by {', '.join(map(cell, found.columns))}", found.table.column_names, rows, num_rows, sort)


def _wanted(columns: tuple[str, ...], known: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The columns of the slices that are asked for. Raises StoreError where there are no such slices."""
    from cengine.errors import StoreError

    wanted = [_written(text, known) for text in columns]
    for choice in wanted:
        if choice not in known:
            raise StoreError(
                f"there are no slices by {', '.join(choice)}",
                f"there are slices by: {'; '.join(', '.join(k) for k in known)}",
                "slice the kept predictions anew: cengine pipeline slice RUN 'COLUMN, COLUMN where CONDITION'",
            )
    return wanted


def _written(text: str, known: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The columns of a text as the slices have them, however they are spelled; a name may have commas in it."""
    names = Names(dict.fromkeys(name for columns in known for name in columns))
    parts = [text] if names.find(text.strip()) is not None else text.split(",")
    return tuple(names.find(part.strip()) or part.strip() for part in parts)


def _directions(results: Results) -> dict[str, bool]:
    """The metrics, and whether a higher one is better."""
    return {row["metric"]: row["higher_is_better"] for row in results.overall_rows}


def _sorted(results: Results, found: SliceTable, sort: str | None, min_count: int = 0) -> list[dict[str, Any]]:
    overall: dict[str, dict[str, Any]] = {}
    for row in results.overall_rows:
        if row["label"] == found.label:
            overall.setdefault(row["split"], {"split": row["split"]})[row["metric"]] = row["model"]
    return sorted_slices(found.table, sort, _directions(results), list(overall.values()), min_count)


def print_slices(
    title: str, names: Sequence[str], rows: Sequence[dict[str, Any]], num_rows: int | None, sort: str | None
) -> None:
    """The first slices as a table, the two ends of each interval in one column; the split where there are several."""
    shown = rows if num_rows is None else rows[:num_rows]
    order = "the most harmful first" if sort is None else f"by {sort}"
    echo(f"\n{title}" + (f" ({len(shown)} of {len(rows):,} slices, {order})" if len(shown) < len(rows) else ""))
    several = len({row["split"] for row in rows}) > 1
    headers = _shown_columns([name for name in names if several or name != "split"])
    print_table([_title(name) for name in headers], [[_slice_cell(row, name) for name in headers] for row in shown])


def _shown_columns(names: Sequence[str]) -> list[str]:
    """The columns that a terminal has room for: the interval and the constant of the first metric only."""
    names = fewer_metrics(names)
    shown = [name for name in names if not any(_is_end(name, end) for end in (LOW, HIGH, BY_CONSTANT))]
    first = next((name.removesuffix(LOW) for name in names if _is_end(name, LOW)), None)
    place = shown.index(first) + 1 if first is not None else 0
    beside = [f"{first}{end}" for end in (LOW, BY_CONSTANT) if f"{first}{end}" in names]
    return [*shown[:place], *beside, *shown[place:]]


def _title(name: str) -> str:
    if _is_end(name, LOW):
        return "95 %"
    return "constant" if _is_end(name, BY_CONSTANT) else "rows" if name == "num_rows" else name


def _is_end(name: str, end: str) -> bool:
    """Whether a column of slices is this end of a metric's interval, and not a column of the user's that is called so."""
    return name.endswith(end) and not name.startswith(ASIDE)


def _slice_cell(row: dict[str, Any], name: str) -> object:
    if not _is_end(name, LOW):
        return "null" if row[name] is None else row[name]
    return interval(row[name], row[name.removesuffix(LOW) + HIGH])


def sorted_slices(
    table: pa.Table,
    sort: str | None,
    higher_is_better: dict[str, bool],
    overall: Sequence[dict[str, Any]],
    min_count: int = 0,
) -> list[dict[str, Any]]:
    """The slices with enough rows, worst first by the metric `sort` where the table has it; without it the most harmful first.

    `overall` are rows as the table has them, of all rows of each split. Raises StoreError where `sort` is no metric.
    """
    if sort is not None:
        from cengine.errors import StoreError, near_miss

        if sort not in (*higher_is_better, "num_rows"):
            raise StoreError(
                f"there is no metric '{sort}'",
                f"metrics: {', '.join(higher_is_better)}",
                *near_miss(sort, higher_is_better),
            )
        if sort in table.column_names:
            table = table.sort_by([(sort, "ascending" if higher_is_better.get(sort) else "descending")])
    elif (first := next((name for name in table.column_names if name in higher_is_better), None)) is not None:
        from cengine.evaluation.slices import by_harm

        whole = {row["split"]: row.get(first) for row in overall}
        table = by_harm(table, first, whole, higher_is_better[first])
    return [row for row in table.to_pylist() if row["num_rows"] >= min_count]


def results_json(results: Results, sort: str | None) -> dict[str, Any]:
    """The same for programs."""
    from cengine.evaluation.results import labels_last

    return {
        "metrics": results.overall_rows,
        "verdicts": results.verdicts,
        "cautions": results.cautions,
        **({"folds": results.folds} if results.folds else {}),
        "calibration": results.calibration,
        "important": results.truth["important"],
        "worst_rows": results.truth["worst_rows"],
        "attributions": results.truth["attributions"],
        **({"odd_rows": results.odd_rows} if results.odd_rows else {}),
        "slices": [
            {"label": s.label, "columns": list(s.columns), "rows": _sorted(results, s, sort)}
            for s in labels_last(results.slices)
        ],
    }
