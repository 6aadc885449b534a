"""How the columns of one split differ from those of another: the population stability index, and whether it is more than noise.

PSI = sum over bins of (q - p) ln(q / p), with p and q the bins' shares of the two splits. From 0.1 a shift is moderate, from
0.25 it is strong: Siddiqi, Credit Risk Scorecards (2006). Of two samples of one population, of n and m rows and over k bins,
PSI / (1/n + 1/m) is distributed as chi-squared with k - 1 degrees of freedom: Yurdakul and Naranjo, Statistical properties of
the population stability index (2020). So noise alone makes (k - 1)(1/n + 1/m) of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from cengine.plain import Cell
from cengine.preprocess.describe import ColumnStatistics, SplitStatistics

MODERATE, STRONG = 0.1, 0.25
# An index is told only where it is so many times the noise, and where chance would give it once in a thousand columns.
TIMES_NOISE = 3.0
CHANCE_QUANTILE = 3.0902  # of the normal distribution, at 0.999
# Added to the rows of each bin, so that a bin that is empty in one split does not make the index infinite.
SMOOTHING = 0.5


class SplitDrift(TypedDict):
    """How far a split is from the reference: see `with_drift`."""

    psi: float
    noise: float
    level: str
    num_unseen: int | None
    unseen_share: float | None
    sentence: str


class Drift(TypedDict):
    """How far the other splits are from the reference."""

    reference: str
    splits: dict[str, SplitDrift]


class ColumnInUse(ColumnStatistics):
    """A column with what the configuration does with it."""

    roles: list[str]


class DescribedColumn(ColumnInUse):
    """A column with its drift, None where it was not looked for."""

    drift: Drift | None


@dataclass(frozen=True)
class _Bins:
    """The bins of a column with the shares of rows that each of two splits has in them, and how many rows these were."""

    names: list[object]
    reference: np.ndarray
    other: np.ndarray
    num_reference: int
    num_other: int


_NULL, _REST = object(), object()


def with_drift(columns: Sequence[ColumnInUse], reference: str = "train") -> list[DescribedColumn]:
    """The columns that `describe` gives, with `drift`: for each split but `reference` how far it is from that one.

    `psi`; `noise`, what chance alone makes of it; `level` ("same", "moderate", "strong"); `num_unseen` and `unseen_share`, rows
    of texts and booleans that the reference has nowhere (None where that is not known); `sentence`. Where there is no such
    split, or no other one, `drift` is None.
    """
    return [{**column, "drift": _drift(column, reference)} for column in columns]


def _drift(column: ColumnInUse, reference: str) -> Drift | None:
    others = [name for name in column["splits"] if name != reference]
    if reference not in column["splits"] or not others:
        return None
    return {"reference": reference, "splits": {name: _between(column, reference, name) for name in others}}


def _between(column: ColumnInUse, reference: str, other: str) -> SplitDrift:
    bins = _bins(column, reference, other)
    contributions = (bins.other - bins.reference) * np.log(bins.other / bins.reference)
    psi = float(contributions.sum())
    unit = 1 / max(bins.num_reference, 1) + 1 / max(bins.num_other, 1)
    degrees = max(len(bins.names) - 1, 0)
    noise = degrees * unit
    by_chance = max(TIMES_NOISE * noise, _chi_squared(degrees) * unit)
    level = "same" if psi <= by_chance or psi < MODERATE else "moderate" if psi < STRONG else "strong"
    num_unseen = (column.get("unseen") or {}).get(other) if reference == next(iter(column["splits"])) else None
    num_rows = column["splits"][other]["num_rows"]
    share = None if num_unseen is None else num_unseen / max(num_rows, 1)
    sentence = _sentence(column, reference, other, bins, contributions, level)
    if share:
        sentence += f"; {_percent(share)} of {other} ({num_unseen:,} rows) has values that {reference} has nowhere"
    return {
        "psi": psi,
        "noise": noise,
        "level": level,
        "num_unseen": num_unseen,
        "unseen_share": share,
        "sentence": sentence,
    }


def _bins(column: ColumnInUse, reference: str, other: str) -> _Bins:
    """Bins that either split has rows in: of a histogram or categories, the rest, and null."""
    table = column.get("histogram") or column.get("categories")
    names = _names(column)
    rows = {
        split: _rows(column["splits"][split], table["counts"][split] if table else None) for split in (reference, other)
    }
    used = (rows[reference] + rows[other]) > 0
    names = [name for name, kept in zip([*names, _REST, _NULL], used, strict=True) if kept]
    sizes = {split: _num_looked_at(column["splits"][split]) for split in (reference, other)}
    shares = {}
    for split in (reference, other):
        total = max(column["splits"][split]["num_rows"], 1)
        looked = rows[split][used] * (sizes[split] / total) + SMOOTHING
        shares[split] = looked / looked.sum()
    return _Bins(names, shares[reference], shares[other], sizes[reference], sizes[other])


def _names(column: ColumnInUse) -> list[object]:
    """A pair of edges for each bin of a histogram, or the categories; none where there is neither."""
    if histogram := column.get("histogram"):
        return list(itertools.pairwise(histogram["edges"]))
    categories = column.get("categories")
    return list(categories["values"]) if categories else []


def _rows(split: SplitStatistics, counts: Sequence[int] | None) -> np.ndarray:
    """Rows of each bin, then of the rest, then of null; the parts that are estimates may add up to a little more or less."""
    values = split["num_rows"] - split["num_nulls"]
    if counts is None:
        return np.array([values, split["num_nulls"]], np.float64) if values or split["num_nulls"] else np.zeros(2)
    rest = max(0, values - sum(counts))
    # Of a sample, rounding alone is no rest.
    rest = 0 if rest <= 1e-3 * values and split.get("sampled_rows") else rest
    return np.array([*counts, rest, split["num_nulls"]], np.float64)


def _num_looked_at(split: SplitStatistics) -> int:
    return int(split.get("sampled_rows") or split["num_rows"])


def _chi_squared(degrees: int) -> float:
    """The value that chance exceeds once in a thousand times (Wilson and Hilferty 1931)."""
    if degrees == 0:
        return 0.0
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + CHANCE_QUANTILE * math.sqrt(spread)) ** 3)


# Sentences


def _sentence(
    column: ColumnInUse, reference: str, other: str, bins: _Bins, contributions: np.ndarray, level: str
) -> str:
    name = column["name"]
    if not len(contributions):
        return f"{name}: there are no rows to compare"
    if level == "same":
        return f"{name}: {other} is like {reference}"
    worst = int(np.argmax(contributions))
    what = bins.names[worst]
    median = _medians(column, reference, other) if isinstance(what, tuple) else None
    if median:
        told = f"half of {reference} is up to {median[0]}, half of {other} up to {median[1]}"
    else:
        told = f"{_bin_name(what, column)} is {_percent(bins.reference[worst])} of {reference} and {_percent(bins.other[worst])} of {other}"
    designed = f", which the split by {name} has made so" if "split group" in column.get("roles", []) else ""
    return f"{name}: {told}{designed}"


def _medians(column: ColumnInUse, reference: str, other: str) -> tuple[str, str] | None:
    """The medians as texts where they lie in different bins, of columns that have more than a few values."""
    histogram = column["histogram"]
    edges = histogram["edges"] if histogram else []
    if len(edges) < 6 or _has_single_values(edges, column):
        return None
    medians = [column["splits"][split]["quantiles"].get("0.5") for split in (reference, other)]
    if None in medians:
        return None
    places = [_place(median, edges) for median in medians]
    return (_number(medians[0]), _number(medians[1])) if places[0] != places[1] else None


def _place(value: Cell, edges: Sequence[float]) -> int:
    number = np.datetime64(value, "us").astype(np.int64) / 1e6 if isinstance(value, str) else value
    return int(np.searchsorted(edges[1:-1], number, side="right"))


def _bin_name(what: object, column: ColumnInUse) -> str:
    if what is _NULL:
        return "null"
    if what is _REST:
        return "any other value" if column.get("categories") or column.get("histogram") else "any value"
    histogram = column.get("histogram")
    if not histogram or not isinstance(what, tuple):
        return _text(what)
    edges = histogram["edges"]
    if _has_single_values(edges, column):
        return _number(sum(what) / 2)
    low, high = (_moment(edge) if histogram.get("is_time") else _number(edge) for edge in what)
    if what[0] == edges[0]:
        return f"what lies below {high}"
    return f"what lies above {low}" if what[1] == edges[-1] else f"what lies between {low} and {high}"


def _has_single_values(edges: Sequence[float], column: ColumnInUse) -> bool:
    return column["kind"] == "integer" and edges[1] - edges[0] == 1


def _moment(seconds: float) -> str:
    return str(np.datetime64(round(seconds), "s")).replace("T", " ")


def _number(value: Cell) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def _text(value: Cell) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if value else "the empty text"


def _percent(share: float) -> str:
    percent = 100 * float(share)
    return (
        f"{percent:.0f} %"
        if percent >= 9.95 or percent == 0
        else f"{percent:.1f} %"
        if percent >= 0.05
        else f"{percent:.1g} %"
    )
