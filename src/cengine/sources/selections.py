"""What is read of a database: a table, or one SELECT. What a user typed is parsed and written anew, never pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cengine.errors import SourceError

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.errors import SqlglotError


def table_item(name: str, dialect: str) -> exp.Table:
    """A table's name as an item of FROM, quoted; `schema.table` names one in a schema."""
    import sqlglot
    from sqlglot import exp

    try:
        parsed = sqlglot.parse_one(name, dialect=dialect, into=exp.Table)
    except sqlglot.errors.SqlglotError:
        parsed = None
    # A name with spaces is itself; anything that is more than a name would not come back the same.
    if not isinstance(parsed, exp.Table) or not isinstance(parsed.this, exp.Identifier) or _has_more(parsed):
        return exp.Table(this=exp.to_identifier(name, quoted=True))
    parsed = parsed.copy()
    for part in parsed.find_all(exp.Identifier):
        part.set("quoted", True)
    return parsed


def _has_more(table: exp.Table) -> bool:
    """Whether an item of FROM holds more than a name."""
    return bool(table.alias or table.args.get("joins"))


def query_item(text: str, dialect: str) -> exp.Subquery:
    """A SELECT as an item of FROM. Raises SourceError for anything but one statement that only reads."""
    import logging

    import sqlglot
    from sqlglot import exp

    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it cannot read is refused below, in our words
    try:
        query = _one_that_reads(sqlglot.parse(text, dialect=dialect))
        # What is sent is rendered of it: that has to be one SELECT too.
        _one_that_reads(sqlglot.parse(query.sql(dialect), dialect=dialect))
    except sqlglot.errors.SqlglotError as error:
        raise SourceError(f"--query cannot be read: {_reason(error)}", f"it is read as {dialect}") from None
    for node in query.walk():
        node.comments = None
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("asked", quoted=True)))


def _reason(error: SqlglotError) -> str:
    """What sqlglot says of a text that it cannot read, and where."""
    from sqlglot.errors import ParseError

    described = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    where = f" (line {described['line']}, column {described['col']})" if described.get("line") else ""
    return f"{described.get('description') or str(error).splitlines()[0]}{where}"


def _one_that_reads(parsed: list[exp.Expr | None]) -> exp.Query:
    """The one SELECT of what was parsed. Raises SourceError where it is something else."""
    from sqlglot import exp

    statements = [statement for statement in parsed if statement is not None]
    if len(statements) != 1:
        raise SourceError(f"--query holds {len(statements)} statements", "expected one SELECT")
    (query,) = statements
    if not isinstance(query, exp.Query):
        raise SourceError(f"--query is {_name(query)}", "expected one SELECT")
    writing = query.find(exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Command)
    if writing is not None and not isinstance(writing, exp.Query):
        raise SourceError(f"--query holds {_name(writing)}; it may only read", "expected one SELECT")
    return query


def _name(statement: exp.Expr) -> str:
    word = type(statement).__name__.upper()
    return f"{'an' if word[0] in 'AEIOU' else 'a'} {word}"
