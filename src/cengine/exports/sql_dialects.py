"""What SQL dialects call the things that a model's statement is made of: numbers, fixed lists of them, words found in lists, moments."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from sqlglot import exp

from cengine.errors import ExportError, near_miss
from cengine.expressions.build import column, finite
from cengine.expressions.dialects import CALLED, render
from cengine.names import told_apart

# Of that many terms at most a sum is a chain; longer ones are sums of chains, so that no parser has to recurse deeply.
MAX_CHAINED = 100
_TYPES = {"boolean": "boolean", "integer": "bigint", "string": "text"}
_NO_NUMBERS = {np.inf: "Infinity", -np.inf: "-Infinity"}


class Dialect(ABC):
    """One of them. Numbers are DOUBLE throughout, as the 64 bits that all engines agree about."""

    name: ClassVar[str]
    has_lists: ClassVar[bool] = False
    """Whether a layer is one column with a list of numbers; else each of its outputs is a column."""
    fence: ClassVar[str] = ""
    """What ends a sub-query that the planner is not to merge with the next, which would repeat each expression for each use."""
    max_columns: ClassVar[int | None] = None
    max_name_bytes: ClassVar[int | None] = None
    suffix: ClassVar[str] = ""
    double: ClassVar[str] = "DOUBLE"

    @property
    def called(self) -> str:
        """What people call it."""
        return CALLED[self.name]

    def quoted(self, name: str) -> str:
        """The name of a column."""
        return exp.to_identifier(name, quoted=True).sql(self.name)

    def rendered(self, expression: exp.Expr) -> str:
        """The text of an expression that is written as DuckDB understands it."""
        return render(expression, self.name)

    def number(self, value: float | int | np.generic) -> str:
        """A number beside a column or a calculated one; of 32 bits with as few digits as tell it from all others of 32 bits."""
        if isinstance(value, int | np.integer):
            return str(int(value))
        if not np.isfinite(value):
            return self.typed(value)
        text = str(value)
        return f"{text}{self.suffix}"

    def typed(self, value: float | int | np.generic) -> str:
        """A number that stands alone."""
        if isinstance(value, int | np.integer):
            return str(int(value))
        if not np.isfinite(value):
            return f"CAST('{_NO_NUMBERS.get(float(value), 'NaN')}' AS {self.double})"
        return self.number(value)

    def weighted_sum(self, cells: Sequence[str], weights: Sequence[float]) -> str:
        """The sum of columns, each times its weight."""
        terms = [f"{cell}*{self.number(w)}" for cell, w in zip(cells, weights, strict=True) if w]
        return self.total(terms) if terms else self.typed(0.0)

    def total(self, terms: Sequence[str]) -> str:
        """The sum of terms."""
        if len(terms) <= MAX_CHAINED:
            return terms[0] if len(terms) == 1 else f"({'+'.join(terms)})"
        return self.total([self.total(terms[at : at + MAX_CHAINED]) for at in range(0, len(terms), MAX_CHAINED)])

    def product_with(self, listed: str, weights: Sequence[float]) -> str:
        """The inner product of a column with a list and weights. Only a dialect that `has_lists` is asked for it."""
        raise NotImplementedError(f"{self.called} has no lists")

    @abstractmethod
    def element(self, values: Sequence[float], place: str) -> str:
        """The one of fixed numbers at a place, from 0, which is within them."""

    @abstractmethod
    def place_among(self, text: str, words: Sequence[str]) -> str:
        """The place of a text among words, BIGINT from 0; null where it is none of them."""

    def single(self, number: str) -> str:
        """A DOUBLE with the digits that are left in 32 bits, as training reads it."""
        return f"CAST(CAST({number} AS REAL) AS DOUBLE)"

    @abstractmethod
    def moment(self, cell: str) -> str:
        """A date, or a timestamp with a zone or without one, as a timestamp in UTC without a zone, whatever the session's zone is."""

    def planned_apart(self, cell: str) -> str:
        """A cell of a layer, one in each; the same number, said so that the layer is planned apart from others where this takes words."""
        return cell

    def given(self, name: str, kind: str) -> str:
        """A column of the table as the words of preprocessing see it."""
        if kind == "timestamp":
            return self.moment(self.quoted(name))
        if kind == "float":
            return self.rendered(finite(exp.cast(column(name), "double")))
        return self.rendered(exp.cast(column(name), _TYPES[kind]))

    def output_names(self, names: Sequence[str]) -> list[str]:
        """The names of the result's columns as they may be here. Raises ExportError for one that may not be."""
        for name in names:
            if self.max_name_bytes and len(name.encode()) > self.max_name_bytes:
                raise ExportError(
                    f"{self.called} cuts names off after {self.max_name_bytes} bytes, and the column '{name}' has more",
                    "--dialect duckdb and cengine predict have no such limit",
                )
        return list(names)

    def _listed(self, words: Sequence[str]) -> str:
        return ",".join(exp.Literal.string(word).sql(self.name) for word in words)


