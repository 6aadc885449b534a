"""BigQuery's SQL on DuckDB: what BigQuery would refuse is refused, the rest is translated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

# Words that BigQuery does not take as a name without backticks.
RESERVED_WORDS = """
    ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST COLLATE CONTAINS CREATE CROSS CUBE CURRENT DEFAULT
    DEFINE DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT FALSE FETCH FOLLOWING FOR FROM FULL GROUP GROUPING
    GROUPS HASH HAVING IF IGNORE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT LOOKUP MERGE NATURAL NEW NO NOT
    NULL NULLS OF ON OR ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY RANGE RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT SET
    SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION UNNEST USING WHEN WHERE WINDOW WITH WITHIN
"""
RESERVED = frozenset(RESERVED_WORDS.split())
# Names of types that other engines know and BigQuery does not.
FOREIGN_TYPES = frozenset(
    {"DOUBLE", "REAL", "FLOAT", "TEXT", "VARCHAR", "HUGEINT", "UBIGINT", "TIMESTAMPTZ", "FLOAT32", "INT32"}
)
# Functions that sqlglot has no class for, and that BigQuery has.
KNOWN_ANONYMOUS = frozenset(
    {"NET.HOST", "RANGE_BUCKET", "BIT_COUNT", "ERROR", "IEEE_DIVIDE", "IS_NAN", "IS_INF", "TO_JSON_STRING"}
)
# How sqlglot spells functions that BigQuery does not have.
UNKNOWN_FUNCTIONS = frozenset(
    {"EPOCH_US", "GETVARIABLE", "ENUM_CODE", "LIST_EXTRACT", "READ_PARQUET", "HASH", "QUANTILE_CONT", "MEDIAN"}
)
MAX_QUERY_CHARACTERS = 1_000_000


class Refused(Exception):
    """What BigQuery answers: a reason and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Dialect(BigQuery):
    """BigQuery's dialect without arrays in FROM by their bare names, which takes a copy of every sub-query to find out."""

    class Parser(BigQuery.Parser):
        SUPPORTS_IMPLICIT_UNNEST = False


@dataclass
class Translated:
    """A query for DuckDB: its text, the kind of statement, the lists it needs."""

    text: str
    statement: str
    variables: dict[str, pa.Array] = field(default_factory=dict)


# Where a table's version of a time is: (project, dataset, table, seconds since 1970 or None) -> its name in DuckDB.
Locate = Callable[[str, str, str, float | None], str]


