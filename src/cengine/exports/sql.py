"""A trained model as one SELECT: preprocessing, network and labels in their own unit, for tables that are not to leave their warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cengine.errors import ExportError
from cengine.exports.formats import refuse_autoencoder
from cengine.exports.sql_dialects import DIALECTS, Dialect, dialect_named
from cengine.exports.sql_features import encoded_columns, given_columns
from cengine.exports.sql_layers import Layers
from cengine.exports.sql_tracing import Traced
from cengine.expressions.build import literal
from cengine.learners.trees_graph import OPERATOR as TREES
from cengine.models.outputs import columns_of
from cengine.names import fold, free_stem, told_apart
from cengine.plain import Cell
from cengine.tensors import FLOAT, INT64

if TYPE_CHECKING:
    from cengine.models.model import Model
    from cengine.preprocess.targets import Target

# Above the first a statement is slow, above the second nobody wants it.
MANY_WEIGHTS, MOST_WEIGHTS = 30_000, 200_000
# BigQuery takes statements up to 1 MB.
MOST_BYTES = 900_000
# By dialect, how large trees may be where that is not as much: PostgreSQL does 706 rows by 1.4 MB in half a second, by 4 MB in 15 s.
# Spark's driver took more than 1 GB to read 1.4 MB, and DuckDB more than 512 MB to run it.
_MOST_BYTES_OF_TREES = {"postgres": 2_000_000}
KEPT = "k"
# Multiplications a second on one core of DuckDB, to tell what a large network would cost.
_PRODUCTS_A_SECOND = 4.5e8


@dataclass(frozen=True)
class Statement:
    """A model as SQL. `columns` are the names of the result, first those that were kept."""

    text: str
    dialect: str
    columns: tuple[str, ...]
    num_weights: int
    num_leaves: int = 0
    """Of trees, which have no weights."""

    @property
    def warning(self) -> str | None:
        """What to know before it is run on many rows."""
        if self.num_weights <= MANY_WEIGHTS or self.num_leaves:
            return None
        return (
            f"this network has {self.num_weights:,} weights: as SQL it does about {_rows_a_second(self.num_weights):,} rows a second "
            "on one core of DuckDB, and cengine predict several times as many"
        )


def sql_of(model: Model, dialect: str, table: str, keep: Sequence[str] = (), *, force: bool = False) -> str:
    """The statement's text. It has no semicolon, so that it can stand in `SELECT ... FROM (...) AS predicted`.

    `table` is written as the dialect writes it (`project.dataset.trips`, `"my trips"`); `keep` names columns of it that come out
    beside the predictions. The others are named as `Model.predict` names them.

    Raises ExportError for a dialect that there is none of, a table that is no name, a model that has no words in SQL, and without
    `force` for one of more than 200,000 weights or of more than 900 KB (of trees for PostgreSQL 2 MB).
    """
    return statement_of(model, dialect, table, keep, force=force).text


def statement_of(model: Model, dialect: str, table: str, keep: Sequence[str] = (), *, force: bool = False) -> Statement:
    """The statement with what is to be known of it. Raises as `sql_of` does."""
    spoken = dialect_named(dialect)
    source = _table(table, dialect)
    layers, outputs = _traced(model, spoken, force=force)
    names = _names(model, spoken, keep)
    last, cells = _results(model, layers, outputs)
    selected = [*[f"{KEPT}{place}" for place in range(len(keep))], *cells]
    parts = _parts(model, spoken, keep, layers.levels(last))
    text = assembled(spoken, source, parts, list(zip(names, selected, strict=True)))
    num_weights, num_leaves = _num_weights(layers.graph), _num_leaves(layers.graph)
    most = _MOST_BYTES_OF_TREES.get(dialect, MOST_BYTES) if num_leaves else MOST_BYTES
    if len(text.encode()) > most and (not force or dialect == "bigquery"):
        raise (
            _too_many_leaves(num_leaves, len(text.encode()), dialect)
            if num_leaves
            else _too_large(num_weights, len(text.encode()), dialect)
        )
    return Statement(text, dialect, tuple(names), num_weights, num_leaves)


def _traced(model: Model, dialect: Dialect, *, force: bool) -> tuple[Layers, dict[str, str]]:
    """The layers, and for each label the name of what is predicted."""
    refuse_autoencoder(model, "SQL")
    predicting = getattr(model.predictor, "predicting", None)
    if predicting is None:
        raise ExportError(
            f"the learner '{model.signature.learner.name}' has no form outside of itself, so that there is no SQL of it",
            "cengine predict and --format bundle work with every learner",
        )
    graph = Traced()
    columns = [(f"x{place}", one.size is None) for place, one in enumerate(model.inputs)]
    numbers, codes = ([name for name, is_number in columns if is_number is wanted] for wanted in (True, False))
    given = (graph.input("numbers", FLOAT, (None, len(numbers))), graph.input("codes", INT64, (None, len(codes))))
    try:
        found = predicting(*given)
    except ExportError as error:
        # SQL and ONNX share one form; the message names ONNX.
        (problem,) = error.problems
        raise ExportError(problem.message.replace("ONNX form", "SQL form"), *problem.notes) from None
    if (num_weights := _num_weights(graph)) > MOST_WEIGHTS and not force:
        raise _too_large(num_weights, num_weights * (13 if dialect.has_lists else 19), dialect.name)
    layers = Layers(graph, dialect, [name for name, _ in columns])
    layers.give("numbers", numbers)
    layers.give("codes", codes)
    layers.calculate(tensor.name for tensor in found.values())
    return layers, {label: tensor.name for label, tensor in found.items()}


def _results(model: Model, layers: Layers, outputs: dict[str, str]) -> tuple[int, list[str]]:
    """The level that reads them all, and the texts of the columns of the result."""
    targets = model.signature.targets
    values = {
        target.name: layers.stored(outputs[target.name])
        if target.num_outputs > 1 or target.task.has_classes
        else layers.values[outputs[target.name]]
        for target in targets
    }
    last = max(value.level for value in values.values())
    cells: list[str] = []
    for target in targets:
        found = layers.read(values[target.name], last)
        if target.task.has_classes:
            cells += _of_classes(target, found, layers.dialect)
        else:
            cells += [found[target.task.point], *found] if target.task.quantiles else found
    return last, cells


def _of_classes(target: Target, shares: list[str], dialect: Dialect) -> list[str]:
    """The likeliest class, the first of equally likely ones, and the probability of each."""
    names = [dialect.rendered(_class(value)) for value in target.classes]
    if not target.task.one_output_a_class:
        (share,) = shares
        half, one = dialect.number(0.5), dialect.number(1.0)
        return [f"CASE WHEN {share} >= {half} THEN {names[1]} ELSE {names[0]} END", f"{one} - {share}", share]
    cases = [
        f"WHEN {share} >= {_largest(shares[place + 1 :])} THEN {name}"
        for place, (share, name) in enumerate(zip(shares[:-1], names, strict=False))
    ]
    return [f"CASE {' '.join(cases)} ELSE {names[-1]} END" if cases else names[0], *shares]


def _largest(cells: list[str]) -> str:
    # Of those that come before none is the largest: their cases did not hold.
    return cells[0] if len(cells) == 1 else f"greatest({','.join(cells)})"


def _class(value: Cell) -> exp.Expr:
    kinds = {bool: "boolean", int: "integer", float: "float"}
    return literal(value, kinds.get(type(value), "string"))


def _names(model: Model, dialect: Dialect, keep: Sequence[str]) -> list[str]:
    """The names of the result's columns, told apart as engines do, which take no notice of case."""
    predicted = [name for output in model.outputs for name in columns_of(output)]
    predicted = dialect.output_names(told_apart(predicted))
    taken = {fold(name) for name in predicted}
    for name in keep:
        if fold(name) in taken:
            raise ExportError(
                f"the result would have two columns '{name}'",
                "keep another column, or rename it in a view of the table",
            )
        taken.add(fold(name))
    return [*keep, *predicted]


