"""Config against a table: columns exist, words fit their kinds, filters are expressions; and what looks like a mistake.

Nothing here reads a row, so that `push` answers within a second.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from cengine.config.normalize import Problems
from cengine.config.read import ConfigFile
from cengine.config.resolve import BUILT_IN, Feature, Label, Resolved, resolve
from cengine.errors import ConfigError, Problem, near_miss
from cengine.expressions.filters import NotAFilter, columns_of, comparing_digits, parse_filter, with_columns
from cengine.networks.losses import Loss
from cengine.networks.metrics import METRICS
from cengine.tables import TableSchema
from cengine.transforms import Filling, InvertibleTransform
from cengine.transforms.fill import Custom

# Why an expression cannot be evaluated on such a table, or None.
Bind = Callable[[exp.Expr, TableSchema], str | None]
MANY_DISTINCT = 100
# Columns of the tables of slices beside the slice's own.
TAKEN_NAMES = ("split", "num_rows", *METRICS)


def check(file: ConfigFile, schema: TableSchema, bind: Bind | None = None) -> tuple[Resolved, tuple[Problem, ...]]:
    """The resolved configuration and the warnings. Raises ConfigError with everything that does not fit the table."""
    problems = Problems(file.document)
    checker = _Checker(file, schema, problems)
    checker.columns()
    if not problems.found:
        resolved = resolve(file.config, schema)
        checker.features(resolved)
        checker.labels(resolved)
    checker.filters(bind)
    if problems.found:
        raise ConfigError(problems.found)
    warnings = Problems(file.document)
    _Checker(file, schema, warnings).suspicions(resolved)
    return resolved, tuple(warnings.found)


def filters_of(resolved: Resolved, schema: TableSchema) -> list[exp.Expr]:
    """The parsed row filters of a checked configuration."""
    return [comparing_digits(with_columns(parse_filter(text), schema.names), schema) for text in resolved.split.where]


class _Checker:
    def __init__(self, file: ConfigFile, schema: TableSchema, problems: Problems) -> None:
        self.file = file
        self.config = file.config
        self.schema = schema
        self.problems = problems

    def add(self, message: str, path: tuple[str | int, ...], *notes: str, key: bool = False) -> None:
        self.problems.add(message, self.file.root.find(path, key=key), *notes)

    # Errors

    def columns(self) -> None:
        """Every column named anywhere exists and has a kind that words can use."""
        for block in ("features", "labels"):
            for name in getattr(self.config, block):
                if self._exists(name, (block, name), key=True) and self.schema[name].kind is None:
                    self.add(f"column '{name}' is of type {self.schema[name].sql_type}, which no transform reads", (block, name), key=True)
        split = self.config.split
        for field in ("categorize", "index"):
            name = getattr(split, field).by
            if name is not None:
                self._exists(name, ("split", field, "by"))
        for i, columns in enumerate(self.config.evaluator.slices):
            for j, name in enumerate(columns):
                self._exists(name, ("evaluator", "slices", i, j))
                if name in TAKEN_NAMES:
                    self.add(f"slices by '{name}' cannot be told from the results' own column '{name}'", ("evaluator", "slices", i, j),
                             "rename the column in the table")  # fmt: skip

    def _exists(self, name: str, path: tuple[str | int, ...], *, key: bool = False) -> bool:
        if name not in self.schema:
            names = self.schema.names
            shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            # Where the wrong datasource is active every column is missing; its columns are listed once.
            listed = () if self.problems.found else (f"its columns: {shown}",)
            self.add(f"there is no column '{name}' in the datasource", path, *listed, *near_miss(name, names), key=key)
        return name in self.schema

    def features(self, resolved: Resolved) -> None:
        for feature in resolved.features:
            self._fits(feature, ("features", feature.name))
            last = feature.transforms[-1]
            if feature.kind in ("string", "timestamp") and all(word.name == "no_transform" for word in feature.transforms):
                default = BUILT_IN[feature.kind][1][0].name
                self.add(
                    f"feature '{feature.name}' is a {feature.kind}; a network reads numbers",
                    ("features", feature.name),
                    f"leave `transform` out for {default}",
                    key=True,
                )
            gives = "code" if last.name in _GIVE_CODES else "number"
            if gives not in feature.encoding.accepts:
                self.add(
                    f"encoding '{feature.encoding.name}' is for {feature.encoding.accepts[0]}s, but {last.name} gives a {gives}",
                    ("features", feature.name, "encoding"),
                )

    def labels(self, resolved: Resolved) -> None:
        trainer = self.config.trainer
        for label in resolved.labels:
            path = ("labels", label.name)
            column = self.schema[label.name]
            if column.num_nulls is not None and column.num_nulls == self.schema.num_rows and self.schema.num_rows:
                self.add(f"label '{label.name}' is null in every row", path, key=True)
                continue
            if trainer.type == "regression" and label.kind not in ("integer", "float", "boolean"):
                self.add(
                    f"label '{label.name}' is a {label.kind}; {_named(label.loss)} needs a number",
                    (*path, "loss") if label.loss else path,
                    "for classes set `trainer: {type: classification}`",
                    key=not label.loss,
                )
            if trainer.type == "classification" and label.kind in ("float", "timestamp"):
                self.add(f"label '{label.name}' is a {label.kind}; classes are booleans, words or integers", path, key=True)
            self._objectives(label)
            self._label_words(label)
            self._outputs(label, len(resolved.labels))

    def _objectives(self, label: Label) -> None:
        tasks = ("regression",) if self.config.trainer.type == "regression" else ("binary", "classes")
        if label.loss is not None and not set(label.loss.tasks) & set(tasks):
            self.add(f"loss '{label.loss.name}' does not fit type '{self.config.trainer.type}'", ("labels", label.name, "loss"))
        for i, metric in enumerate(label.metrics or ()):
            if not set(metric.tasks) & set(tasks):
                self.add(f"metric '{metric.name}' does not fit type '{self.config.trainer.type}'", ("labels", label.name, "metrics", i))
        if label.loss is not None and label.loss.positive_labels:
            minimum = self.schema[label.name].minimum
            if isinstance(minimum, int | float) and minimum < 0:
                self.add(
                    f"loss '{label.loss.name}' needs labels that are not negative, the least is {minimum}", ("labels", label.name, "loss")
                )

    def _label_words(self, label: Label) -> None:
        path = ("labels", label.name)
        if label.filling is not None:
            self._filling_fits(label.name, label.filling, label.kind, (*path, "filling"))
        for word in label.transforms:
            if label.task != "regression" and word.name != "no_transform":
                self.add("classes take no transform: their vocabulary is learnt by itself", (*path, "transform"))
            elif not isinstance(word, InvertibleTransform):
                self.add(
                    f"transform '{word.name}' cannot be undone, so predictions could not be told in the label's unit", (*path, "transform")
                )
        if self.config.labels[label.name].encoding is not None:
            self.add("a label has no encoding", (*path, "encoding"), key=True)

    def _outputs(self, label: Label, num_labels: int) -> None:
        trainer = self.config.trainer
        units, activation = trainer.num_output_units, trainer.last_activation
        if label.task == "regression" and units not in (None, 1, num_labels):
            self.add(f"a regression label needs 1 output unit, found {units}", ("trainer", "num_output_units"))
        if label.task == "binary" and label.loss is not None and units not in (None, 1):
            self.add(
                f"loss '{label.loss.name}' needs 1 output unit, found {units}",
                ("trainer", "num_output_units"),
                "leave num_output_units out, or take loss: sparse_categorical_crossentropy",
            )
        if label.task == "binary" and activation not in (None, "sigmoid", "hard_sigmoid"):
            self.add(f"two classes with one output need last_activation: sigmoid, found '{activation}'", ("trainer", "last_activation"))
        if label.task == "classes" and activation not in (None, "softmax", "sigmoid"):
            self.add(f"classes need last_activation: softmax, found '{activation}'", ("trainer", "last_activation"))
        if label.task == "regression" and activation == "softmax":
            self.add("last_activation 'softmax' gives shares of classes, not a number", ("trainer", "last_activation"), "take linear")

    def _fits(self, feature: Feature, path: tuple[str | int, ...]) -> None:
        self._filling_fits(feature.name, feature.filling, feature.kind, (*path, "filling"))
        kind = feature.kind
        if feature.filling.name in ("mean", "median") and kind == "integer":
            kind = "float"
        for i, word in enumerate(feature.transforms):
            if kind not in word.accepts:
                where = (*path, "transform", i) if self.config.features[feature.name].transform else path
                what = f"column '{feature.name}' ({kind})" if i == 0 else f"what '{feature.transforms[i - 1].name}' gives ({kind})"
                self.add(
                    f"transform '{word.name}' does not apply to {what}",
                    where,
                    f"it applies to: {', '.join(word.accepts)}",
                    key=len(where) == 2,
                )
                return
            if word.name == "calendar" and i < len(feature.transforms) - 1:
                self.add("calendar gives several columns and must be the last transform", (*path, "transform", i))
                return
            kind = "code" if word.name in _GIVE_CODES else (kind if word.name == "no_transform" else "float")

    def _filling_fits(self, name: str, filling: Filling, kind: str, path: tuple[str | int, ...]) -> None:
        if kind not in filling.accepts:
            self.add(f"filling '{filling.name}' does not apply to column '{name}' ({kind})", path)
        elif isinstance(filling, Custom) and not filling.fits(kind):
            self.add(f"custom_value {filling.custom_value!r} is no {kind}, the kind of column '{name}'", path)

    def filters(self, bind: Bind | None) -> None:
        for i, text in enumerate(self.config.split.where):
            path = ("split", "where", i)
            try:
                expression = parse_filter(text)
            except NotAFilter as reason:
                self.add(f"the filter cannot be used: {reason}", path)
                continue
            spelled = {name.lower() for name in self.schema.names}
            missing = [name for name in columns_of(expression) if name.lower() not in spelled]
            for name in missing:
                self.add(f"the filter reads column '{name}', which is not in the datasource", path, *near_miss(name, self.schema.names))
            if not missing and bind is not None:
                unbound = bind(with_columns(expression, self.schema.names), self.schema)
                if unbound is not None:
                    self.add(f"the filter cannot be used: {unbound}", path)

    # Warnings

    def suspicions(self, resolved: Resolved) -> None:
        """What is obeyed, but looks like a mistake."""
        labels = {label.name for label in resolved.labels}
        for feature in resolved.features:
            path = ("features", feature.name)
            column = self.schema[feature.name]
            if feature.name in labels:
                self.add(
                    f"'{feature.name}' is a label and a feature too: the network is told the answer",
                    path,
                    "remove it from features",
                    key=True,
                )
            if column.num_nulls is not None and column.num_nulls == self.schema.num_rows:
                self.add(f"feature '{feature.name}' is null in every row", path, "remove it", key=True)
            elif column.minimum is not None and column.minimum == column.maximum and not column.num_nulls:
                self.add(f"feature '{feature.name}' has one value only: {column.minimum}", path, "remove it", key=True)
            if _looks_like_id(feature, column.minimum, column.maximum):
                self.add(
                    f"feature '{feature.name}' looks like an identifier, and is scaled as a quantity",
                    path,
                    "`transform: compute_and_apply_vocabulary` lets the network learn each value by itself",
                    key=True,
                )
        by = self.config.split.categorize.by
        if by in self.config.features and (self.config.split.categorize.ratio or self.config.split.categorize.categories):
            self.add(
                f"feature '{by}' is what whole groups are split by: the network never sees the groups it is evaluated on",
                ("features", str(by)), "remove it from features", key=True,
            )  # fmt: skip
        steps, every = self.config.trainer.train_steps, self.config.trainer.save_checkpoints_steps
        if steps and every and every > steps:
            self.add(
                f"save_checkpoints_steps ({every}) is more than train_steps ({steps}): one checkpoint, at the end",
                ("trainer", "save_checkpoints_steps"),
            )


_GIVE_CODES = ("compute_and_apply_vocabulary", "one_hot_encode", "bucketize", "hash_strings")


def _looks_like_id(feature: Feature, minimum: object, maximum: object) -> bool:
    if feature.kind != "integer" or not feature.name.lower().endswith(("_id", " id", "id")):
        return False
    wide = isinstance(minimum, int) and isinstance(maximum, int) and maximum - minimum > MANY_DISTINCT
    scaled = feature.transforms[-1].name in ("scale_to_z_score", "scale_to_0_1", "scale_by_min_max", "no_transform")
    return wide and scaled and feature.encoding.name in ("auto", "linear")


def _named(loss: Loss | None) -> str:
    return f"loss '{loss.name}'" if loss else "a regression"
