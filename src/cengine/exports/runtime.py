"""An ONNX file run by onnxruntime, on tables of raw rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.errors import ExportError
from cengine.extras import install_command
from cengine.models.inputs import BLANKS, hash_input, hashes, inference_session, null_input

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.config.resolve import Feature

BLOCK_ROWS = 16_384


class OnnxPredictor:
    """Predictions of an ONNX file that `onnx_of` made: `predict(table)` gives its outputs by name."""

    def __init__(self, file: bytes, features: Sequence[Feature]) -> None:
        self.session = session_of(file)
        self.features = features
        self._inputs = {one.name for one in self.session.get_inputs()}

    def predict(self, table: pa.Table) -> dict[str, np.ndarray]:
        """The outputs by name for rows as `models.given.fitting` gives them."""
        names = [output.name for output in self.session.get_outputs()]
        blocks = [
            self.session.run(names, feeds(table.slice(at, BLOCK_ROWS), self.features, self._inputs))
            for at in range(0, max(len(table), 1), BLOCK_ROWS)
        ]
        return {name: np.concatenate(parts) for name, parts in zip(names, zip(*blocks, strict=True), strict=True)}


def session_of(file: bytes) -> Any:
    """onnxruntime's session of one thread. Raises ExportError where it is not installed or does not take the file."""
    try:
        return inference_session(file)
    except ImportError:
        raise ExportError("to run an ONNX file takes the package onnxruntime", install_command("export")) from None
    except Exception as error:  # its errors have no class in common
        raise ExportError(f"onnxruntime does not take the file: {str(error).splitlines()[0]}") from error


def feeds(table: pa.Table, features: Sequence[Feature], inputs: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The inputs for these rows: each column (rows, 1), and where it is null; of a file with these `inputs` hashes too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = {}
    for feature in features:
        cells = table[feature.name].combine_chunks()
        if feature.kind == "timestamp":
            cells = cells.cast(
                pa.timestamp("us", cells.type.tz if pa.types.is_timestamp(cells.type) else None), safe=False
            )
            cells = cells.cast(pa.int64())
        missing = pc.is_null(cells).to_numpy(zero_copy_only=False)
        values = cells.fill_null(BLANKS[feature.kind]) if missing.any() else cells
        if inputs is None or feature.name in inputs:
            found[feature.name] = values.to_numpy(zero_copy_only=False).reshape(-1, 1)
        if inputs is not None and hash_input(feature.name) in inputs:
            found[hash_input(feature.name)] = _hashes(values).reshape(-1, 1)
        if missing.any():
            found[null_input(feature.name)] = missing.reshape(-1, 1)
    return found


def _hashes(values: pa.Array) -> np.ndarray:
    """The number of each value's text, int64; a value that comes again is looked at once."""
    coded = values.dictionary_encode()
    numbers = hashes(coded.dictionary.to_pylist())
    return numbers[coded.indices.to_numpy()] if len(numbers) else np.zeros(len(values), np.int64)
