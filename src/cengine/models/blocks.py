"""A model at work: raw rows in, blocks of predictions out. An engine encodes, the learner's predictor answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.config.resolve import Feature
from cengine.expressions.build import bigint, column, finite
from cengine.learners.examples import batch_of
from cengine.models.outputs import told
from cengine.names import free_name, quantile_name
from cengine.preprocess.apply import feature_outputs
from cengine.preprocess.targets import Target
from cengine.tasks import SCORES, Reconstruction
from cengine.transforms import Lookups

if TYPE_CHECKING:
    from cengine.models.model import Model

# Of a block that is predicted at once, so that wide tables take no more memory than narrow ones.
BLOCK_ROWS, BLOCK_BYTES = 2**18, 2**26
# One integer marks the null cells of this many features, a bit each.
BITS = 62


@dataclass(frozen=True)
class Given:
    """Raw rows as an item of FROM. `cells` has an expression for each feature, of its kind; `kept` one for each column to be kept."""

    item: exp.Expr
    cells: Mapping[str, exp.Expr]
    kept: Mapping[str, exp.Expr] = field(default_factory=dict)
    conditions: Sequence[exp.Expr] = ()


@dataclass
class Counts:
    """What was odd about the cells of rows, by feature."""

    num_rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    """Cells without a value, which are filled as in training; NaN and infinite numbers are among them."""
    unseen: dict[str, int] = field(default_factory=dict)
    """Values of which the train rows had none, of features that have a vocabulary."""

    def add(self, other: Counts) -> None:
        """Counts other rows too."""
        self.num_rows += other.num_rows
        for own, more in ((self.missing, other.missing), (self.unseen, other.unseen)):
            for name, number in more.items():
                own[name] = own.get(name, 0) + number


@dataclass(frozen=True)
class Encoding:
    """The query that encodes given rows, and where to find what in its result."""

    model: Model
    kept: tuple[str, ...] = ()

    def query(self, lookups: Lookups, given: Given, skip: int = 0) -> exp.Select:
        """Encoded columns, nulls of the raw cells as bits, columns that are kept; the first `skip` rows are left out."""
        signature = self.model.signature
        cells = [
            cell_of(feature, given.cells[feature.name]).as_(feature.name, quoted=True) for feature in signature.features
        ]
        kept = [given.kept[name].as_(inner, quoted=True) for name, inner in zip(self.kept, self._kept, strict=True)]
        rows = exp.select(*cells, *kept, copy=False).from_(given.item)
        for condition in given.conditions:
            rows = rows.where(condition, copy=False)
        if skip:
            rows = rows.offset(skip)
        outputs = feature_outputs(signature.features, signature.statistics, lookups)
        bits = [mask.as_(name, quoted=True) for mask, name in zip(self._masks(), self._odd, strict=True)]
        return exp.select(*outputs, *bits, *(column(name) for name in self._kept), copy=False).from_(
            rows.subquery("source"), copy=False
        )

    def predictions(self, encoded: pa.Table) -> pa.Table:
        """Predictions of encoded rows, see `Model.predict`, behind the columns that are kept."""
        model = self.model
        predicted = model.predictor.predict(batch_of(encoded, model.inputs)) if len(encoded) else {}
        found = named(predicted, model.signature.targets, len(encoded))
        kept = [(name, encoded[inner]) for name, inner in zip(self.kept, self._kept, strict=True)]
        columns = [*kept, *zip(found.column_names, found.columns, strict=True)]
        return pa.table([cells for _, cells in columns], names=[name for name, _ in columns])

    def counts(self, encoded: pa.Table) -> Counts:
        """What is odd about the cells of these rows."""
        found = Counts(len(encoded))
        masks = [encoded[name].to_numpy() for name in self._odd]
        for place, feature in enumerate(self.model.signature.features):
            present = masks[place // BITS] & (1 << place % BITS) == 0
            found.missing[feature.name] = len(encoded) - int(np.count_nonzero(present))
            if (known := self._vocabularies.get(feature.name)) is not None:
                codes = encoded[known[0]].to_numpy()
                found.unseen[feature.name] = int(np.count_nonzero((codes >= known[1]) & present))
        return found

    @cached_property
    def _vocabularies(self) -> dict[str, tuple[str, int]]:
        """Of features that are looked up, the encoded column and how many values are known; those after have no index of their own."""
        known = {one.feature: self.model.signature.vocabulary(one.feature) for one in self.model.inputs}
        return {
            one.feature: (one.column, len(vocabulary))
            for one in self.model.inputs
            if one.size is not None and (vocabulary := known[one.feature]) is not None
        }

    @cached_property
    def _odd(self) -> tuple[str, ...]:
        """The columns of bits, called as no encoded column is."""
        return tuple(self._free(f"_null_{n}") for n in range(-(-len(self.model.signature.features) // BITS)))

    @cached_property
    def _kept(self) -> tuple[str, ...]:
        """What kept columns are called beside encoded ones."""
        return tuple(self._free(f"_kept_{n}") for n in range(len(self.kept)))

    def _free(self, stem: str) -> str:
        return free_name(stem, [*self.model.features, *(one.column for one in self.model.inputs)])

    def _masks(self) -> Iterator[exp.Expr]:
        """A number for each BITS features whose bits are 1 where a cell is null."""
        features = self.model.signature.features
        for start in range(0, len(features), BITS):
            bits = [
                exp.Case().when(exp.Is(this=column(one.name), expression=exp.null()), bigint(1 << bit)).else_(bigint(0))
                for bit, one in enumerate(features[start : start + BITS])
            ]
            total: exp.Expr = bits[0]
            for bit in bits[1:]:
                total = exp.Add(this=total, expression=bit)
            yield total


def block_rows(model: Model) -> int:
    """How many rows are encoded and predicted at a time."""
    return max(1024, min(BLOCK_ROWS, BLOCK_BYTES // (4 * max(len(model.inputs), 1))))


def cell_of(feature: Feature, cell: exp.Expr) -> exp.Expr:
    """A raw cell as the words see it: numbers that are not finite are null."""
    return finite(cell) if feature.kind == "float" else cell


def _of_rows(found: np.ndarray, code: int) -> dict[str, pa.Array]:
    """The answers for reconstructed rows: the score, the greatest loss of a column, whether the score is above the threshold, the code."""
    numbers = {"score": SCORES.index("prediction"), "score_max": SCORES.index("score_max")}
    columns = {name: pa.array(found[:, place]) for name, place in numbers.items()}
    columns["above_threshold"] = pa.array(found[:, SCORES.index("score_above")] > 0)
    return columns | {f"code_{k}": pa.array(found[:, len(SCORES) + k]) for k in range(code)}


def named(predicted: dict[str, np.ndarray], targets: Sequence[Target], num_rows: int) -> pa.Table:
    """Predictions as columns: see `Model.predict`."""
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for target in targets:
        prefix = f"{target.name}: " if len(targets) > 1 else ""
        found = predicted.get(target.name, np.empty((num_rows, target.num_outputs)))
        if isinstance(target.task, Reconstruction):
            columns |= _of_rows(found, target.task.code)
            continue
        if not target.task.has_classes:
            numbers = found if found.ndim == 2 else found[:, None]
            columns[f"{prefix}prediction"] = pa.array(numbers[:, target.task.point])
            columns |= {
                f"{prefix}{quantile_name(share)}": pa.array(numbers[:, i])
                for i, share in enumerate(target.task.quantiles)
            }
            continue
        shares = found if target.task.one_output_a_class else np.hstack([1 - found, found])
        places = shares.argmax(axis=1) if target.task.one_output_a_class else (found[:, 0] >= 0.5).astype(np.int64)
        columns[f"{prefix}prediction"] = pa.array(target.classes).take(pa.array(places))
        columns |= {
            f"{prefix}probability_{told(name)}": pa.array(shares[:, i]) for i, name in enumerate(target.classes)
        }
    return pa.table(columns)
