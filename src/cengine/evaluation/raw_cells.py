"""Cells of rows as the table has them, found by the rows' identities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.expressions.build import column
from cengine.plain import Cell
from cengine.preprocess.source import Rows
from cengine.tables import ROW_ID

WANTED = "wanted_rows"


def raw_cells(engine: Engine, rows: Rows, names: Sequence[str], identities: np.ndarray) -> dict[str, list[Cell]]:
    """The cells of these columns, by column in the order of the identities; null where a row is not among `rows`."""
    wanted = list(dict.fromkeys(names))
    engine.register(WANTED, pa.table({ROW_ID: np.unique(identities.astype(np.int64))}))
    item = rows.select(engine, wanted).subquery("source")
    joined = exp.select(column(ROW_ID, "source"), *[column(name, "source") for name in wanted]).from_(item)
    same = exp.EQ(this=column(ROW_ID, "source"), expression=column(ROW_ID, WANTED))
    found = engine.fetch(joined.join(exp.to_table(WANTED), on=same, join_type="inner"))
    place = {identity: row for row, identity in enumerate(found[ROW_ID].to_pylist())}
    cells = {name: found[name].to_pylist() for name in wanted}
    order = [place.get(int(identity)) for identity in identities]
    return {name: [None if row is None else values[row] for row in order] for name, values in cells.items()}
