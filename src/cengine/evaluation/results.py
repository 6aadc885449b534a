"""The results of an evaluation as they are read again: overall, slices, verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import pyarrow as pa
import pyarrow.parquet as pq

from cengine.evaluation.baselines import NO_YARDSTICKS, BesideConstant
from cengine.evaluation.calibration import Calibration
from cengine.evaluation.folds import OverFolds
from cengine.evaluation.odd_rows import OddRows, read_odd_rows
from cengine.evaluation.predictions import name_beside
from cengine.evaluation.slices import INTERVAL_ENDS, key_name
from cengine.evaluation.truth import Caution, Truth, cautions, empty_truth, read_truth


class OverallRow(BesideConstant):
    """A metric of a label over all rows of a split; `folds` is what it is in each, where there are folds."""

    split: str
    label: str
    metric: str
    num_rows: int
    unit: str
    higher_is_better: bool
    folds: NotRequired[OverFolds]


class Verdict(TypedDict):
    """Whether the model of a label is worth anything on a split, in a sentence."""

    split: str
    label: str
    sentence: str


@dataclass(frozen=True)
class SliceTable:
    """The slices of one label by one set of columns: `split`, the columns, `num_rows`, and `METRIC`, `METRIC: low`, `METRIC: high`, `METRIC: constant`.

    `keys` are the columns as the table calls them: `column: NAME` where one of the others has the name.
    """

    label: str
    columns: tuple[str, ...]
    table: pa.Table

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._key(name_beside(name)) for name in self.columns)

    def _key(self, name: str) -> str:
        """A metric of another package is known by the columns of its interval; the package may be gone."""
        aside = key_name(name, (name,))
        beside = {f"{metric}: {end}" for metric in (name, name.rpartition(": ")[0]) for end in INTERVAL_ENDS}
        names = {*self.table.column_names}
        own = aside if aside in names and beside & names else key_name(name)
        return own if own in names else name  # as before more names were set aside


def labels_last(slices: Sequence[SliceTable]) -> list[SliceTable]:
    """The sets of slices, those by a label itself last: where a label is far from the rest, a model errs most, whatever it is worth."""
    labels = {found.label for found in slices}
    return sorted(slices, key=lambda found: not labels.isdisjoint(found.columns))


@dataclass(frozen=True)
class Results:
    """What an evaluation found.

    `overall` and `overall_rows` have a row for each split, label and metric: model (low and high end of its 95 % interval), constant, skill,
    what a linear model reaches and boosted trees if they were asked for (`linear`, `trees`) with the paired difference from them, unit,
    higher_is_better, and of folds `folds` with the `values` of each, their `mean` and `deviation`. `verdicts` has a sentence for each
    split and label. `truth` is what was found beside the metrics, `calibration` how much lies within predicted quantiles. `folds` says
    what was measured by whom, None where there are none.
    """

    overall_rows: list[OverallRow]
    slices: list[SliceTable]
    verdicts: list[Verdict]
    truth: Truth = field(default_factory=empty_truth)
    calibration: list[Calibration] = field(default_factory=list)
    folds: str | None = None
    odd_rows: OddRows | None = None
    """What is known of reconstructed rows; None of labels."""

    @cached_property
    def cautions(self) -> list[Caution]:
        """Reasons to mistrust the metrics, the gravest first, and whether predicted intervals hold what they promise."""
        told: list[Caution] = [
            {"kind": "calibration", "sentence": one["sentence"], "is_warning": one["is_off"]}
            for one in self.calibration
        ]
        return [*cautions(self.truth, self.overall_rows), *told]

    @cached_property
    def overall(self) -> pa.Table:
        """The rows as a table. Only on demand: where pandas is installed, Arrow imports it to read a list."""
        return pa.Table.from_pylist(self.overall_rows)


def read_results(folder: Path) -> Results:
    """The results that `evaluate` wrote."""
    record = json.loads((folder / "results.json").read_text())
    slices = [
        SliceTable(s["label"], tuple(s["columns"]), pq.ParquetFile(folder / s["file"]).read()) for s in record["slices"]
    ]
    overall: list[OverallRow] = [cast(OverallRow, {**NO_YARDSTICKS, **row}) for row in record["overall"]]
    calibration, folds = record.get("calibration", []), record.get("folds")
    return Results(overall, slices, record["verdicts"], read_truth(folder), calibration, folds, read_odd_rows(folder))