class DuckDBText(Dialect):
    """DuckDB: a layer is a list, and each of its outputs the inner product with a list of weights."""

    name = "duckdb"
    has_lists = True

    def number(self, value: float | int | np.generic) -> str:
        text = super().number(value)
        # Without an exponent it would be a DECIMAL.
        return text if "e" in text or isinstance(value, int | np.integer) or not np.isfinite(value) else f"{text}e0"

    def product_with(self, listed: str, weights: Sequence[float]) -> str:
        return f"list_inner_product({listed},[{','.join(map(self.number, weights))}])"

    def element(self, values: Sequence[float], place: str) -> str:
        return f"[{','.join(map(self.number, values))}][{place}+1]"

    def place_among(self, text: str, words: Sequence[str]) -> str:
        if any("\0" in word for word in words):
            # No text of a statement holds the character 0, so that such a word is no literal, and a list has to be searched through.
            listed = ",".join("||chr(0)||".join(self._listed([part]) for part in word.split("\0")) for word in words)
            return f"(nullif(list_position([{listed}],{text}),0)-1)"
        return f"CAST(enum_code(TRY_CAST({text} AS ENUM({self._listed(words)}))) AS BIGINT)"

    def moment(self, cell: str) -> str:
        return f"make_timestamp(epoch_us({cell}))"


class PostgresText(Dialect):
    """PostgreSQL: an output of a layer is a column. OFFSET 0 keeps the planner from merging layers, and rows still flow through all."""

    name = "postgres"
    fence = " OFFSET 0"
    double = "float8"
    max_columns = 1600
    max_name_bytes = 63

    def typed(self, value: float | int | np.generic) -> str:
        text = super().typed(value)
        return text if isinstance(value, int | np.integer) or not np.isfinite(value) else f"CAST({text} AS float8)"

    def element(self, values: Sequence[float], place: str) -> str:
        return f"(CAST('{{{','.join(map(self.number, values))}}}' AS float8[]))[{place}+1]"

    def place_among(self, text: str, words: Sequence[str]) -> str:
        # An object of JSON is searched by halving. No text here holds the character 0.
        places = {word: place for place, word in enumerate(words) if "\0" not in word}
        found = exp.Literal.string(json.dumps(places, ensure_ascii=False, separators=(",", ":"))).sql(self.name)
        return f"CAST(CAST({found} AS jsonb) ->> {text} AS bigint)"

    def single(self, number: str) -> str:
        # What is below the least number of 32 bits is an error here and 0 everywhere else: the detour makes it 0.
        return f"CAST(CAST(({number}+1e-20)-1e-20 AS real) AS float8)"

    def moment(self, cell: str) -> str:
        return f"(to_timestamp(CAST(extract(epoch FROM {cell}) AS float8)) AT TIME ZONE 'UTC')"


