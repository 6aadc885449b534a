"""Records: workspaces, datasources, snapshots, pipelines, runs and their stages, in one SQL database."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import sqlalchemy as sa

from cengine.errors import StoreError, near_miss
from cengine.store.migrate import HEAD
from cengine.store.opening import open_database
from cengine.store.rows import DatasourceRow, PipelineRow, RunRow, SnapshotRow, WorkspaceRow
from cengine.store.schema import (
    DEFAULT_WORKSPACE,
    DEFAULT_WORKSPACE_ID,
    datasources,
    metadata,
    pipelines,
    runs,
    settings,
    snapshots,
    workspaces,
)

__all__ = ["HEAD", "Records", "metadata", "now"]

# Of a table whose rows are numbered: the column that says within which row of which other table.
PARENTS = {"snapshots": ("datasource_id", datasources), "runs": ("pipeline_id", pipelines)}
Row = TypeVar("Row")


def now() -> str:
    """The time as the records keep it, UTC in ISO form."""
    return datetime.datetime.now(datetime.UTC).isoformat()


class Records:
    """The database at a file's path or a `postgresql://` address, seen from a workspace. Every method is one transaction.

    Datasources and pipelines are listed and found by name within the workspace; ids are unique in the whole database, and so are what
    `get` and `update` take.
    """

    def __init__(self, address: Path | str) -> None:
        self.database = open_database(address)
        self.engine = self.database.engine
        self.workspace_id: int | None = DEFAULT_WORKSPACE_ID

    # Workspaces

    def seen_from(self, workspace: str) -> Records:
        """The same records, seen from another workspace. Raises StoreError where there is none of this name."""
        found = copy.copy(self)
        found.workspace_id = (
            DEFAULT_WORKSPACE_ID if workspace == DEFAULT_WORKSPACE else self.workspaces.find(workspace).id
        )
        return found

    def everywhere(self) -> Records:
        """The same records, seen from all workspaces at once."""
        found = copy.copy(self)
        found.workspace_id = None
        return found

    # Rows

    @property
    def workspaces(self) -> Table[WorkspaceRow]:
        """All workspaces."""
        return Table(self, workspaces, WorkspaceRow)

    @property
    def datasources(self) -> Table[DatasourceRow]:
        """The datasources that were not deleted."""
        return Table(self, datasources, DatasourceRow)

    @property
    def snapshots(self) -> Table[SnapshotRow]:
        """The snapshots of all datasources."""
        return Table(self, snapshots, SnapshotRow)

    @property
    def pipelines(self) -> Table[PipelineRow]:
        """The pipelines."""
        return Table(self, pipelines, PipelineRow)

    @property
    def runs(self) -> Table[RunRow]:
        """The runs of all pipelines."""
        return Table(self, runs, RunRow)

    def update_run(self, row_id: int, among: Sequence[str], *, max_running: int | None = None, **values: Any) -> bool:
        """Changes a run whose status is among these, and says whether it was: of two that want to, one does.

        Nor is it changed where then more than `max_running` runs would go on.
        """
        change = runs.update().where(runs.c.id == row_id, runs.c.status.in_(among)).values(**values)
        others = sa.select(sa.func.count()).where(runs.c.status == "Running", runs.c.id != row_id)

        def work(connection: sa.Connection) -> bool:
            if max_running is not None:
                self.database.take_turns(connection)
                if connection.execute(others).scalar_one() >= max_running:
                    return False
            return connection.execute(change).rowcount == 1

        return self.database.write(work)

    # Settings

    def setting(self, key: str) -> Any:
        """A setting's value, None where it is not set."""
        query = sa.select(settings.c.value).where(settings.c.key == key)
        return self.database.read(lambda connection: connection.execute(query).scalar())

    def set_setting(self, key: str, value: object) -> None:
        """Sets a setting."""
        insert = self.database.insert(settings).values(key=key, value=value)
        change = insert.on_conflict_do_update(index_elements=["key"], set_={"value": insert.excluded.value})
        self.database.write(lambda connection: connection.execute(change))


