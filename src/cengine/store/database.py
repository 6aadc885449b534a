"""Where the records live: SQLite in the project's folder, or a PostgreSQL that several people share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

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
    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""

    @abstractmethod
    def clock(self) -> sa.ColumnElement[float]:
        """The database's own time in seconds since 1970: machines need not agree about theirs."""
