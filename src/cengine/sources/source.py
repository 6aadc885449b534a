"""What every source has in common. A source is copied (its rows become a snapshot) or remote (its rows stay where they are)."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import model_validator

from cengine.connections.addresses import refuse_secret
from cengine.errors import CengineError
from cengine.sources.cells import Spelling
from cengine.tables import Column
from cengine.words import Word

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp


@dataclass(frozen=True)
class Option:
    """How a field is typed at the terminal, where its name and type alone do not say it. Stands in the field's `Annotated`."""

    flag: str | None = None
    """The option's name without `--`, where it is not the field's."""
    adds: bool = False
    """What is typed comes on top of the default, which stays."""
    adds_unless: str | None = None
    """The flag (a field's name) that makes what is typed stand alone."""
    metavar: str | None = None
    """What help shows for the value."""
    is_path: bool = False
    """A path: kept as an absolute one, so that `commit` works from any folder. An address such as s3://... stays as it is."""


class Source(Word):
    """Where a table comes from. The fields are the options of `cengine datasource create TYPE`; none of them keeps a secret."""

    title: ClassVar[str]
    """What the table is in, for people: CSV, PostgreSQL."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_options(cls, options: object) -> object:
        """The options without `keep_headers`, which records of version 0.1 have: headers are always kept now."""
        return (
            {name: value for name, value in options.items() if name != "keep_headers"}
            if isinstance(options, dict)
            else options
        )

    @model_validator(mode="after")
    def _paths_hold_no_secret(self) -> Self:
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, str) and any(isinstance(extra, Option) and extra.is_path for extra in info.metadata):
                refuse_secret(value)
        return self

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the table is, for messages; without a password."""


# Copied


@dataclass(frozen=True)
class State:
    """What a source is like now, found out without reading its rows.

    `data` is JSON and tells this state from every other. `is_content`: equal data means equal content and the other way
    round (digests of files), so that it names the snapshot. `must_hold`: a change while the rows are read spoils them.
    `found` is what was come by on the way and saves `opened` looking again. `files` are those of this machine that the engine is
    to read: it reaches no others.
    """

    data: Any
    is_content: bool = False
    must_hold: bool = False
    found: Any = None
    files: Sequence[Path] = ()


@dataclass(frozen=True)
class Reading:
    """What a source has at hand while it is read: what `state` gave, and ways into the engine.

    `fetch` runs SQL, `types_of` gives (header, SQL type) of an Arrow schema. `tick` is to be called now and then with
    the share of the part that is read and its rows so far: it raises when Ctrl-C was pressed. `scratch` is a folder that is there and goes afterwards.
    """

    state: State | None
    scratch: Path
    memory_bytes: int
    threads: int
    fetch: Callable[[str], pa.Table]
    types_of: Callable[[pa.Schema], list[tuple[str, str]]]
    tick: Callable[[float, int], None]


