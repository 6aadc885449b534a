"""The predictions of a table as files: parts while it is being predicted, which an interrupted command takes up again, then one file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from sqlglot import exp

from cengine.errors import StoreError
from cengine.models.blocks import Counts
from cengine.names import free_name
from cengine.store.disk import disk_errors

if TYPE_CHECKING:
    from cengine.engines.duckdb import DuckDB

FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "json", ".ndjson": "json"}
# Rows of a row group: to read one of many columns takes the memory of all its rows.
GROUP_ROWS = 2**17
_COUNTS = b"cengine.counts"
_IDENTITY, _LOCK = "identity", "lock"
# What was brought here: the encoded rows of a warehouse's table, or the answers of workers.
ENCODED = "encoded.parquet"


def format_of(target: Path) -> str:
    """The format that a file's name asks for. Raises StoreError for a name that says none."""
    try:
        return FORMATS[target.suffix.lower()]
    except KeyError:
        raise StoreError(
            f"the name of '{target}' does not say in what format predictions are to be written",
            f"known endings: {', '.join(FORMATS)}",
        ) from None


class Parts:
    """The folder of parts beside the file `target`. A context manager: nobody else writes the same file meanwhile.

    It goes when the file is there, or if nothing was predicted; else it stays for the next attempt. Raises StoreError if another
    process writes the file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.format = format_of(target)
        self.folder = target.with_name(f".{target.name}.partial")
        self.counts = Counts()
        self._lock = FileLock(self.folder / _LOCK)

    def __enter__(self) -> Self:
        with disk_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise StoreError(
                    f"another process is writing {self.target}", "wait for it, or name another file"
                ) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not self._files:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def take_up(self, identity: str) -> None:
        """Counts what an interrupted attempt has left, and removes it if it was of another model, table or choice of columns."""
        known = self.folder / _IDENTITY
        with disk_errors():
            if not known.exists() or known.read_text() != identity:
                for file in [*self._files, self.folder / ENCODED]:
                    file.unlink(missing_ok=True)
                known.write_text(identity)
        for file in self._files:
            self.counts.add(_counts_of(file))

    def add(self, table: pa.Table, counts: Counts) -> None:
        """Another part: it is there whole, or not at all."""
        file = self.folder / f"part-{len(self._files):06d}.parquet"
        draft = file.with_suffix(".draft")
        noted = table.replace_schema_metadata({_COUNTS: json.dumps(asdict(counts))})
        with disk_errors():
            dictionaries = _repeating(table.schema)
            pq.write_table(noted, draft, GROUP_ROWS, compression="lz4", use_dictionary=dictionaries)
            draft.rename(file)
        self.counts.add(counts)

    def join(self, engine: DuckDB) -> None:
        """Writes the file of all parts in its place. `engine` may read the folder of parts, and write to it."""
        draft = self.folder / f"whole{self.target.suffix}"
        with disk_errors():
            if self.format == "parquet":
                _join_parquet(self._files, draft)
            elif self.format == "csv":
                engine.write_csv(exp.select("*").from_(engine.parquet(self._files)), draft)
            else:
                _join_json(engine, self._files, draft)
            draft.replace(self.target)

    @property
    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))


def without_first(batches: Iterable[pa.RecordBatch], num_rows: int) -> Iterator[pa.RecordBatch]:
    """The batches without their first rows, which an earlier attempt has dealt with; those may be empty."""
    for batch in batches:
        left_out = min(num_rows, len(batch))
        num_rows -= left_out
        yield batch.slice(left_out)


def _join_parquet(files: list[Path], target: Path) -> None:
    schema = pq.read_schema(files[0]).remove_metadata()
    with pq.ParquetWriter(target, schema, compression="snappy", use_dictionary=_repeating(schema)) as writer:
        for table in _tables(files):
            writer.write_table(table.replace_schema_metadata())


def _join_json(engine: DuckDB, files: list[Path], target: Path) -> None:
    """An object a line. DuckDB's own writer of JSON holds more than it may of a table of many columns."""
    row = free_name("row", pq.read_schema(files[0]).names)
    text = exp.cast(exp.Anonymous(this="to_json", expressions=[exp.column(row)]), "text")
    with target.open("w", encoding="utf-8", newline="") as lines:
        for batch in engine.stream(exp.select(text).from_(engine.parquet(files, alias=row)), GROUP_ROWS):
            lines.writelines(f"{line}\n" for line in batch.column(0).to_pylist())


def _tables(files: list[Path]) -> Iterator[pa.Table]:
    for file in files:
        with pq.ParquetFile(file) as part:
            for group in range(part.num_row_groups):
                yield part.read_row_group(group)


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns in which values come again: a dictionary of predicted numbers would be given up after some work."""
    return [field.name for field in schema if not pa.types.is_floating(field.type)]


def _counts_of(file: Path) -> Counts:
    return Counts(**json.loads(pq.read_schema(file).metadata[_COUNTS]))
