"""What the pieces of a filter are called where SQL differs; `meanings` says a filter in these pieces, `dialects` uses the rules."""

from __future__ import annotations

import functools
from collections.abc import Callable

from sqlglot import exp

from cengine.expressions.meanings.conditions import DOUBLES
from cengine.expressions.meanings.patterns import of_java, of_postgres

Rule = Callable[[exp.Expr], exp.Expr | None]
# A mark on what has been said already.
CASED = "cased"


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


# Regular expressions


def _patterns(said: Callable[[str], str]) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr | None:
        if isinstance(node, exp.RegexpLike) and node.expression.is_string:
            node.set("expression", exp.Literal.string(said(node.expression.name)))
        return None

    return rule


# LIKE, whose escape is the backslash


def _escape_of_bigquery(node: exp.Expr) -> exp.Expr | None:
    """BigQuery has no ESCAPE; its escape is the backslash."""
    return node.this if isinstance(node, exp.Escape) and node.expression.name == "\\" else None


# Parts of times


def _year_of_week(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, exp.Extract) and node.this.name.upper() == "ISOYEAR":
        node.set("this", exp.var("YEAROFWEEK"))
    return None


def _iso_week(node: exp.Expr) -> exp.Expr | None:
    """Weeks begin on Monday and the first has a Thursday; BigQuery's WEEK begins on Sunday."""
    if isinstance(node, exp.Extract) and node.this.name.upper() == "WEEK":
        node.set("this", exp.var("ISOWEEK"))
    if isinstance(node, exp.TimestampTrunc):
        unit = node.args["unit"].name.upper()
        return _call("DATETIME_TRUNC", node.this, exp.var("ISOWEEK" if unit == "WEEK" else unit))
    return None


def _text_of_time(node: exp.Expr) -> exp.Expr | None:
    """A time as text: zeros at the end of the fraction are left out, as elsewhere."""
    if not (
        isinstance(node, exp.Cast)
        and node.to.is_type("text")
        and isinstance(node.this, exp.Cast)
        and node.this.to.is_type("timestamp")
    ):
        return None
    written = _call("FORMAT_DATETIME", exp.Literal.string("%F %H:%M:%E6S"), node.this)
    return _call("REGEXP_REPLACE", written, exp.Literal.string(r"\.?0+$"), exp.Literal.string(""))


# Letters, one for one: other engines make two of some (`ß` becomes SS), or look at what stands beside (the last sigma of a word)


@functools.cache
def _letters_kept() -> tuple[str, str, str]:
    """Letters whose capital is several letters, a private character for each, and what DuckDB makes of them."""
    letters = [chr(code) for code in range(0xDF, 0x10000) if len(chr(code).upper()) > 1]
    capitals = [
        "\u1e9e" if letter == "ß" else letter.title() if len(letter.title()) == 1 else letter for letter in letters
    ]
    return "".join(letters), "".join(chr(0x10F000 + place) for place in range(len(letters))), "".join(capitals)


def _letters(cased: Callable[[exp.Expr], exp.Expr]) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr | None:
        if isinstance(node, exp.Lower) and not node.meta.get(CASED):
            return cased(_marked(exp.Lower(this=_translated(node.this, "\u0130\u03a3", "i\u03c3"))))
        if isinstance(node, exp.Upper) and not node.meta.get(CASED):
            letters, private, capitals = _letters_kept()
            return _translated(
                cased(_marked(exp.Upper(this=_translated(node.this, letters, private)))), private, capitals
            )
        return None

    return rule


def _translated(text: exp.Expr, letters: str, others: str) -> exp.Expr:
    return _call("TRANSLATE", text, exp.Literal.string(letters), exp.Literal.string(others))


def _marked(node: exp.Expr) -> exp.Expr:
    node.meta[CASED] = True
    return node


def _collated(node: exp.Expr) -> exp.Expr:
    """PostgreSQL's collation "C" knows the letters of ASCII only."""
    node.set("this", exp.Collate(this=node.this, expression=exp.to_identifier("und-x-icu", quoted=True)))
    return exp.Collate(this=node, expression=exp.to_identifier("C", quoted=True))