class Table(Generic[Row]):
    """The rows of one table, seen from where its records are seen. Every method is one transaction."""

    def __init__(self, records: Records, table: sa.Table, kind: type[Row]) -> None:
        self._records, self._table, self._kind = records, table, kind
        self._database = records.database

    def insert(self, **values: object) -> int:
        """The id of the new row. Raises StoreError where a name is taken."""
        if "workspace_id" in self._table.c:
            values.setdefault("workspace_id", self._records.workspace_id or DEFAULT_WORKSPACE_ID)
        try:
            return self._database.write(
                lambda connection: _new_id(connection.execute(self._table.insert().values(**values)))
            )
        except sa.exc.IntegrityError as error:
            if "name" not in values or "FOREIGN" in str(error.orig).upper():
                raise
            raise StoreError(
                f"there is a {self._table.name[:-1]} named '{values['name']}' already", "choose another name"
            ) from None

    def insert_numbered(self, **values: object) -> Row:
        """The new row, with `number` the next one of its parent, counting from 1."""
        rows, (parent, parents) = self._table, PARENTS[self._table.name]

        def work(connection: sa.Connection) -> Row:
            # Two that want a number of the same parent take turns; SQLite's writers do so anyway.
            connection.execute(sa.select(parents.c.id).where(parents.c.id == values[parent]).with_for_update())
            last = connection.execute(
                sa.select(sa.func.max(rows.c.number)).where(rows.c[parent] == values[parent])
            ).scalar()
            result = connection.execute(rows.insert().values(**values, number=(last or 0) + 1))
            return self._kind(
                **connection.execute(sa.select(rows).where(rows.c.id == _new_id(result))).mappings().one()
            )

        return self._database.write(work)

    def update(self, row_id: int, **values: object) -> None:
        """Changes a row."""
        change = self._table.update().where(self._table.c.id == row_id).values(**values)
        self._database.write(lambda connection: connection.execute(change))

    def all(self, **equal: object) -> list[Row]:
        """The rows whose columns have these values, by id; of datasources and pipelines those of the workspace."""
        query = sa.select(self._table).order_by(self._table.c.id)
        for name, value in equal.items():
            query = query.where(self._table.c[name] == value)
        if self._table is datasources:
            query = query.where(datasources.c.deleted_at.is_(None))
        if "workspace_id" in self._table.c and self._records.workspace_id is not None:
            query = query.where(self._table.c.workspace_id == self._records.workspace_id)
        return self._database.read(
            lambda connection: [self._kind(**row) for row in connection.execute(query).mappings()]
        )

    def get(self, row_id: int) -> Row:
        """The row of this id, a deleted datasource too."""
        query = sa.select(self._table).where(self._table.c.id == row_id)
        return self._database.read(lambda connection: self._kind(**connection.execute(query).mappings().one()))

    def find(self, key: str | int) -> Row:
        """The row of this id or name. Raises StoreError with what there is."""
        rows: list[Any] = self.all()  # of a table that has names
        for row in rows:
            if str(key) in (str(row.id), row.name):
                return cast("Row", row)
        table = self._table.name
        known = ", ".join(f"{row.id} ({row.name})" for row in rows[:10])
        notes = (
            [f"known {table}: {known}" + (", ..." if len(rows) > 10 else "")] if rows else [f"there are no {table} yet"]
        )
        notes += near_miss(str(key), [row.name for row in rows])
        raise StoreError(f"there is no {table[:-1]} '{key}'", *notes, *self._elsewhere(key))

    def _elsewhere(self, key: str | int) -> list[str]:
        """A note for each workspace that has what this one has not."""
        if "workspace_id" not in self._table.c or self._records.workspace_id is None:
            return []
        rows: list[Any] = Table(self._records.everywhere(), self._table, self._kind).all()
        found = {row.workspace_id for row in rows if str(key) in (str(row.id), row.name)}
        names = [row.name for row in self._records.workspaces.all() if row.id in found]
        return [f"the workspace '{name}' has one: --workspace {name}" for name in names]

    def last(self, **equal: object) -> Row | None:
        """The newest of these rows."""
        rows = self.all(**equal)
        return rows[-1] if rows else None


def _new_id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])