def _parts(
    model: Model, dialect: Dialect, keep: Sequence[str], levels: list[list[tuple[str, str]]]
) -> list[list[tuple[str, str]]]:
    """(name, text) of the columns of each table expression, in their order."""
    signature = model.signature
    kept = [(f"{KEPT}{place}", dialect.quoted(name)) for place, name in enumerate(keep)]
    carried = [(name, name) for name, _ in kept]
    first = [kept + given_columns(signature, dialect), carried + encoded_columns(signature, dialect)]
    return first + [carried + level for level in levels]


def assembled(
    dialect: Dialect, source: str, parts: Sequence[Sequence[tuple[str, str]]], selected: Sequence[tuple[str, str]]
) -> str:
    """A statement of table expressions, each of which reads the one before it, the first one `source`.

    `parts` have (name, text) of their columns, `selected` of the result's, whose names are quoted here.
    """
    texts, before = [], source
    stem = free_stem("cengine_", [exp.to_table(source, dialect=dialect.name).name])
    for place, columns in enumerate(parts):
        cells = ",\n".join(text if text == alias else f"{text} AS {alias}" for alias, text in columns)
        texts.append(f"{stem}{place} AS (\nSELECT\n{cells}\nFROM {before}{dialect.fence}\n)")
        before = f"{stem}{place}"
    results = ",\n".join(f"{text} AS {dialect.quoted(name)}" for name, text in selected)
    expressions = ",\n".join(texts)
    return f"WITH {expressions}\nSELECT\n{results}\nFROM {before}"


