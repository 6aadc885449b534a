"""`where:`, the user's boolean expressions: parsed, checked node by node and slot by slot against closed lists, never pasted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import SqlglotError

from cengine.errors import near_miss
from cengine.expressions.allowed import NODES, TYPE_PARAMETERS, TYPES, UNIT_NAMES, UNITS, WORDS
from cengine.names import Names
from cengine.tables import TableSchema

MAX_LENGTH = 20_000
# Of nodes within nodes, chains of AND and OR left out: what renders and copies expressions is recursive.
MAX_DEPTH = 100
_WHOLE_NUMBER = re.compile(r"[0-9]{1,6}")
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_QUANTITY = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")


class NotAFilter(ValueError):
    """Why a text is not a row filter, in a sentence; `notes` say what is allowed and how to mend it."""

    def __init__(self, reason: str, *notes: str) -> None:
        super().__init__(reason)
        self.notes = notes


def parse_filter(text: str) -> exp.Expr:
    """The expression of a row filter, its columns quoted. Raises NotAFilter."""
    try:
        expression = _parsed(text)
        _check_depth(expression)
        for node in expression.walk():
            _check(node)
            node.comments = None
        _check_nothing_is_dropped(text, expression)
        return expression.transform(_plain)
    except RecursionError:
        raise _too_deep() from None


def columns_of(expression: exp.Expr) -> list[str]:
    """The names of the columns it reads, in order, each once."""
    return list(dict.fromkeys(column.name for column in expression.find_all(exp.Column, bfs=False)))


def with_columns(expression: exp.Expr, names: Iterable[str]) -> exp.Expr:
    """The expression with its columns spelled as the table spells them (see `Names`); what cannot be told stays as it is."""
    known = Names(names)
    return expression.transform(
        lambda node: (
            exp.to_identifier(known.find(node.name) or node.name, quoted=True)
            if isinstance(node, exp.Identifier) and isinstance(node.parent, exp.Column)
            else node
        )
    )


def comparing_digits(expression: exp.Expr, schema: TableSchema) -> exp.Expr:
    """The expression with columns of whole numbers beyond 64 bits read as numbers of all their digits; `schema` spells them."""
    digits = {known.name: known for known in schema.columns if known.has_digits}
    return expression.transform(
        lambda node: (
            exp.cast(exp.column(node.name, quoted=True), digits[node.name].sql_type, dialect="duckdb")
            if isinstance(node, exp.Column) and node.name in digits and not isinstance(node.parent, exp.Cast)
            else node
        )
    )


def _parsed(text: str) -> exp.Expr:
    if not text.strip():
        raise NotAFilter("it is empty")
    if len(text) > MAX_LENGTH:
        raise NotAFilter(
            f"it has {len(text):,} characters, more than {MAX_LENGTH:,}",
            "write several filters: each row has to pass them all",
        )
    if "\0" in text:
        raise NotAFilter("it holds a NUL character, which no engine reads", "remove it")
    try:
        parsed = sqlglot.parse(text, dialect="duckdb")
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        reason = details[0].get("description") or str(error).splitlines()[0]
        if reason.startswith("Required keyword"):  # told in terms of the parser's classes
            reason = "something is missing in it"
        raise NotAFilter(f"it is not an SQL expression: {reason.rstrip('.')}") from None
    except RecursionError:
        raise
    except Exception:  # the parser stumbles over some texts, an empty name among the parameters of a type for one
        raise NotAFilter("it is not an SQL expression") from None
    if len(parsed) != 1 or parsed[0] is None:
        raise NotAFilter("it holds more than one statement")
    return parsed[0]


def _check_depth(expression: exp.Expr) -> None:
    depths = {id(expression): 1}
    for node in expression.walk():
        parent = depths.get(id(node.parent), 0)
        depth = depths[id(node)] = parent + (
            not isinstance(node, exp.Connector) or not isinstance(node.parent, exp.Connector)
        )
        if depth > MAX_DEPTH:
            raise _too_deep()


def _too_deep() -> NotAFilter:
    return NotAFilter("it is nested too deeply", "write several filters: each row has to pass them all")


# Nodes and what stands in their slots


def _check(node: exp.Expr) -> None:
    """Raises NotAFilter for a node that is not allowed, and for a text in a slot that may not hold it."""
    if type(node) not in NODES:  # a kind that is derived from an allowed one is another one
        raise _refusal(node)
    check = _CHECKS.get(type(node))
    if check is not None:
        check(node)
    for slot, value in _texts(node):
        if value not in WORDS.get((type(node), slot), ()) and not (
            isinstance(node, exp.Literal | exp.Identifier | exp.Var) and slot == "this"
        ):
            raise NotAFilter(
                f"'{value}' is not allowed here", *_listed("allowed", WORDS.get((type(node), slot), ()), value)
            )
    for (kind, slot), units in UNITS.items():
        if type(node) is kind and node.args.get(slot) is not None:
            _check_unit(node.args[slot], units)


def _texts(node: exp.Expr) -> Iterator[tuple[str, str]]:
    """The bare texts in the slots of a node: what is written into SQL as it is, unless its generator quotes it."""
    for slot, value in node.args.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, exp.Expr) or item is None or isinstance(item, bool):
                continue
            if isinstance(node, exp.DataType) and slot == "this" and isinstance(item, exp.DType):
                continue  # of a closed list of sqlglot's, and checked against ours
            yield slot, str(item)


def _check_unit(unit: object, units: tuple[str, ...]) -> None:
    if isinstance(unit, exp.Var | exp.Literal) and _unit(unit.name) in units:
        return
    told = (
        unit.name
        if isinstance(unit, exp.Var | exp.Literal)
        else unit.sql()
        if isinstance(unit, exp.Expr)
        else str(unit)
    )
    listed = [name.lower() for name in units]
    raise NotAFilter(
        f"'{told.lower()}' is no unit of time that is allowed here", *_listed("units", listed, told.lower())
    )


def _unit(name: str) -> str:
    """The unit in capitals, and one of it."""
    return name.upper().removesuffix("S")


def _check_identifier(node: exp.Expr) -> None:
    if not (isinstance(node.parent, exp.Column) and node.arg_key == "this"):
        raise NotAFilter(f"'{node.name}' is not allowed here; a name can only be that of a column")


def _check_column(node: exp.Expr) -> None:
    if any(node.args.get(part) for part in ("table", "db", "catalog")):
        raise NotAFilter(
            f"{node.sql('duckdb')} names a table; there is one table, and its columns stand by their names alone",
            f"write {exp.column(node.name, quoted=True).sql('duckdb')}",
            'a name with a dot in it stands in double quotes: "a.b"',
        )
    if not isinstance(node.this, exp.Identifier) or node.args.get("join_mark"):
        raise NotAFilter(f"'{node.sql('duckdb')}' is not allowed here")


def _check_var(node: exp.Expr) -> None:
    if not any(isinstance(node.parent, kind) and node.arg_key == slot for kind, slot in UNITS):
        raise NotAFilter(f"'{node.name}' is not allowed here")


def _check_literal(node: exp.Expr) -> None:
    if not node.is_string and not _NUMBER.fullmatch(node.name):
        raise NotAFilter(f"'{node.name}' is no number")


def _check_in(node: exp.Expr) -> None:
    if node.args.get("unnest") or node.args.get("field"):
        raise NotAFilter(
            f"what follows IN stands in brackets: '{node.sql('duckdb')}'",
            f"write for example: {node.this.sql('duckdb')} in (1, 2)",
        )
    if not node.expressions and not node.args.get("query"):  # a query is refused as one
        raise NotAFilter(
            "nothing stands in the brackets after IN", f"write for example: {node.this.sql('duckdb')} in (1, 2)"
        )


def _check_between(node: exp.Expr) -> None:
    if node.args.get("symmetric"):
        raise NotAFilter(
            "BETWEEN SYMMETRIC is not allowed here",
            "write the lower bound first, or: between least(a, b) and greatest(a, b)",
        )


def _check_whole(node: exp.Expr) -> None:
    if node.args.get("decimals") or node.args.get("to"):
        raise NotAFilter(
            f"{type(node).__name__.upper()} takes one number here", "write for example: floor(a * 100) / 100"
        )


def _check_moment(node: exp.Expr) -> None:
    if node.this is None or any(node.args.get(slot) for slot in ("zone", "expressions", "with_tz")):
        name = type(node).__name__.upper()
        raise NotAFilter(f"{name} takes one value here", f"write for example: cast(a as {name})")


def _check_interval(node: exp.Expr) -> None:
    quantity = node.this
    if not (
        isinstance(quantity, exp.Literal) and _QUANTITY.fullmatch(quantity.name) and node.args.get("unit") is not None
    ):
        raise NotAFilter(
            f"{node.sql('duckdb')} is not one number and one unit",
            "write for example: interval '3' day",
            "several are added: interval '1' day + interval '2' hour",
        )


def _check_type(node: exp.Expr) -> None:
    kind = node.this
    if kind not in TYPES or any(node.args.get(slot) for slot in ("nested", "values", "kind", "nullable", "collate")):
        told = node.args.get("kind") or node.sql("duckdb")
        allowed = _listed("types", dict.fromkeys(TYPES.values()), str(told))
        raise NotAFilter(f"'{told}' is no type that is allowed here", *allowed)
    most = TYPE_PARAMETERS.get(kind, 0)
    if len(node.expressions) > most:
        raise NotAFilter(
            f"the type {TYPES[kind]} takes {'no parameters' if most == 0 else f'at most {most} parameters'} here",
            f"write {TYPES[kind]}",
        )
    if not all(_is_whole_parameter(parameter) for parameter in node.expressions):
        raise NotAFilter(
            f"the parameters of {node.sql('duckdb')} are not whole numbers", f"write for example: {TYPES[kind]}(10, 2)"
        )


def _is_whole_parameter(node: exp.Expr) -> bool:
    value = node.this if isinstance(node, exp.DataTypeParam) and not node.args.get("expression") else None
    return isinstance(value, exp.Literal) and not value.is_string and _WHOLE_NUMBER.fullmatch(value.name) is not None


_CHECKS: dict[type[exp.Expr], Callable[[exp.Expr], None]] = {
    exp.Identifier: _check_identifier,
    exp.Column: _check_column,
    exp.Var: _check_var,
    exp.Literal: _check_literal,
    exp.In: _check_in,
    exp.Between: _check_between,
    exp.Floor: _check_whole,
    exp.Ceil: _check_whole,
    exp.Date: _check_moment,
    exp.Timestamp: _check_moment,
    exp.Interval: _check_interval,
    exp.DataType: _check_type,
}


def _check_nothing_is_dropped(text: str, expression: exp.Expr) -> None:
    """Raises NotAFilter where a text is not in what was parsed: sqlglot ignores some arguments that are too many."""
    dropped = _values(text) - _values(expression.sql("duckdb"))
    if dropped:
        told = next(iter(dropped))
        raise NotAFilter(
            f"'{told.lower()}' would be ignored where it stands",
            "leave it out; a function or a type has an argument too many",
        )


def _values(text: str) -> Counter[str]:
    """How often each text in quotes is written, those of intervals left out: they come apart into a number and a unit."""
    tokens = sqlglot.tokenize(text, dialect="duckdb")
    before = [None, *(token.token_type for token in tokens)]
    # In capitals, as the parser writes units.
    return Counter(
        token.text.upper()
        for token, previous in zip(tokens, before, strict=False)
        if token.token_type == TokenType.STRING and previous != TokenType.INTERVAL
    )


def _plain(node: exp.Expr) -> exp.Expr:
    """The node as it is rendered: columns in quotes, units by their one name."""
    if isinstance(node, exp.Column):
        # A text in double quotes is a column in SQL.
        return exp.column(node.name, quoted=True)
    if isinstance(node, exp.Date | exp.Timestamp):
        return exp.cast(node.this, "date" if isinstance(node, exp.Date) else exp.DType.TIMESTAMPNTZ)
    for (kind, slot), _ in UNITS.items():
        if isinstance(node, kind) and node.args.get(slot) is not None:
            unit = _unit(node.args[slot].name)
            node.set(slot, exp.var(UNIT_NAMES.get(unit, unit)))
    return node


# Sentences


def _listed(what: str, known: Iterable[str], word: str) -> tuple[str, ...]:
    names = list(known)
    return (*([f"{what}: {', '.join(names)}"] if names else []), *near_miss(word, names))


def _refusal(node: exp.Expr) -> NotAFilter:
    if isinstance(node, exp.Query | exp.Subquery):
        return NotAFilter("a query is not allowed, only an expression over the columns of a row")
    if isinstance(node, exp.AggFunc | exp.Window):
        return NotAFilter(
            f"'{node.sql()}' looks at more than one row; only an expression over the columns of a row is allowed"
        )
    statement = exp.Command | exp.DDL | exp.DML | exp.Drop | exp.Create | exp.Set | exp.Alter | exp.Copy
    if isinstance(node, statement) or (node.parent is None and not isinstance(node, exp.Condition)):
        return NotAFilter("a statement is not allowed, only an expression such as `birth_year > 1900`")
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        return NotAFilter(f"the function {name.upper()} is not allowed here")
    return NotAFilter(f"'{node.sql()}' ({type(node).__name__}) is not allowed here")
