"""What single operations on cells are in SQL. Operators: https://onnx.ai/onnx/operators.

No step is an error in an engine that takes infinity, zero divided by and numbers below the least one for errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cengine.exports.sql_dialects import Dialect
from cengine.tensors import BOOL, FLOAT

# Exponents whose exponentials are numbers other than 0, of 32 and of 64 bits.
_EXPONENTS = {True: (-87.0, 89.0), False: (-700.0, 709.0)}
# With blanks where a number's own sign may follow, since -- begins a comment.
_INFIX = {"Add": "+", "Sub": " - ", "Mul": "*", "Less": " < ", "LessOrEqual": " <= ", "Greater": " > ", "GreaterOrEqual": " >= ",
          "Equal": " = ", "And": " AND ", "Or": " OR "}  # fmt: skip
_FUNCTIONS = {
    "Abs": "abs",
    "Sqrt": "sqrt",
    "Floor": "floor",
    "Sin": "sin",
    "Cos": "cos",
    "Tanh": "tanh",
    "Atanh": "atanh",
}


def combined(
    operator: str, cells: Sequence[str], dtypes: Sequence[np.dtype[Any]], to: np.dtype[Any], dialect: Dialect
) -> str:
    """An operation on one cell of each input. `dtypes` are the types of the inputs, `to` that of the result."""
    if operator in _INFIX:
        return f"({_INFIX[operator].join(cells)})"
    if operator in _FUNCTIONS:
        return f"{_FUNCTIONS[operator]}({cells[0]})"
    return _OTHERS[operator](cells, dtypes, to, dialect)


def reduced(operator: str, cells: Sequence[str], dialect: Dialect) -> str:
    """One number of all cells of a row."""
    if operator in ("ReduceMax", "ReduceMin"):
        name = "greatest" if operator == "ReduceMax" else "least"
        return cells[0] if len(cells) == 1 else f"{name}({','.join(cells)})"
    total = dialect.total(cells)
    return total if operator == "ReduceSum" else f"({total}/{dialect.number(float(len(cells)))})"


def _extreme(name: str) -> Callable[..., str]:
    def text(cells: Sequence[str], dtypes: Any, to: Any, dialect: Dialect) -> str:
        bound = dialect.typed(-np.inf if name == "greatest" else np.inf)
        others = [cell for cell in cells if cell != bound]
        return others[0] if len(others) == 1 else f"{name}({','.join(others)})"

    return text


def _exponential(cells: Sequence[str], dtypes: Sequence[np.dtype[Any]], to: np.dtype[Any], dialect: Dialect) -> str:
    low, high = _EXPONENTS[to == FLOAT]
    return f"exp(least(greatest({cells[0]},{dialect.number(low)}),{dialect.number(high)}))"


def _divided(cells: Sequence[str], dtypes: Any, to: Any, dialect: Dialect) -> str:
    number, divisor = cells
    if _is_number(divisor):
        return f"({number}/{divisor})"
    return f"coalesce({number}/nullif({divisor},{dialect.number(0.0)}),{dialect.typed(np.nan)})"


def _reciprocal(cells: Sequence[str], dtypes: Any, to: Any, dialect: Dialect) -> str:
    zero, infinite = dialect.number(0.0), dialect.typed(np.inf)
    return f"coalesce({dialect.number(1.0)}/nullif({cells[0]},{zero}),{infinite})"


def _sigmoid(cells: Sequence[str], dtypes: Any, to: np.dtype[Any], dialect: Dialect) -> str:
    power = _exponential([f"(- {cells[0]})"], dtypes, to, dialect)
    return f"({dialect.number(1.0)}/({dialect.number(1.0)}+{power}))"


def _cast(cells: Sequence[str], dtypes: Sequence[np.dtype[Any]], to: np.dtype[Any], dialect: Dialect) -> str:
    (cell,), (given, *_) = cells, dtypes
    if given == BOOL:
        one, none = (1, 0) if to.kind == "i" else (1.0, 0.0)
        return f"CASE WHEN {cell} THEN {dialect.typed(one)} ELSE {dialect.typed(none)} END"
    if given.kind == to.kind:
        return cell
    return f"CAST({cell} AS {dialect.double if to.kind == 'f' else 'BIGINT'})"


def _case(cells: Sequence[str], dtypes: Any, to: Any, dialect: Dialect) -> str:
    condition, one, other = cells
    if to.kind == "f" and _is_number(one) and _is_number(other):
        one = f"CAST({one} AS {dialect.double})"
    return f"CASE WHEN {condition} THEN {one} ELSE {other} END"


def _logarithm(cells: Sequence[str], dtypes: Any, to: Any, dialect: Dialect) -> str:
    return f"ln(greatest({cells[0]},{dialect.number(1e-300)}))"


def _is_number(text: str) -> bool:
    return text[0].isdigit() or (text[0] == "-" and text[1:2].isdigit())


_OTHERS: Mapping[str, Callable[[Sequence[str], Any, Any, Dialect], str]] = {
    "Neg": lambda cells, dtypes, to, dialect: f"(- {cells[0]})",
    "Not": lambda cells, dtypes, to, dialect: f"(NOT {cells[0]})",
    "Relu": lambda cells, dtypes, to, dialect: f"greatest({cells[0]},{dialect.number(0.0)})",
    "Clip": lambda cells, dtypes, to, dialect: f"least(greatest({cells[0]},{cells[1]}),{cells[2]})",
    "Max": _extreme("greatest"),
    "Min": _extreme("least"),
    "Exp": _exponential,
    "Div": _divided,
    "Reciprocal": _reciprocal,
    "Sigmoid": _sigmoid,
    "Cast": _cast,
    "Where": _case,
    "Log": _logarithm,
}
