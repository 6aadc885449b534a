"""What a model's ONNX file takes, for whoever feeds it: how inputs are called, what stands where a cell is missing, hashes of texts.

Importing it loads nothing but NumPy, since a server does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.digests import text_number

if TYPE_CHECKING:
    import pyarrow as pa

# What stands where a cell is missing, by the kind of the column; a second input says that it is.
BLANKS: dict[str, Any] = {"boolean": False, "integer": 0, "float": 0.0, "string": "", "timestamp": 0}


def null_input(column: str) -> str:
    """The input that says which cells of a column are missing."""
    return f"{column} is null"


def hash_input(column: str) -> str:
    """The input that has the hashes of a column's cells, which ONNX cannot compute."""
    return f"{column} hash"


def hashes(values: Iterable[Any]) -> np.ndarray:
    """The hash of each value's text, int64 (n,)."""
    texts = (str(value).lower() if isinstance(value, bool) else str(value) for value in values)
    return np.array([text_number(text) for text in texts], np.int64)


def inference_session(graph: bytes) -> Any:
    """onnxruntime's session of one thread. Raises ImportError if it is not installed, and what it raises for a file that it does not take."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # A second thread waits busily for the first and takes more of a processor than it gives.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def fits(own: pa.DataType, kind: str) -> bool:
    """Whether a column of an Arrow type may hold cells of a kind; each cell has to be one still."""
    import pyarrow as pa

    numeric = pa.types.is_integer(own) or pa.types.is_floating(own) or pa.types.is_decimal(own)
    found: dict[str, bool] = {
        "boolean": pa.types.is_boolean(own),
        "integer": numeric,
        "float": numeric,
        "string": pa.types.is_string(own) or pa.types.is_large_string(own) or pa.types.is_string_view(own),
        "timestamp": pa.types.is_timestamp(own) or pa.types.is_date(own),
    }
    return found[kind]
