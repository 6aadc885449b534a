"""What a word asks about a column's train rows (`Needs`), and the answer (`Summary`)."""

from __future__ import annotations

from dataclasses import dataclass

from cengine.plain import Cell


@dataclass(frozen=True)
class Needs:
    """Aggregates over the train rows. `probabilities` asks for quantiles; `top` bounds `counts` to the most frequent."""

    range: bool = False
    moments: bool = False
    counts: bool = False
    probabilities: tuple[float, ...] = ()
    top: int | None = None

    def __bool__(self) -> bool:
        return self.range or self.moments or self.counts or bool(self.probabilities)


@dataclass(frozen=True)
class Summary:
    """Aggregates of one expression over the train rows; what was not asked for is None or empty.

    `deviation` is that of the population (divided by the number of rows). `counts` are (value, number of rows),
    most frequent first, equal ones by value. Nulls enter `num_nulls` alone. `rest` is what the exact mean is more than `mean`.
    """

    num_rows: int
    num_nulls: int = 0
    minimum: Cell = None
    maximum: Cell = None
    mean: float | None = None
    deviation: float | None = None
    counts: tuple[tuple[Cell, int], ...] = ()
    num_distinct: int | None = None
    quantiles: tuple[float, ...] = ()
    rest: float = 0.0
