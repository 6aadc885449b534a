"""Tables of a lake: Delta and Iceberg, the newest state or an older one, streamed as Arrow."""

from __future__ import annotations

import contextlib
import os
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from cengine.connections.addresses import hidden
from cengine.errors import CengineError, SourceError
from cengine.extras import install_command
from cengine.sources.objects import Store, is_address
from cengine.sources.source import CopiedSource, Option, Part, Reading, State, batches_part

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

BATCH_ROWS = 65_536
# What each library gives for an opened table.
Opened = Any


class LakeTable(CopiedSource):
    """A table with versions that never change."""

    @abstractmethod
    def version_now(self) -> tuple[list[Any], Opened]:
        """What tells the version that is to be read from all others, and the opened table."""

    @abstractmethod
    def reader(self, table: Opened) -> tuple[pa.RecordBatchReader, int]:
        """The rows of the opened table, and how many there are, 0 where that is not known."""

    def state(self, report: Callable[[float], None]) -> State:
        """The version."""
        with self._translated():
            told, table = self.version_now()
        return State(told, found=table)

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        """One part."""
        assert reading.state is not None
        with self._translated():
            rows, num_rows = self.reader(reading.state.found)

        def batches() -> Iterator[pa.RecordBatch]:
            with self._translated():
                yield from rows

        yield [batches_part(self.place, rows.schema, batches, reading, num_rows)]

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """The libraries' many errors as ours."""
        try:
            yield
        except (CengineError, KeyboardInterrupt):
            raise
        except ImportError as error:
            raise SourceError(
                f"{self.title} tables need a package that is not installed: {error}", install_command(self.name)
            ) from None
        except Exception as error:
            told = hidden(str(error)).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            cleared = "files of an old version may have been cleared away; choose another one"
            notes = [cleared] if isinstance(error, FileNotFoundError) else []
            raise SourceError(f"the {self.title} table {self.place} cannot be read: {told}", *notes) from None


class Delta(LakeTable):
    """A Delta table."""

    name = "delta"
    title = "Delta"
    path: Annotated[str, Option(is_path=True)] = Field(description="The table's folder; also s3://, gs://, az://.")
    at_version: Annotated[int | None, Option(flag="version")] = Field(
        default=None, ge=0, description="The table's version; the newest where left out."
    )

    @property
    def place(self) -> str:
        return self.path

    def version_now(self) -> tuple[list[Any], Opened]:
        from deltalake import DeltaTable

        address = self.path if is_address(self.path) else str(Path(self.path).expanduser())
        if not is_address(self.path) and not (Path(address) / "_delta_log").is_dir():
            raise SourceError(f"'{self.path}' is no Delta table: it has no folder _delta_log")
        # The library asks for a word before it talks to a server without encryption.
        plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        table = DeltaTable(address, storage_options={"AWS_ALLOW_HTTP": "true"} if plain else None)
        newest = table.version()
        if self.at_version is not None:
            if self.at_version > newest:
                raise SourceError(f"{self.path} has no version {self.at_version}; the newest is {newest}")
            table.load_as_version(self.at_version)
        return [str(table.metadata().id), table.version()], table

    def reader(self, table: Opened) -> tuple[pa.RecordBatchReader, int]:
        dataset = table.to_pyarrow_dataset()
        # Few files at a time: what is read ahead is held.
        scanner = dataset.scanner(batch_size=BATCH_ROWS, batch_readahead=4, fragment_readahead=1)
        return scanner.to_reader(), 0


class Iceberg(LakeTable):
    """An Iceberg table: one of a catalog, or one in a folder."""

    name = "iceberg"
    title = "Iceberg"
    catalog: str | None = Field(
        default=None, description="The catalog's name in ~/.pyiceberg.yaml or PYICEBERG_CATALOG__NAME__URI."
    )
    table: str | None = Field(default=None, description="The table in the catalog, NAMESPACE.TABLE.")
    path: Annotated[str | None, Option(is_path=True)] = Field(
        default=None, description="The table's folder or a metadata.json in it, instead of a catalog."
    )
    snapshot_id: int | None = Field(default=None, description="The table's snapshot; the newest where left out.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.path is None) == (self.catalog is None or self.table is None) or (
            self.path and (self.catalog or self.table)
        ):
            raise ValueError("give --catalog and --table, or --path")
        return self

    @property
    def place(self) -> str:
        return self.path or f"{self.catalog}: {self.table}"

    def version_now(self) -> tuple[list[Any], Opened]:
        from pyiceberg.table import StaticTable

        table = StaticTable.from_metadata(_metadata_file(self.path)) if self.path is not None else self._of_catalog()
        snapshot = table.current_snapshot() if self.snapshot_id is None else table.snapshot_by_id(self.snapshot_id)
        if snapshot is None and self.snapshot_id is not None:
            known = [entry.snapshot_id for entry in table.history()][-5:]
            raise SourceError(
                f"{self.place} has no snapshot {self.snapshot_id}",
                f"its last ones: {', '.join(map(str, known)) or 'none'}",
            )
        if snapshot is None:
            raise SourceError(f"{self.place} holds no rows")
        return [str(table.metadata.table_uuid), snapshot.snapshot_id, table.metadata.current_schema_id], (
            table,
            snapshot,
        )

    def reader(self, table: Opened) -> tuple[pa.RecordBatchReader, int]:
        opened, snapshot = table
        summary = snapshot.summary
        num_rows = int((summary["total-records"] if summary else None) or 0)
        return opened.scan(snapshot_id=snapshot.snapshot_id).to_arrow_batch_reader(), num_rows

    def _of_catalog(self) -> Table:
        from pyiceberg.catalog import load_catalog
        from pyiceberg.exceptions import NoSuchTableError

        assert self.catalog is not None
        assert self.table is not None
        catalog = load_catalog(self.catalog)
        try:
            return catalog.load_table(self.table)
        except NoSuchTableError:
            space = self.table.rpartition(".")[0]
            found = catalog.list_tables(space) if space and catalog.namespace_exists(space) else []
            known = [".".join(name) for name in found]
            spaces = [".".join(name) for name in catalog.list_namespaces()]
            there = f"tables there: {', '.join(known)}" if known else f"namespaces there: {', '.join(spaces) or 'none'}"
            raise SourceError(f"the catalog '{self.catalog}' has no table '{self.table}'", there) from None


def _metadata_file(path: str) -> str:
    """The newest metadata file of a table's folder. Raises SourceError where there is none."""
    if path.endswith(".metadata.json"):
        return path
    if is_address(path):
        names = Store(path).below("metadata/*.metadata.json")
    else:
        names = [str(file) for file in (Path(path).expanduser() / "metadata").glob("*.metadata.json")]
    if not names:
        raise SourceError(f"'{path}' is no Iceberg table: it has no metadata/*.metadata.json")
    return max(names, key=_number)


def _number(name: str) -> tuple[int, str]:
    """The version in a metadata file's name: 00012-....metadata.json or v12.metadata.json."""
    found = re.match(r"v?(\d+)", name.rpartition("/")[2])
    return (int(found.group(1)) if found else -1, name)
