"""A model that answers: the ONNX file in onnxruntime, and the proof, before it is ready, that it gives what it gave when it was made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from cengine.errors import CengineError
from cengine.models.inputs import BLANKS, hashes, inference_session
from cengine.serving.bundle import Bundle, Field, Label
from cengine.serving.refusals import Refused
from cengine.serving.rows import Given, RowReader

# Rows of a run: more of them take more memory and no less time a row.
BLOCK_ROWS = 8192
# What a prediction may be off: this share of the label's deviation in the train rows, or this much of a probability.
BOUND = 1e-5

Outputs = dict[str, np.ndarray]

_DTYPES = {"boolean": np.bool_, "integer": np.int64, "float": np.float64, "string": object, "timestamp": np.int64}


class Session:
    """Predicts rows of one version of a model; any number of threads may call it."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._session = _opened(bundle)
        inputs = {one.name for one in self._session.get_inputs()}
        nullable = {one.name for one in self._session.get_overridable_initializers()}
        columns = {field.column for field in bundle.fields}
        self._plain = [field.column in inputs for field in bundle.fields]
        self._nullable = [field.null_input in nullable | inputs for field in bundle.fields]
        self._hashed = [field.hash_input in inputs - columns for field in bundle.fields]
        known = columns | {name for field in bundle.fields for name in (field.null_input, field.hash_input)}
        if unknown := sorted(inputs - known):
            raise CengineError(f"model {bundle.name}: the graph has the input '{unknown[0]}', which is no column of it")
        self._outputs = [one.name for one in self._session.get_outputs()]
        if gone := [output for _, output, _ in bundle.columns() if output not in self._outputs]:
            raise CengineError(f"model {bundle.name}: the graph has no output '{gone[0]}'")

    def predict(self, given: Given) -> Outputs:
        """Outputs by name, [rows] or [rows, classes]. Raises Refused for cells that the graph cannot take."""
        if given.num_rows <= BLOCK_ROWS:
            return self._run(given.columns)
        blocks = [
            self._run([_part(column, start, start + BLOCK_ROWS) for column in given.columns])
            for start in range(0, given.num_rows, BLOCK_ROWS)
        ]
        return {name: np.concatenate([block[name] for block in blocks]) for name in self._outputs}

    def _run(self, columns: Sequence[Any]) -> Outputs:
        feeds: dict[str, np.ndarray] = {}
        for place, field in enumerate(self.bundle.fields):
            self._feed(feeds, place, field, columns[place])
        return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))

    def _feed(self, feeds: dict[str, np.ndarray], place: int, field: Field, column: Any) -> None:
        values, missing = _filled(column, field.kind)
        if missing is not None:
            if not self._nullable[place]:
                raise Refused(422, "wrong_type", f"column '{field.column}': may not be null")
            feeds[field.null_input] = missing.reshape(-1, 1)
        if self._hashed[place]:
            feeds[field.hash_input] = hashes(values.tolist()).reshape(-1, 1)
        if self._plain[place]:
            feeds[field.column] = values.reshape(-1, 1)

    def prove(self) -> None:
        """Predicts the golden rows, and raises CengineError where they do not come out as they did when the bundle was made."""
        bundle = self.bundle
        reader = RowReader(bundle.fields, max_rows=1_000_000)
        try:
            rows, told = bundle.golden["rows"], bundle.golden["predictions"]
            if not rows:
                raise CengineError(
                    f"model {bundle.name}: golden.json has no rows, so nothing shows that the model is right"
                )
            found = self.predict(reader.rows(rows))
            off = {label.column: _off(label, found, told) for label in bundle.labels}
        except Refused as error:
            raise CengineError(f"model {bundle.name}: the golden rows do not fit the model: {error.message}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise CengineError(
                f"model {bundle.name}: golden.json is damaged: {type(error).__name__}: {error}"
            ) from error
        for column, difference in off.items():
            if not difference <= BOUND:
                raise CengineError(
                    f"model {bundle.name} does not predict its golden rows: of '{column}' one is off by {difference:.1e}, the bound is {BOUND:.0e}",
                    "of a number it is a share of the label's deviation, of a class a probability",
                    "export the model anew; the bundle is damaged, or this onnxruntime calculates otherwise",
                )


def joined(waiting: Sequence[Given]) -> Given:
    """The rows of several requests as one; those of each stay together, in order."""
    if len(waiting) == 1:
        return waiting[0]
    columns = [
        list(itertools.chain.from_iterable(parts)) for parts in zip(*(one.columns for one in waiting), strict=True)
    ]
    return Given(columns, sum(one.num_rows for one in waiting))


def _opened(bundle: Bundle) -> Any:
    try:
        return inference_session(bundle.graph)
    except Exception as error:  # its exceptions have no class in common but this one
        raise CengineError(f"model {bundle.name}: onnxruntime cannot load it: {str(error).splitlines()[0]}") from error


def _filled(column: Any, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Values with something where one is missing, and whether one is."""
    if not isinstance(column, list):
        return column.values, column.missing
    if None not in column:
        return np.array(column, _DTYPES[kind]), None
    missing = np.array([value is None for value in column])
    blank = BLANKS[kind]
    return np.array([blank if value is None else value for value in column], _DTYPES[kind]), missing


def _part(column: Any, start: int, stop: int) -> Any:
    return column[start:stop] if isinstance(column, list) else column.slice(start, stop)


def _off(label: Label, found: Outputs, told: dict[str, Any]) -> float:
    """The largest difference of a label's golden predictions, in deviations or as a probability; NaN where one is no number."""
    name = label.several or label.prediction
    expected = np.array(told[name], np.float64)
    if expected.shape != found[name].shape:
        raise ValueError(f"{name} is of shape {expected.shape}, the model gives {found[name].shape}")
    difference = float(np.abs(found[name] - expected).max())
    return difference if label.classes else difference / label.deviation
