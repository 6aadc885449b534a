"""`--format sql`: the statement as a file, and the proof that it predicts what the model predicts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.engines.duckdb import DuckDB
from cengine.exports.certificate import certified
from cengine.exports.folders import by_output, certificate_before, certificate_of
from cengine.exports.formats import Say
from cengine.exports.sql import Statement, statement_of
from cengine.memory import default_memory_bytes
from cengine.models.artifact import CERTIFICATE, write_json
from cengine.models.model import ENGINE_MEMORY_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

    from cengine.models.model import Model

FILE, DIALECT, TABLE = "model.sql", "duckdb", "rows"
# Of a probability, and of the deviation of a label's train rows: sums of 64 bits are others than those of 32.
BOUNDS = (1e-4, 1e-4)
_GIVEN, _PLACE = "given", "cengine row"


def write_sql(
    model: Model,
    folder: Path,
    tables: Iterable[pa.Table],
    say: Say,
    *,
    dialect: str = DIALECT,
    table: str = TABLE,
    keep: Sequence[str] = (),
    force: bool = False,
) -> Mapping[str, Any]:
    """The model as one SELECT of a dialect, compared with the model on DuckDB before anything is written.

    Raises ExportError as `sql_of` does, or where the statement predicts something else.
    """
    statement = statement_of(model, dialect, table, keep, force=force)
    with running(model, force=force) as predict:
        comparison = certified(model, predict, tables, say=say, bounds=BOUNDS)
    comparison.refuse_differences(FILE)
    folder.mkdir()
    (folder / FILE).write_text(statement.text + "\n", encoding="utf-8")
    # Every dialect is written from the same operations; this one is run here.
    told = {
        **certificate_of(comparison, folder / FILE, "duckdb"),
        "dialect": dialect,
        "compared_on": "duckdb",
        **_facts(statement),
    }
    write_json(folder / CERTIFICATE, {**certificate_before(model), "exports": {"sql": told}})
    return told


@contextmanager
def running(model: Model, *, force: bool = False) -> Iterator[Any]:
    """For the block, a function from a table of the features to what the statement answers on DuckDB, by the names of `model.outputs`."""
    statement = statement_of(model, "duckdb", _GIVEN, [_PLACE], force=force)
    with tempfile.TemporaryDirectory(prefix="cengine-") as scratch:
        memory_bytes = min(ENGINE_MEMORY_BYTES, default_memory_bytes())
        with DuckDB(Path(scratch), memory_bytes=memory_bytes, folders=()) as engine:

            def predict(table: pa.Table) -> dict[str, np.ndarray]:
                engine.register(_GIVEN, table.append_column(_PLACE, [np.arange(len(table))]))
                found = engine.fetch(statement.text).sort_by(_PLACE)
                # By place: engines that take no notice of case may call columns otherwise.
                return by_output(model, found.columns[1:])

            yield predict


def _facts(statement: Statement) -> dict[str, Any]:
    facts = {
        "columns": list(statement.columns),
        "bytes": len(statement.text.encode()),
        "weights": statement.num_weights,
    }
    if statement.num_leaves:
        facts["leaves"] = statement.num_leaves
    return {**facts, "warning": statement.warning} if statement.warning is not None else facts
