"""A look-up for engines without one that keeps the order of rows: a correlated sub-query, which engines plan as a join with a small table."""

from __future__ import annotations

from sqlglot import exp

from cengine.expressions.build import column
from cengine.tables import LOOKUP_KEY, LOOKUP_VALUE


def found_in(table: str, key: exp.Expr) -> exp.Expr:
    """The value beside this key in a table of `Engine.load_pairs`, null where there is none.

    An aggregate, since engines want to see that there is no more than one row.
    """
    same = exp.EQ(this=column(LOOKUP_KEY), expression=key.copy())
    return exp.select(exp.Max(this=column(LOOKUP_VALUE))).from_(exp.to_table(table)).where(same).subquery()
