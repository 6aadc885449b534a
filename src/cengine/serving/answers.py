"""Predictions as `POST /predict` answers them: JSON, JSON lines, CSV or Arrow, with the columns of `Model.predict`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import msgspec

from cengine.serving.bundle import Bundle
from cengine.serving.media_types import ARROW, CSV, JSON, LINES
from cengine.serving.session import Outputs

encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines


def columns_of(bundle: Bundle, outputs: Outputs) -> dict[str, list[Any]]:
    """The columns of the answer by name."""
    return {
        name: (outputs[output] if place is None else outputs[output][:, place]).tolist()
        for name, output, place in bundle.columns()
    }


def as_json(bundle: Bundle, columns: dict[str, list[Any]]) -> bytes:
    """`{"model", "version", "predictions": [{column: value}]}`."""
    return encode({"model": bundle.name, "version": bundle.version, "predictions": _rows(columns)})


def as_lines(bundle: Bundle, columns: dict[str, list[Any]]) -> bytes:
    """An object a line."""
    return _encode_lines(_rows(columns))


def as_csv(bundle: Bundle, columns: dict[str, list[Any]]) -> bytes:
    """A header and a line a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(_cell, values) for values in columns.values()), strict=True))
    return text.getvalue().encode()


def as_arrow(bundle: Bundle, columns: dict[str, list[Any]]) -> bytes:
    """A stream of Arrow's IPC format."""
    from cengine.serving.arrow import written

    return written(columns)


WRITERS: dict[str, Callable[[Bundle, dict[str, list[Any]]], bytes]] = {
    JSON: as_json,
    LINES: as_lines,
    CSV: as_csv,
    ARROW: as_arrow,
}


def _rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
