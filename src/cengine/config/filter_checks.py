"""Row filters against a table: they are expressions that it can evaluate, with one meaning on every engine, and some row passes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from cengine.config.filter_facts import Mismatch, conflict, mismatches, outcomes, told_ranges
from cengine.expressions.filters import NotAFilter, columns_of, parse_filter, with_columns
from cengine.expressions.meanings import meant
from cengine.tables import TableSchema

if TYPE_CHECKING:
    from cengine.config.checks import Checker

# Why an expression cannot be evaluated on such a table, or None.
Bind = Callable[[exp.Expr, TableSchema], str | None]


def usable_filters(checker: Checker, bind: Bind | None) -> list[tuple[int, exp.Expr]]:
    """The filters that can be used, with their places in the list."""
    usable = []
    for i, text in enumerate(checker.config.split.where):
        path = ("split", "where", i)
        try:
            expression = parse_filter(text)
        except NotAFilter as reason:
            checker.add(f"the filter cannot be used: {reason}", path, *reason.notes)
            continue
        missing = [name for name in columns_of(expression) if checker.schema.lookup.find(name) is None]
        for name in missing:
            if checker.schema.lookup.candidates(name):
                message, *notes = checker.schema.lookup.fault(name)
            else:
                _, *notes = checker.schema.lookup.fault(name, listing=False)
                message = f"the filter reads column '{name}', which is not in the datasource"
            checker.add(message, path, *notes)
        if missing:
            continue
        expression = with_columns(expression, checker.schema.names)
        found = mismatches(expression, checker.schema)
        for mismatch in found:
            checker.add(*_compared_kinds(mismatch, path))
        if not found and _bound(checker, expression, path, bind):
            usable.append((i, expression))
    return usable


def _bound(checker: Checker, expression: exp.Expr, path: tuple[str | int, ...], bind: Bind | None) -> bool:
    """Whether the filter can be evaluated on such a table, with one meaning on every engine."""
    try:
        told = meant(expression, checker.schema)
    except NotAFilter as reason:
        checker.add(f"the filter cannot be used: {reason}", path)
        return False
    unbound = bind(told, checker.schema) if bind is not None else None
    if unbound is not None:
        checker.add(f"the filter cannot be used: {unbound}", path)
    return unbound is None


def contradictions(checker: Checker, filters: Sequence[tuple[int, exp.Expr]]) -> None:
    """A filter that no row can pass, by itself or after those before it."""
    passed: list[exp.Expr] = []
    for i, filter_ in filters:
        if not checker.schema.num_rows:
            return
        place = ("split", "where", i)
        if True not in outcomes(filter_, checker.schema):
            checker.add("the filter is never true: no row would be left", place, *told_ranges(filter_, checker.schema))
        elif (name := conflict([*passed, filter_], checker.schema)) is not None:
            checker.add(f"no row passes this filter and those before it: they leave no value of '{name}'", place)
        else:
            passed.append(filter_)


def _compared_kinds(found: Mismatch, path: tuple[str | int, ...]) -> tuple[str, tuple[str | int, ...], str]:
    """Message, place and note of a column that is compared with what is of another kind."""
    kind = "text" if found.kind == "string" else f"a number ({found.kind})"
    other = "a text" if found.other_kind == "text" else "a number"
    note = "write the text in single quotes" if found.kind == "string" else "write numbers without quotes"
    return f"the filter compares column '{found.column}', which is {kind}, with {other}: {found.other}", path, note
