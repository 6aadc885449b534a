"""Records: datasources, snapshots, pipelines, runs and their stages, in one SQL database."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cengine.errors import StoreError, near_miss

HEAD = "0002"  # the newest migration; a test compares it with the migrations' own head
BUSY_SECONDS = 30

metadata = sa.MetaData()
settings = sa.Table(
    "settings", metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)  # fmt: skip
datasources = sa.Table(
    "datasources", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sa.Column("deleted_at", sa.String),
    sqlite_autoincrement=True,
)  # fmt: skip
sa.Index("datasource_name", datasources.c.name, unique=True, sqlite_where=datasources.c.deleted_at.is_(None),
         postgresql_where=datasources.c.deleted_at.is_(None))  # fmt: skip
snapshots = sa.Table(
    "snapshots", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("datasource_id", sa.Integer, sa.ForeignKey("datasources.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("content", sa.String, nullable=False),
    sa.Column("num_rows", sa.BigInteger, nullable=False),
    sa.Column("num_columns", sa.Integer, nullable=False),
    sa.Column("num_bytes", sa.BigInteger, nullable=False),
    sa.Column("num_rejected", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sa.UniqueConstraint("datasource_id", "number"),
    sqlite_autoincrement=True,
)  # fmt: skip
pipelines = sa.Table(
    "pipelines", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("config_name", sa.String, nullable=False),
    sa.Column("config_text", sa.Text, nullable=False),
    sa.Column("datasource_id", sa.Integer, sa.ForeignKey("datasources.id"), nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip
runs = sa.Table(
    "runs", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("pipeline_id", sa.Integer, sa.ForeignKey("pipelines.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("snapshot_id", sa.Integer, sa.ForeignKey("snapshots.id"), nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("completion_ratio", sa.Float, nullable=False),
    sa.Column("compute_cost", sa.Float, nullable=False),
    sa.Column("training_cost", sa.Float, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("ended_at", sa.String),
    sa.Column("process_id", sa.Integer, nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("stages", sa.JSON, nullable=False),
    sa.Column("process", sa.String),  # who does it, see processes.py
    sa.Column("heartbeat_at", sa.String),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("cancelled_at", sa.String),  # when somebody asked it to end
    sa.Column("options", sa.JSON, nullable=False, server_default="{}"),  # what it was started with, for `resume`
    sa.Column("progress", sa.JSON),  # the stage at work: name, done, total, unit, note, rate, seconds_left
    sa.Column("saved_cost", sa.Float, nullable=False, server_default="0"),
    sa.Column("seconds", sa.Float),  # of work, all attempts together
    sa.UniqueConstraint("pipeline_id", "number"),
    sqlite_autoincrement=True,
)  # fmt: skip

TABLES = {table.name: table for table in (datasources, snapshots, pipelines, runs)}


def now() -> str:
    """The time as the records keep it, UTC in ISO form."""
    return datetime.datetime.now(datetime.UTC).isoformat()


class Records:
    """The database of a project. Every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})
        sa.event.listen(self.engine, "connect", _configure)
        self._migrate()

    def _migrate(self) -> None:
        """Creates or upgrades the database; a newer one than this version knows is refused."""
        with self._transaction() as connection:
            known = sa.inspect(connection).has_table("alembic_version")
            version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() if known else None
        if version == HEAD:
            return
        if version is not None and version > HEAD:
            raise StoreError(f"the project's records are of a newer cengine (version {version}, this one knows {HEAD})", "upgrade cengine")
        from filelock import FileLock

        from cengine.store.migrate import upgrade

        with FileLock(self.path.with_suffix(".lock")), self._transaction() as connection:
            upgrade(connection)

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            reason = str(error.orig)
            if "readonly" in reason or "unable to open" in reason:
                raise StoreError(f"cannot write to {self.path}", "choose another folder with --project, or mend its permissions") from error
            if "full" in reason or _no_room(self.path):
                raise StoreError("the disk is full", "make room and run the command again") from error
            raise StoreError(f"the records cannot be used: {reason}") from error
        except sa.exc.IntegrityError:
            raise
        except sa.exc.DatabaseError as error:
            raise StoreError(f"{self.path} is damaged: {error.orig}") from error

    # Rows in, rows out

    def insert(self, table: str, **values: Any) -> int:
        """The id of the new row. Raises StoreError where a name is taken."""
        try:
            with self._transaction() as connection:
                return _new_id(connection.execute(TABLES[table].insert().values(**values)))
        except sa.exc.IntegrityError:
            if "name" not in values:
                raise
            raise StoreError(f"there is a {table[:-1]} named '{values['name']}' already", "choose another name") from None

    def insert_numbered(self, table: str, parent: str, **values: Any) -> Mapping[str, Any]:
        """The new row, with `number` the next one of its parent, counting from 1."""
        with self._transaction() as connection:
            numbers = sa.select(sa.func.coalesce(sa.func.max(TABLES[table].c.number), 0) + 1).where(
                TABLES[table].c[parent] == values[parent]
            )
            result = connection.execute(TABLES[table].insert().values(**values, number=numbers.scalar_subquery()))
            return dict(connection.execute(sa.select(TABLES[table]).where(TABLES[table].c.id == _new_id(result))).mappings().one())

    def update(self, table: str, row_id: int, **values: Any) -> None:
        """Changes a row."""
        with self._transaction() as connection:
            connection.execute(TABLES[table].update().where(TABLES[table].c.id == row_id).values(**values))

    def update_run(self, row_id: int, among: Sequence[str], **values: Any) -> bool:
        """Changes a run whose status is among these, and says whether it was: of two that want to, one does."""
        with self._transaction() as connection:
            changed = connection.execute(runs.update().where(runs.c.id == row_id, runs.c.status.in_(among)).values(**values))
            return changed.rowcount == 1

    def all(self, table: str, **equal: Any) -> list[dict[str, Any]]:
        """The rows whose columns have these values, by id."""
        query = sa.select(TABLES[table]).order_by(TABLES[table].c.id)
        for name, value in equal.items():
            query = query.where(TABLES[table].c[name] == value)
        if table == "datasources":
            query = query.where(datasources.c.deleted_at.is_(None))
        with self._transaction() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def get(self, table: str, row_id: int) -> dict[str, Any]:
        """The row of this id, a deleted datasource too."""
        with self._transaction() as connection:
            return dict(connection.execute(sa.select(TABLES[table]).where(TABLES[table].c.id == row_id)).mappings().one())

    def find(self, table: str, key: str | int) -> dict[str, Any]:
        """The row of this id or name. Raises StoreError with what there is."""
        rows = self.all(table)
        for row in rows:
            if str(row["id"]) == str(key) or row["name"] == str(key):
                return row
        what = table[:-1]
        known = ", ".join(f"{row['id']} ({row['name']})" for row in rows[:10])
        notes = [f"known {table}: {known}" + (", ..." if len(rows) > 10 else "")] if rows else [f"there are no {table} yet"]
        raise StoreError(f"there is no {what} '{key}'", *notes, *near_miss(str(key), [row["name"] for row in rows]))

    def last(self, table: str, **equal: Any) -> dict[str, Any] | None:
        """The newest of these rows."""
        rows = self.all(table, **equal)
        return rows[-1] if rows else None

    # Settings

    def setting(self, key: str) -> Any:
        """A setting's value, None where it is not set."""
        with self._transaction() as connection:
            return connection.execute(sa.select(settings.c.value).where(settings.c.key == key)).scalar()

    def set_setting(self, key: str, value: Any) -> None:
        """Sets a setting."""
        with self._transaction() as connection:
            connection.execute(settings.delete().where(settings.c.key == key))
            connection.execute(settings.insert().values(key=key, value=value))


def _new_id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def _no_room(path: Path) -> bool:
    """Whether the disk is full; SQLite calls it an I/O error where it cannot make the files beside the database."""
    return shutil.disk_usage(path.parent).free == 0


def _configure(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