def translate(text: str, project: str, parameters: dict[str, Any], locate: Locate) -> Translated:
    """The query for DuckDB. Raises Refused for what BigQuery would not run."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise Refused(
            "invalidQuery",
            f"The query is too large. The maximum standard SQL query length is {MAX_QUERY_CHARACTERS} characters",
        )
    _check_tokens(text)
    try:
        statements = [s for s in sqlglot.parse(text, dialect=_Dialect) if s is not None]
    except SqlglotError as error:
        raise Refused("invalidQuery", f"Syntax error: {str(error).splitlines()[0]}") from None
    if len(statements) != 1:
        return Translated("", "SCRIPT")
    (query,) = statements
    if not isinstance(query, exp.Query):
        return Translated("", type(query).__name__.upper())
    _check(query)
    found = Translated("", "SELECT")
    tables = _Tables(project, locate, {cte.alias for cte in query.find_all(exp.CTE)})
    query = query.transform(tables.replace, copy=False)
    query = query.transform(lambda node: _parameter(node, parameters, found), copy=False)
    query = query.transform(_behave, copy=False)
    found.text = query.sql("duckdb")
    return found


def _check_tokens(text: str) -> None:
    try:
        tokens = sqlglot.tokenize(text, read="bigquery")
    except SqlglotError as error:
        raise Refused("invalidQuery", f"Syntax error: {error}") from None
    for token in tokens:
        if token.token_type in (TokenType.MOD, TokenType.DCOLON, TokenType.DOLLAR):
            raise Refused("invalidQuery", f"Syntax error: Unexpected '{token.text}' at [{token.line}:{token.col}]")


def _check(query: exp.Expr) -> None:
    for node in query.walk():
        if isinstance(node, exp.Identifier) and not node.quoted and node.name.upper() in RESERVED:
            raise Refused("invalidQuery", f"Syntax error: Unexpected keyword {node.name.upper()}")
        if isinstance(node, exp.Anonymous) and node.name.upper() not in KNOWN_ANONYMOUS:
            raise Refused("invalidQuery", f"Function not found: {node.name}")
        if isinstance(node, exp.Func) and node.sql_name() in UNKNOWN_FUNCTIONS:
            raise Refused("invalidQuery", f"Function not found: {node.sql_name()}")
        if isinstance(node, exp.Join) and node.side in ("LEFT", "RIGHT", "FULL"):
            _check_outer_join(node)
        if (
            isinstance(node, exp.Cast)
            and _is_text(node)
            and isinstance(node.this, exp.Sum)
            and not node.this.find(exp.Cast)
        ):
            raise Refused("invalidQuery", "a sum of INT64 may overflow here; add up a NUMERIC")
        # The MD5 of BigQuery is bytes; without TO_HEX around it a text would be something else here.
        if isinstance(node, exp.MD5Digest):
            raise Refused("invalidQuery", "No matching signature: MD5 gives BYTES")


def _check_outer_join(join: exp.Join) -> None:
    condition = join.args.get("on")
    parts = list(condition.flatten()) if isinstance(condition, exp.And) else [condition]
    if not join.args.get("using") and not any(isinstance(part, exp.EQ) for part in parts):
        raise Refused(
            "invalidQuery",
            f"{join.side} OUTER JOIN cannot be used without a condition that is an equality of fields from both sides of the join.",
        )


def _is_text(cast: exp.Cast) -> bool:
    return cast.to.this in (exp.DType.TEXT, exp.DType.VARCHAR)


class _Tables:
    """Puts the tables of a time in the place of their names."""

    def __init__(self, project: str, locate: Locate, local: set[str]) -> None:
        self.project = project
        self.locate = locate
        self.local = local

    def replace(self, node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            return node
        parts = [part for piece in node.parts for part in piece.name.split(".")]
        if len(parts) == 1 and parts[0] in self.local:
            return node
        if len(parts) < 2:
            raise Refused("invalid", f'Table "{parts[0]}" must be qualified with a dataset (e.g. dataset.table).')
        project, dataset, table = ([self.project] if len(parts) == 2 else []) + parts
        version = node.args.get("version")
        name = self.locate(project, dataset, table, _seconds(version.expression) if version else None)
        found = exp.to_table(name)
        for key in ("alias", "sample"):
            found.set(key, node.args.get(key))
        return found


def _seconds(expression: exp.Expr) -> float:
    import datetime

    text = expression.find(exp.Literal).name
    return datetime.datetime.fromisoformat(text).timestamp()


def _parameter(node: exp.Expr, parameters: dict[str, Any], found: Translated) -> exp.Expr:
    """Query parameters: lists become variables, a look-up in a sorted list a tree of comparisons."""
    if isinstance(node, exp.RangeBucket) and isinstance(node.expression, exp.Parameter):
        return _range_bucket(node.this, _array(parameters, node.expression.name).to_pylist())
    if isinstance(node, exp.Parameter):
        value = _array(parameters, node.name)
        if not isinstance(value, pa.Array):
            return exp.convert(value)
        found.variables[node.name] = value
        return exp.Anonymous(this="getvariable", expressions=[exp.Literal.string(node.name)])
    return node


def _array(parameters: dict[str, Any], name: str) -> Any:
    if name not in parameters:
        raise Refused("invalidQuery", f"Query parameter '{name}' not found")
    return parameters[name]


def never_null(node: exp.Expr) -> None:
    """Of what cannot be null DuckDB's own GREATEST is BigQuery's; sqlglot would write each argument four times to be sure."""
    if isinstance(node, exp.Greatest | exp.Least) and isinstance(node.this, exp.Coalesce):
        ends = [*node.this.expressions[-1:], *node.expressions]
        node.set("ignore_nulls", all(end.find(exp.Column, exp.Null) is None for end in ends))


def _behave(node: exp.Expr) -> exp.Expr:
    """Where DuckDB would give something else than BigQuery."""
    if isinstance(node, exp.Div) and not isinstance(node.expression, exp.Literal | exp.Cast):
        failing = exp.Anonymous(this="error", expressions=[exp.Literal.string("division by zero")])
        zero = exp.EQ(this=exp.Paren(this=node.expression.copy()), expression=exp.convert(0))
        return exp.Paren(this=exp.Case().when(zero, failing).else_(exp.Div(this=node.this, expression=node.expression)))
    if isinstance(node, exp.Bracket) and node.args.get("safe"):
        (place,) = node.expressions
        within = exp.Case().when(
            exp.GTE(this=exp.Paren(this=place.copy()), expression=exp.convert(0)),
            exp.Paren(this=place) + exp.convert(1),
        )
        return exp.Anonymous(this="list_extract", expressions=[node.this, within])
    if isinstance(node, exp.Cast) and _is_text(node) and node.this.find(exp.Sum):
        # A NUMERIC without its trailing zeros.
        text = exp.cast(node.this.copy(), "text")
        return exp.Anonymous(this="bq_number_text", expressions=[text])
    never_null(node)
    return node


def parameters_of(data: list[dict[str, Any]]) -> dict[str, Any]:
    """Query parameters of a request: lists as Arrow arrays, single values as they are."""
    found: dict[str, Any] = {}
    for one in data:
        kind, value = one["parameterType"], one["parameterValue"]
        if kind["type"] == "ARRAY":
            cells = [v.get("value") for v in value.get("arrayValues", [])]
            if any(cell is None for cell in cells):
                raise Refused("invalid", "Query parameter has a NULL array element")
            found[one["name"]] = _typed(cells, kind["arrayType"]["type"])
        else:
            found[one["name"]] = _typed([value["value"]], kind["type"])[0].as_py()
    return found


def _typed(cells: list[str], kind: str) -> pa.Array:
    match kind:
        case "INT64" | "INTEGER":
            return pa.array([int(cell) for cell in cells], pa.int64())
        case "FLOAT64" | "FLOAT":
            return pa.array([float(cell) for cell in cells], pa.float64())
        case "BOOL" | "BOOLEAN":
            return pa.array([cell == "true" for cell in cells], pa.bool_())
        case "STRING":
            return pa.array(cells, pa.string())
    raise Refused("invalid", f"parameters of type {kind} are not known here")


def _range_bucket(point: exp.Expr, edges: list[Any]) -> exp.Expr:
    """The number of edges <= point, null where the point is, as a tree of CASEs."""

    def within(low: int, high: int) -> exp.Expr:
        if low == high:
            return exp.convert(low)
        middle = (low + high) // 2
        return (
            exp.Case()
            .when(exp.LT(this=point.copy(), expression=exp.convert(edges[middle])), within(low, middle))
            .else_(within(middle + 1, high))
        )

    return exp.Case().when(
        exp.Not(this=exp.Is(this=exp.Paren(this=point.copy()), expression=exp.null())), within(0, len(edges))
    )


def scanned_columns(plan_text: str) -> set[tuple[str, str]]:
    """(table, column) of every cell that a plan of DuckDB (EXPLAIN as JSON) reads."""
    found: set[tuple[str, str]] = set()

    def walk(node: dict[str, Any]) -> None:
        information = node.get("extra_info", {})
        if "Table" in information:
            table = information["Table"].split(".")[-1].strip('"')
            names = information.get("Projections", [])
            found.update((table, name.strip('"')) for name in ([names] if isinstance(names, str) else names))
            filters = information.get("Filters", [])
            for condition in [filters] if isinstance(filters, str) else filters:
                found.update((table, name) for name in _columns_in(condition.removeprefix("optional: ")))
        for child in node.get("children", []):
            walk(child)

    for node in json.loads(plan_text):
        walk(node)
    return found


def _columns_in(condition: str) -> set[str]:
    """The columns of a filter as a plan tells it, whose texts are not always written as SQL writes them."""
    try:
        return {column.name for column in sqlglot.parse_one(condition, dialect="duckdb").find_all(exp.Column)}
    except SqlglotError:
        return set(re.findall(r"\w+", condition))
