"""A sample of the snapshot's rows that is read in a moment, for warnings and templates before anything is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cengine.datasources.register import Snapshot
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    import pyarrow as pa

# Row groups that are read, evenly spread over the files, and cells that are looked at. A table in a warehouse is not asked.
MOST_GROUPS, MOST_CELLS, MOST_ROWS = 4, 2**20, 2**14
# If this share of a column's texts are different, they name rows or are free text; fewer rows than LEAST_ROWS are too few to tell.
NEARLY_ALL, LEAST_ROWS = 0.9, 50


def texts_of_single_rows(snapshot: Snapshot) -> set[str]:
    """The columns of text with another value in nearly every row: no model can learn what single values mean."""
    names = [column.name for column in snapshot.schema.columns if column.kind == "string"]
    if not snapshot.is_here or not names or snapshot.schema.num_rows < LEAST_ROWS:
        return set()
    import pyarrow.compute as pc

    rows = sampled_rows(snapshot, names)
    found = set()
    for name in names:
        values = rows[name].drop_null()
        if len(values) >= LEAST_ROWS and pc.count_distinct(values).as_py() >= NEARLY_ALL * len(values):
            found.add(name)
    return found


def sampled_rows(snapshot: Snapshot, names: list[str]) -> pa.Table:
    """Rows of the snapshot in the order of their identities, which has nothing to do with what they hold."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [pq.ParquetFile(path) for path in snapshot.files]
    groups = [(file, number) for file in files for number in range(file.num_row_groups)]
    chosen = [groups[k] for k in np.unique(np.linspace(0, len(groups) - 1, min(MOST_GROUPS, len(groups))).astype(int))]
    rows = max(1, min(MOST_ROWS, MOST_CELLS // len(names)) // max(1, len(chosen)))
    parts = []
    for file, number in chosen:
        identities = file.read_row_group(number, columns=[ROW_ID])[ROW_ID].to_numpy()
        smallest = pa.array(np.sort(np.argsort(identities)[:rows]))
        parts.append(file.read_row_group(number, columns=[*names, ROW_ID]).take(smallest))
    table = pa.concat_tables(parts)
    return table.take(pa.array(np.argsort(table[ROW_ID].to_numpy())))
