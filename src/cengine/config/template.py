"""A commented YAML to begin with, from a table's columns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from cengine.config.resolve import BUILT_IN
from cengine.tables import Column, TableSchema

LABEL_NAMES = ("label", "target", "y", "class", "outcome", "income", "price")
_TASKS = {"boolean": "classification", "string": "classification", "integer": "regression", "float": "regression"}


def guessed_label(schema: TableSchema) -> str:
    """The column that most likely is to be predicted: one of a usual name, else the last that can be."""
    usable = [column for column in schema.columns if column.kind in _TASKS]
    named = [column.name for column in usable if column.name.lower() in LABEL_NAMES]
    return named[0] if named else (usable[-1].name if usable else schema.names[-1])


def task_for(column: Column) -> str:
    """`regression` or `classification`: integers that are only 0 and 1 are classes."""
    if column.kind == "integer" and (column.minimum, column.maximum) == (0, 1):
        return "classification"
    return _TASKS.get(column.kind or "", "regression")


def template(schema: TableSchema, label: str | None = None, features: Sequence[str] | None = None, eval_share: float = 0.1) -> str:
    """YAML text that is valid on such a table; every line that invites a change has a comment."""
    label = label or guessed_label(schema)
    task = task_for(schema[label])
    usable = [column for column in schema.columns if column.kind is not None and column.name != label]
    chosen = set(features) if features is not None else {column.name for column in usable if not _is_identifier(column)}
    lines = ["version: 1", "", "# What the model may know. {} takes the defaults of the column's kind (see `preprocessing`).", "features:"]
    width = max((len(_key(column.name)) for column in usable), default=0) + 4
    for column in usable:
        if column.name in chosen:
            lines.append(f"  {_key(column.name) + ': {}':<{width}}  # {_about(column)}")
    for column in usable:
        if column.name not in chosen and features is None:
            lines.append(f"  # {_key(column.name) + ': {}':<{width}}# {_about(column)}; left out: it looks like an identifier")
    lines += ["", "# What it is to predict.", "labels:", f"  {_key(label)}:", f"    # {_about(schema[label])}"]
    lines += ["    loss: mse", "    metrics: [mae, rmse, r2]"] if task == "regression" else ["    metrics: [accuracy, log_loss]"]
    lines += [
        "",
        "# Which rows are kept to evaluate on: the same ones every time.",
        "split:",
        f"  ratio: {{train: {round(1 - eval_share, 6):g}, eval: {eval_share:g}}}",
        "  # categorize_by: COLUMN            # the same share in every group; then say index_ratio instead of ratio",
        "  # index_by: COLUMN                 # in the order of a time: train on the past, evaluate on what follows",
        "  # where:",
        f"  #   - {_key(_in_filter(label) + ' is not null')}",
        "",
        "trainer:",
        f"  type: {task}",
        "  architecture: feedforward",
        "  layers:",
        "    - {type: dense, units: 64}",
        "    - {type: dense, units: 32}",
        "  optimizer: adam                    # or {type: adam, learning_rate: 0.001}",
        "  epochs: 10                         # passes over the train rows; or train_steps",
        "  train_batch_size: 256",
        "",
        "# Metrics are also given for each value of these columns.",
        "evaluator:",
    ]
    sliced = _slice_column(schema, label)
    lines.append(f"  {_key(sliced)}: {{}}" if sliced else "  {}")
    lines += ["", "# Defaults by kind of column, where a feature says nothing of its own.", "preprocessing:"]
    for kind in dict.fromkeys(column.kind for column in usable if column.name in chosen):
        filling, transforms = BUILT_IN[kind or "string"]
        fill = "{method: custom, parameters: {custom_value: ''}}" if filling.name == "custom" else filling.name
        lines += [f"  {kind}:", f"    filling: {fill}", f"    transform: {transforms[0].name}"]
    if lines[-1] == "preprocessing:":
        lines[-1] = "preprocessing: {}"
    return "\n".join(lines) + "\n"


def _about(column: Column) -> str:
    about = column.kind or column.sql_type.lower()
    if column.minimum is not None:
        about += f", {_short(column.minimum)} to {_short(column.maximum)}"
    return about + (f", {column.num_nulls:,} nulls" if column.num_nulls else "")


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_identifier(column: Column) -> bool:
    return column.kind in ("integer", "string") and bool(re.fullmatch(r"(id|uuid|index|row_?(id|number))", column.name.lower()))


def _slice_column(schema: TableSchema, label: str) -> str | None:
    """A column with few values, as far as its range tells, or a text."""
    for column in schema.columns:
        if column.name == label or _is_identifier(column):
            continue
        if column.kind in ("boolean", "string"):
            return column.name
        if (
            column.kind == "integer"
            and isinstance(column.minimum, int)
            and isinstance(column.maximum, int)
            and column.maximum - column.minimum < 20
        ):
            return column.name
    return None


def _in_filter(name: str) -> str:
    """The name as a filter writes it."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else '"' + name.replace('"', '""') + '"'


def _key(name: str) -> str:
    """The name as a YAML key."""
    if not name.isprintable():
        return json.dumps(name)
    plain = re.fullmatch(r"[A-Za-z_][\w]*( [a-z]\w*)*", name) and name.lower() not in (
        "true",
        "false",
        "null",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
    )
    return name if plain else "'" + name.replace("'", "''") + "'"


def to_yaml(nested: dict[str, object]) -> str:
    """Plain data as YAML text, short lists and mappings in one line."""
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import SingleQuotedScalarString

    def styled(value: object, depth: int) -> object:
        if isinstance(value, str) and value.startswith("?"):  # ruamel writes it bare, and cannot read that
            return SingleQuotedScalarString(value)
        if isinstance(value, dict):
            mapping = CommentedMap((styled(key, depth), styled(child, depth + 1)) for key, child in value.items())
            if depth >= 2:
                mapping.fa.set_flow_style()
            return mapping
        if isinstance(value, list | tuple):
            sequence = CommentedSeq(styled(child, depth + 1) for child in value)
            if all(not isinstance(child, dict) for child in value):
                sequence.fa.set_flow_style()
            return sequence
        return value

    stream = StringIO()
    writer = YAML()
    writer.width = 120
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(styled(nested, 0), stream)
    return stream.getvalue()
