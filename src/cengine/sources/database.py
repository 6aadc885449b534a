"""What databases have in common: an address, and a table or a query."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from cengine.connections.addresses import Address, AddressField
from cengine.errors import SourceError, near_miss
from cengine.sources.selections import query_item, table_item
from cengine.sources.source import CopiedSource, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlglot import exp


class Database(CopiedSource):
    """A table of a database, or what one SELECT gives."""

    dialect: ClassVar[str]
    table: str | None = Field(
        default=None, min_length=1, description="The table or view; `schema.table` for one in a schema."
    )
    query: str | None = Field(
        default=None, min_length=1, description="One SELECT whose rows are registered, instead of --table."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give --table or --query" + (", not both" if self.table else ""))
        return self

    @property
    @abstractmethod
    def address(self) -> str:
        """The database's address, without a password."""

    @property
    def place(self) -> str:
        return f"{self.address}: {self.table or 'a query'}"

    def item(self) -> exp.Expr:
        """What is read, as an item of FROM. Raises SourceError for a query that is no SELECT."""
        if self.table is not None:
            return table_item(self.table, self.dialect)
        assert self.query is not None
        return query_item(self.query, self.dialect)

    def missing(self, tables: Sequence[str]) -> SourceError:
        """The error for a table that is not there; `tables` are those that are."""
        shown = ", ".join(sorted(tables)[:8]) + (", ..." if len(tables) > 8 else "")
        known = [f"tables there: {shown}"] if tables else ["there are no tables that you may read"]
        return SourceError(f"{self.address} has no table '{self.table}'", *known, *near_miss(self.table or "", tables))


class ServerDatabase(Database):
    """A database that another program serves: reached by an address that begins with one of `schemes`."""

    schemes: ClassVar[tuple[str, ...]]
    uri: AddressField

    @field_validator("uri")
    @classmethod
    def _of_this_kind(cls, value: Address) -> Address:
        return value.named(cls.schemes)

    @property
    def address(self) -> str:
        return self.uri.text

    def state(self, report: Callable[[float], None]) -> State | None:
        """None: a server does not say whether a table has changed."""
        return None


def differ(names: Sequence[str]) -> None:
    """Raises SourceError where a query gives two columns the same name."""
    lowered = [name.lower() for name in names]
    repeated = sorted({name for name in names if lowered.count(name.lower()) > 1})
    if repeated:
        raise SourceError(
            f"--query gives two columns called '{repeated[0]}'",
            "name them apart, for example: select a.id as a_id, b.id as b_id",
        )
    if unnamed := [number for number, name in enumerate(names, 1) if name in ("", "?column?")]:
        raise SourceError(
            f"column {unnamed[0]} of --query has no name", "give it one, for example: select count(*) as num_rows"
        )


def unusable(name: str, kind: str, cast: str) -> SourceError:
    """The error for a column of a type that has no counterpart."""
    return SourceError(
        f"column '{name}' is of type {kind}, which has no counterpart here",
        f'leave it out or convert it, for example: --query "select ..., {cast} as {name} from ..."',
    )
