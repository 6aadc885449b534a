"""Records in a file: SQLite."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import Insert, insert

from cengine.errors import StoreError
from cengine.store.database import Database
from cengine.store.disk import disk_error
from cengine.store.permissions import file_mode, make_file

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
# A writer waits so long for the others; each takes milliseconds.
BUSY_SECONDS = 30


@final
class Sqlite(Database):
    """The file at `path`, with a log written ahead, so that readers and a writer do not wait for each other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.shared = False
        self.engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS})
        sa.event.listen(self.engine, "connect", _configure)
        sa.event.listen(self.engine, "begin", _begin)
        self._writing = self.engine.execution_options(writes=True)
        self._prepare()

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        with self._errors(), self.engine.begin() as connection:
            return work(connection)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        with self._errors(), self._writing.begin() as connection:
            return work(connection)

    def take_turns(self, connection: sa.Connection) -> None:
        pass  # all writers do

    def insert(self, table: sa.Table) -> Insert:
        return insert(table)

    def clock(self) -> sa.ColumnElement[float]:
        return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Float)

    def _prepare(self) -> None:
        """Creates or upgrades the database; a newer one than this version knows is refused."""
        if self.path.exists() and self.read(_is_ready):
            return
        from filelock import FileLock

        folder = self.path.parent
        try:
            with FileLock(self.path.with_suffix(".lock"), mode=file_mode(folder)):
                make_file(self.path)  # SQLite gives the files beside it the same mode
                self._upgrade()
        except OSError as error:
            raise disk_error(error) from error

    def _upgrade(self) -> None:
        from cengine.store.migrate import is_current, upgrade

        with self._errors(), self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA journal_mode = WAL")
            # A table is made anew to change it: what points to it must not mind while it is gone.
            driver.execute("PRAGMA foreign_keys = OFF")
            with connection.execution_options(writes=True).begin():
                if not is_current(connection):
                    upgrade(connection)
            driver.execute("PRAGMA foreign_keys = ON")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.OperationalError as error:
            raise self._translated(str(error.orig)) from error
        except sa.exc.DatabaseError as error:
            raise StoreError(f"{self.path} is damaged: {error.orig}") from error

    def _translated(self, reason: str) -> StoreError:
        if "readonly" in reason or "unable to open" in reason:
            return StoreError(
                f"cannot write to {self.path}", "choose another folder with --project, or mend its permissions"
            )
        # An I/O error is what SQLite says where it cannot make the files beside the database.
        if "full" in reason or shutil.disk_usage(self.path.parent).free == 0:
            return StoreError("the disk is full", "make room and run the command again")
        if "locked" in reason:
            return StoreError(
                f"another process has kept {self.path} locked for {BUSY_SECONDS} s",
                "end it, or try again when it is through",
            )
        return StoreError(f"the records cannot be used: {reason}")


def _is_ready(connection: sa.Connection) -> bool:
    from cengine.store.migrate import is_current

    return is_current(connection) and connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def _configure(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin`
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: sa.Connection) -> None:
    # One that reads first and then wants to write is refused at once if another has written in between; so a writer says it at the start.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")
