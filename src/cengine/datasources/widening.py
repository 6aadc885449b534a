"""One type for a column over all parts of a table, which holds every value of every part without a change.

Types alone settle most columns before a row is read. Where values decide (whole numbers beside decimal ones, numbers beyond 64
bits, nanoseconds), parts are written with types of their own first; then the first of some candidates is taken that gives
each value back, and parts are written again with it. Neither the order of the parts nor that of the rows decides anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlglot import exp

from cengine.datasources.identities import identified
from cengine.engines.duckdb import DuckDB
from cengine.errors import SourceError
from cengine.expressions.build import column, identifier
from cengine.tables import DIGITS, Column, kind_of

# The type of a column that holds nothing but nulls, as DuckDB says it, and as sources hand it on.
NOTHING = "NULL"
_SMALL = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
# Digits that hold every value; those of BIGINT and wider ones may be beyond 64 bits with a sign.
_WIDE = {"UBIGINT": 20, "HUGEINT": 39, "UHUGEINT": 39}
_REAL = {"FLOAT", "DOUBLE"}
_ZONED = {"TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"}
_NAIVE = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}
_FAMILIES = {
    "BOOLEAN": "boolean",
    "VARCHAR": "text",
    "ENUM": "text",
    "UUID": "text",
    "JSON": "json",
    "DECIMAL": "number",
    **dict.fromkeys([*_SMALL, *_WIDE, *_REAL], "number"),
    **dict.fromkeys(_NAIVE, "naive"),
    **dict.fromkeys(_ZONED, "zoned"),
}
# As many digits as a double keeps of any number.
_DIGITS_OF_DOUBLE = 15
_TEXT = "VARCHAR"


def cast(cell: exp.Expr, sql_type: str) -> exp.Expr:
    """The cell as this type, which may be one that only DuckDB knows."""
    return exp.Cast(this=cell, to=exp.DataType.build(sql_type, dialect="duckdb", udt=True))


def candidates_of(types: Iterable[str]) -> tuple[str, ...]:
    """The types that may hold the values of columns of these types, the best first; none if there is no such type.

    One alone holds all values for certain, but for BIGINT of booleans, whose numbers must be 0 or 1. DIGITS stands for whole numbers that are kept as texts.
    """
    found = {re.sub(r'"NULL"(?=\s*([,)\[]|$))', _TEXT, one) if one.startswith("STRUCT") else one for one in types} - {
        NOTHING,
        '"NULL"',
    }
    if not found:
        return (_TEXT,)
    families = {_family(one) for one in found}
    if families == {"list"}:
        inner = candidates_of({one.removesuffix("[]") for one in found})
        return (f"{inner[0]}[]",) if len(inner) == 1 else tuple(found) if len(found) == 1 else ()
    if families <= {"number", "boolean"}:
        return _number(found)
    if "text" in families:
        plain = families <= {"text", "number", "boolean", "naive", "zoned", "json"}
        return ("UUID",) if found == {"UUID"} else (_TEXT,) if plain else ()
    if families == {"naive"}:
        return _naive(found)
    if families == {"zoned"}:
        return (
            ("TIMESTAMP WITH TIME ZONE",)
            if "TIMESTAMPTZ_NS" not in found
            else ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS")
        )
    if found == {"TIME", "TIME_NS"}:
        return ("TIME_NS",)
    if "json" in families and families <= {"json", "list", "STRUCT", "MAP"}:
        return ("JSON",)
    return tuple(found) if len(found) == 1 else ()


def _family(sql_type: str) -> str:
    if sql_type.endswith("[]"):
        return "list"
    name = _name(sql_type)
    return name if sql_type.endswith("]") else _FAMILIES.get(name, name)


def _name(sql_type: str) -> str:
    return sql_type.split("(")[0].strip().upper()


def _number(found: set[str]) -> tuple[str, ...]:
    if found == {"BOOLEAN"}:
        return ("BOOLEAN",)
    if "BOOLEAN" in found or found <= _SMALL:
        return tuple(found) if len(found) == 1 else ("BIGINT",)
    if found <= _REAL:
        return ("DOUBLE",) if len(found) > 1 else tuple(found)
    sizes = {one: _size(one) for one in found - _REAL}
    scale = max(size[1] for size in sizes.values())
    digits = max(size[0] - size[1] for size in sizes.values())
    joint = f"DECIMAL({digits + scale},{scale})" if digits + scale <= 38 else None
    if all(_name(one) == "DECIMAL" for one in found) and joint and (scale > 0 or digits <= _DIGITS_OF_DOUBLE):
        return (joint,)
    if scale == 0 and not found & _REAL:
        return ("BIGINT",) if digits <= 18 else ("BIGINT", DIGITS, _TEXT)
    return ("BIGINT", "DOUBLE", joint) if joint and not found & _REAL else ("BIGINT", "DOUBLE")


def _size(sql_type: str) -> tuple[int, int]:
    """Digits and those behind the point of an exact number."""
    if _name(sql_type) == "DECIMAL":
        digits, _, scale = sql_type[sql_type.index("(") + 1 : -1].partition(",")
        return int(digits), int(scale or 0)
    return _WIDE.get(_name(sql_type), 19), 0


def _naive(found: set[str]) -> tuple[str, ...]:
    if len(found) == 1:
        return tuple(found)
    return ("TIMESTAMP", "TIMESTAMP_NS") if "TIMESTAMP_NS" in found else ("TIMESTAMP",)


@dataclass
class Widening:
    """The types of a table's columns: `own` has for each column its type in each part, `labels` what parts are called.

    Raises SourceError for a column that no type can hold over all parts.
    """

    labels: Sequence[str]
    own: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._candidates = {name: candidates_of(types) for name, types in self.own.items()}
        refused = [self._refusal(name) for name, candidates in self._candidates.items() if not candidates]
        if refused:
            raise _together(refused)

    def columns_of(self, number: int) -> list[Column]:
        """The columns of a part as it is written first."""
        return [
            Column(name, kind, kind_of(kind))
            for name, kind in ((name, self._staged(name, number)) for name in self.own)
        ]

    def fix(self, name: str, sql_type: str) -> None:
        """Says that a column was written with this type in all parts, as its cells have settled it."""
        self.own[name], self._candidates[name] = [sql_type] * len(self.labels), (sql_type,)

    def settle(self, engine: DuckDB, files: Sequence[Path]) -> list[Column]:
        """The columns of the table, whose parts are written again where their types are others now."""
        settled = [self._settled(engine, files, name) for name in self.own]
        columns = [known for known in settled if isinstance(known, Column)]
        refused = [known for known in settled if isinstance(known, SourceError)]
        if refused:
            raise _together(refused)
        for number, file in enumerate(files):
            if all(self._staged(known.name, number) == known.stored_type for known in columns):
                continue
            cells = [cast(column(known.name), known.stored_type).as_(known.name, quoted=True) for known in columns]
            rewritten = file.with_suffix(".new")
            engine.write(identified(cells, columns, engine.parquet([file])), rewritten)
            rewritten.replace(file)
        return columns

    def _staged(self, name: str, number: int) -> str:
        if self._is_certain(name):
            return self._candidates[name][0]
        own = self.own[name][number]
        # Parquet has no such numbers, and a double in their place would lose digits.
        return _TEXT if _name(own) in ("HUGEINT", "UHUGEINT") else self._candidates[name][0] if own == NOTHING else own

    def _settled(self, engine: DuckDB, files: Sequence[Path], name: str) -> Column | SourceError:
        """The column with the first type that holds all values, or why there is none."""
        candidates = self._candidates[name]
        wrong: tuple[int, str] | None = None
        for sql_type in candidates:
            wrong = None if self._is_certain(name) else self._changed(engine, files, name, sql_type)
            if wrong is None:
                self._note(engine, files, name, sql_type)
                return Column(name, sql_type, "string" if sql_type == DIGITS else kind_of(sql_type))
        return self._refusal(name, wrong)

    def _is_certain(self, name: str) -> bool:
        """Whether the types alone say that one type holds all values."""
        return len(self._candidates[name]) == 1 and not self._is_truth(name)

    def _is_truth(self, name: str) -> bool:
        """Whether some parts say true and others a number."""
        found = set(self.own[name]) - {NOTHING}
        return "BOOLEAN" in found and self._candidates[name] == ("BIGINT",)

    def _changed(self, engine: DuckDB, files: Sequence[Path], name: str, sql_type: str) -> tuple[int, str] | None:
        """The number of a part, and a value of it that the type would change; None if it holds all."""
        cell = identifier(name)
        for number, file in enumerate(files):
            staged = self._staged(name, number)
            again = f"TRY_CAST(TRY_CAST({cell} AS {sql_type}) AS {staged}) IS DISTINCT FROM {cell}"
            if self._is_truth(name) and staged != "BOOLEAN":
                again = f"{cell} NOT IN (0, 1)"
            elif staged == sql_type:
                continue
            rows = engine.parquet([file]).sql("duckdb")
            found = engine.fetch(f"SELECT CAST({cell} AS VARCHAR) AS value FROM {rows} WHERE {again} LIMIT 1")
            if found.num_rows:
                return number, found["value"][0].as_py()
        return None

    def _note(self, engine: DuckDB, files: Sequence[Path], name: str, sql_type: str) -> None:
        """Remembers what a person should know of a column's type."""
        found = sorted(set(self.own[name]) - {NOTHING})
        kinds = {kind_of(one) if _name(one) != "DECIMAL" else "float" for one in found}
        mixed = set(found) & {*_REAL, "BOOLEAN"} or kinds >= {"float", "integer"}
        where = " and ".join(f"{one} in '{last_name(self.labels[self.own[name].index(one)])}'" for one in found)
        if sql_type == DIGITS:
            self.notes.append(
                f"{name}: text of whole numbers, since some are beyond 64 bits; a filter compares them as numbers"
            )
        elif "TIMESTAMPTZ_NS" in found and sql_type == "TIMESTAMP_NS":
            self.notes.append(f"{name}: times in UTC without their zone, since they have nanoseconds")
        elif sql_type == "BIGINT" and len(found) > 1 and mixed:
            said = "0 and 1" if self._is_truth(name) else "whole numbers"
            self.notes.append(f"{name}: integer, since all values are {said}; {where}")
        elif sql_type == _TEXT and len({_family(one) for one in found}) > 1:
            self.notes.append(f"{name}: text; {where}")

    def _refusal(self, name: str, wrong: tuple[int, str] | None = None) -> SourceError:
        types = dict.fromkeys(self.own[name])
        seen = [
            f"{one} in '{last_name(self.labels[self.own[name].index(one)])}'" for one in sorted(types) if one != NOTHING
        ]
        families = {_family(one) for one in types}
        why = "no type holds all values without a change"
        if families >= {"naive", "zoned"}:
            why = "a time without a zone is no instant beside times that have one"
        details = [f"'{last_name(self.labels[wrong[0]])}' has the value {wrong[1]}, for one"] if wrong else []
        return SourceError(
            f"column '{name}' is {' and '.join(seen)}: {why}; nothing was registered",
            *details,
            "give the column one type in all files, or register the files as datasources of their own",
        )


def _together(refused: Sequence[SourceError]) -> SourceError:
    """One error for all columns that are refused."""
    first, *others = (error.problems[0] for error in refused)
    return SourceError(first.message, *(other.message for other in others), *first.notes)


def last_name(label: str) -> str:
    """The last name of a path or an address."""
    return label.rstrip("/").rpartition("/")[2]
