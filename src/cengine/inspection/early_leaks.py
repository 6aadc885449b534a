"""Features that all but determine a label, looked for before anything is run: in a part of the snapshot's files that takes a moment to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cengine.config.normalize import Problems
from cengine.config.read import ConfigFile
from cengine.config.resolve import Resolved
from cengine.datasources.register import Snapshot
from cengine.errors import Problem
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    import pyarrow as pa

# Row groups that are read, evenly spread over the files, and cells that are looked at. A table in a warehouse is not asked.
MOST_GROUPS, MOST_CELLS, MOST_ROWS = 4, 2**20, 2**14


def early_leaks(snapshot: Snapshot, file: ConfigFile, resolved: Resolved) -> list[Problem]:
    """A warning for each such feature, at its place in the YAML. Filters and splits are not applied: a run looks again."""
    if not snapshot.is_here or not resolved.labels:
        return []
    from cengine.evaluation.leaks import associations_in

    names = list(dict.fromkeys([*(f.name for f in resolved.features), *(label.name for label in resolved.labels)]))
    warnings = Problems(file.document)
    for found in associations_in(_sample(snapshot, names), resolved):
        if found["sentence"]:
            warnings.add(found["sentence"], file.root.find(("features", found["column"]), key=True))
    return list(warnings.found)


def _sample(snapshot: Snapshot, names: list[str]) -> pa.Table:
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