@dataclass(frozen=True)
class Rejects:
    """Rows of a part that did not fit their columns: how many, the first ones as (line, reason), and whether that is allowed.

    `hints` are ways to mend them, beside leaving them out.
    """

    num_rows: int
    first: tuple[tuple[int, str], ...]
    allowed: bool
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A piece of a table that is read by itself; `columns` are (header, SQL type of DuckDB, NULL for nothing but nulls), `num_bytes` what it takes up
    in the source, 0 where that is not known.

    `rows` opens it: an item of FROM for DuckDB, or Arrow batches. It is told the type that each header
    is written with, which holds the values of the part; what comes back may have other types and is cast.
    """

    label: str
    columns: tuple[tuple[str, str], ...]
    rows: Callable[[dict[str, str]], contextlib.AbstractContextManager[exp.Expr | pa.RecordBatchReader]]
    num_bytes: int = 0
    rejects: Callable[[], Rejects | None] | None = None
    """Asked once after the rows were read; None where every row fits or is an error."""
    headers: tuple[str, ...] | None = None
    """The headers as the source has them, where the reader calls columns otherwise: it may have told equal ones apart."""
    classes: Mapping[str, frozenset[str]] | None = None
    """Of columns that are read as texts, whose types the whole table settles: the classes (`cells.py`) of a sample of their cells."""
    declared: Mapping[str, str] = field(default_factory=dict)
    """The kinds of such columns that the user has named."""
    spelling: Spelling | None = None
    """How numbers and dates are written in those texts."""
    line: Callable[[int, str], int | None] | None = None
    """The line of a row (from 0) with a cell of this text, for messages; None where it cannot be told."""
    notes: tuple[str, ...] = ()
    """What is to be told of how it is read."""


class CopiedSource(Source):
    """A source whose rows are copied into a snapshot."""

    @abstractmethod
    def state(self, report: Callable[[float], None]) -> State | None:
        """What the source is like now, None where that cannot be told without reading. `report` is told the share done."""

    @abstractmethod
    def opened(self, reading: Reading) -> contextlib.AbstractContextManager[Sequence[Part]]:
        """The parts, which stay readable, and the same, until the context ends. Raises SourceError where there are none."""


def batches_part(
    label: str,
    schema: pa.Schema,
    batches: Callable[[], Iterable[pa.RecordBatch]],
    reading: Reading,
    expected_rows: int = 0,
) -> Part:
    """A part whose rows come as Arrow batches, held one at a time. An error raised on the way reaches the user as it is."""
    import pyarrow as pa

    @contextlib.contextmanager
    def rows(types: dict[str, str]) -> Iterator[pa.RecordBatchReader]:
        failures: list[BaseException] = []
        source: Iterable[pa.RecordBatch] = batches()

        def watched() -> Generator[pa.RecordBatch, None, None]:
            num_rows = 0
            try:
                for batch in source:
                    num_rows += batch.num_rows
                    reading.tick(min(1.0, num_rows / expected_rows) if expected_rows else 0.0, num_rows)
                    yield batch
            except (Exception, KeyboardInterrupt) as error:
                failures.append(error)
                raise

        stream = watched()
        try:
            yield pa.RecordBatchReader.from_batches(schema, stream)
        except CengineError:
            # The engine only knows that its stream broke.
            if failures:
                raise failures[0] from None
            raise
        finally:
            # The engine may hold on to the stream; what it reads from must not be read any more.
            stream.close()
            if isinstance(source, Generator):
                source.close()

    return Part(label, tuple(reading.types_of(schema)), rows, headers=tuple(schema.names))


# Remote


@dataclass(frozen=True)
class RemoteTable:
    """A table as it is found where it lives: `state` is JSON, tells this state of it from others, and is enough to read it again.

    `seen` is JSON too: what helps to find the state again and does not tell it from others, such as when it was seen.
    """

    state: dict[str, Any]
    columns: tuple[Column, ...]
    num_rows: int
    num_bytes: int
    seen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldTable:
    """A state of a table that all queries of a run read, as `item` of FROM.

    `cells` tell of a column what has the type that its schema says; `as_of` is the time of the state, for people.
    """

    item: exp.Expr
    cells: dict[str, exp.Expr]
    as_of: str


class RemoteSource(Source):
    """A source whose rows stay where they are: registering it looks at the table and copies nothing."""

    engine: ClassVar[str]
    """The name of the engine that runs there."""

    @abstractmethod
    def look(self, say: Callable[[str], None] = lambda text: None) -> RemoteTable:
        """The table as it is now. Column names are as they are there. Raises SourceError where there is none.

        Here and below, `say` is told what a person should know: that a call is tried again, for one.
        """

    @abstractmethod
    def settings(self, state: dict[str, Any]) -> dict[str, Any]:
        """What the engine is opened with."""

    @abstractmethod
    def held(self, state: dict[str, Any], seen: dict[str, Any], say: Callable[[str], None]) -> HeldTable:
        """The rows of that state. Raises SourceError where the table has changed and they are not to be had any more."""

    @abstractmethod
    def sample(self, state: dict[str, Any], num_rows: int, seed: int | None, say: Callable[[str], None]) -> pa.Table:
        """Rows drawn at random, cheaply; of the same state and seed the same ones."""
