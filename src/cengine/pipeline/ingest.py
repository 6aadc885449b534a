"""The parts of a source -> Parquet parts with an identity for each row."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.errors import SourceError
from cengine.expressions.build import column
from cengine.expressions.keys import content_hash
from cengine.expressions.wide_keys import content_sums_in_duckdb
from cengine.pipeline.identities import content_digest, tell_duplicates_apart
from cengine.pipeline.measured import measured_schema
from cengine.sources.names import sql_names
from cengine.sources.source import CopiedSource, Part, Reading, State
from cengine.tables import RESERVED_NAMES, ROW_ID, Column, kind_of

NUM_SHOWN_REJECTS = 5
# What a source may hold beside the engine, as a divisor of the whole.
SOURCE_MEMORY_SHARE = 8

# Told the phase ("hash", "read"), the share done and the rows read so far.
Report = Callable[[str, float, int], None]


def ingest(
    engine: DuckDB, source: CopiedSource, state: State | None, folder: Path, report: Report, *, memory_bytes: int, threads: int
) -> dict[str, Any]:
    """What is to be remembered of a snapshot whose parts are in `folder` now; `digest` tells its rows from any others.

    Raises SourceError for rows that do not fit their columns where they are not allowed.
    """
    copying = _Copying(engine, source, folder, report)
    scratch = engine.scratch.with_name(f"{engine.scratch.name}-source")
    scratch.mkdir(parents=True)
    reading = Reading(state, scratch, memory_bytes // SOURCE_MEMORY_SHARE, threads, engine.fetch, copying.types_of, copying.tick)
    try:
        with source.opened(reading) as parts:
            columns = copying.run(parts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    tell_duplicates_apart(engine, folder, copying.num_rows)
    digest = {} if state is not None and state.is_content else {"digest": content_digest(engine, folder, [c.name for c in columns])}
    return {
        "schema": measured_schema(folder, columns, copying.num_rows).to_json(),
        "renamed": copying.renamed,
        "num_rejected": copying.num_rejected,
        "source_bytes": sum(part.num_bytes for part in parts),
        **digest,
    }


class _Copying:
    """Parts of a source -> parts of a snapshot, one after the other."""

    def __init__(self, engine: DuckDB, source: CopiedSource, folder: Path, report: Report) -> None:
        self.engine = engine
        self.source = source
        self.folder = folder
        self.report = report
        self.num_rows = 0
        self.num_rejected = 0
        self.renamed: dict[str, str] = {}
        self._rejected: list[tuple[str, int, str]] = []
        self._done = 0.0
        self._share = 0.0

    def run(self, parts: Sequence[Part]) -> list[Column]:
        """The columns of the snapshot, whose parts are written."""
        headers, types = self._columns(parts)
        names = self._names(headers)
        taken = [name for name in names if name.lower() in RESERVED_NAMES]
        if taken:
            raise SourceError(f"a column must not be called {taken[0]}", "rename it, or leave --keep-headers out")
        self.renamed = {header: name for header, name in zip(headers, names, strict=True) if header != name}
        columns = [Column(name, sql_type, kind_of(sql_type)) for name, sql_type in zip(names, types, strict=True)]
        total = sum(part.num_bytes for part in parts)
        for number, part in enumerate(parts):
            self._share = part.num_bytes / total if total else 1 / len(parts)
            self._copy(part, number, columns)
            self._done += self._share
        if self._rejected:
            raise self._misfits()
        if self.num_rows == 0:
            raise SourceError(f"'{self.source.place}' holds no rows")
        self.report("read", 1.0, self.num_rows)
        return columns

    def tick(self, share: float = 0.0, num_rows: int = 0) -> None:
        """Reports how far the part that is being read is."""
        self.report("read", min(1.0, self._done + share * self._share), self.num_rows + num_rows)

    def types_of(self, schema: pa.Schema) -> list[tuple[str, str]]:
        """Header and SQL type of each column of an Arrow table."""
        self.engine.register("described", schema.empty_table())
        found = self.engine.fetch("DESCRIBE SELECT * FROM described")
        types = ["VARCHAR" if kind == '"NULL"' else kind for kind in found["column_type"].to_pylist()]
        return list(zip(found["column_name"].to_pylist(), types, strict=True))

    def _names(self, headers: list[str]) -> list[str]:
        """What columns of these headers are called in the snapshot."""
        return headers if self.source.keep_headers else sql_names(headers)

    def _columns(self, parts: Sequence[Part]) -> tuple[list[str], list[str]]:
        """The headers all parts share, and a type for each that holds the values of all parts."""
        headers = [header for header, _ in parts[0].columns]
        types = dict(zip(self._names(headers), (sql_type for _, sql_type in parts[0].columns), strict=True))
        for part in parts:
            names = self._names([header for header, _ in part.columns])
            if set(names) != set(types):
                one, other = _short(part.label), _short(parts[0].label)
                missing, more = set(types) - set(names), set(names) - set(types)
                details = [f"not in '{one}': {', '.join(sorted(missing))}"] if missing else []
                details += [f"only in '{one}': {', '.join(sorted(more))}"] if more else []
                raise SourceError(f"'{one}' and '{other}' have different columns", *details,
                                  "register them as two datasources, or give them the same header")  # fmt: skip
            for (_, sql_type), name in zip(part.columns, names, strict=True):
                types[name] = _wider(types[name], sql_type)
        return headers, list(types.values())

    def _copy(self, part: Part, number: int, columns: list[Column]) -> None:
        """One part -> one file with the content hash of each row."""
        headers = [header for header, _ in part.columns]
        spelled = dict(zip(self._names(headers), headers, strict=True))
        with part.rows({spelled[known.name]: known.sql_type for known in columns}) as rows:
            if isinstance(rows, pa.RecordBatchReader):
                self.engine.register("incoming", rows)
                rows = exp.to_table("incoming")
            # The trees of wide tables are large: they are handed on, not copied.
            types = {c.sql_type: exp.DataType.build(c.sql_type, dialect="duckdb") for c in columns}
            cells = [_named(exp.Cast(this=column(spelled[c.name]), to=types[c.sql_type].copy()), c.name) for c in columns]
            first, second = content_sums_in_duckdb([c for c in columns if c.kind is not None])
            inner = exp.select(*cells, copy=False).from_(rows).subquery("cells", copy=False)
            outputs = [exp.Star(), _named(first, "_first"), _named(second, "_second")]
            sums = exp.select(*outputs, copy=False).from_(inner, copy=False).subquery("sums", copy=False)
            identity = _named(content_hash(column("_first"), column("_second")), ROW_ID)
            query = exp.select(*[column(c.name) for c in columns], identity, copy=False).from_(sums, copy=False)
            self.num_rows += self.engine.write(query, self.folder / f"part-{number:05d}.parquet", self.tick)
        if part.rejects is not None and (rejects := part.rejects()) is not None:
            self.num_rejected += rejects.num_rows
            if not rejects.allowed:
                self._rejected += [(part.label, line, reason) for line, reason in rejects.first]

    def _misfits(self) -> SourceError:
        shown = [f"{label}:{line}: {reason}" for label, line, reason in sorted(self._rejected)[:NUM_SHOWN_REJECTS]]
        more = self.num_rejected - len(shown)
        if more > 0:
            shown.append(f"... and {more:,} more")
        total = self.num_rows + self.num_rejected
        return SourceError(f"{self.num_rejected:,} of {total:,} rows do not fit their columns; nothing was registered", *shown,
                           "mend the rows, or leave them out with --allow-rejects")  # fmt: skip


def _named(expression: exp.Expr, name: str) -> exp.Expr:
    return exp.Alias(this=expression, alias=exp.to_identifier(name, quoted=True))


def _short(label: str) -> str:
    """The last name of a path or an address."""
    return label.rstrip("/").rpartition("/")[2]


def _wider(one: str, other: str) -> str:
    """A type that holds the values of both."""
    if one == other:
        return one
    kinds = {kind_of(one), kind_of(other)}
    if kinds == {"integer"}:
        return "BIGINT"
    if kinds <= {"integer", "float"}:
        return "DOUBLE"
    if kinds == {"timestamp"}:
        return "TIMESTAMP"
    return "VARCHAR"
