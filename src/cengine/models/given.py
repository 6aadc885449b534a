"""Rows that a model is given: its columns, found by name, in the kinds that it was trained on; or one error with all that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cengine.config.resolve import Feature
from cengine.errors import PreprocessError, near_miss
from cengine.models.inputs import fits
from cengine.names import Names
from cengine.sources.frames import arrow_table, called

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LISTED = 10


def fitting(data: object, features: Sequence[Feature]) -> pa.Table:
    """The columns of the features, named and typed as in training. Raises PreprocessError with everything that does not fit."""
    import pyarrow as pa

    table = arrow_table(data)
    columns = {}

    def read(feature: Feature, found: str) -> str | None:
        try:
            columns[feature.name] = _as_kind(table[found], feature.kind)
        except pa.ArrowInvalid as error:
            return f"cannot be read as {feature.kind}: {str(error).splitlines()[0]}"
        except TypeError as error:
            return str(error)
        return None

    check_columns(Names(table.column_names), features, f"the {called(data)}", read)
    return pa.table(columns)


def check_columns(
    names: Names,
    features: Sequence[Feature],
    title: str,
    fault: Callable[[Feature, str], str | None] = lambda feature, found: None,
) -> dict[str, str]:
    """The column of each feature, by the feature's name. `fault` says what is wrong with a column, None where nothing is.

    Raises PreprocessError with everything that is missing or wrong; `title` is what the table is called.
    """
    columns, wrong = {}, []
    for feature in features:
        found = names.find(feature.name)
        if found is None:
            notes = "".join(f"; {note}" for note in near_miss(feature.name, names.names))
            wrong.append(f"column '{feature.name}' is missing{notes}")
        elif (said := fault(feature, found)) is not None:
            wrong.append(f"column '{found}' {said}")
        else:
            columns[feature.name] = found
    if wrong:
        more = [f"and {len(wrong) - MAX_LISTED} more"] if len(wrong) > MAX_LISTED else []
        raise PreprocessError(f"{title} does not have what the model needs", *wrong[:MAX_LISTED], *more)
    return columns


def _as_kind(cells: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """The cells as the type of a kind, none of them changed. Raises ArrowInvalid for a cell that would be, TypeError for another kind."""
    import pyarrow as pa

    own = cells.type
    wanted = {"boolean": pa.bool_(), "integer": pa.int64(), "float": pa.float64(), "string": pa.string()}.get(kind)
    if pa.types.is_null(own):
        return cells.cast(wanted or pa.timestamp("us"))
    if not fits(own, kind):
        raise TypeError(f"is of type {own}, the model was trained on {kind}")
    return cells if wanted is None else cells.cast(wanted)