class SparkText(Dialect):
    """Spark: an output of a layer is a column."""

    name = "spark"
    suffix = "D"

    def rendered(self, expression: exp.Expr) -> str:
        # Engines of ours are in UTC, and so the words' seconds since 1970 are those of the session's zone.
        return super().rendered(expression.transform(_time_without_zone).transform(_micros_without_zone))

    def element(self, values: Sequence[float], place: str) -> str:
        return f"element_at(array({','.join(map(self.number, values))}),CAST({place} AS INT)+1)"

    def place_among(self, text: str, words: Sequence[str]) -> str:
        return f"(nullif(array_position(array({self._listed(words)}),{text}),0)-1)"

    def single(self, number: str) -> str:
        return f"CAST(CAST({number} AS FLOAT) AS DOUBLE)"

    def moment(self, cell: str) -> str:
        local = f"CAST({cell} AS TIMESTAMP_NTZ)"
        zone = f"convert_timezone(current_timezone(),'UTC',{local})"
        return f"CASE WHEN typeof({cell})='timestamp' THEN {zone} ELSE {local} END"

    def planned_apart(self, cell: str) -> str:
        # Spark compiles neighbouring layers into one class, whose methods grow beyond 64 KB, unless they have a function that it does
        # not compile.
        return f"zip_with(array({cell}),array(0D),(a,b)->a)[0]"


def _time_without_zone(node: exp.Expr) -> exp.Expr:
    """What is cast to a time, as a time that is the same in every zone of a session."""
    if isinstance(node, exp.Cast) and node.to.is_type("timestamp"):
        node.set("to", exp.DataType(this=exp.DType.TIMESTAMPNTZ))
    return node


def _micros_without_zone(node: exp.Expr) -> exp.Expr:
    """`epoch_us(time)` of a time without a zone, from the day and the time of day."""
    if not (isinstance(node, exp.Anonymous) and node.name.lower() == "epoch_us"):
        return node
    (time,) = node.expressions
    day = exp.Anonymous(this="unix_date", expressions=[exp.cast(time.copy(), "date")])
    seconds: exp.Expr = exp.cast(day, "bigint") * exp.convert(86_400)
    for part, size in (("hour", 3600), ("minute", 60)):
        seconds = seconds + exp.Anonymous(this=part, expressions=[time.copy()]) * exp.convert(size)
    second = exp.Anonymous(this="date_part", expressions=[exp.Literal.string("SECOND"), time.copy()])
    micros = exp.cast(second * exp.convert(1_000_000), "bigint")
    return exp.Paren(this=exp.Paren(this=seconds) * exp.convert(1_000_000) + micros)


class BigQueryText(Dialect):
    """BigQuery: an output of a layer is a column."""

    name = "bigquery"
    double = "FLOAT64"
    max_columns = 10_000

    def output_names(self, names: Sequence[str]) -> list[str]:
        # It takes no name of a column with a dot in it, as `quantile_0.05` has.
        return told_apart([name.replace(".", "_") for name in names])

    def element(self, values: Sequence[float], place: str) -> str:
        return f"[{','.join(map(self.number, values))}][OFFSET({place})]"

    def place_among(self, text: str, words: Sequence[str]) -> str:
        listed = self._listed(words).replace("\0", r"\x00")
        return f"(SELECT o FROM UNNEST([{listed}]) AS w WITH OFFSET AS o WHERE w=COLLATE({text},''))"

    def single(self, number: str) -> str:
        return number  # it has no numbers of 32 bits

    def moment(self, cell: str) -> str:
        return f"CAST({cell} AS DATETIME)"


DIALECTS: dict[str, type[Dialect]] = {one.name: one for one in (BigQueryText, PostgresText, SparkText, DuckDBText)}


def dialect_named(name: str) -> Dialect:
    """The dialect of this name. Raises ExportError where there is none."""
    if name not in DIALECTS:
        raise ExportError(
            f"there is no SQL dialect '{name}'",
            f"--dialect is one of {', '.join(DIALECTS)}",
            *near_miss(name, DIALECTS),
        )
    return DIALECTS[name]()
