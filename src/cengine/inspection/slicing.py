"""New slices of an old run from its kept predictions: `start_station_name where gender = 2`. Nothing is run again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.resolve import metrics_of
from cengine.engines.engine import Engine
from cengine.errors import SourceError
from cengine.evaluation.baselines import measure_beside
from cengine.evaluation.predictions import name_beside, roles_of
from cengine.evaluation.predictions import with_columns as with_table_columns
from cengine.evaluation.results import SliceTable
from cengine.evaluation.slices import OVERALL, with_split_names
from cengine.expressions.build import column
from cengine.expressions.filters import NotAFilter, columns_of, parse_filter, with_columns
from cengine.expressions.meanings import meant
from cengine.inspection.run import Run
from cengine.metrics.metric import Metric
from cengine.metrics.table import metric_label
from cengine.names import Names
from cengine.preprocess.targets import Target
from cengine.tables import Column, TableSchema

HINT = "write for example: start_station_name where gender = 2"
QUOTES_HINT = 'a name with commas or quotes stands in double quotes: "a, b"'
# A name or text in quotes (a quote within is doubled), or the word that begins the condition.
_WHERE = re.compile(r"""("(?:[^"]|"")*")|('(?:[^']|'')*')|(?<!\w)(where)(?!\w)""", re.IGNORECASE)
_NAME = re.compile(r"""\s*(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<bare>[^",]*))\s*(?:,|$)""")


@dataclass(frozen=True)
class Request:
    """What to slice by and which rows: no columns mean the overall of the rows, no condition all of them."""

    columns: tuple[str, ...]
    condition: str | None


@dataclass(frozen=True)
class Sliced:
    """The slices of each label, and its metrics over all rows; `num_rows` of `num_evaluated` rows pass the condition.

    `higher_is_better` has the metrics of all labels.
    """

    request: Request
    num_rows: int
    num_evaluated: int
    tables: list[SliceTable]
    overall: list[SliceTable]
    higher_is_better: dict[str, bool]


def parse_request(text: str, names: Names) -> Request:
    """What the text asks for. A column may stand in double quotes, and must where its name has a comma or quote in it.

    Raises SourceError where it says nothing, or names what is no column.
    """
    if not text.strip():
        raise SourceError("nothing is asked for", HINT)
    if (whole := names.find(text.strip())) is not None:
        return Request((whole,), None)
    found = next((match for match in _WHERE.finditer(text) if match.group(3)), None)
    by, condition = (text[: found.start()], text[found.end() :]) if found else (text, None)
    if condition is not None and not condition.strip():
        raise SourceError("nothing stands after `where`", HINT)
    columns = [_known(name, names) for name in _names(by)] if by.strip() else []
    return Request(tuple(dict.fromkeys(columns)), condition.strip() if condition is not None else None)


def slice_run(run: Run, text: str) -> Sliced:
    """The metrics of the slices that the text asks for. Raises SourceError where it cannot be understood."""
    schema = run.sliced_by
    request = parse_request(text, schema.lookup)
    told = _told_columns(run)
    with run.engine() as engine:
        condition = _condition(engine, request.condition, schema, told) if request.condition is not None else None
        rows = _rows(run, engine, request, condition, told)
        given = run.resolved.metrics
        metrics = {target.name: metrics_of(target.label, target.task.name, given) for target in run.targets}
        tables, together, num_rows = [], [], 0
        for target in run.targets:
            overall, asked = slice_tables(run, engine, rows, target, metrics[target.name], (OVERALL, request.columns))
            num_rows = sum(overall.table["num_rows"].to_pylist())
            tables.append(asked)
            together.append(overall)
    higher = {metric_label(metric): metric.higher_is_better for own in metrics.values() for metric in own}
    return Sliced(request, num_rows, pq.ParquetFile(run.predictions_file).metadata.num_rows, tables, together, higher)


