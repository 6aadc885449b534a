"""The table of engines, each loaded when it is asked for; one of another package comes by the entry point `cengine.engines`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cengine.errors import PreprocessError, near_miss
from cengine.plugins import Plugins

if TYPE_CHECKING:
    from cengine.engines.engine import Engine

EMBEDDED = "duckdb"


def _unfit(found: object) -> str | None:
    from cengine.engines.engine import Engine

    return (
        None
        if isinstance(found, type) and issubclass(found, Engine)
        else "it is no class derived from cengine.engines.engine.Engine"
    )


ENGINES: Plugins[Engine] = Plugins("engine", "cengine.engines", {
    EMBEDDED: "cengine.engines.duckdb:DuckDB",
    "postgres": "cengine.engines.postgres:Postgres",
    "spark": "cengine.engines.spark:Spark",
    "bigquery": "cengine.engines.bigquery:BigQuery",
}, _unfit, PreprocessError)  # fmt: skip


def engine_class(name: str) -> type[Engine]:
    """The class of an engine. Raises PreprocessError for a name that is none, and for an engine that cannot be used."""
    try:
        return ENGINES[name]
    except KeyError:
        known = list(ENGINES)
        raise PreprocessError(
            f"unknown engine '{name}'", f"known engines: {', '.join(known)}", *near_miss(name, known)
        ) from None
