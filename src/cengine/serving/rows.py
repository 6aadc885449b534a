"""Bodies of requests as columns of typed cells: rows as JSON, JSON lines, CSV or Arrow, all of them by the same rules."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from cengine.errors import near_miss
from cengine.serving.bundle import Field
from cengine.serving.cells import Values, read_texts, typed
from cengine.serving.refusals import Misfits, Refused, shown

if TYPE_CHECKING:
    pass

# A cell of a CSV may be as long as the request may be.
csv.field_size_limit(2**31 - 1)
_decode = msgspec.json.Decoder().decode
_decode_lines = msgspec.json.Decoder().decode_lines


@dataclass(frozen=True)
class Given:
    """Rows that are to be predicted: for each field its cells, as a list with None for null or as arrays."""

    columns: list[Any]
    num_rows: int
    # Arrays are not joined with the lists of other requests.
    are_arrays: bool = False


class RowReader:
    """Reads rows that have exactly the columns of `fields`."""

    def __init__(self, fields: Sequence[Field], max_rows: int) -> None:
        self._fields = fields
        self._names = [field.column for field in fields]
        self._max_rows = max_rows

    def json(self, body: bytes) -> Given:
        """`{"rows": [{column: cell}]}`. Raises Refused."""
        data = decoded(_decode, body)
        if not isinstance(data, dict) or not isinstance(data.get("rows"), list):
            raise Refused(422, "malformed", 'the body is {"rows": [{"COLUMN": VALUE, ...}, ...]}')
        if unknown := [name for name in data if name != "rows"]:
            raise Refused(422, "malformed", f"the body has the unknown key '{unknown[0]}' beside 'rows'")
        return self.rows(data["rows"])

    def lines(self, body: bytes) -> Given:
        """An object a line. Raises Refused."""
        return self.rows(decoded(_decode_lines, body))

    def rows(self, rows: list[Any]) -> Given:
        """Objects with a cell for each column. Raises Refused with all that does not fit."""
        self.limit(len(rows))
        width = len(self._names)
        try:
            columns = [[row[name] for row in rows] for name in self._names]
            fits = {len(row) for row in rows} <= {width}
        except (KeyError, TypeError, IndexError):
            fits = False
        if not fits:
            self._refuse_shape(rows)
        return self.typed(columns, len(rows))

    def typed(self, columns: Sequence[Values], num_rows: int) -> Given:
        """The columns of the fields, in order, with cells as JSON has them. Raises Refused with all cells that do not fit."""
        misfits = Misfits()
        found = [
            typed(field.column, field.kind, values, misfits) if num_rows else values
            for field, values in zip(self._fields, columns, strict=True)
        ]
        misfits.refuse()
        return Given(found, num_rows)

    def csv(self, body: bytes) -> Given:
        """A header and a line for each row, comma-separated, UTF-8; an empty cell is missing. Raises Refused."""
        try:
            text = body.decode("utf-8-sig")
            lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise Refused(400, "malformed", f"the CSV cannot be read: {error}") from None
        # A line with nothing in it is a row only where there is one column, whose cell is missing.
        header, *rows = [line or [""] for line in lines if line or len(self._names) == 1] or [[]]
        places = self.places(header)
        self.limit(len(rows))
        misfits = Misfits()
        for number, row in enumerate(rows, 1):
            if len(row) != len(header):
                misfits.add("malformed", f"{len(row)} cells, the header has {len(header)}", row=number)
        misfits.refuse()
        columns = [
            read_texts(field.column, field.kind, [row[place] for row in rows], misfits)
            for field, place in zip(self._fields, places, strict=True)
        ]
        misfits.refuse()
        return Given(columns, len(rows))

    def arrow(self, body: bytes) -> Given:
        """A stream or file of Arrow's IPC format. Raises Refused."""
        from cengine.serving.arrow import read_table, taken

        table = read_table(body)
        places = self.places(table.column_names)
        self.limit(len(table))
        return Given(taken(table, self._fields, places), len(table), are_arrays=True)

    def places(self, header: Sequence[str]) -> list[int]:
        """The place of each field's column in a header. Raises Refused for missing, unknown and repeated columns."""
        misfits = Misfits()
        known = set(self._names)
        for place, name in enumerate(header):
            if name not in known:
                misfits.add("unknown_column", self._unknown(name), column=name)
            elif name in header[:place]:
                misfits.add("unknown_column", "is there twice", column=name)
        for name in self._names:
            if name not in header:
                misfits.add("missing_column", MISSING, column=name)
        misfits.refuse()
        return [header.index(name) for name in self._names]

    def limit(self, num_rows: int) -> None:
        """Raises Refused above the limit of rows."""
        if num_rows > self._max_rows:
            raise Refused(
                413,
                "too_many_rows",
                f"{num_rows:,} rows, the limit is {self._max_rows:,} a request: send them in parts",
            )

    def _refuse_shape(self, rows: list[Any]) -> None:
        misfits = Misfits()
        known = set(self._names)
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                misfits.add("malformed", f'{shown(row)} is not an object {{"COLUMN": VALUE}}', row=number)
                continue
            for name in row:
                if name not in known:
                    misfits.add("unknown_column", self._unknown(name), row=number, column=name)
            for name in self._names:
                if name not in row:
                    misfits.add("missing_column", MISSING, row=number, column=name)
            if misfits.are_many:
                break
        misfits.refuse()

    def _unknown(self, name: str) -> str:
        near = near_miss(name, self._names)
        return f"the model has no such column; {near[0] if near else 'leave it out'}"


MISSING = "is missing: give null where the value is not known"


def decoded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    """The body as JSON has it. Raises Refused where it is none."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise Refused(422, "wrong_type", f"the JSON does not fit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "malformed", f"the JSON cannot be read: {error}") from None
    except RecursionError:
        raise Refused(400, "malformed", "the JSON cannot be read: it is nested too deeply") from None
