"""What flows through the words: a `Value` is a column's expression on its way from the table to the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from sqlglot import exp

from cengine.expressions.build import as_double, bounded
from cengine.plain import Cell
from cengine.summaries import Needs, Summary
from cengine.words import Word

NUMBERS = ("boolean", "integer", "float")
DISCRETE = ("boolean", "integer", "string")
# Beyond it, on either side of 0, an input counts as this: a network of 32 bits can still square it and add up some of them.
LARGEST_INPUT = 2.0**60


@dataclass(frozen=True)
class Value:
    """An expression and its kind: a kind of column, or `code`, an index in [0, `size`).

    `part` names it where one column gives several values (`calendar`). `one_hot` is the wish of `one_hot_encode`.
    """

    expression: exp.Expr
    kind: str
    size: int | None = None
    part: str = ""
    one_hot: bool = False


def as_input(value: Value) -> Value:
    """The value as the network reads it: booleans as 0 and 1, numbers within `LARGEST_INPUT`, so that they are numbers in 32 bits too."""
    if value.kind == "boolean":
        return replace(value, expression=exp.cast(value.expression, "int"))
    if value.kind not in ("integer", "float"):
        return value
    number = bounded(as_double(value.expression.copy()), -LARGEST_INPUT, LARGEST_INPUT)
    return replace(value, expression=number, kind="float")


class Lookups(Protocol):
    """Finds values in lists; an engine does it in its own way, without changing the order of rows."""

    def index_of(self, expression: exp.Expr, kind: str, values: Sequence[Cell]) -> exp.Expr:
        """The index of the expression's value in `values`, null where it is not among them."""
        ...


class NoLookups:
    """Stands in where only the shape of values is wanted."""

    def index_of(self, expression: exp.Expr, kind: str, values: Sequence[Cell]) -> exp.Expr:
        """Null."""
        return exp.null()


class Filling(Word):
    """How nulls are replaced. Fitting returns the value, applying an expression without nulls."""

    accepts: ClassVar[tuple[str, ...]]

    @abstractmethod
    def needs(self) -> Needs:
        """What `fit` has to know of the column's train rows."""

    @abstractmethod
    def fit(self, summary: Summary, kind: str) -> Cell:
        """The JSON-able value that stands for null; None where the column holds nothing but nulls."""


class Transform(Word):
    """A column operation. Fitting returns JSON-able statistics, applying an expression."""

    accepts: ClassVar[tuple[str, ...]]
    gives: ClassVar[str | None] = "float"
    """The kind of what it gives: `float`, `code` for indices, None for the kind that it is given."""
    gives_several: ClassVar[bool] = False
    """Whether it makes several columns of one; it is the last word then."""

    @abstractmethod
    def needs(self) -> Needs:
        """What `fit` has to know of the train rows of the expression `asked`."""

    def asked(self, value: Value) -> Value:
        """The expression that `needs` is about, the one it is applied to unless the word says otherwise."""
        return value

    @abstractmethod
    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        """JSON-able statistics. Raises PreprocessError, naming `where`, for rows it cannot be applied to."""

    @abstractmethod
    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        """The transformed value; several for words that make several columns of one."""


class InvertibleTransform(Transform):
    """A transform that can be undone, so that a transformed label is still predicted in its own unit.

    It never makes the smaller of two values the larger one: quantiles of the transformed label are those of the label.
    """

    is_linear: ClassVar[bool] = False
    """Whether its inverse is a factor and an offset, so that parts of a sum can be told in the unit before it too."""

    @abstractmethod
    def inverse(self, array: np.ndarray, statistics: dict[str, Any]) -> np.ndarray:
        """The array in the unit before the transform, float64 of the same shape."""
