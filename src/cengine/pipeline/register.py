"""Registering a table: files become an immutable snapshot in Parquet, with an identity for each row and for the whole."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.errors import SourceError
from cengine.expressions.build import bigint, column
from cengine.expressions.keys import content_hash, content_sums, occurrence_id
from cengine.pipeline.fingerprint import fingerprint
from cengine.sources.files import FileSource, verify_readable
from cengine.sources.names import sql_names
from cengine.store.artifacts import Building
from cengine.store.digests import file_digest
from cengine.store.project import Project
from cengine.tables import RESERVED_NAMES, ROW_ID, Column, TableSchema, kind_of

SNAPSHOT_VERSION = 1
NUM_SHOWN_REJECTS = 5
DUPLICATE_SEARCH_ROWS = 2**25

# Told the phase ("hash", "read"), the share done and the rows read so far.
Report = Callable[[str, float, int], None]


@dataclass(frozen=True)
class Snapshot:
    """A stored table: its Parquet parts in order, its schema, the identity of its content."""

    content: str
    folder: Path
    schema: TableSchema
    renamed: dict[str, str]
    num_bytes: int
    num_rejected: int
    source_bytes: int

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(sorted(self.folder.glob("part-*.parquet")))


def read_snapshot(project: Project, content: str) -> Snapshot:
    """The snapshot of this content. Raises SourceError where it is gone."""
    artifact = project.artifacts.find("snapshot", content)
    if artifact is None:
        raise SourceError("the datasource's snapshot is not stored any more", "take a new one: cengine datasource commit")
    project.artifacts.touch("snapshot", content)
    data = artifact.details
    return Snapshot(
        content,
        artifact.folder,
        TableSchema.from_json(data["schema"]),
        data["renamed"],
        artifact.num_bytes,
        data["num_rejected"],
        data["source_bytes"],
    )


def take_snapshot(
    project: Project, source: FileSource, *, allow_rejects: bool = False, memory_bytes: int, threads: int | None = None,
    report: Report = lambda phase, share, rows: None,
) -> Snapshot:  # fmt: skip
    """The snapshot of the source's files as they are now; one of the same content is taken up again.

    Raises SourceError for files that cannot be read, and for rows that do not fit their columns unless
    `allow_rejects`; then nothing is stored.
    """
    files = source.files()
    total = sum(file.stat().st_size for file in files)
    read = 0

    def hashed(num_bytes: int) -> None:
        nonlocal read
        read += num_bytes
        report("hash", read / max(total, 1), 0)

    # In the order of their content: neither names nor their order change anything.
    by_digest = sorted((file_digest(file, hashed), file) for file in files)
    content = fingerprint({
        "version": SNAPSHOT_VERSION,
        "files": [digest for digest, _ in by_digest],
        "type": source.name,
        "options": {key: value for key, value in source.model_dump(mode="json").items() if key != "path"},
        "allow_rejects": allow_rejects,
    })  # fmt: skip
    with project.artifacts.building("snapshot", content) as building:
        if building is not None:
            with DuckDB(project.scratch, memory_bytes=memory_bytes, threads=threads) as engine:
                ingest = _Ingest(engine, source, [file for _, file in by_digest], building, report)
                ingest.run(allow_rejects=allow_rejects)
            building.details["source_bytes"] = total
    return read_snapshot(project, content)


class _Ingest:
    """Files -> parts -> row identities."""

    def __init__(self, engine: DuckDB, source: FileSource, files: list[Path], building: Building, report: Report) -> None:
        self.engine = engine
        self.source = source
        self.files = files
        self.folder = building.folder
        self.details = building.details
        self.report = report
        self.num_rows = 0
        self.num_rejected = 0
        self.found = {file: source.columns(file, engine.fetch) for file in files}

    def _names(self, headers: list[str]) -> list[str]:
        """What columns of these headers are called in the snapshot."""
        return headers if self.source.keep_headers else sql_names(headers)

    def run(self, *, allow_rejects: bool) -> None:
        headers, types = self._columns()
        names = self._names(headers)
        taken = [name for name in names if name.lower() in RESERVED_NAMES]
        if taken:
            raise SourceError(f"a column must not be called {taken[0]}", "rename it, or leave --keep-headers out")
        columns = [Column(name, sql_type, kind_of(sql_type)) for name, sql_type in zip(names, types, strict=True)]
        for number, file in enumerate(self.files):
            for _ in verify_readable(file):
                self.report("read", number / len(self.files), self.num_rows)
            self._copy(file, number, columns)
        if self.num_rejected and not allow_rejects:
            raise self._rejected()
        if self.num_rows == 0:
            raise SourceError(f"'{self.source.path}' holds no rows")
        self.report("read", 1.0, self.num_rows)
        self._tell_duplicates_apart()
        schema = _measured(self.folder, columns, self.num_rows)
        self.details.update(
            schema=schema.to_json(),
            renamed={header: name for header, name in zip(headers, names, strict=True) if header != name},
            num_rejected=self.num_rejected,
        )

    def _columns(self) -> tuple[list[str], list[str]]:
        """The headers all files share, and a type for each that holds the values of all files."""
        first_file, first = next(iter(self.found.items()))
        headers = [header for header, _ in first]
        types = dict(zip(self._names(headers), (sql_type for _, sql_type in first), strict=True))
        for file, columns in self.found.items():
            names = self._names([header for header, _ in columns])
            if set(names) != set(types):
                missing, more = set(types) - set(names), set(names) - set(types)
                details = [f"not in '{file.name}': {', '.join(sorted(missing))}"] if missing else []
                details += [f"only in '{file.name}': {', '.join(sorted(more))}"] if more else []
                raise SourceError(f"'{file.name}' and '{first_file.name}' have different columns", *details,
                                  "register them as two datasources, or give them the same header")  # fmt: skip
            for (_, sql_type), name in zip(columns, names, strict=True):
                types[name] = _wider(types[name], sql_type)
        return headers, list(types.values())

    def _copy(self, file: Path, number: int, columns: list[Column]) -> None:
        """One file -> one part with the content hash of each row."""
        headers = [header for header, _ in self.found[file]]
        spelled = dict(zip(self._names(headers), headers, strict=True))
        types = {spelled[column.name]: column.sql_type for column in columns}
        scan = self.source.scan(file, {header: types[header] for header in headers}, collect_rejects=True)
        cells = [exp.cast(column(spelled[c.name]), c.sql_type, dialect="duckdb").as_(c.name, quoted=True) for c in columns]
        usable = [c for c in columns if c.kind is not None]
        first, second = content_sums(usable)
        inner = exp.select(*cells).from_(scan).subquery("cells")
        sums = exp.select("*", first.as_("_first"), second.as_("_second")).from_(inner).subquery("sums")
        identity = content_hash(column("_first"), column("_second")).as_(ROW_ID)
        query = exp.select(*[column(c.name) for c in columns], identity).from_(sums)
        done_before = number / len(self.files)

        def progress(share: float) -> None:
            self.report("read", done_before + share / len(self.files), self.num_rows)

        self.num_rows += self.engine.write(query, self.folder / f"part-{number:05d}.parquet", progress)
        self.num_rejected += self._count_rejects()

    def _count_rejects(self) -> int:
        """Rows of the last scan that did not fit."""
        if self.source.name != "csv":
            return 0
        return (
            int(self.engine.fetch("SELECT COUNT(DISTINCT (scan_id, file_id, line)) AS n FROM reject_errors")["n"][0].as_py())
            - self.num_rejected
        )

    def _rejected(self) -> SourceError:
        rows = self.engine.fetch(f"""
            SELECT s.file_path, e.line, ANY_VALUE(e.column_name) AS column_name, ANY_VALUE(e.error_message) AS message
            FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id)
            GROUP BY s.file_path, e.line ORDER BY s.file_path, e.line LIMIT {NUM_SHOWN_REJECTS}
        """).to_pylist()
        shown = [f"{row['file_path']}:{row['line']}: {_reason(row)}" for row in rows]
        more = self.num_rejected - len(shown)
        if more > 0:
            shown.append(f"... and {more:,} more")
        total = self.num_rows + self.num_rejected
        return SourceError(f"{self.num_rejected:,} of {total:,} rows do not fit their columns; nothing was registered", *shown,
                           "mend the rows, or leave them out with --allow-rejects")  # fmt: skip

    def _tell_duplicates_apart(self) -> None:
        """Rows of equal content get identities of their own, by their occurrence; only parts with such rows are rewritten."""
        parts = sorted(self.folder.glob("part-*.parquet"))
        repeated = self._repeated_hashes(parts)
        if len(repeated) == 0:
            return
        self.engine.register("repeated", pa.table({"hash": repeated}))
        scan = self.engine.parquet(parts, filename=True, file_row_number=True).sql("duckdb")
        self.engine.register("occurrences", self.engine.fetch(f"""
            SELECT filename, file_row_number, CAST(ROW_NUMBER() OVER (PARTITION BY "{ROW_ID}" ORDER BY filename, file_row_number) - 1 AS BIGINT) AS occurrence
            FROM {scan} AS rows SEMI JOIN repeated ON rows."{ROW_ID}" = repeated.hash
        """))  # fmt: skip
        for part in parts:
            identity = occurrence_id(
                column(ROW_ID, "rows"), exp.Coalesce(this=column("occurrence", "occurrences"), expressions=[bigint(0)])
            )
            scan = self.engine.parquet([part], file_row_number=True).sql("duckdb")
            name = exp.Literal.string(str(part)).sql("duckdb")
            rewritten = part.with_suffix(".new")
            self.engine.write(f"""
                SELECT rows.* EXCLUDE (file_row_number) REPLACE ({identity.sql("duckdb")} AS "{ROW_ID}") FROM {scan} AS rows
                LEFT JOIN (SELECT * FROM occurrences WHERE filename = {name}) AS occurrences
                  ON rows.file_row_number = occurrences.file_row_number
                ORDER BY rows.file_row_number
            """, rewritten)  # fmt: skip
            rewritten.replace(part)

    def _repeated_hashes(self, parts: list[Path]) -> np.ndarray:
        """Content hashes that more than one row has, found range by range within bounded memory."""
        num_ranges = -(-self.num_rows // DUPLICATE_SEARCH_ROWS)
        edges = [2**62 * i // num_ranges for i in range(num_ranges + 1)]
        found = []
        for low, high in itertools.pairwise(edges):
            query = exp.select(column(ROW_ID)).from_(self.engine.parquet(parts))
            if num_ranges > 1:
                query = query.where(exp.GTE(this=column(ROW_ID), expression=bigint(low))).where(
                    exp.LT(this=column(ROW_ID), expression=bigint(high))
                )
            hashes = np.sort(self.engine.fetch(query)[ROW_ID].to_numpy())
            found.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
        return np.concatenate(found)


def _measured(folder: Path, columns: list[Column], num_rows: int) -> TableSchema:
    """The schema with nulls and ranges, read from the Parquet files' own statistics."""
    nulls: Counter[str] = Counter()
    ranges: dict[str, tuple[Any, Any]] = {}
    unknown: set[str] = set()
    for part in sorted(folder.glob("part-*.parquet")):
        metadata = pq.ParquetFile(part).metadata
        for group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(index)
                name, statistics = chunk.path_in_schema, chunk.statistics
                if statistics is None or not statistics.has_null_count:
                    unknown.add(name)
                    continue
                nulls[name] += statistics.null_count
                if statistics.has_min_max:
                    low, high = ranges.get(name, (statistics.min, statistics.max))
                    ranges[name] = (min(low, statistics.min), max(high, statistics.max))
                elif statistics.null_count < chunk.num_values:
                    unknown.add(name)
    return TableSchema(tuple(_with_statistics(c, nulls, ranges, unknown) for c in columns), num_rows)


def _with_statistics(known: Column, nulls: Counter[str], ranges: dict[str, tuple[Any, Any]], unknown: set[str]) -> Column:
    if known.name in unknown:
        return known
    low, high = ranges.get(known.name, (None, None))
    if known.kind not in ("boolean", "integer", "float") or not _finite(low, high):
        low = high = None
    if known.kind == "float" and low is not None:
        low, high = float(low), float(high)
    return Column(known.name, known.sql_type, known.kind, nulls[known.name], low, high)


def _finite(*values: Any) -> bool:
    return all(value is not None and bool(np.isfinite(float(value))) for value in values)


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


def _reason(row: dict[str, Any]) -> str:
    message = str(row["message"]).strip().splitlines()[0]
    return f"column '{row['column_name']}': {message}" if row["column_name"] else message