def _table(written: str, dialect: str) -> str:
    """The table as the dialect writes it. Raises ExportError for a text that is not one name."""
    try:
        found = exp.to_table(written, dialect=dialect)
    except (SqlglotError, ValueError):
        found = None
    parts = [] if found is None else [found.args.get(part) for part in ("catalog", "db", "this")]
    whole = found is not None and not {key for key, value in found.args.items() if value} - {"catalog", "db", "this"}
    if not whole or not all(part is None or isinstance(part, exp.Identifier) for part in parts):
        raise ExportError(
            f"--table {written!r} is not the name of a table in {dialect_named(dialect).called}",
            "names with other characters than letters, digits and _ are quoted as the dialect quotes them",
        )
    assert found is not None
    return found.sql(dialect, comments=False)


def _num_weights(graph: Traced) -> int:
    return int(sum(np.size(array) for array in graph.constants.values() if array.dtype.kind == "f"))


def _num_leaves(graph: Traced) -> int:
    return sum(len(node.attributes["target_ids"]) for node in graph.nodes if node.operator == TREES)


def _rows_a_second(num_weights: int) -> int:
    rows = _PRODUCTS_A_SECOND / num_weights
    return int(round(rows, 1 - len(str(int(rows)))))


def _too_large(num_weights: int, num_bytes: int, dialect: str) -> ExportError:
    return ExportError(
        f"this network has {num_weights:,} weights: as SQL it would be {num_bytes / 1e6:.1f} MB and do about "
        f"{_rows_a_second(num_weights):,} rows a second on one core of DuckDB",
        "cengine predict does several times as many, and --format onnx has no such limit",
        _forced(dialect),
    )


def _too_many_leaves(num_leaves: int, num_bytes: int, dialect: str) -> ExportError:
    return ExportError(
        f"these trees have {num_leaves:,} leaves: as SQL it would be {num_bytes / 1e6:.2f} MB",
        "--format onnx has no such limit, nor has cengine predict; fewer `trees` or `leaves` make it smaller",
        *(
            ["a statement so large takes gigabytes of the memory of Spark's driver, and a minute to be read"]
            if dialect == "spark"
            else []
        ),
        _forced(dialect),
    )


def _forced(dialect: str) -> str:
    forced = "--force writes it all the same"
    if dialect == "bigquery":
        return f"{forced}, except above 0.9 MB for BigQuery, which takes no larger statement"
    return forced


__all__ = ["DIALECTS", "Statement", "sql_of", "statement_of"]