# Numbers that are none: on BigQuery no comparison with NaN is true, elsewhere it equals itself and is above all others


def _comparison_of_bigquery(node: exp.Expr) -> exp.Expr | None:
    if not node.meta.get(DOUBLES) or isinstance(node, exp.Greatest | exp.Least):
        return None
    if isinstance(node, exp.Between):
        low, high = (
            kind(this=node.this.copy(), expression=node.args[end])
            for kind, end in ((exp.GTE, "low"), (exp.LTE, "high"))
        )
        return exp.Paren(this=exp.and_(_with_nan(low), _with_nan(high)))
    return _with_nan(node)


def _with_nan(node: exp.Expr) -> exp.Expr | None:
    one, other = node.this, node.expression
    one_is, other_is = _is_nan(one), _is_nan(other)
    both = exp.and_(one_is.copy(), other_is.copy())
    only_one, only_other = (
        exp.and_(one_is, exp.Not(this=other_is)),
        exp.and_(exp.Not(this=one_is.copy()), other_is.copy()),
    )
    plain = type(node)(this=one.copy(), expression=other.copy())
    match node:
        case exp.EQ() | exp.NullSafeEQ():
            return exp.Paren(this=exp.or_(plain, both))
        case exp.NEQ() | exp.NullSafeNEQ():
            return exp.Paren(this=exp.and_(plain, exp.Not(this=exp.Paren(this=both))))
        case exp.GT():
            return exp.Paren(this=exp.or_(plain, only_one))
        case exp.GTE():
            return exp.Paren(this=exp.or_(plain, only_one, both))
        case exp.LT():
            return exp.Paren(this=exp.or_(plain, only_other))
        case exp.LTE():
            return exp.Paren(this=exp.or_(plain, only_other, both))
    return None


def _is_nan(value: exp.Expr) -> exp.Expr:
    bare = value
    while isinstance(bare, exp.Neg | exp.Paren | exp.Cast):
        bare = bare.this
    return exp.false() if isinstance(bare, exp.Literal) and not bare.is_string else _call("IS_NAN", value.copy())


# The greatest and the least, of those that are not null


def _extreme_of_bigquery(node: exp.Expr) -> exp.Expr | None:
    """Two by two: BigQuery's own are null where one is, and NaN where one is."""
    if not isinstance(node, exp.Greatest | exp.Least):
        return None
    found: exp.Expr = node.this.copy()
    for value in node.expressions:
        if not node.meta.get(DOUBLES) and value.find(exp.Column, exp.Null) is None:
            # The value is written once: nested bounds that repeat it make a text of megabytes.
            found = type(node)(
                this=exp.Coalesce(this=found, expressions=[value.copy()]),
                expressions=[value.copy()],
                ignore_nulls=False,
            )
            continue
        comparison: exp.Expr = (exp.GTE if isinstance(node, exp.Greatest) else exp.LTE)(
            this=found.copy(), expression=value.copy()
        )
        if node.meta.get(DOUBLES):
            comparison = _with_nan(comparison) or comparison
        found_null = exp.Is(this=exp.Paren(this=found.copy()), expression=exp.null())
        value_null = exp.Is(this=exp.Paren(this=value.copy()), expression=exp.null())
        found = (
            exp.Case()
            .when(found_null, value.copy())
            .when(exp.or_(value_null, comparison), found.copy())
            .else_(value.copy())
        )
    return found


FILTER_RULES: dict[str, tuple[Rule, ...]] = {
    "spark": (_patterns(of_java), _year_of_week, _letters(lambda node: node)),
    "postgres": (_patterns(of_postgres), _letters(_collated)),
    "bigquery": (
        _escape_of_bigquery,
        _iso_week,
        _letters(lambda node: node),
        _text_of_time,
        _comparison_of_bigquery,
        _extreme_of_bigquery,
    ),
}
