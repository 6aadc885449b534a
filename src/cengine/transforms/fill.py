"""`filling:`, what stands for a missing cell."""

from __future__ import annotations

from sqlglot import exp

from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, literal
from cengine.plain import Cell
from cengine.plugins import words_of
from cengine.summaries import Needs, Summary
from cengine.tables import KINDS
from cengine.transforms.value import Filling, Value


class Min(Filling):
    """The least value of the train rows."""

    name = "min"
    accepts = KINDS

    def needs(self) -> Needs:
        return Needs(range=True)

    def fit(self, summary: Summary, kind: str) -> Cell:
        return summary.minimum


class Max(Filling):
    """The greatest value of the train rows."""

    name = "max"
    accepts = KINDS

    def needs(self) -> Needs:
        return Needs(range=True)

    def fit(self, summary: Summary, kind: str) -> Cell:
        return summary.maximum


class Mean(Filling):
    """The mean of the train rows; an integer column becomes a float one."""

    name = "mean"
    accepts = ("integer", "float")

    def needs(self) -> Needs:
        return Needs(moments=True)

    def fit(self, summary: Summary, kind: str) -> Cell:
        return summary.mean


class Median(Filling):
    """The median of the train rows."""

    name = "median"
    accepts = ("integer", "float")

    def needs(self) -> Needs:
        return Needs(probabilities=(0.5,))

    def fit(self, summary: Summary, kind: str) -> Cell:
        return summary.quantiles[0] if summary.quantiles else None


class Mode(Filling):
    """The most frequent value of the train rows; of equally frequent ones the least."""

    name = "mode"
    accepts = KINDS

    def needs(self) -> Needs:
        return Needs(counts=True, top=1)

    def fit(self, summary: Summary, kind: str) -> Cell:
        return summary.counts[0][0] if summary.counts else None


class Custom(Filling):
    """A value given in the YAML."""

    name = "custom"
    accepts = KINDS
    custom_value: bool | int | float | str

    def needs(self) -> Needs:
        return Needs()

    def fit(self, summary: Summary, kind: str) -> Cell:
        return self.custom_value

    def fits(self, kind: str) -> bool:
        """Whether the value can stand in a column of this kind."""
        value = self.custom_value
        if kind == "boolean":
            return isinstance(value, bool)
        if kind in ("integer", "float"):
            return (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and (kind == "float" or -(2**63) <= value < 2**63)
            )
        return isinstance(value, str) or kind == "string"


class Forward(Mode):
    """The value before it in its trip of a time series; what has none before takes the train points' mean if it is a float, else their most frequent value."""

    name = "forward"


class Backwards(Mode):
    """The value after it in its trip of a time series; what has none after is filled as `forward` says."""

    name = "backwards"


FILLINGS = words_of("filling", Filling, PreprocessError, Min, Max, Mean, Median, Mode, Custom)

# Those that need an order of rows: the neighbour's value, within a trip.
SERIES_FILLINGS: dict[str, type[Filling]] = {word.name: word for word in (Forward, Backwards)}


def left_over(kind: str) -> Filling:
    """What fills the cells of a column of this kind that no neighbour fills."""
    return {"float": Mean(), "timestamp": Min()}.get(kind) or Mode()


# What stands for null in a column that holds nothing but nulls: there is no value to learn one from.
EMPTY_COLUMN = {"boolean": False, "integer": 0, "float": 0.0, "string": "", "timestamp": "1970-01-01 00:00:00"}


def filled(value: Value, fill: Cell) -> Value:
    """The value with its nulls replaced by `fill`."""
    if fill is None:
        fill = EMPTY_COLUMN[value.kind]
    if value.kind == "integer" and isinstance(fill, float) and not fill.is_integer():
        replacement = literal(fill, "float")
        return Value(
            exp.Coalesce(this=as_double(value.expression), expressions=[replacement]), "float", part=value.part
        )
    return Value(
        exp.Coalesce(this=value.expression, expressions=[literal(fill, value.kind)]), value.kind, part=value.part
    )
