"""Records: workspaces, datasources, snapshots, pipelines, runs and their stages, in one SQL database."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cengine.errors import StoreError, near_miss
from cengine.store.database import open_database
from cengine.store.migrate import HEAD
from cengine.store.schema import DEFAULT_WORKSPACE, DEFAULT_WORKSPACE_ID, TABLES, datasources, metadata, runs, settings

__all__ = ["HEAD", "Records", "metadata", "now"]

# Whose number counts within which row.
PARENTS = {"pipeline_id": "pipelines", "datasource_id": "datasources"}


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
        found.workspace_id = DEFAULT_WORKSPACE_ID if workspace == DEFAULT_WORKSPACE else self.find("workspaces", workspace)["id"]
        return found

    def everywhere(self) -> Records:
        """The same records, seen from all workspaces at once."""
        found = copy.copy(self)
        found.workspace_id = None
        return found

    # Rows in, rows out

    def insert(self, table: str, **values: Any) -> int:
        """The id of the new row. Raises StoreError where a name is taken."""
        if "workspace_id" in TABLES[table].c:
            values.setdefault("workspace_id", self.workspace_id or DEFAULT_WORKSPACE_ID)
        try:
            return self.database.write(lambda connection: _new_id(connection.execute(TABLES[table].insert().values(**values))))
        except sa.exc.IntegrityError as error:
            if "name" not in values or "FOREIGN" in str(error.orig).upper():
                raise
            raise StoreError(f"there is a {table[:-1]} named '{values['name']}' already", "choose another name") from None

    def insert_numbered(self, table: str, parent: str, **values: Any) -> Mapping[str, Any]:
        """The new row, with `number` the next one of its parent, counting from 1."""

        def work(connection: sa.Connection) -> dict[str, Any]:
            rows, parents = TABLES[table], TABLES[PARENTS[parent]]
            # Two that want a number of the same parent take turns; SQLite's writers do so anyway.
            connection.execute(sa.select(parents.c.id).where(parents.c.id == values[parent]).with_for_update())
            last = connection.execute(sa.select(sa.func.max(rows.c.number)).where(rows.c[parent] == values[parent])).scalar()
            result = connection.execute(rows.insert().values(**values, number=(last or 0) + 1))
            return dict(connection.execute(sa.select(rows).where(rows.c.id == _new_id(result))).mappings().one())

        return self.database.write(work)

    def update(self, table: str, row_id: int, **values: Any) -> None:
        """Changes a row."""
        self.database.write(
            lambda connection: connection.execute(TABLES[table].update().where(TABLES[table].c.id == row_id).values(**values))
        )

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

    def all(self, table: str, **equal: Any) -> list[dict[str, Any]]:
        """The rows whose columns have these values, by id; of datasources and pipelines those of the workspace."""
        query = sa.select(TABLES[table]).order_by(TABLES[table].c.id)
        for name, value in equal.items():
            query = query.where(TABLES[table].c[name] == value)
        if table == "datasources":
            query = query.where(datasources.c.deleted_at.is_(None))
        if "workspace_id" in TABLES[table].c and self.workspace_id is not None:
            query = query.where(TABLES[table].c.workspace_id == self.workspace_id)
        return self.database.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    def get(self, table: str, row_id: int) -> dict[str, Any]:
        """The row of this id, a deleted datasource too."""
        query = sa.select(TABLES[table]).where(TABLES[table].c.id == row_id)
        return self.database.read(lambda connection: dict(connection.execute(query).mappings().one()))

    def find(self, table: str, key: str | int) -> dict[str, Any]:
        """The row of this id or name. Raises StoreError with what there is."""
        rows = self.all(table)
        for row in rows:
            if str(row["id"]) == str(key) or row["name"] == str(key):
                return row
        what = table[:-1]
        known = ", ".join(f"{row['id']} ({row['name']})" for row in rows[:10])
        notes = [f"known {table}: {known}" + (", ..." if len(rows) > 10 else "")] if rows else [f"there are no {table} yet"]
        notes += near_miss(str(key), [row["name"] for row in rows])
        raise StoreError(f"there is no {what} '{key}'", *notes, *self._elsewhere(table, key))

    def _elsewhere(self, table: str, key: str | int) -> list[str]:
        """A note for each workspace that has what this one has not."""
        if "workspace_id" not in TABLES[table].c or self.workspace_id is None:
            return []
        found = {row["workspace_id"] for row in self.everywhere().all(table) if str(key) in (str(row["id"]), row["name"])}
        names = [row["name"] for row in self.all("workspaces") if row["id"] in found]
        return [f"the workspace '{name}' has one: --workspace {name}" for name in names]

    def last(self, table: str, **equal: Any) -> dict[str, Any] | None:
        """The newest of these rows."""
        rows = self.all(table, **equal)
        return rows[-1] if rows else None

    # Settings

    def setting(self, key: str) -> Any:
        """A setting's value, None where it is not set."""
        query = sa.select(settings.c.value).where(settings.c.key == key)
        return self.database.read(lambda connection: connection.execute(query).scalar())

    def set_setting(self, key: str, value: Any) -> None:
        """Sets a setting."""
        insert = self.database.insert(settings).values(key=key, value=value)
        change = insert.on_conflict_do_update(index_elements=["key"], set_={"value": insert.excluded.value})
        self.database.write(lambda connection: connection.execute(change))


def _new_id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])
