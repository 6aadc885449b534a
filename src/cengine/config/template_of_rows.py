"""A commented YAML of an autoencoder to begin with, from a table's columns."""

from __future__ import annotations

from collections.abc import Collection

from cengine.config.template import feature_lines, key_of, left_out, slice_column
from cengine.tables import TableSchema

# By these names columns tell which rows are known to be odd.
ODD_NAMES = (
    "fraud",
    "is_fraud",
    "anomaly",
    "is_anomaly",
    "outlier",
    "is_outlier",
    "odd",
    "is_odd",
    "defect",
    "label",
    "class",
)


def template_of_rows(schema: TableSchema, eval_share: float = 0.1, of_single_rows: Collection[str] = ()) -> str:
    """YAML text that is valid on such a table; `of_single_rows` are columns of text with another value in nearly every row."""
    telling = next((name for name in ODD_NAMES if (own := schema.lookup.find(name)) and _can_tell(schema, own)), None)
    known = schema.lookup.find(telling) if telling else None
    usable = [column for column in schema.columns if column.kind is not None and column.name != known]
    reasons = {
        column.name: left_out(column, schema)
        or ("another text in nearly every row" if column.name in of_single_rows else None)
        for column in usable
    }
    chosen = [column for column in usable if not reasons[column.name]]
    shares = f"{{train: {round(1 - eval_share, 6):g}, eval: {eval_share:g}}}"
    sliced = slice_column(schema, {*of_single_rows, *([known] if known else [])})
    lines = [
        "version: 1",
        "",
        "# What is reconstructed: rows whose columns do not go together get high scores.",
        "features:",
        *feature_lines(usable, chosen, reasons),
        "",
        "# Which rows are kept to evaluate on: the same ones every time.",
        "split:",
        f"  ratio: {shares}",
        "  # index_by: COLUMN                 # in the order of a time: learn the past, look at what follows; then index_ratio",
        "",
        "# Layers and length follow from columns and rows: three layers, the middle one the code.",
        "trainer:",
        "  type: autoencoder",
        "",
        "# A row is odd whose score is above that of this share of the train rows; each value of the other columns is looked at.",
        "evaluator:",
        "  threshold: 0.99",
        *([f"  {key_of(sliced)}: {{}}"] if sliced else []),
    ]
    example = "  # anomaly: {column: NAME, positive: VALUE}  # a column that knows which rows are odd: scores are measured against it"
    positive = "true" if known and schema[known].kind == "boolean" else "1"
    lines.append(
        f"  anomaly: {{column: {key_of(known)}, positive: {positive}}}  # taken for its name; never learnt from"
        if known
        else example
    )
    return "\n".join(lines) + "\n"


def _can_tell(schema: TableSchema, name: str) -> bool:
    """Whether a column is one of yes and no."""
    column = schema[name]
    return column.kind == "boolean" or (column.kind == "integer" and (column.minimum, column.maximum) == (0, 1))
