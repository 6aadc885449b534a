"""The table that is to be predicted: a file or a datasource, as rows that an engine reads."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlglot import exp

from cengine.config.resolve import Feature
from cengine.datasources.catalogue import find_datasource, snapshot_of
from cengine.datasources.ingest import Report
from cengine.datasources.origins import source_of
from cengine.datasources.register import Say, Snapshot, take_snapshot
from cengine.datasources.table import Warehouse, table_of
from cengine.digests import fingerprint
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine
from cengine.errors import SourceError
from cengine.models.given import check_columns
from cengine.names import Names
from cengine.preprocess.source import Rows
from cengine.sources import SOURCES
from cengine.sources.files import FileSource
from cengine.sources.source import Reading
from cengine.store.project import Project
from cengine.store.rows import DatasourceRow
from cengine.tables import Column, TableSchema, kind_of

# Sources that a file's ending identifies.
_FILES = ("parquet", "csv", "json", "excel")
# Types of Parquet columns that need no settling: other files go through a snapshot, as a datasource does.
_PLAIN = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "FLOAT", "DOUBLE", "VARCHAR",
          "TIMESTAMP", "DATE")  # fmt: skip
LOOKING_MEMORY_BYTES = 2**29


@dataclass(frozen=True)
class Source:
    """Rows that are to be predicted. `title` is what messages call them; `identity` changes when they do."""

    title: str
    rows: Rows
    identity: str
    item: Callable[[Engine], exp.Expr]
    """All rows as an item of FROM, cells of the types that the schema says."""
    engine: Callable[[int, int | None], Engine]
    """Opens an engine where the rows are, given a memory limit in bytes and a number of threads."""
    is_here: bool = True
    workers: Callable[[int, int | None], Engine] | None = None
    """Opens an engine whose workers predict the rows; if None, this machine does."""

    @property
    def names(self) -> Names:
        """The columns."""
        return self.rows.schema.lookup

    def where(self, filters: Sequence[exp.Expr]) -> Source:
        """Only the rows that pass these filters. Raises SourceError where they read a column that there is not."""
        for name in sorted({column.name for one in filters for column in one.find_all(exp.Column)}):
            if self.names.find(name) is None:
                raise SourceError(f"`where` reads the column '{name}', which {self.title} does not have")
        identity = fingerprint({"rows": self.identity, "where": [one.sql("duckdb") for one in filters]})
        return replace(self, rows=replace(self.rows, filters=tuple(filters)), identity=identity)


@dataclass(frozen=True)
class Origin:
    """How the rows that a model was trained on were read: files of the same type are read alike."""

    kind: str
    options: Mapping[str, Any]

    @staticmethod
    def of(datasource: DatasourceRow) -> Origin:
        """That of a datasource."""
        left_out = ("path", "types", "allow_rejects")
        options = {key: value for key, value in datasource.options.items() if key not in left_out}
        return Origin(datasource.type, options)


def is_file(place: str) -> bool:
    """Whether a place is a file, and not a datasource: it is there, or it is written like one."""
    return "://" in place or "/" in place or Path(place).exists() or _kind_of(place) is not None


def datasource_source(project: Project, key: str, say: Say) -> Source:
    """The newest snapshot of a datasource."""
    datasource = find_datasource(project, key)
    return _snapshot_source(project, snapshot_of(project, datasource), f"the datasource '{datasource.name}'", say)


@contextlib.contextmanager
def file_source(
    place: str,
    features: Sequence[Feature],
    folder: Path,
    *,
    origin: Origin | None,
    memory_bytes: int,
    report: Report,
    say: Say,
) -> Iterator[Source]:
    """The rows of a file, a glob or an address; what has to be copied to be read goes into `folder`.

    Raises SourceError for a file that cannot be read, PreprocessError where features are missing: before a row is read.
    """
    kind = _kind_of(place)
    if kind is None:
        known = ", ".join(suffix for name in _FILES for suffix in SOURCES[name].suffixes)
        raise SourceError(
            f"the name of '{place}' does not say what it is",
            f"known endings: {known}",
            "register any other table, and name the datasource: cengine datasource create --help",
        )
    if kind == "parquet" and (found := _plain_parquet(place, features)) is not None:
        yield found
        return
    options = dict(origin.options) if origin is not None and origin.kind == kind else {}
    source = source_of(kind, {**options, "path": place})
    if isinstance(source, FileSource) and "://" not in place:
        headers = _headers(source)
        found_names = check_columns(Names(headers), features, f"'{place}'")
        if kind == "csv":
            types = {found_names[feature.name]: feature.kind for feature in features}
            source = source_of(kind, {**options, "path": place, "types": types})
    project = Project(folder / ".cengine")
    snapshot = take_snapshot(project, source, memory_bytes=memory_bytes, report=report, say=say)
    yield _snapshot_source(project, snapshot, f"'{place}'", say)


def _snapshot_source(project: Project, snapshot: Snapshot, title: str, say: Say) -> Source:
    table = table_of(project, snapshot, say=say)
    is_here = not isinstance(table, Warehouse)
    return Source(title, table.rows(), snapshot.content, table.cells, table.engine, is_here)


def _kind_of(place: str) -> str | None:
    name = place.rstrip("/*").lower()
    return next((kind for kind in _FILES if name.endswith(SOURCES[kind].suffixes)), None)


def _headers(source: FileSource) -> Sequence[str]:
    """The columns of the first file, found without reading it whole."""
    file = source.files()[0].file
    with (
        tempfile.TemporaryDirectory(prefix="cengine-") as scratch,
        DuckDB(Path(scratch), memory_bytes=LOOKING_MEMORY_BYTES, threads=1, folders=(), files=[file]) as engine,
    ):
        aside = Path(scratch) / "look"
        aside.mkdir()
        reading = Reading(
            None, aside, LOOKING_MEMORY_BYTES, 1, engine.fetch, lambda schema: [], lambda share, rows: None
        )
        with source.readable(file, str(file), reading, look=True) as text:
            return source.looked_at(text, engine.fetch).headers


def _plain_parquet(place: str, features: Sequence[Feature]) -> Source | None:
    """One Parquet file that can be read as it lies; None for one whose types or names have to be settled first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = Path(place)
    if "://" in place or not file.is_file():
        return None
    try:
        metadata, headers = pq.read_metadata(file), pq.read_schema(file).names
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"'{place}' is no Parquet file: {str(error).splitlines()[0]}") from None
    with (
        tempfile.TemporaryDirectory(prefix="cengine-") as scratch,
        _file_engine(Path(scratch), [file], LOOKING_MEMORY_BYTES, 1) as engine,
    ):
        described = engine.fetch(f"DESCRIBE SELECT * FROM {engine.parquet([file]).sql('duckdb')}")
        types = list(zip(described["column_name"].to_pylist(), described["column_type"].to_pylist(), strict=True))
    if [name for name, _ in types] != headers:
        return None
    schema = TableSchema(tuple(Column(name, kind, kind_of(kind)) for name, kind in types), metadata.num_rows)
    needed = check_columns(schema.lookup, features, f"'{place}'").values()
    if any(schema[name].sql_type not in _PLAIN for name in needed):
        return None
    stamp = file.stat()
    identity = fingerprint({"file": str(file.absolute()), "bytes": stamp.st_size, "modified": stamp.st_mtime_ns})
    rows = Rows((file,), schema, (), ())

    def opened(memory_bytes: int, threads: int | None) -> Engine:
        return _file_engine(Path(tempfile.mkdtemp(prefix="cengine-")), [file], memory_bytes, threads)

    return Source(f"'{place}'", rows, identity, lambda engine: engine.parquet([file]), opened)


def _file_engine(scratch: Path, files: Sequence[Path], memory_bytes: int, threads: int | None) -> DuckDB:
    return DuckDB(scratch, memory_bytes=memory_bytes, threads=threads, folders=(), files=files)