def slice_tables(
    run: Run, engine: Engine, rows: exp.Expr, target: Target, metrics: Sequence[Metric], sets: Sequence[tuple[str, ...]]
) -> list[SliceTable]:
    """The slices of one label by each set of columns, all of which `rows` has."""
    stored = {columns: tuple(name_beside(name) for name in columns) for columns in sets}
    found = measure_beside(
        engine, rows, target, metrics, run.statistics, list(stored.values()), run.statistics_of_folds
    )
    by_keys = {measured.keys: measured.table for measured in found}
    return [
        SliceTable(
            target.name, columns, with_split_names(by_keys["_split", *stored[columns]], run.split.measured_names)
        )
        for columns in sets
    ]


def _rows(
    run: Run, engine: Engine, request: Request, condition: exp.Expr | None, told: dict[str, exp.Expr]
) -> exp.Expr:
    """The predictions with the columns that are asked for, of the rows that pass the condition."""
    read = columns_of(condition) if condition is not None else []
    names = list(dict.fromkeys([*request.columns, *(name for name in read if name not in told)]))
    rows = with_table_columns(engine, run.rows_with(names), run.predictions_file, names)
    if condition is None:
        return rows
    cells = {name: told[name] if name in told else column(name_beside(name)) for name in read}
    passed = condition.transform(
        lambda node: exp.Paren(this=cells[node.name].copy()) if isinstance(node, exp.Column) else node
    )
    return exp.select("*").from_(rows).where(passed).subquery("sliced")


def _told_columns(run: Run) -> dict[str, exp.Expr]:
    """What a condition may read beside the table's columns: `prediction`, and of numbers `error`, how far off it is.

    Only where there is one label, so that it is clear whose, and of more than two classes not at all.
    """
    if len(run.targets) != 1 or run.targets[0].task.one_output_a_class:
        return {}
    roles = roles_of(run.targets[0])
    told = {"prediction": roles("prediction")}
    if run.targets[0].task.has_label and not run.targets[0].task.has_classes:
        told["error"] = exp.Abs(this=exp.Paren(this=roles("label") - roles("prediction")))
    return {name: expression for name, expression in told.items() if not run.seen.schema.lookup.candidates(name)}


def _condition(engine: Engine, text: str, schema: TableSchema, told: dict[str, exp.Expr]) -> exp.Expr:
    readable = TableSchema((*schema.columns, *(Column(name, "DOUBLE", "float") for name in told)), schema.num_rows)
    try:
        condition = with_columns(parse_filter(text), readable.names)
        for name in columns_of(condition):
            _known(name, readable.lookup)
        condition = meant(condition, readable)
    except NotAFilter as reason:
        raise SourceError(f"the condition cannot be used: {reason}", *reason.notes, HINT) from None
    unbound = engine.bind_error(condition, _as_read(readable))
    if unbound is not None:
        raise SourceError(f"the condition cannot be used: {unbound}", HINT)
    return condition


def _as_read(schema: TableSchema) -> TableSchema:
    """The schema as `Rows` gives its cells: numbers with fractions are DOUBLE."""
    return replace(
        schema, columns=tuple(replace(c, sql_type="DOUBLE") if c.kind == "float" else c for c in schema.columns)
    )


def _names(text: str) -> Iterator[str]:
    """The names of a list with commas, those in quotes as they are."""
    place = 0
    while place < len(text):
        match = _NAME.match(text, place)
        if match is None or match.end() == place:
            raise SourceError(f"this is no list of columns: {text.strip()}", QUOTES_HINT)
        quoted, bare = match.group("quoted"), match.group("bare")
        name = quoted.replace('""', '"') if quoted is not None else bare.strip()
        if not name:
            raise SourceError(f"a column is missing beside a comma: {text.strip()}", HINT)
        yield name
        place = match.end()
    if text.rstrip().endswith(","):
        raise SourceError(f"a column is missing beside a comma: {text.strip()}", HINT)


def _known(name: str, names: Names) -> str:
    """The column as the table spells it."""
    found = names.find(name)
    if found is None:
        raise SourceError(*names.fault(name))
    return found
