"""Comparisons, and what joins or chooses among values."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence

from sqlglot import exp

from cengine.expressions.build import double
from cengine.expressions.meanings.meant import (
    BOOLEAN,
    DATE,
    DOUBLE,
    MAX_SINGLE,
    NULL,
    OTHER,
    SINGLE,
    TEXT,
    TIME,
    WHOLE,
    Meanings,
    Meant,
    Read,
    adapted,
    as_countable,
    as_double,
    as_time,
    as_whole,
    expect_only,
    number_of,
    operand,
    refuse,
)

# A mark on comparisons of doubles, for an engine that thinks otherwise of NaN.
DOUBLES = "doubles"


def _condition(meant: Meant, node: exp.Expr) -> exp.Expr:
    """What must be true or false."""
    if meant.kind in (BOOLEAN, NULL):
        return meant.tree
    raise refuse(node, f"{meant.called} stands where a condition is needed", "compare it, for example `<> 0`")


def _connector(node: exp.Expr, read: Read) -> Meant:
    """AND or OR of a chain, which may have thousands of links and is read link by link."""
    expect_only(node, "this", "expression")
    links = [_condition(read(link), node) for link in node.flatten(unnest=False)]
    return Meant(functools.reduce(lambda one, other: type(node)(this=one, expression=other), links), BOOLEAN)


def _not(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    return Meant(exp.Not(this=_condition(read(node.this), node)), BOOLEAN)


# Comparisons


def paired(one: Meant, other: Meant, node: exp.Expr) -> tuple[Meant, Meant]:
    """The two sides of a comparison as values of one kind."""
    if NULL in (one.kind, other.kind):
        return one, other
    one, other = adapted(one, other, node), adapted(other, one, node)
    if BOOLEAN in (one.kind, other.kind) and one.kind != other.kind:
        one, other = as_countable(one), as_countable(other)
    if one.is_number and other.is_number:
        return _paired_numbers(one, other)
    if one.kind == other.kind or (OTHER in (one.kind, other.kind) and (one.literal or other.literal)):
        return one, other
    if one.is_time and other.is_time:
        return Meant(as_time(one), TIME), Meant(as_time(other), TIME)
    raise refuse(node, f"{one.called} is compared with {other.called}", "compare values of one kind, or use CAST")


def _paired_numbers(one: Meant, other: Meant) -> tuple[Meant, Meant]:
    if SINGLE in (one.kind, other.kind) and one.kind != other.kind:
        return _beside_single(one), _beside_single(other)
    if one.literal and other.literal:
        return Meant(as_double(one), DOUBLE), Meant(as_double(other), DOUBLE)
    return one, other


def _beside_single(meant: Meant) -> Meant:
    """A number that is compared with one of four bytes: a literal is rounded to four bytes, so that `x = 0.1` finds 0.1.

    It is rounded here, and both are compared as doubles, since not every engine has numbers of four bytes.
    """
    if meant.literal and abs(number_of(meant.tree)) <= MAX_SINGLE:
        return Meant(double(struct.unpack("f", struct.pack("f", number_of(meant.tree)))[0]), DOUBLE)
    return Meant(as_double(meant), DOUBLE)


def _marked(tree: exp.Expr, *sides: Meant) -> exp.Expr:
    if any(side.kind in (DOUBLE, SINGLE) for side in sides):
        tree.meta[DOUBLES] = True
    return tree


def _compared(kind: type[exp.Expr], one: Meant, other: Meant, node: exp.Expr) -> exp.Expr:
    left, right = paired(one, other, node)
    return _marked(kind(this=left.tree.copy(), expression=right.tree.copy()), left, right)


def _comparison(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression")
    return Meant(_compared(type(node), read(node.this), read(node.expression), node), BOOLEAN)


def _between(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "low", "high")
    value, low, high = (read(node.args[name]) for name in ("this", "low", "high"))
    first, least = paired(value, low, node)
    second, greatest = paired(value, high, node)
    if first.tree == second.tree:
        return Meant(
            _marked(exp.Between(this=first.tree, low=least.tree, high=greatest.tree), first, least, greatest), BOOLEAN
        )
    limits = [_compared(exp.GTE, value, low, node), _compared(exp.LTE, value, high, node)]
    return Meant(exp.Paren(this=exp.and_(*limits)), BOOLEAN)


def _in(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expressions")
    if not node.expressions:
        raise refuse(node, "the list is empty")
    value, members = read(node.this), [read(member) for member in node.expressions]
    pairs = [paired(value, member, node) for member in members]
    if all(pair[0].tree == pairs[0][0].tree for pair in pairs) and all(m.literal or m.kind != DOUBLE for m in members):
        return Meant(exp.In(this=pairs[0][0].tree, expressions=[pair[1].tree for pair in pairs]), BOOLEAN)
    return Meant(exp.Paren(this=exp.or_(*(_compared(exp.EQ, value, member, node) for member in members))), BOOLEAN)


def _is(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression")
    value = read(node.this)
    if isinstance(node.expression, exp.Boolean):
        return Meant(exp.Is(this=_condition(value, node), expression=node.expression.copy()), BOOLEAN)
    if not isinstance(node.expression, exp.Null):
        raise refuse(node, "IS is for null, true and false", "use =, or `is not distinct from`")
    return Meant(exp.Is(this=value.tree, expression=exp.null()), BOOLEAN)


# Choices


def alike(values: Sequence[Meant], node: exp.Expr) -> list[Meant]:
    """Values of which one is to be chosen, as values of one kind; nulls stay."""
    given = [value for value in values if value.kind != NULL]
    if not given:
        return list(values)
    typed = next((value for value in given if not (value.literal and value.kind == TEXT)), given[0])
    given = [adapted(value, typed, node) for value in given]
    kinds = {value.kind for value in given}
    if kinds == {WHOLE}:
        chosen = [Meant(as_whole(value), WHOLE) for value in given]
    elif all(value.is_number for value in given):
        chosen = [Meant(as_double(value), DOUBLE) for value in given]
    elif kinds == {DATE, TIME}:
        chosen = [Meant(as_time(value), TIME) for value in given]
    elif len(kinds) == 1:
        chosen = given
    else:
        raise refuse(
            node,
            f"one value is {given[0].called}, another {next(v for v in given if v.kind != given[0].kind).called}",
            "give values of one kind, or use CAST",
        )
    found = iter(chosen)
    return [value if value.kind == NULL else next(found) for value in values]


def _kind(values: Sequence[Meant]) -> str:
    return next((value.kind for value in values if value.kind != NULL), NULL)


def _case(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "ifs", "default")
    asked = read(node.this) if node.this else None
    conditions = [
        _condition(read(branch.this), node) if asked is None else _compared(exp.EQ, asked, read(branch.this), node)
        for branch in node.args["ifs"]
    ]
    default = node.args.get("default")
    results = [branch.args["true"] for branch in node.args["ifs"]] + ([default] if default else [])
    return _chosen(conditions, [read(result) for result in results], node)


def _if(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "true", "false")
    results = [read(result) for result in (node.args.get("true"), node.args.get("false")) if result is not None]
    return _chosen([_condition(read(node.this), node)], results, node)


def _chosen(conditions: Sequence[exp.Expr], results: Sequence[Meant], node: exp.Expr) -> Meant:
    values = alike(results, node)
    case = exp.Case()
    for condition, value in zip(conditions, values, strict=False):
        case = case.when(condition, value.tree)
    if len(values) > len(conditions):
        case = case.else_(values[-1].tree)
    return Meant(case, _kind(values))


def _coalesce(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expressions")
    values = alike([read(value) for value in (node.this, *node.expressions)], node)
    return Meant(exp.Coalesce(this=values[0].tree, expressions=[value.tree for value in values[1:]]), _kind(values))


def _nullif(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression")
    value, other = read(node.this), read(node.expression)
    if value.literal:
        value = Meant(as_double(value), DOUBLE) if value.is_number else value
    kept = operand(value.tree)
    return Meant(exp.Case().when(_compared(exp.EQ, value, other, node), exp.null()).else_(kept), value.kind)


def _extreme(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expressions", "ignore_nulls")
    values = alike([read(value) for value in (node.this, *node.expressions)], node)
    if _kind(values) in (BOOLEAN, OTHER):
        raise refuse(node, f"{values[0].called} has no least or greatest on every engine", "use case when")
    found = type(node)(this=values[0].tree, expressions=[value.tree for value in values[1:]], ignore_nulls=True)
    return Meant(_marked(found, *values), _kind(values))


MEANINGS: Meanings = {
    exp.And: _connector, exp.Or: _connector, exp.Not: _not,
    exp.EQ: _comparison, exp.NEQ: _comparison, exp.GT: _comparison, exp.GTE: _comparison, exp.LT: _comparison, exp.LTE: _comparison,
    exp.NullSafeEQ: _comparison, exp.NullSafeNEQ: _comparison,
    exp.Between: _between, exp.In: _in, exp.Is: _is,
    exp.Case: _case, exp.If: _if, exp.Coalesce: _coalesce, exp.Nullif: _nullif, exp.Greatest: _extreme, exp.Least: _extreme,
}  # fmt: skip
