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
from cengine.pipeline.identities import content_digest, identified, tell_duplicates_apart
from cengine.pipeline.measured import measured_schema
from cengine.pipeline.moments import refuse_far_moments
from cengine.pipeline.widening import NOTHING, Widening, cast
from cengine.sources.names import sql_names
from cengine.sources.source import CopiedSource, Part, Reading, State
from cengine.tables import RESERVED_NAMES, Column

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
        "notes": copying.notes,
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
        self.notes: list[str] = []
        self.renamed: dict[str, str] = {}
        self._rejected: list[tuple[str, int, str]] = []
        self._done = 0.0
        self._share = 0.0

    def run(self, parts: Sequence[Part]) -> list[Column]:
        """The columns of the snapshot, whose parts are written."""
        headers, types = self._columns(parts)
        widening = Widening([part.label for part in parts], types)
        names = self._names(headers)
        taken = [name for name in names if name.lower() in RESERVED_NAMES]
        if taken:
            raise SourceError(f"a column must not be called {taken[0]}", "rename it, or leave --keep-headers out")
        self.renamed = {header: name for header, name in zip(headers, names, strict=True) if header != name}
        total = sum(part.num_bytes for part in parts)
        for number, part in enumerate(parts):
            self._share = part.num_bytes / total if total else 1 / len(parts)
            self._copy(part, number, widening.columns_of(number))
            self._done += self._share
        if self._rejected:
            raise self._misfits()
        if self.num_rows == 0:
            raise SourceError(f"'{self.source.place}' holds no rows")
        columns = widening.settle(self.engine, [self._file(number) for number in range(len(parts))])
        self.notes += widening.notes
        self.report("read", 1.0, self.num_rows)
        return columns

    def tick(self, share: float = 0.0, num_rows: int = 0) -> None:
        """Reports how far the part that is being read is."""
        self.report("read", min(1.0, self._done + share * self._share), self.num_rows + num_rows)

    def types_of(self, schema: pa.Schema) -> list[tuple[str, str]]:
        """Header and SQL type of each column of an Arrow table."""
        self.engine.register("described", schema.empty_table())
        found = self.engine.fetch("DESCRIBE SELECT * FROM described")
        types = [NOTHING if kind == '"NULL"' else kind for kind in found["column_type"].to_pylist()]
        return list(zip(found["column_name"].to_pylist(), types, strict=True))

    def _names(self, headers: list[str]) -> list[str]:
        """What columns of these headers are called in the snapshot."""
        return headers if self.source.keep_headers else sql_names(headers)

    def _columns(self, parts: Sequence[Part]) -> tuple[list[str], dict[str, list[str]]]:
        """The headers all parts share, and for each column its type in each part."""
        headers = [header for header, _ in parts[0].columns]
        types: dict[str, list[str]] = {name: [] for name in self._names(headers)}
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
                types[name].append(sql_type)
        return headers, types

    def _file(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.parquet"

    def _copy(self, part: Part, number: int, columns: list[Column]) -> None:
        """One part -> one file with the content hash of each row."""
        headers = [header for header, _ in part.columns]
        spelled = dict(zip(self._names(headers), headers, strict=True))
        with part.rows({spelled[known.name]: known.sql_type for known in columns}) as rows:
            if isinstance(rows, pa.RecordBatchReader):
                self.engine.register("incoming", rows)
                rows = exp.to_table("incoming")
            cells = [cast(column(spelled[c.name]), c.sql_type).as_(c.name, quoted=True) for c in columns]
            self.num_rows += self.engine.write(identified(cells, columns, rows), self._file(number), self.tick)
        refuse_far_moments(self.engine, self._file(number), part.label, columns)
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


def _short(label: str) -> str:
    """The last name of a path or an address."""
    return label.rstrip("/").rpartition("/")[2]
