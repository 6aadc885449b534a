"""`cengine pipeline statistics` and `cengine datasource statistics`: what the columns hold, at the terminal and as a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cengine.cli.options import SETTINGS, json_option, looked_at
from cengine.cli.output import cell, echo, print_json, print_table, tell
from cengine.cli.pages import page_options, show_page, write_page
from cengine.cli.progress import Busy

if TYPE_CHECKING:
    from cengine.evaluation.drift import DescribedColumn, SplitDrift
    from cengine.preprocess.describe import Shown

BLOCKS = "▁▂▃▄▅▆▇█"
QUANTILES = {"0.05": "5 %", "0.25": "25 %", "0.5": "Median", "0.75": "75 %", "0.95": "95 %"}
NUM_SHOWN_TOP = 5
MAX_SHOWN_TEXT = 60
MIN_SHARE_OF_NUMBER = 0.01


def _shown_as(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that both commands have."""
    column = click.option("--column", "names", multiple=True, metavar="NAME", help="Only this column. May be repeated.")
    return column(page_options(json_option(command)))


@click.command("statistics", context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME[:RUN]")
@_shown_as
def pipeline_statistics(key: str, **options: Any) -> None:
    """The columns of a run's table by split: nulls, distinct values, quantiles, histogram, commonest values, and drift."""
    from cengine.inspection.describe import run_columns
    from cengine.inspection.run import find_run

    home = looked_at()
    run = find_run(home, key)
    with Busy() as busy:
        busy.say("describing the columns")
        columns = run_columns(run)
    heading = {"name": run.name, "under": f"{len(columns)} columns, {_rows_told(run.split.report.rows)}"}
    file = home.reports / f"statistics-run-{run.pipeline.id}-{run.record.number}.html"
    _show(columns, heading, {"pipeline_id": run.pipeline.id, "run": run.record.number}, file, home.cache, **options)


@click.command("statistics", context_settings=SETTINGS)
@click.argument("key", metavar="[ID|NAME]", required=False)
@_shown_as
def datasource_statistics(key: str | None, **options: Any) -> None:
    """The columns of a datasource: nulls, distinct values, quantiles, histogram, commonest values."""
    from cengine.datasources.catalogue import find_datasource, newest_snapshot, snapshot_of
    from cengine.inspection.describe import datasource_columns

    home = looked_at()
    record = find_datasource(home, key)
    number, snapshot = newest_snapshot(home, record).number, snapshot_of(home, record)
    with Busy() as busy:
        busy.say("describing the columns")
        columns = datasource_columns(home, snapshot, tell)
    heading = {"name": record.name, "under": f"{len(columns)} columns, {snapshot.schema.num_rows:,} rows"}
    file = home.reports / f"statistics-datasource-{record.id}-{number}.html"
    _show(columns, heading, {"datasource_id": record.id, "snapshot": number}, file, home.cache, **options)


def _rows_told(rows: dict[str, int]) -> str:
    return ", ".join(f"{name} {num_rows:,} rows" for name, num_rows in rows.items())


def _show(
    columns: list[DescribedColumn],
    heading: dict[str, str],
    identity: dict[str, Any],
    file: Path,
    cache: Path,
    *,
    names: tuple[str, ...],
    with_page: bool,
    output: Path | None,
    no_open: bool,
    as_json: bool,
) -> None:
    """Prints the chosen columns, and writes and opens the page where one is wanted."""
    chosen = _chosen(columns, names)
    page = {"with_page": with_page, "no_open": no_open}
    target = write_page(lambda: _page(chosen, heading, cache), file, output=output, **page)
    if as_json:
        print_json({**identity, "columns": chosen})
    else:
        echo(f"{cell(heading['name'])}: {heading['under']}")
        for column in chosen:
            _print_column(column)
        _print_drift(chosen)
        _print_sampling(chosen)
    show_page(target, as_json=as_json, **page)


def _chosen(columns: list[DescribedColumn], names: Sequence[str]) -> list[DescribedColumn]:
    from cengine.errors import SourceError
    from cengine.names import Names

    by_name = {column["name"]: column for column in columns}
    known = Names(by_name)
    for name in names:
        if known.find(name) is None:
            raise SourceError(*known.fault(name))
    return [by_name[name] for name in dict.fromkeys(known.find(name) or name for name in names)] if names else columns


def _page(columns: list[DescribedColumn], heading: dict[str, str], cache: Path) -> str:
    from cengine.reports.html import render

    return render("statistics.html", cache=cache, columns=columns, heading=heading)


# The terminal


def _print_column(column: DescribedColumn) -> None:
    told = ", ".join([column["kind"], *column["roles"]])
    marks = [f"{split['level']} drift in {cell(name)}" for name, split in _drifted(column)]
    echo("\n" + "   ".join([cell(column["name"]), cell(told), *(f"! {mark}" for mark in marks)]))
    headers, rows = _figures(column)
    print_table(headers, rows)
    _print_histogram(column)
    _print_top(column)


def _figures(column: DescribedColumn) -> tuple[list[str], list[list[Any]]]:
    """One row a split; figures that no split has are left out."""
    headers = ["Split", "Rows", "Nulls", "Distinct", "Mean", "Deviation", "Min", *QUANTILES.values(), "Max"]
    rows = []
    for name, split in column["splits"].items():
        distinct = split["num_distinct"]
        about = distinct if distinct is None or split["distinct_exact"] else f"~{distinct}"
        quantiles = [split["quantiles"].get(p) for p in QUANTILES]
        # Least and greatest of booleans are in the commonest values already.
        low, high = (None, None) if column["kind"] == "boolean" else (split["minimum"], split["maximum"])
        nulls = _share(split["num_nulls"], split["num_rows"])
        rows.append([name, split["num_rows"], nulls, about, split["mean"], split["deviation"], low, *quantiles, high])
    kept = [i for i in range(len(headers)) if any(row[i] is not None for row in rows)]
    return [headers[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _print_histogram(column: DescribedColumn) -> None:
    histogram = column["histogram"]
    if histogram is None:
        return
    width = max(len(cell(name)) for name in histogram["counts"])
    for name, counts in histogram["counts"].items():
        if any(counts):
            echo(f"   {cell(name):<{width}}  {_bars(counts)}")
    echo(f"   {'':<{width}}  {_ends(column, histogram['edges'])}")


def _bars(counts: Sequence[int]) -> str:
    """The histogram as one line: a space where there is nothing, else a block at least as high as the lowest."""
    highest = max(counts)
    return "".join(BLOCKS[min(7, 8 * count // (highest + 1))] if count else " " for count in counts)


def _ends(column: DescribedColumn, edges: Sequence[float]) -> str:
    """Where the first bar begins and the last one ends; they also hold what lies beyond."""
    splits = column["splits"].values()
    low = min(split["minimum"] for split in splits if split["minimum"] is not None)
    high = max(split["maximum"] for split in splits if split["maximum"] is not None)
    if isinstance(low, str) or isinstance(high, str):
        return f"{low} to {high}"
    # Bins of integers end between them, and the last one may reach further than the values do.
    half = 0.5 if column["kind"] == "integer" and edges[0] % 1 == 0.5 else 0.0
    first, last = edges[0] + half, edges[-1] - half
    beyond = (
        f"{cell(first)} and less" if low < first else cell(max(first, low)),
        f"{cell(last)} and more" if high > last else cell(min(last, high)),
    )
    return " to ".join(beyond)


def _print_top(column: DescribedColumn) -> None:
    """The commonest values with their shares of each split; of columns in which values repeat."""
    splits = column["splits"]
    known = {name: {_key(value): n for value, n in split["top"]} for name, split in splits.items()}
    # That a number is found in two rows of a thousand says nothing; that a category is, does.
    least = 0.0 if column["categories"] else MIN_SHARE_OF_NUMBER
    if not any(
        n > 1 and n > least * splits[name]["num_rows"] for name, counts in known.items() for n in counts.values()
    ):
        return
    if column["categories"]:
        found = column["categories"]
        known = {
            name: dict(zip(map(_key, found["values"]), counts, strict=True)) for name, counts in found["counts"].items()
        }
    keys = list(dict.fromkeys(_key(value) for split in splits.values() for value, _ in split["top"][:NUM_SHOWN_TOP]))
    told = (
        " / ".join(
            _share(known[name][key], split["num_rows"]) if key in known[name] else "-" for name, split in splits.items()
        )
        for key in keys
    )
    echo(
        "   commonest: " + ", ".join(f"{_value(value)} {shares}" for (_, value), shares in zip(keys, told, strict=True))
    )


def _key(value: Shown) -> tuple[str, Shown]:
    """What tells true from 1."""
    return type(value).__name__, value


def _value(value: object) -> str:
    """A value in one line: quotes where it would not be seen otherwise."""
    if isinstance(value, bool):
        return str(value).lower()
    text = cell(value)
    text = text if len(text) <= MAX_SHOWN_TEXT else f"{text[: MAX_SHOWN_TEXT - 1]}…"
    return f"'{text}'" if text.strip() != text or not text or "," in text else text


def _share(num_rows: int, total: int) -> str:
    percent = 100 * num_rows / max(total, 1)
    return f"{percent:.1f} %" if percent >= 0.05 or not num_rows else "<0.1 %"


def _print_drift(columns: Sequence[DescribedColumn]) -> None:
    """What differs between the splits, the strongest first."""
    drifts = [drift for column in columns if (drift := column["drift"])]
    if not drifts:
        return
    drifted = sorted(
        ((split["psi"], split) for column in columns for _, split in _drifted(column)), key=lambda pair: -pair[0]
    )
    if not drifted:
        reference = drifts[0]["reference"]
        echo(f"\nno column differs from {cell(reference)} by more than noise")
        return
    echo(f"\n{len(drifted)} {'difference' if len(drifted) == 1 else 'differences'} between the splits")
    for psi, split in drifted:
        echo(f"   {split['level']:<8}  {cell(split['sentence'])} (psi {psi:.2g}, noise {split['noise']:.1g})")


def _drifted(column: DescribedColumn) -> list[tuple[str, SplitDrift]]:
    splits = column["drift"]["splits"] if column["drift"] else {}
    return [(name, split) for name, split in splits.items() if split["level"] != "same"]


def _print_sampling(columns: Sequence[DescribedColumn]) -> None:
    sampled = {
        name: split["sampled_rows"]
        for column in columns
        for name, split in column["splits"].items()
        if split["sampled_rows"]
    }
    if sampled:
        told = ", ".join(f"{num_rows:,} rows of {cell(name)}" for name, num_rows in sampled.items())
        echo(
            f"\nquantiles, histograms and commonest values are estimated from {told}; ~ marks an estimate of distinct values"
        )
