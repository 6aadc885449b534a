"""The preprocessing of a model as two table expressions: the columns as words see them, and what enters the network.

The expressions are those of `preprocess/apply.py`. Only where an engine of ours would look a text up in a table of its own, the
words stand in the statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from cengine.exports.sql_dialects import Dialect
from cengine.models.signature import Signature
from cengine.plain import Cell
from cengine.preprocess.apply import feature_outputs

GIVEN, ENCODED = "g", "x"


class WordsInText:
    """Look-ups in lists that the statement itself holds. Texts are equal as in training: all their bytes are."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def index_of(self, expression: exp.Expr, kind: str, values: Sequence[Cell]) -> exp.Expr:
        """The index of the expression's value in `values`, null where it is not among them."""
        if not values:
            return exp.null()
        words = [str(value).lower() if kind == "boolean" else str(value) for value in values]
        text = self._dialect.rendered(exp.cast(expression.copy(), "text"))
        # Not as a tree: of thousands of words that takes seconds to make and to write. All of it is quoted already.
        return exp.var(self._dialect.place_among(text, words))


def given_columns(signature: Signature, dialect: Dialect) -> list[tuple[str, str]]:
    """(name, text) of each feature's column in its kind."""
    return [(f"{GIVEN}{place}", dialect.given(one.name, one.kind)) for place, one in enumerate(signature.features)]


def encoded_columns(signature: Signature, dialect: Dialect) -> list[tuple[str, str]]:
    """(name, text) of each input of the network, in their order: DOUBLE for numbers, BIGINT for codes."""
    features = [replace(one, name=f"{GIVEN}{place}") for place, one in enumerate(signature.features)]
    learnt = signature.statistics["features"]
    statistics = {"features": {f"{GIVEN}{place}": learnt[one.name] for place, one in enumerate(signature.features)}}
    outputs = feature_outputs(features, {**signature.statistics, **statistics}, WordsInText(dialect))
    cells = [_encoded(output.this, dialect) for output in outputs]
    if (first := next((place for place, one in enumerate(outputs) if _is_number(one.this)), None)) is not None:
        cells[first] = dialect.planned_apart(cells[first])
    return [(f"{ENCODED}{place}", cell) for place, cell in enumerate(cells)]


def _encoded(cell: exp.Cast, dialect: Dialect) -> str:
    if _is_number(cell):
        return dialect.single(dialect.rendered(cell.this))
    return dialect.rendered(exp.cast(cell.this, "bigint"))


def _is_number(cell: exp.Cast) -> bool:
    return not cell.to.is_type("int")
