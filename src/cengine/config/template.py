"""A commented YAML to begin with, from a table's columns."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence

from cengine.config.length import LEARNING_RATE, LEAST_STEPS, NUM_CHECKPOINTS, PASSES, Length
from cengine.config.resolve import BUILT_IN
from cengine.config.schema import INNER_SHARE
from cengine.tables import Column, TableSchema

LABEL_NAMES = (
    "label", "target", "class", "outcome", "income", "price", "species", "quality", "survived", "diagnosis", "churn", "y",
)  # fmt: skip
SPLIT_NAMES = ("split", "part", "partition", "subset", "fold", "set", "dataset")
_TASKS = {"boolean": "classification", "string": "classification", "integer": "regression", "float": "regression"}
# What brought most over the tables of bench/quality.py.
UNITS, NUM_LAYERS = 64, 2
# Which share is dropped: labels that are numbers without noise are harmed by it, and many rows need none.
DROPOUT, DROPOUT_OF_NUMBERS, MANY_ROWS = 0.15, 0.1, 15_000
# So many networks share the layers. Of few rows and of very many more members cost time, and bring little.
MEMBERS, FEWER_MEMBERS, LARGE_ROWS = 8, 4, 100_000
# With more rows it is worth more to learn from all of them than to choose a checkpoint by a tenth.
FEW_ROWS = 1_500
NUMBERS = ["    filling: median", "    transform: robust", "    encoding: bins"]
INDICATOR = "    missing_indicator: true  # an input more for each column with missing cells"
NAMING = "compute_and_apply_vocabulary"
# A whole number of so few values is a group of rows; so is a text that is not longer.
FEW_VALUES, SHORT_TEXT = 20, 30


def named_label(schema: TableSchema) -> str | None:
    """The column whose name says that it is to be predicted, None where there is none; a `y` beside an `x` is a coordinate."""
    usable = {column.name.lower(): column.name for column in schema.columns if column.kind in _TASKS}
    return next((usable[name] for name in LABEL_NAMES if name in usable and not (name == "y" and "x" in usable)), None)


def guessed_label(schema: TableSchema) -> str:
    """The column that most likely is to be predicted: one of a usual name, else the last that can be."""
    usable = [column for column in schema.columns if column.kind in _TASKS]
    likely = [column for column in usable if not _is_identifier(column, schema) and not _is_split(column)]
    last = [*schema.columns[-1:], *usable, *likely][-1]
    return named_label(schema) or last.name


def task_for(column: Column) -> str:
    """`regression` or `classification`: integers that are only 0 and 1 are classes."""
    if column.kind == "integer" and (column.minimum, column.maximum) == (0, 1):
        return "classification"
    return _TASKS.get(column.kind or "", "regression")


def template(
    schema: TableSchema,
    label: str | None = None,
    features: Sequence[str] | None = None,
    eval_share: float = 0.1,
    of_single_rows: Collection[str] = (),
) -> str:
    """YAML text that is valid on such a table; every line that invites a change has a comment.

    `of_single_rows` are columns of text with another value in nearly every row: they are named, and left out.
    """
    told = "" if label else _why(schema)
    label = label or guessed_label(schema)
    trainer = task_for(schema[label])
    usable = [column for column in schema.columns if column.kind is not None and column.name != label]
    reasons = {
        column.name: left_out(column, schema)
        or ("another text in nearly every row" if column.name in of_single_rows else None)
        for column in usable
    }
    chosen = [
        column for column in usable if (column.name in features if features is not None else not reasons[column.name])
    ]
    lines = [
        "version: 1",
        "",
        "# What the model may know. {} takes the defaults of the column's kind (see `preprocessing`).",
        "features:",
        *feature_lines(usable, chosen, reasons if features is None else {}),
        "",
        f"# What it is to predict.{told}",
        "labels:",
        f"  {key_of(label)}:",
        f"    # {_about(schema[label])}",
        # The first metric is what the loss makes small.
        *(
            ["    loss: mse", "    metrics: [rmse, mae, r2]"]
            if trainer == "regression"
            else ["    metrics: [log_loss, accuracy]"]
        ),
        "",
        *_split(schema, label, trainer, eval_share),
        "",
        *_trainer(trainer, round(schema.num_rows * (1 - eval_share))),
        "",
        "# Metrics are also given for each value of these columns.",
        "evaluator:",
    ]
    sliced = slice_column(schema, {label, *of_single_rows})
    lines.append(f"  {key_of(sliced)}: {{}}" if sliced else "  {}")
    return "\n".join([*lines, "", *_preprocessing(chosen)]) + "\n"


def _why(schema: TableSchema) -> str:
    """How the label was found."""
    if named_label(schema) is not None:
        return " Taken for its name; --label names another column."
    return " GUESSED: the last column, as no name says what is to be predicted; --label names another."


def feature_lines(usable: Sequence[Column], chosen: Sequence[Column], reasons: Mapping[str, str | None]) -> list[str]:
    """A line for each of the chosen columns, and a comment for each that is left out, with the reason."""
    width = max((len(key_of(column.name)) for column in usable), default=0) + 4
    lines = [
        f"  {key_of(column.name)}: {{filling: mode, transform: {NAMING}}}  # {_about(column)}; numbers that are names"
        if _is_name(column)
        else f"  {key_of(column.name) + ': {}':<{width}}  # {_about(column)}"
        for column in chosen
    ]
    for column in usable:
        if reasons.get(column.name):
            lines.append(
                f"  # {key_of(column.name) + ': {}':<{width}}# {_about(column)}; left out: {reasons[column.name]}"
            )
    return lines


def _split(schema: TableSchema, label: str, task: str, eval_share: float) -> list[str]:
    shares = f"{{train: {round(1 - eval_share, 6):g}, eval: {eval_share:g}}}"
    lines = ["# Which rows are kept to evaluate on: the same ones every time.", "split:"]
    if task == "classification":
        lines += [
            f"  categorize_by: {key_of(label)}",
            f"  index_ratio: {shares}  # of each class the same share",
        ]
    else:
        lines += [
            f"  ratio: {shares}",
            "  # categorize_by: COLUMN            # the same share in every group; then say index_ratio instead of ratio",
        ]
    lines.append(
        "  # index_by: COLUMN                 # in the order of a time: train on the past, evaluate on what follows"
    )
    lines += [
        f"  # categorize: {{by: {key_of(column.name)}, categories: {{train: [...], eval: [...]}}}}  # as the table is divided already"
        for column in schema.columns
        if _is_split(column) and column.name != label
    ]
    return [*lines, "  # where:", f"  #   - {key_of(_in_filter(label) + ' is not null')}"]


def _trainer(task: str, num_rows: int) -> list[str]:
    """The numbers that follow from the train rows, written out. Of few of them a tenth tells when to stop; more are all learnt from."""
    stops = num_rows < FEW_ROWS
    num_rows = round(num_rows * (1 - INNER_SHARE)) if stops else num_rows
    length = Length.of(num_rows)
    passes = length.steps * length.batch_rows / max(1, num_rows)
    stopping = f"{'' if stops else '# '}early_stopping: {length.patience}"
    return [
        f"# The numbers follow from the rows: about {num_rows:,} are learnt from. Without train_steps and what is below it, they",
        "# follow from each table's rows.",
        "trainer:",
        f"  type: {task}",
        "  architecture: feedforward",
        "  layers:",
        *_layers(task, num_rows),
        f"  ensemble: {MEMBERS if MANY_ROWS <= num_rows < LARGE_ROWS else FEWER_MEMBERS:<23}  # so many networks that share these layers, averaged",
        f"  train_steps: {length.steps:<20}  # {passes:,.3g} passes: {PASSES} or, of a small table, {LEAST_STEPS:,} steps; or epochs",
        f"  train_batch_size: {length.batch_rows:<15}  # small for few rows",
        f"  optimizer: {{type: adam, learning_rate: {{type: cosine_decay, initial_learning_rate: {LEARNING_RATE:g}}}}}",
        f"  save_checkpoints_steps: {length.every:<9}  # {NUM_CHECKPOINTS} checkpoints",
        f"  {stopping:<33}  # a tenth of train ends it after so many checkpoints without a better one",
    ]


def _layers(task: str, num_rows: int) -> list[str]:
    rate = DROPOUT if task == "classification" else 0 if num_rows >= MANY_ROWS else DROPOUT_OF_NUMBERS
    layer = [f"    - {{type: dense, units: {UNITS}}}"]
    return (layer + ([f"    - {{type: dropout, rate: {rate:g}}}"] if rate else [])) * NUM_LAYERS


def _preprocessing(chosen: Sequence[Column]) -> list[str]:
    lines = []
    for kind in dict.fromkeys(column.kind for column in chosen):
        if kind in ("integer", "float"):
            lacks = any(column.kind == kind and column.num_nulls for column in chosen)
            lines += [f"  {kind}:", *NUMBERS, *([INDICATOR] if lacks else [])]
            continue
        filling, transforms = BUILT_IN[kind or "string"]
        fill = "{method: custom, parameters: {custom_value: ''}}" if filling.name == "custom" else filling.name
        lines += [f"  {kind}:", f"    filling: {fill}", f"    transform: {transforms[0].name}"]
    about = "# Defaults by kind of column, where a feature says nothing of its own."
    return [about, "preprocessing:", *lines] if lines else [about, "preprocessing: {}"]


def _about(column: Column) -> str:
    about = column.kind or column.sql_type.lower()
    if column.minimum is not None:
        about += f", {_short(column.minimum)} to {_short(column.maximum)}"
    return about + (f", {column.num_nulls:,} nulls" if column.num_nulls else "")


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def left_out(column: Column, schema: TableSchema) -> str | None:
    """Why a column is no feature, None where it may be one."""
    if _is_identifier(column, schema):
        return "it looks like an identifier"
    return "it looks like a division of the rows" if _is_split(column) else None


def _is_identifier(column: Column, schema: TableSchema) -> bool:
    """Whether it names rows: by its own name, or since it counts them from 0 or 1."""
    if column.kind not in ("integer", "string"):
        return False
    counts = (
        schema.num_rows > FEW_VALUES
        and isinstance(column.minimum, int)
        and isinstance(column.maximum, int)
        and column.minimum in (0, 1)
        and column.maximum - column.minimum + 1 == schema.num_rows
    )
    return counts or bool(
        re.fullmatch(r"(id|uuid|guid|index|unnamed:? ?0|row_?(id|number|index))", column.name.lower())
    )


def _is_name(column: Column) -> bool:
    """Whether its numbers are names, as its own name says: of stations, of products, of places."""
    return column.kind == "integer" and bool(
        re.search(
            r"(^|[_ ])(id|code|zip|zipcode|postcode|sku)$|[a-z]Id$|^(bike|user|item|store|product|station)id$",
            column.name,
        )
    )


def _is_split(column: Column) -> bool:
    """Whether its name says that it divides the rows into splits."""
    return column.kind in ("string", "integer") and column.name.lower() in SPLIT_NAMES


def slice_column(schema: TableSchema, others: Collection[str]) -> str | None:
    """A column with few values, as far as its range tells: yes or no, a few whole numbers, else a short text. It is none of the others."""
    able = [column for column in schema.columns if column.name not in others and left_out(column, schema) is None]
    few = [column for column in able if column.kind == "boolean" or _has_few(column)]
    texts = [
        column for column in able if column.kind == "string" and max(map(len, _ends(column)), default=0) <= SHORT_TEXT
    ]
    return next((column.name for column in [*few, *texts]), None)


def _has_few(column: Column) -> bool:
    low, high = column.minimum, column.maximum
    whole = column.kind == "integer" and isinstance(low, int) and isinstance(high, int)
    return whole and high - low < FEW_VALUES


def _ends(column: Column) -> list[str]:
    return [end for end in (column.minimum, column.maximum) if isinstance(end, str)]


def _in_filter(name: str) -> str:
    """The name as a filter writes it."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else '"' + name.replace('"', '""') + '"'


def key_of(name: str) -> str:
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
        if isinstance(value, str) and value.startswith(("?", ":")):  # ruamel writes it bare, and cannot read that
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
