"""The table of engines. An engine of another package names its class under the entry point `cengine.engines`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from cengine.errors import PreprocessError, near_miss

if TYPE_CHECKING:
    from cengine.engines.engine import Engine

EMBEDDED = "duckdb"
# By name, so that none is imported before it is wanted.
ENGINES = {
    EMBEDDED: "cengine.engines.duckdb:DuckDB",
    "postgres": "cengine.engines.postgres:Postgres",
    "spark": "cengine.engines.spark:Spark",
    "bigquery": "cengine.engines.bigquery:BigQuery",
}


def engine_class(name: str) -> type[Engine]:
    """The class of an engine. Raises PreprocessError for a name that is none."""
    place = ENGINES.get(name) or _outside().get(name)
    if place is None:
        known = [*ENGINES, *_outside()]
        raise PreprocessError(f"unknown engine '{name}'", f"known engines: {', '.join(known)}", *near_miss(name, known))
    module, _, attribute = place.partition(":")
    found: type[Engine] = getattr(importlib.import_module(module), attribute)
    return found


def _outside() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group="cengine.engines")}
