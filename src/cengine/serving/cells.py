"""Cells of a request in the kind of their column: strict, nothing is guessed and no digit is lost.

kind        as JSON has it                        as the model reads it
boolean     true, false                           bool
integer     a number without fraction             int64
float       a number                              float64; NaN counts as missing
string      a text                                str
timestamp   ISO 8601, or microseconds since       int64, microseconds since 1970 UTC; without a zone it is UTC
            1970 UTC
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cengine.serving.refusals import Misfits, shown

Values = list[Any]

_NONE = type(None)
_INT64 = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE
)
_TRUTH = {"true": True, "false": False}
# What JSON's values become without a look at each of them; of whole numbers the range is looked at.
_AS_THEY_ARE = {"boolean": {bool, _NONE}, "float": {float, _NONE}, "string": {str, _NONE}}
KINDS = ("boolean", "integer", "float", "string", "timestamp")


def typed(column: str, kind: str, values: Values, misfits: Misfits) -> Values:
    """Values of JSON as the model reads them, None for null. What does not fit is added to `misfits`."""
    types = set(map(type, values))
    if types <= _AS_THEY_ARE.get(kind, set()):
        return values
    if kind == "integer" and types == {int} and min(values) >= -_INT64 and max(values) < _INT64:
        return values
    return _each(column, values, _READERS[kind], misfits)


def read_texts(column: str, kind: str, texts: Sequence[str], misfits: Misfits) -> Values:
    """Cells of a CSV as the model reads them; an empty one is missing."""
    read = _TEXT_READERS[kind]
    return _each(column, [text or None for text in texts], read, misfits)


def _each(column: str, values: Values, read: Callable[[Any], Any], misfits: Misfits) -> Values:
    found: Values = []
    for place, value in enumerate(values):
        try:
            found.append(None if value is None else read(value))
        except (ValueError, OverflowError) as error:
            misfits.add("wrong_type", f"{shown(value)} {error}", row=place + 1, column=column, value=_told(value))
            found.append(None)
    return found


def _told(value: Any) -> Any:
    """The value as a detail of the answer, which is not to be larger than the request."""
    return value if isinstance(value, bool | int | float) and abs(value) < 2**53 else shown(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("is no boolean: true or false")


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise ValueError("is no integer")
    return _in_64_bits(value)


def _in_64_bits(value: int) -> int:
    if not -_INT64 <= value < _INT64:
        raise ValueError("is no integer of 64 bits")
    return value


def _float(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("is no number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("is no number of 64 bits") from None


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("is no text")


def _timestamp(value: Any) -> int:
    if type(value) is int:
        return _in_64_bits(value)
    if not isinstance(value, str):
        raise ValueError("is no time: ISO 8601 such as '2026-11-28T13:42:39Z', or microseconds since 1970 UTC")
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is no time: ISO 8601 such as '2026-11-28T13:42:39Z'") from None
    return microseconds(time)


def microseconds(time: datetime) -> int:
    """The time as microseconds since 1970 UTC; without a zone it is UTC."""
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def _boolean_text(text: str) -> bool:
    if (found := _TRUTH.get(text.lower())) is None:
        raise ValueError("is no boolean: true or false")
    return found


def _integer_text(text: str) -> int:
    if not _WHOLE.fullmatch(text) or len(text) > 20:
        raise ValueError("is no integer of 64 bits")
    return _in_64_bits(int(text))


def _float_text(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError("is no number")
    return float(text)


_READERS: dict[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "float": _float,
    "string": _string,
    "timestamp": _timestamp,
}
_TEXT_READERS: dict[str, Callable[[str], Any]] = {
    **_READERS,
    "boolean": _boolean_text,
    "integer": _integer_text,
    "float": _float_text,
}
