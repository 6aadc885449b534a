"""Rows that nobody has seen: by them a file is compared with the model where no table leads."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.config.resolve import Feature

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.models.signature import Signature

NUM_ROWS = 20_000
SEED = 13
NULL_SHARE, MOST_SEEN = 0.1, 2_000
_LARGEST = np.finfo(np.float64).max
_FAR: dict[str, list[Any]] = {
    "boolean": [True, False],
    "integer": [0, -1, 1, 2**31, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)],
    "float": [0.0, -0.0, 5e-324, -5e-324, 1e-300, 1e300, -1e300, _LARGEST, -_LARGEST, np.inf, -np.inf, np.nan],
    "string": ["", " ", "null", "None", "nan", "0", "'", '"', "\\", "\n", "\x00", "a\x00b", "é", "e\u0301", "😀", "x" * 5_000],
}  # fmt: skip
_MOMENTS = [
    datetime.datetime(1, 1, 1), datetime.datetime(1600, 2, 29, 12), datetime.datetime(1900, 2, 28, 23, 59, 59, 999_999),
    datetime.datetime(1900, 3, 1), datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime.datetime(1970, 1, 1),
    datetime.datetime(2000, 2, 29), datetime.datetime(2023, 3, 26, 1), datetime.datetime(2023, 10, 29, 1),
    datetime.datetime(2024, 2, 29, 23, 59, 59), datetime.datetime(2024, 12, 31, 23, 59), datetime.datetime(2100, 2, 28, 12),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999),
]  # fmt: skip
_EPOCH = datetime.datetime(1970, 1, 1)


def made_up_rows(signature: Signature, seen: pa.Table | None = None, num_rows: int = NUM_ROWS) -> pa.Table:
    """Rows of the features, the same ones each time: cells of `seen` and of what Fit learnt in new combinations, nulls, unseen words.

    In every other row one or two columns hold the ends of their type, leap days, and the like.
    """
    import pyarrow as pa

    random = np.random.default_rng(SEED)
    features = signature.features
    far = random.random((num_rows, len(features))) < 1.5 / len(features)
    far[::2] = False
    columns = {}
    for place, feature in enumerate(features):
        learnt = signature.statistics["features"][feature.name]
        near = _near(feature, learnt, _seen(seen, feature), random)
        cells = random.choice(np.arange(len(near)), num_rows)
        ends = _far(feature.kind)
        missing = random.random(num_rows) < NULL_SHARE
        values = [
            None if missing[row] else ends[n % len(ends)] if far[row, place] else near[n]
            for row, n in enumerate(cells.tolist())
        ]
        columns[feature.name] = pa.array(values, _type(feature.kind))
    return pa.table(columns)


def _seen(seen: pa.Table | None, feature: Feature) -> list[Any]:
    if seen is None:
        return []
    found: list[Any] = seen[feature.name].slice(0, MOST_SEEN).drop_null().to_pylist()
    if feature.kind == "timestamp":
        return [_micros(value) for value in found]
    return found


def _near(feature: Feature, learnt: dict[str, Any], seen: Sequence[Any], random: np.random.Generator) -> list[Any]:
    """Cells such as a table has, and some beside them."""
    known = list(_leaves(learnt))
    if feature.kind == "boolean":
        return [True, False]
    if feature.kind == "string":
        words = list(dict.fromkeys([*seen, *(one for one in known if isinstance(one, str))][:MOST_SEEN])) or ["a"]
        return [*words, *(f"{one}?" for one in words), *(one.swapcase() for one in words)]
    numbers = [float(one) for one in known if isinstance(one, int | float) and not isinstance(one, bool)]
    numbers += [float(one) for one in seen] or [0.0, 1.0]
    if feature.kind == "timestamp":
        numbers = [float(one) for one in seen] or [0.0, 1e15]
    low, high = min(numbers), max(numbers)
    spread = min(high / 2 - low / 2, 1e15)
    more = random.uniform(low - spread, high + spread, 1_000).tolist() if np.isfinite([low, high]).all() else []
    if feature.kind == "float":
        return [*numbers, *more]
    return [*(seen or [0]), *(int(one) for one in (*numbers, *more) if abs(one) < 2**62)]


def _far(kind: str) -> list[Any]:
    return [_micros(one) for one in _MOMENTS] if kind == "timestamp" else _FAR[kind]


def _leaves(data: Any) -> Iterator[Any]:
    """Numbers and texts in plain data: fillings, edges, quantiles, words."""
    if isinstance(data, dict | list | tuple):
        for one in data.values() if isinstance(data, dict) else data:
            yield from _leaves(one)
    else:
        yield data


def _micros(value: datetime.date) -> int:
    """Microseconds since 1970 UTC; a time without a zone is in UTC."""
    moment = value if isinstance(value, datetime.datetime) else datetime.datetime(value.year, value.month, value.day)
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def _type(kind: str) -> pa.DataType:
    import pyarrow as pa

    types = {"boolean": pa.bool_(), "integer": pa.int64(), "float": pa.float64(), "string": pa.string()}
    return types.get(kind, pa.timestamp("us"))
