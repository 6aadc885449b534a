"""A table's columns as the cells of features: found by name, of the kinds that the model was trained on, or refused."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from cengine.config.resolve import Feature
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, bigint, column, double
from cengine.models.blocks import Given
from cengine.models.given import check_columns
from cengine.prediction.source import Source

# Whole numbers up to it are numbers of 64 bits with a fraction too.
LARGEST_WHOLE = 2**53
# Kinds of columns that may stand for a kind of feature if every cell of theirs is one.
_ALSO = {"float": "integer", "integer": "float"}


def columns_of(source: Source, features: Sequence[Feature]) -> dict[str, str]:
    """The table's column of each feature. Raises PreprocessError with all that are missing or of another kind."""
    schema = source.rows.schema

    def fault(feature: Feature, found: str) -> str | None:
        kind = schema[found].kind
        if kind in (feature.kind, _ALSO.get(feature.kind, feature.kind)):
            return None
        return f"is of the kind {kind or schema[found].sql_type.lower()}, the model was trained on {feature.kind}"

    return check_columns(source.names, features, source.title, fault)


def given_rows(source: Source, engine: Engine, features: Sequence[Feature], keep: Sequence[str]) -> Given:
    """The rows for `Encoding.query`. Raises PreprocessError where a cell cannot be what its feature was in training."""
    rows, columns = source.rows, columns_of(source, features)
    refuse_changed_numbers(source, engine, features, columns)
    cells = {feature.name: _cell(source, feature, columns[feature.name]) for feature in features}
    kept = {name: column(name) for name in keep}
    return Given(source.item(engine), cells, kept, rows.conditions(engine.dialect))


def _cell(source: Source, feature: Feature, name: str) -> exp.Expr:
    """The column as the feature's kind."""
    known = source.rows.schema[name]
    if feature.kind == "float":
        return as_double(column(name))
    if feature.kind == "integer" and known.kind == "float":
        return exp.cast(source.rows.cell(name), "bigint")
    if feature.kind == "timestamp" and known.sql_type != "TIMESTAMP":
        return exp.cast(column(name), "timestamp")
    return column(name)


def refuse_changed_numbers(
    source: Source, engine: Engine, features: Sequence[Feature], columns: dict[str, str]
) -> None:
    """Raises PreprocessError for numbers that would become others: 1.5 for a feature of whole numbers, 2^53 + 1 for one of fractions."""
    doubtful = [
        (columns[feature.name], feature.kind)
        for feature in features
        if source.rows.schema[columns[feature.name]].kind != feature.kind
    ]
    if not doubtful:
        return
    counts = [
        exp.Count(this=exp.Case().when(_changes(source, name, kind), exp.convert(1))).as_(f"n{place}")
        for place, (name, kind) in enumerate(doubtful)
    ]
    query = exp.select(*counts).from_(source.item(engine))
    for condition in source.rows.conditions(engine.dialect):
        query = query.where(condition)
    (found,) = engine.fetch_rows(query)
    wrong = [(name, kind, found[f"n{place}"]) for place, (name, kind) in enumerate(doubtful) if found[f"n{place}"]]
    if wrong:
        raise PreprocessError(
            f"{source.title} has numbers that the model's columns cannot hold",
            *(
                f"column '{name}': {number:,} {'have a fraction' if kind == 'integer' else 'lie beyond 2^53'}, the model was trained on {kind}"
                for name, kind, number in wrong
            ),
        )


def _changes(source: Source, name: str, kind: str) -> exp.Expr:
    """Whether a number would be another one as this kind."""
    if kind == "float":
        held = exp.Between(this=column(name), low=bigint(-LARGEST_WHOLE), high=bigint(LARGEST_WHOLE))
        return exp.Not(this=exp.Paren(this=held))  # the least of 64 bits has no number as far above 0
    cell = source.rows.cell(name)
    whole = exp.EQ(this=exp.Floor(this=cell.copy()), expression=cell.copy())
    small = exp.LTE(this=exp.Abs(this=cell.copy()), expression=double(float(LARGEST_WHOLE)))
    return exp.Not(this=exp.Paren(this=exp.and_(whole, small)))
