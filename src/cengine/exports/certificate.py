"""How near another form of a model comes to the model: on the rows that it was evaluated on, and on made-up ones."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.errors import ExportError
from cengine.exports.made_up import made_up_rows
from cengine.models.blocks import Encoding
from cengine.models.given import fitting
from cengine.models.outputs import columns_of

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.models.model import Model
    from cengine.preprocess.targets import Target

# Of a probability, and of the deviation of a label's train rows.
PROBABILITY_BOUND, DEVIATION_BOUND = 1e-6, 1e-5
PROBABILITY = "probability"
Predict = Callable[["pa.Table"], Mapping[str, np.ndarray]]


@dataclass
class Compared:
    """What is known of a label: differences in its own unit, or of a probability."""

    label: str
    unit: str
    bound: float
    largest: float = 0.0
    classes_differ: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "label": self.label,
            "unit": self.unit,
            "bound": self.bound,
            "largest_difference": self.largest,
            "classes_differ": self.classes_differ,
        }


def measured_in(unit: str) -> str:
    """What stands behind a difference in a text."""
    return f"of a {unit}" if unit == PROBABILITY else f"in the {unit}"


@dataclass
class Comparison:
    """A model beside another form of it. `bounds` are those of a probability and of a label's deviation, `labels` fills as rows are added.

    A network calculates in 32 bits, and its rounding errors grow with its largest input: a difference counts in proportion to
    the largest encoded number of its row where that is above 1, and to the prediction's distance from the label's mean where
    that is above a deviation. Of a probability p that is near 0 or 1 little of it arrives: p (1 - p) times as much.
    """

    model: Model
    predict: Predict
    bounds: tuple[float, float] = (PROBABILITY_BOUND, DEVIATION_BOUND)
    labels: list[Compared] = field(default_factory=list)
    num_rows: int = 0
    num_made_up: int = 0

    def __post_init__(self) -> None:
        self.labels = [self._begun(target) for target in self.model.signature.targets]

    def add(self, table: pa.Table, *, made_up: bool = False) -> None:
        """Compares the predictions for the rows of a table."""
        if not len(table):
            return
        rows = fitting(table, self.model.signature.features)
        expected, sizes = _expected(self.model, rows)
        found = self.predict(rows)
        for target, output, known in zip(self.model.signature.targets, self.model.outputs, self.labels, strict=True):
            values = [expected[name] for name in columns_of(output)]
            if target.task.has_classes:
                _compare_classes(known, values, found[output["prediction"]], found[output["probabilities"]], sizes)
            else:
                parts = [
                    found[output["prediction"]],
                    *(found[output["quantiles"]].T if output.get("quantiles") else ()),
                ]
                for value, part in zip(values, parts, strict=True):
                    self._compare_numbers(known, target, value.to_numpy(), part, sizes)
        if made_up:
            self.num_made_up += len(rows)
        else:
            self.num_rows += len(rows)

    def refuse_differences(self, what: str) -> None:
        """Raises ExportError for a label whose predictions differ by more than the bound."""
        for one in self.labels:
            if not one.largest <= one.bound:
                raise ExportError(
                    f"{what} does not predict what the model predicts: label '{one.label}' differs by {one.largest:.3g} "
                    f"{measured_in(one.unit)}, the bound is {one.bound:.3g}",
                    "nothing was written; please report this with the YAML of the run",
                )

    def to_json(self, **others: Any) -> dict[str, Any]:
        """Plain data for `certificate.json`: the label that comes nearest to its bound, then all of them."""
        worst = max(self.labels, key=lambda one: one.largest / one.bound)
        return {
            "rows": self.num_rows,
            "made_up_rows": self.num_made_up,
            "largest_difference": worst.largest,
            "unit": worst.unit,
            "bound": worst.bound,
            "classes_differ": sum(one.classes_differ for one in self.labels),
            "labels": [one.to_json() for one in self.labels],
            **others,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }

    def _begun(self, target: Target) -> Compared:
        if target.task.has_classes:
            return Compared(target.name, PROBABILITY, self.bounds[0])
        return Compared(target.name, f"unit of {target.name}", self.bounds[1] * self._deviation(target))

    def _deviation(self, target: Target) -> float:
        """Of the label in the train rows, in its own unit."""
        learnt = self.model.signature.statistics["labels"][target.name]
        return float(learnt.get("deviation") or abs(float(target.in_unit(np.array([target.scale]))[0])) or 1.0)

    def _compare_numbers(
        self, known: Compared, target: Target, expected: np.ndarray, found: np.ndarray, sizes: np.ndarray
    ) -> None:
        mean = float(target.in_unit(np.array([target.offset]))[0])
        with np.errstate(invalid="ignore", over="ignore"):
            distance = np.abs(expected - mean) / self._deviation(target)
            allowed = np.maximum(1.0, distance) * np.maximum(1.0, sizes)
            difference = np.abs(expected - found) / allowed
        same = (expected == found) | (np.isnan(expected) & np.isnan(found))
        _note(known, np.where(same, 0.0, difference))


def certified(
    model: Model,
    predict: Predict,
    tables: Iterable[pa.Table],
    *,
    say: Callable[[int], None] = lambda rows: None,
    bounds: tuple[float, float] = (PROBABILITY_BOUND, DEVIATION_BOUND),
) -> Comparison:
    """Compares the predictions for the rows of all tables and for made-up ones; `say` gets the number of rows so far.

    `bounds` are those of a probability, and of the deviation of a label.
    """
    comparison = Comparison(model, predict, bounds)
    first = None
    for table in tables:
        first = table if first is None else first
        comparison.add(table)
        say(comparison.num_rows)
    seen = None if first is None else fitting(first, model.signature.features)
    comparison.add(made_up_rows(model.signature, seen), made_up=True)
    return comparison


def _expected(model: Model, rows: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """What the model predicts, and the largest encoded number of each row apart from its sign, (rows,), 0 without one; encoded once."""
    import pyarrow as pa

    predicted, sizes = [], []
    numbers = [one.column for one in model.inputs if one.size is None]
    for block in model.encoded(rows):
        predicted.append(Encoding(model).predictions(block))
        sizes.append(np.max([np.zeros(len(block)), *(np.abs(block[name].to_numpy()) for name in numbers)], axis=0))
    return pa.concat_tables(predicted), np.concatenate(sizes)


def _compare_classes(
    known: Compared, expected: Sequence[Any], classes: np.ndarray, found: np.ndarray, sizes: np.ndarray
) -> None:
    shares = np.column_stack([column.to_numpy() for column in expected[1:]])
    allowed = np.maximum(1.0, np.maximum(sizes, 1.0)[:, None] * shares * (1.0 - shares))
    difference = (np.abs(shares - found) / allowed).max(axis=1)
    wrong = np.array([one != other for one, other in zip(expected[0].to_pylist(), classes.tolist(), strict=True)])
    known.classes_differ += int(wrong.sum())
    ordered = np.sort(shares, axis=1)
    # Of two classes that are equally likely either may be named.
    apart = ordered[:, -1] - ordered[:, -2] > 2 * known.bound * allowed.max(axis=1)
    _note(known, np.where(wrong & apart, np.inf, difference))


def _note(known: Compared, differences: np.ndarray) -> None:
    largest = float(np.max(np.where(np.isnan(differences), np.inf, differences), initial=0.0))
    known.largest = max(known.largest, largest)
