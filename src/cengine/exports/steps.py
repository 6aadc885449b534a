"""Steps of a logarithm. Its last bit differs between libraries, and where a step lies on the logarithm of a whole number, so does the step."""

from __future__ import annotations

import functools

import duckdb
import numpy as np
from sqlglot import exp

from cengine.expressions.build import as_double, column
from cengine.expressions.dialects import render

_GIVEN, _EDGE = "x", "edge"


def below_logarithm(value: exp.Expr, edges: np.ndarray) -> tuple[exp.Expr, np.ndarray] | None:
    """The argument of the logarithm in `value`, and the least argument at which the value reaches each edge, as DuckDB computes it.

    None if `value` has no logarithm, or another column beside it. The words' functions of a logarithm never decrease.
    """
    logarithms = [node for node in value.find_all(exp.Ln) if node.this.find(exp.Ln) is None]
    if not logarithms:
        return None
    argument = logarithms[0].this
    rest = value.copy()
    for node in list(rest.find_all(exp.Ln)):
        if node.this == argument:
            node.set("this", column(_GIVEN))
    if any(one.name != _GIVEN for one in rest.find_all(exp.Column)):
        return None
    return argument, _least(rest, edges)


def _least(rest: exp.Expr, edges: np.ndarray) -> np.ndarray:
    """By halving positive numbers, whose bits ascend as they do."""
    low = np.full(len(edges), 1, np.int64)
    high = np.full(len(edges), np.float64(np.finfo(np.float64).max).view(np.int64))
    with duckdb.connect() as connection:
        reached = functools.partial(_reached, connection, rest, edges)
        at_least, at_most = reached(low), reached(high)
        while (high - low > 1).any():
            middle = low + (high - low) // 2
            is_reached = reached(middle)
            low, high = np.where(is_reached, low, middle), np.where(is_reached, middle, high)
    return np.where(at_least, -np.inf, np.where(at_most, high.view(np.float64), np.inf))


def _reached(connection: duckdb.DuckDBPyConnection, rest: exp.Expr, edges: np.ndarray, bits: np.ndarray) -> np.ndarray:
    import pyarrow as pa

    condition = exp.GTE(this=as_double(rest), expression=column(_EDGE))
    query = exp.select(condition.as_("reached")).from_("asked")
    connection.register("asked", pa.table({_GIVEN: bits.view(np.float64), _EDGE: edges}))
    (found,) = connection.execute(render(query, "duckdb")).fetchnumpy().values()
    return np.asarray(found, np.bool_)
