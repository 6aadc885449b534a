"""The points that Series wrote, as the stages after it read them: a table like another, in which every row knows its split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlglot import exp

from cengine.config.schema import INNER, TRAIN
from cengine.engines.engine import Engine
from cengine.expressions.build import column
from cengine.preprocess.series import SeriesReport, read_report
from cengine.preprocess.source import Rows
from cengine.preprocess.split import Split, SplitReport


@dataclass(frozen=True)
class PointSplit(Split):
    """The splits of points. The report counts those that have their labels, from which statistics are learnt.

    `windows` are those of each split, and of the part of train that is kept back apart.
    """

    windows: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """How many points and windows there are, and why no more, in sentences."""
    split_column: str = "_split"
    """What the number of a point's split is called among its columns."""

    @property
    def examples(self) -> dict[str, int]:
        return {name: self.windows[name] + (self.windows.get(INNER, 0) if name == TRAIN else 0) for name in self.names}

    @property
    def num_inner_examples(self) -> int:
        return self.windows.get(INNER, 0)

    @property
    def has_inner(self) -> bool:
        return self.num_inner_examples > 0

    def assigned(self, engine: Engine, rows: Rows, columns: list[str], *, inner: bool = False) -> exp.Select:
        own = column(self.split_column)
        number: exp.Expr = own
        if not inner:
            kept_back = exp.EQ(this=own, expression=exp.convert(len(self.names)))
            number = exp.cast(exp.Case().when(kept_back, exp.convert(0)).else_(own), "smallint")
        return rows.select(engine, columns).select(number.as_(rows.split_column, quoted=True), copy=False)


def split_of_points(of_rows: Split, folder: Path) -> PointSplit:
    """The split of the points in `folder`, given that of the rows which they are made of."""
    report = read_report(folder)
    rows = {name: report.learnt_points[name] for name in of_rows.names}
    rows[TRAIN] += report.learnt_points.get(INNER, 0)
    counted = SplitReport(rows, 1, 0, [], 0)
    return PointSplit(
        of_rows.names,
        of_rows.kind,
        None,
        None,
        of_rows.seed,
        counted,
        folder,
        report.windows,
        told(report),
        report.split_column,
    )


def told(report: SeriesReport) -> list[str]:
    """How many points and windows there are, and why no more, in sentences."""
    series = "1 series" if report.num_series == 1 else f"{report.num_series:,} series"
    trips = "" if report.num_trips == report.num_series else f", {report.num_trips:,} trips"
    windows = ", ".join(f"{name} {count:,}" for name, count in report.windows.items())
    without = {
        "have labels in two splits": report.straddlers,
        "have a label that looks into a later split": report.reaching,
        "cross a period without a point": report.holes,
        "have a label that is missing": report.without_label,
    }
    left_out = [f"{count:,} {why}" for why, count in without.items() if count]
    short = report.short_trips
    return [
        f"series: {report.num_points:,} points of {series}{trips}",
        f"windows: {windows}",
        *([f"windows left out: {', '.join(left_out)}"] if left_out else []),
        *([f"{short:,} {'trip is' if short == 1 else 'trips are'} shorter than a window"] if short else []),
    ]
