"""What the terminal shows beside the metrics: reasons to mistrust them, which features matter, the worst rows."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from cengine.cli.output import cell, echo, interval, percent, print_table

if TYPE_CHECKING:
    from cengine.evaluation.results import Results
    from cengine.evaluation.truth import Caution

WIDTH = 80
# If there are many leaks, the terminal shows the first; the page shows all.
MAX_TOLD = 5
# All of these stand on the page, too.
MAX_FEATURES, MAX_ROWS, MAX_CELLS, MAX_WIDTH = 10, 5, 4, 18


def print_cautions(results: Results) -> None:
    """A paragraph for each reason to mistrust the metrics."""
    found = results.cautions
    for caution in found[:MAX_TOLD]:
        echo()
        echo(textwrap.fill(_told(caution), WIDTH, subsequent_indent="  ", break_on_hyphens=False))
    if len(found) > MAX_TOLD:
        echo(f"\nand {len(found) - MAX_TOLD} more, which stand on the page")


def print_features(results: Results) -> None:
    """The most important features of each label, with intervals."""
    found = results.truth["important"]
    if found is None:
        return
    for label, loss in found["losses"].items():
        own = [one for one in found["features"] if one["label"] == label]
        echo(
            f"\nwhat {cell(label)} is predicted from: {loss} without a feature, on {found['num_rows']:,} rows of {cell(found['split'])}"
        )
        rows = [
            (one["feature"], f"{one['value']:+.4g}", interval(one["low"], one["high"]), percent(one["share"]))
            for one in own[:MAX_FEATURES]
        ]
        print_table(("Feature", f"More {loss}", "95 %", "Of it"), rows)
        if len(own) > MAX_FEATURES:
            echo(f"and {len(own) - MAX_FEATURES} more, which stand on the page")


def print_worst_rows(results: Results) -> None:
    """The rows with the largest errors, with their most important features."""
    for found in results.truth["worst_rows"]:
        if found["kind"] != "worst":
            continue
        features = found["features"][:MAX_CELLS]
        echo(f"\nthe largest errors of {cell(found['label'])} on {cell(found['split'])}")
        rows = [
            (
                _short(row["label"]),
                _short(row["prediction"]),
                f"{row['error']:.4g}",
                *map(_short, row["cells"][:MAX_CELLS]),
            )
            for row in found["rows"][:MAX_ROWS]
        ]
        print_table(("True", "Predicted", "Error", *features), rows)


def _short(value: object) -> str:
    """A cell of at most MAX_WIDTH characters, so that a row stands in a line."""
    text = f"{value:.4g}" if isinstance(value, float) else cell("null" if value is None else value)
    return text if len(text) <= MAX_WIDTH else f"{text[: MAX_WIDTH - 1]}…"


def _told(caution: Caution) -> str:
    return f"{'warning' if caution['is_warning'] else 'note'}: {cell(caution['sentence'])}"
