"""What is written out in an expression: numbers with their types, and an expression's shape apart from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlglot import exp

from cengine.tensors import BOOL, DOUBLE, FLOAT, INT64


class NoForm(Exception):
    """A node that has no operator; the text names it."""


TYPES: dict[Any, np.dtype[Any]] = {
    exp.DType.DOUBLE: DOUBLE, exp.DType.FLOAT: FLOAT, exp.DType.BIGINT: INT64, exp.DType.INT: INT64, exp.DType.BOOLEAN: BOOL,
}  # fmt: skip


def number_in(node: exp.Expr) -> tuple[float | int, np.dtype[Any]] | None:
    """A number that is written out, with the type that it is cast to, if it is one."""
    dtype = None
    if isinstance(node, exp.Cast):
        dtype = TYPES.get(node.args["to"].this)
        if dtype not in (DOUBLE, INT64):
            return None
        node = node.this
    sign = 1
    if isinstance(node, exp.Neg):
        sign, node = -1, node.this
    if not isinstance(node, exp.Literal) or node.is_string:
        return None
    whole = node.this.isdigit()
    dtype = dtype or (INT64 if whole else DOUBLE)
    return (sign * int(node.this) if dtype == INT64 and whole else sign * float(node.this)), dtype


def known_number(node: exp.Expr) -> float | int:
    found = number_in(node)
    if found is None:
        raise NoForm("a step whose edge is not a number")
    return found[0]


def shape_of(node: exp.Expr) -> tuple[Any, list[exp.Expr]]:
    """What an expression is apart from the numbers in it, and these in order."""
    slots: list[exp.Expr] = []

    def shape(part: Any) -> Any:
        if isinstance(part, list):
            return tuple(shape(one) for one in part)
        if not isinstance(part, exp.Expr):
            return part
        found = number_in(part)
        if found is not None:
            slots.append(part)
            return str(found[1])
        return type(part), tuple((key, shape(value)) for key, value in part.args.items())

    return shape(node), slots
