"""The parts of a source -> Parquet parts with an identity for each row."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlglot import exp

from cengine.datasources.identities import content_digest, tell_duplicates_apart
from cengine.datasources.measured import measured_schema
from cengine.datasources.moments import refuse_far_moments
from cengine.datasources.settling import Settling
from cengine.datasources.widening import NOTHING, Widening, last_name
from cengine.engines.duckdb import DuckDB
from cengine.errors import SourceError
from cengine.expressions.build import column, identifier
from cengine.expressions.duckdb_keys import WIDE, content_sums_in_duckdb
from cengine.expressions.keys import content_hash
from cengine.names import free_name, free_stem, names_over
from cengine.sources.source import CopiedSource, Part, Reading, State
from cengine.tables import RESERVED_NAMES, ROW_ID, Column, kind_of

NUM_SHOWN_REJECTS = 5
# More rows than this share are no mistakes of single rows: leaving them out is not proposed.
MAX_REJECTED_SHARE = 0.01
# What a source may hold beside the engine, as a divisor of the whole.
SOURCE_MEMORY_SHARE = 8

# Told the phase ("hash", "read"), the share done and the rows read so far.
Report = Callable[[str, float, int], None]


def ingest(
    engine: DuckDB,
    source: CopiedSource,
    state: State | None,
    folder: Path,
    report: Report,
    *,
    memory_bytes: int,
    threads: int,
) -> dict[str, Any]:
    """What is to be remembered of a snapshot whose parts are in `folder` now; `digest` tells its rows from any others.

    Raises SourceError for rows that do not fit their columns where they are not allowed.
    """
    copying = _Copying(engine, source, folder, report, engine.scratch.with_name(f"{engine.scratch.name}-held"))
    scratch = engine.scratch.with_name(f"{engine.scratch.name}-source")
    scratch.mkdir(parents=True)
    reading = Reading(
        state, scratch, memory_bytes // SOURCE_MEMORY_SHARE, threads, engine.fetch, copying.types_of, copying.tick
    )
    try:
        with source.opened(reading) as parts:
            columns = copying.run(parts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(copying.held, ignore_errors=True)
    tell_duplicates_apart(engine, folder, copying.num_rows)
    digest = (
        {}
        if state is not None and state.is_content
        else {"digest": content_digest(engine, folder, [c.name for c in columns])}
    )
    return {
        "schema": measured_schema(folder, columns, copying.num_rows).to_json(),
        "renamed": copying.renamed,
        "num_rejected": copying.num_rejected,
        "notes": copying.notes,
        "source_bytes": sum(part.num_bytes for part in parts),
        **digest,
    }


class _Copying:
    """Parts of a source -> parts of a snapshot, one after the other."""

    def __init__(self, engine: DuckDB, source: CopiedSource, folder: Path, report: Report, held: Path) -> None:
        self.engine = engine
        self.source = source
        self.folder = folder
        self.held = held
        self.report = report
        self.notes: list[str] = []
        self.num_rows = 0
        self.num_rejected = 0
        self.renamed: dict[str, str] = {}
        self._named: list[list[str]] = []
        self._rejected: list[tuple[str, int, str]] = []
        self._hints: dict[str, None] = {}
        self._done = 0.0
        self._share = 0.0

    def run(self, parts: Sequence[Part]) -> list[Column]:
        """The columns of the snapshot, whose parts are written."""
        self._named = names_over([_headers(part) for part in parts], RESERVED_NAMES)
        self.renamed = _renamed(parts, self._named)
        self.notes += [note for part in parts for note in part.notes]
        widening = self._widening = Widening([part.label for part in parts], self._types(parts))
        self._settling = Settling.of(parts, self._named)
        files = [self._file(number) for number in range(len(parts))]
        suspects: set[str] = set()
        for number, part in self._each(parts):
            columns = self._columns_of(number)
            self._copy(part, number, columns)
            suspects |= self._settling.suspects(self.engine, files[number], self._proved(columns))
        if suspects:
            self._copy_again(parts, suspects)
        self.notes += self._settling.ambiguous(self.engine, files)
        if self._rejected:
            raise self._misfits()
        if self.num_rows == 0:
            raise SourceError(f"'{self.source.place}' holds no rows")
        for name in self._settling.kinds:
            widening.fix(name, self._settling.type_of(name))
        columns = widening.settle(self.engine, files)
        self.notes += widening.notes
        self.report("read", 1.0, self.num_rows)
        return columns

    def tick(self, share: float = 0.0, num_rows: int = 0) -> None:
        """Reports how far the part that is being read is."""
        self.report("read", min(1.0, self._done + share * self._share), self.num_rows + num_rows)

    def types_of(self, schema: pa.Schema) -> list[tuple[str, str]]:
        """Header and SQL type of each column of an Arrow table."""
        self.engine.register("described", schema.empty_table())
        found = self.engine.fetch("DESCRIBE SELECT * FROM described")
        types = [NOTHING if kind == '"NULL"' else kind for kind in found["column_type"].to_pylist()]
        return list(zip(found["column_name"].to_pylist(), types, strict=True))

    def _types(self, parts: Sequence[Part]) -> dict[str, list[str]]:
        """The columns, which all parts share, each with its type in each part; NOTHING for one that a part may lack and does."""
        found = [
            dict(zip(names, (kind for _, kind in part.columns), strict=True))
            for part, names in zip(parts, self._named, strict=True)
        ]
        names = list(dict.fromkeys(name for one in found for name in one))
        for part, own in zip(parts, found, strict=True):
            if set(own) != set(found[0]) and not getattr(self.source, "allow_missing_columns", False):
                one, other = last_name(part.label), last_name(parts[0].label)
                missing, more = set(found[0]) - set(own), set(own) - set(found[0])
                details = [f"not in '{one}': {', '.join(sorted(missing))}"] if missing else []
                details += [f"only in '{one}': {', '.join(sorted(more))}"] if more else []
                raise SourceError(f"'{one}' and '{other}' have different columns", *details, *self._way_out())
        return {name: [one.get(name, NOTHING) for one in found] for name in names}

    def _way_out(self) -> tuple[str, ...]:
        if not hasattr(self.source, "allow_missing_columns"):
            return ("register them as two datasources, or give them the same header",)
        return (
            "register them as two datasources, or take what a file does not have for null: --allow-missing-columns",
        )

    def _columns_of(self, number: int) -> list[Column]:
        """The columns of a part with the types that they are written with, as far as their cells have shown them."""
        settled = self._settling.kinds
        types = {
            c.name: self._settling.type_of(c.name) if c.name in settled else c.sql_type
            for c in self._widening.columns_of(number)
        }
        return [Column(name, sql_type, kind_of(sql_type)) for name, sql_type in types.items()]

    def _proved(self, columns: list[Column]) -> list[str]:
        """The columns whose cells are proved, in an order of their own."""
        return [c.name for c in columns if c.name in self._settling.kinds]

    def _each(self, parts: Sequence[Part]) -> Iterator[tuple[int, Part]]:
        """The parts with their numbers; what is reported meanwhile is of each in its turn."""
        self._done, self.num_rows, self.num_rejected, self._rejected = 0.0, 0, 0, []
        total = sum(part.num_bytes for part in parts)
        for number, part in enumerate(parts):
            self._share = part.num_bytes / total if total else 1 / len(parts)
            yield number, part
            self._done += self._share

    def _file(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.parquet"

    def _copy(self, part: Part, number: int, columns: list[Column]) -> None:
        """One part -> one file with the content hash of each row."""
        with self._cells(part, number, columns) as (rows, texts):
            self.num_rows += self._write(rows, texts, self._proved(columns), columns, self._file(number))
        refuse_far_moments(self.engine, self._file(number), part.label, columns)
        self._take_rejects(part)

    def _copy_again(self, parts: Sequence[Part], suspects: set[str]) -> None:
        """Writes the parts once more with types that all cells of the suspected columns have settled."""
        self.held.mkdir(parents=True, exist_ok=True)
        names = [c.name for c in self._columns_of(0) if c.name in suspects]
        for number, part in self._each(parts):
            columns = self._columns_of(number)
            with self._cells(part, number, columns) as (rows, texts):
                cells = ", ".join(
                    f"{self._settling.value(c.name, text) if c.name in self._settling.kinds and c.name not in suspects else text} AS {identifier(c.name)}"
                    for c, text in ((c, texts[c.name]) for c in columns)
                )
                held = self.held / self._file(number).name
                self.num_rows += self.engine.write(f"SELECT {cells} FROM {rows}", held, self.tick)
            self._take_rejects(part)
            self._settling.look(self.engine, held, number, names)
        before = dict(self._settling.kinds)
        self.notes += [self._settling.reason(name, before[name], parts) for name in self._settling.settle_wholly()]
        self._settling.check_declared(parts)
        for number, part in enumerate(parts):
            columns = self._columns_of(number)
            held = self.held / self._file(number).name
            texts = {c.name: identifier(c.name) for c in columns}
            self._write(self.engine.parquet([held]).sql("duckdb"), texts, names, columns, self._file(number))
            held.unlink()
            wrong = self._settling.suspects(self.engine, self._file(number), names)
            assert not wrong, f"cells of {wrong} do not read back as their texts"
            refuse_far_moments(self.engine, self._file(number), part.label, columns)

    @contextlib.contextmanager
    def _cells(self, part: Part, number: int, columns: list[Column]) -> Iterator[tuple[str, dict[str, str]]]:
        """The rows of a part as SQL, and for each column SQL of its cells: texts if its type is to be settled."""
        spelled = dict(zip(self._named[number], (name for name, _ in part.columns), strict=True))
        settled = self._settling.kinds
        types = {spelled[c.name]: "VARCHAR" if c.name in settled else c.sql_type for c in columns if c.name in spelled}
        with part.rows(types) as rows:
            if isinstance(rows, pa.RecordBatchReader):
                self.engine.register("incoming", rows)
                rows = exp.to_table("incoming")
            # What a part does not have is null in its rows, if the source allows that.
            found = {
                c.name: identifier(spelled[c.name]) if c.name in spelled else "CAST(NULL AS VARCHAR)" for c in columns
            }
            cells = {
                c.name: found[c.name] if c.name in settled else f"CAST({found[c.name]} AS {c.sql_type})"
                for c in columns
            }
            yield rows.sql("duckdb"), cells

    def _write(self, rows: str, cells: dict[str, str], proved: list[str], columns: list[Column], target: Path) -> int:
        """Writes cells with the identity of each row, a negative one for a row that is not proved; gives the number of rows.

        `cells` are SQL, of the columns `proved` for texts. A query of its own computes the values before the one that proves
        them, and the identity before the one that chooses it: DuckDB computes an expression again wherever a CASE repeats it.
        """
        names, settled = [c.name for c in columns], set(proved)
        one, other, sure, misfits, own = (
            free_name(stem, names) for stem in ("_first", "_second", "_sure", "_misfits", "_identity")
        )
        values = [
            f"{self._settling.value(name, cells[name]) if name in settled else cells[name]} AS {identifier(name)}"
            for name in names
        ]
        if len(names) < WIDE:
            stem = free_stem("_text", names)
            texts = {name: f"{stem}{number}" for number, name in enumerate(proved)}
            values += [f"{cells[name]} AS {text}" for name, text in texts.items()]
            found = {name: identifier(name) for name in proved}
            proof = f"CASE WHEN {sure} THEN 0 ELSE {self._settling.misfits(texts, found)} END AS {misfits}"
            rows = f"(SELECT {', '.join(values)} FROM {rows}) AS texts"
            values = ["*", f"{self._settling.surely_right(texts, found)} AS {sure}"]
        else:
            values.append(f"{self._settling.misfits_of_texts({name: cells[name] for name in proved})} AS {misfits}")
            proof = misfits
        first, second = content_sums_in_duckdb([c for c in columns if c.kind is not None])
        identity = content_hash(column(one), column(other)).sql("duckdb")
        return self.engine.write(
            f"""
            SELECT {", ".join(map(identifier, names))}, CASE WHEN {misfits} = 0 THEN {own} ELSE -1 - {misfits} END AS "{ROW_ID}"
            FROM (SELECT *, {identity} AS {own}
                  FROM (SELECT *, {first.sql("duckdb")} AS {one}, {second.sql("duckdb")} AS {other},
                               {proof} FROM (SELECT {", ".join(values)} FROM {rows}) AS cells) AS sums) AS identified
        """,
            target,
            self.tick,
        )

    def _take_rejects(self, part: Part) -> None:
        """Counts the rows of a part that were left out, and remembers the first ones."""
        if part.rejects is not None and (rejects := part.rejects()) is not None:
            self.num_rejected += rejects.num_rows
            if not rejects.allowed:
                self._rejected += [(part.label, line, reason) for line, reason in rejects.first]
                self._hints.update(dict.fromkeys(rejects.hints))

    def _misfits(self) -> SourceError:
        shown = [f"{label}:{line}: {reason}" for label, line, reason in sorted(self._rejected)[:NUM_SHOWN_REJECTS]]
        more = self.num_rejected - len(shown)
        if more > 0:
            shown.append(f"... and {more:,} more")
        total = self.num_rows + self.num_rejected
        return SourceError(
            f"{self.num_rejected:,} of {total:,} rows do not fit their columns; nothing was registered",
            *shown,
            *self._hints,
            *self._proposal(total),
        )

    def _proposal(self, total: int) -> tuple[str, ...]:
        """What to do with rows that do not fit. Leaving them out is no way where they are many, or all rows of some value."""
        of_values = any("onvert" in reason for _, _, reason in self._rejected)
        if of_values:
            return ("mend the rows, or let the column be text: --type COLUMN=string",)
        if self.num_rejected > MAX_REJECTED_SHARE * total:
            return ("mend the rows, or say how the file is written (cengine datasource create csv --help)",)
        return ("mend the rows, or leave them out with --allow-rejects",)


def _headers(part: Part) -> Sequence[str]:
    """What the source calls the columns of a part."""
    return part.headers if part.headers is not None else [name for name, _ in part.columns]


def _renamed(parts: Sequence[Part], named: Sequence[Sequence[str]]) -> dict[str, str]:
    """The headers that could not stay as they are, and what they are called; one that is no name of its own with its place."""
    renamed: dict[str, str] = {}
    for part, names in zip(parts, named, strict=True):
        for place, (header, name) in enumerate(zip(_headers(part), names, strict=True), start=1):
            if header != name:
                known = header.strip() and header not in names and renamed.get(header, name) == name
                renamed[header if known else f"{header} (column {place})".strip()] = name
    return renamed
