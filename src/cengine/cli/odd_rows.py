"""What the terminal shows of an autoencoder beside its metrics: scores by split, columns, the oddest rows."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from cengine.cli.output import cell, echo, percent, print_table
from cengine.cli.truth import WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cengine.evaluation.odd_rows import OddRows
    from cengine.evaluation.results import Results

MAX_COLUMNS, MAX_ROWS = 12, 5


def fewer_metrics(names: Sequence[str]) -> list[str]:
    """The columns of slices that stand in 80 columns where rows are reconstructed: the first metric, and the share of rows called odd."""
    if "above_threshold: low" not in names:
        return list(names)
    metrics = [name for name in names if f"{name}: low" in names]
    kept = {*metrics[:1], "above_threshold"}
    others = [name for name in metrics if name not in kept]
    return [name for name in names if name not in others and not any(name.startswith(f"{one}: ") for one in others)]


def print_odd_rows(results: Results) -> None:
    """All of it, if rows were reconstructed; the page has more of each."""
    found = results.odd_rows
    if found is None:
        return
    for sentence in found["told"]:
        echo("\n" + textwrap.fill(cell(sentence), WIDTH, subsequent_indent="  ", break_on_hyphens=False))
    echo("\nscores by split")
    print_table(
        ("Of", "Rows", "Mean", "By train's", "Median", "99 % below", "Called odd"),
        [
            (
                one["split"],
                f"{one['num_rows']:,}",
                *(
                    f"{value:.4g}"
                    for value in (one["mean"], one["drift"], one["quantiles"]["0.5"], one["quantiles"]["0.99"])
                ),
                percent(one["above"]),
            )
            for one in found["splits"]
        ],
    )
    _print_columns(found)
    _print_rows(found)


def _print_columns(found: OddRows) -> None:
    splits = [one["split"] for one in found["splits"][1:]]
    echo("\nwhat each column loses, by what a constant would lose: 1 has learnt nothing")
    rows = [
        (
            one["column"],
            *(f"{value:.3f}" for value in (one["train"], *(one["splits"].get(name, float("nan")) for name in splits))),
        )
        for one in found["columns"][:MAX_COLUMNS]
    ]
    print_table(("Column", "train", *splits), rows)
    if len(found["columns"]) > MAX_COLUMNS:
        echo(f"and {len(found['columns']) - MAX_COLUMNS} more, which stand on the page")


def _print_rows(found: OddRows) -> None:
    echo(f"\nthe oddest rows of {cell(found['split'])}")
    for row in found["rows"][:MAX_ROWS]:
        known = "" if row["known"] is None else f", {cell(found['anomaly'])}: {'yes' if row['known'] else 'no'}"
        odd = "; ".join(
            f"{cell(one['column'])}: expected {reading(one['expected'])}, is {reading(one['found'])}"
            for one in row["cells"]
        )
        echo(
            textwrap.fill(
                f"score {row['score']:.4g}{known}: {odd}", WIDTH, subsequent_indent="  ", break_on_hyphens=False
            )
        )


def reading(value: object) -> str:
    """A cell as a sentence has it."""
    from cengine.reports.formats import reading as of_page

    return str(cell(of_page(value)))
