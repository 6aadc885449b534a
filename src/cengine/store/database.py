"""Where the records live: SQLite in the project's folder, or a PostgreSQL that several people share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from cengine.errors import StoreError

T = TypeVar("T")


class Database(ABC):
    """Does pieces of work, each in one transaction. Errors of the driver come out as ours, except that a row breaks a constraint."""

    engine: sa.Engine
    # How messages and people call it; without the password.
    name: str
    # Whether other machines may use it.
    shared: bool

    @abstractmethod
    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """What the work gives; it only reads."""

    @abstractmethod
    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """What the work gives; it is done once, or not at all where this raises. It may be begun more than once."""

    @abstractmethod
    def take_turns(self, connection: sa.Connection) -> None:
        """From here to the end of its transaction a writer is the only one that has called this."""

    @abstractmethod
    def insert(self, table: sa.Table) -> Any:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""

    @abstractmethod
    def clock(self) -> sa.ColumnElement[float]:
        """The database's own time in seconds since 1970: machines need not agree about theirs."""


def open_database(address: str | Path) -> Database:
    """The database of a file's path or a `postgresql://` address, upgraded to this version.

    Raises StoreError where it cannot be used.
    """
    if isinstance(address, Path):
        from cengine.store.sqlite import Sqlite

        return Sqlite(address)
    scheme = address.partition(":")[0]
    if scheme not in ("postgresql", "postgres"):
        raise StoreError(
            f"CENGINE_STORE begins with '{scheme}', which is no place for records" if ":" in address else "CENGINE_STORE is no address",
            "write postgresql://USER@HOST/DATABASE, or leave it out for a file in the project's folder",
        )
    from cengine.store.postgres import Postgres

    return Postgres(address)
