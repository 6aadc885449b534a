"""Config against a table: columns exist, words fit their kinds, filters are expressions; and what looks like a mistake.

Nothing here reads a row, so that `push` answers within a second.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from sqlglot import exp

from cengine.config import rows_checks, series_checks, suspicions
from cengine.config.filter_checks import Bind, contradictions, usable_filters
from cengine.config.filter_facts import Range, narrowed
from cengine.config.normalize import Problems
from cengine.config.read import ConfigFile
from cengine.config.resolve import BUILT_IN, Feature, Label, Resolved, given_by, is_open, resolve, spelled_as_in
from cengine.config.schema import Config, Finding, LabelFacts
from cengine.config.series import is_of_rows, on_points
from cengine.errors import ConfigError, Problem
from cengine.expressions.filters import parse_filter, with_columns
from cengine.expressions.meanings import meant
from cengine.extras import install_command
from cengine.metrics.metric import Metric
from cengine.metrics.table import METRICS
from cengine.tables import TableSchema
from cengine.tasks import TASKS, Binary, Classes, Quantiles, task_named
from cengine.transforms import Filling, InvertibleTransform
from cengine.transforms.fill import SERIES_FILLINGS, Custom


def check(file: ConfigFile, schema: TableSchema, bind: Bind | None = None) -> tuple[Resolved, tuple[Problem, ...]]:
    """The resolved configuration and the warnings. Raises ConfigError with everything that does not fit the table."""
    problems = Problems(file.document, file.problems)
    checker = Checker(file, schema, problems)
    checker.columns()
    if not series_checks.of_block(checker):
        raise ConfigError(problems.found)  # without points there is nothing to look at
    # What is wrong in one place keeps nothing else from being looked at: all mistakes are told in one round.
    resolved = resolve(_usable(checker.config, schema), schema)
    checker.folds()
    points = checker.on_points(resolved)
    points.features(resolved)
    filters = usable_filters(checker, bind)
    contradictions(checker, filters)
    if "trainer" not in file.unread:
        points.labels(resolved, _ranges(resolved, schema, filters))
        points.evaluator_metrics(resolved)
        points.yardstick(resolved)
        rows_checks.check(points, resolved)
    series_checks.of_words(checker, resolved)
    if problems.found:
        raise ConfigError(problems.found)
    return resolved, _warnings(file, schema, resolved, filters)


def _ranges(resolved: Resolved, schema: TableSchema, filters: Sequence[tuple[int, exp.Expr]]) -> dict[str, Range]:
    """The ranges that filters leave the columns; of points nothing is known."""
    return {} if resolved.series else narrowed([filter_ for _, filter_ in filters], schema)


def _warnings(
    file: ConfigFile, schema: TableSchema, resolved: Resolved, filters: Sequence[tuple[int, exp.Expr]]
) -> tuple[Problem, ...]:
    """What fits the table and is hardly meant."""
    warnings = Problems(file.document)
    cautious = Checker(file, schema, warnings)
    suspicions.of_columns(cautious.on_points(resolved), resolved)
    suspicions.of_filters(cautious, filters)
    suspicions.of_splits(cautious)
    suspicions.of_training(cautious.on_points(resolved), resolved, _ranges(resolved, schema, filters))
    return tuple(warnings.found)


def filters_of(resolved: Resolved, schema: TableSchema) -> list[exp.Expr]:
    """The row filters of a checked configuration, in pieces that mean the same on every engine."""
    return [meant(with_columns(parse_filter(text), schema.names), schema) for text in resolved.split.where]


def _usable(config: Config, schema: TableSchema) -> Config:
    """The configuration without columns that the table lacks or no word reads."""

    def is_kept(name: str) -> bool:
        return (name in schema and schema[name].kind is not None) or is_of_rows(name, config, schema)

    def kept(columns: dict[str, Any]) -> dict[str, Any]:
        return {name: column for name, column in columns.items() if is_kept(name)}

    return config.model_copy(update={"features": kept(config.features), "labels": kept(config.labels)})


class Checker:
    """Finds what is wrong; every method adds to `problems`."""

    def __init__(self, file: ConfigFile, schema: TableSchema, problems: Problems) -> None:
        self.file = file
        self.spelled = spelled_as_in(file.config, schema.lookup)
        # Columns are called as in the table from here on; `add` finds their places in the YAML.
        self.config = self.spelled.config
        self.schema = schema
        self.problems = problems

    def on_points(self, resolved: Resolved) -> Checker:
        """One that looks at the points of a time series: their columns, and the configuration as it applies to them."""
        series = resolved.series
        if series is None:
            return self
        found = copy(self)
        found.config = on_points(_usable(self.config, self.schema), series)
        found.schema = series.schema(self.schema)
        written = {("features", column.name): self._written(column.written) for column in series.columns}
        found.spelled = replace(self.spelled, written={**self.spelled.written, **written})
        return found

    def _written(self, name: str) -> str:
        return self.spelled.written.get(("features", name), name)

    def add(self, message: str, path: tuple[str | int, ...], *notes: str, key: bool = False) -> None:
        if len(path) > 1 and (str(path[0]), str(path[1])) in self.spelled.written:
            path = (path[0], self.spelled.written[str(path[0]), str(path[1])], *path[2:])
        self.problems.add(message, self.file.root.find(path, key=key), *notes)

    # Errors

    def columns(self) -> None:
        """Every column named anywhere exists and has a kind that words can use."""
        for block in ("features", "labels"):
            for name in getattr(self.config, block):
                if is_of_rows(name, self.config, self.schema):
                    continue
                if self.exists(name, (block, name), key=True) and self.schema[name].kind is None:
                    self.add(
                        f"column '{name}' is of type {self.schema[name].sql_type}, which no transform reads",
                        (block, name),
                        key=True,
                    )
        for block, one, other in self.spelled.repeated:
            mark = self.file.root.find((block, other), key=True)
            self.problems.add(
                f"'{one}' and '{other}' are the same column of the datasource", mark, "keep one of the two"
            )
        split = self.config.split
        for field in ("categorize", "index"):
            name = getattr(split, field).by
            if name is not None and self.file.root.has(("split", field, "by")):
                self.exists(name, ("split", field, "by"))
        for label, known in self.config.labels.items():
            if known.sample_weight is not None:
                self.exists(known.sample_weight, ("labels", label, "sample_weight"))
        for i, columns in enumerate(() if self.config.timeseries else self.config.evaluator.slices):
            for j, name in enumerate(columns):
                self.exists(name, ("evaluator", "slices", i, j))

    def folds(self) -> None:
        """There are as many rows, or groups, as folds, as far as the snapshot tells."""
        split = self.config.split
        if split.num_folds is None:
            return
        path = ("split", "folds") if split.folds else ("split", "categorize", "folds")
        num_rows, by = self.schema.num_rows, split.categorize.by
        most = self._most_groups(by) if split.whole_groups and by and by in self.schema else None
        if split.num_folds > num_rows:
            self.add(f"{split.num_folds} folds need a row each, and the datasource has {num_rows:,}", path)
        elif most is not None and split.num_folds > most:
            self.add(
                f"{split.num_folds} folds need a group each, and column '{by}' has {most:,} at most",
                path,
                f"ask for {most} folds" if most > 1 else "divide rows: `folds:` without `category_`",
            )

    def _most_groups(self, name: str) -> int | None:
        """How many groups a column makes at most, as its range tells; None where it tells nothing."""
        column = self.schema[name]
        null = 0 if column.num_nulls == 0 else 1
        if column.kind == "boolean":
            return 2 + null
        if column.kind == "integer" and isinstance(column.minimum, int) and isinstance(column.maximum, int):
            return column.maximum - column.minimum + 1 + null
        return None

    def exists(self, name: str, path: tuple[str | int, ...], *, key: bool = False) -> bool:
        if name not in self.schema:
            # Where the wrong datasource is active every column is missing; its columns are listed once.
            message, *notes = self.schema.lookup.fault(name, listing=not self.problems.found)
            self.add(message, path, *notes, key=key)
        return name in self.schema

    def features(self, resolved: Resolved) -> None:
        for feature in resolved.features:
            place = ("features", feature.name)
            self._fits(feature, place)
            last = feature.transforms[-1]
            untouched = all(word.name == "no_transform" for word in feature.transforms)
            if feature.kind in ("string", "timestamp") and untouched:
                default = BUILT_IN[feature.kind][1][0].name
                told = f"feature '{feature.name}' is a {feature.kind}; a network reads numbers"
                self.add(told, place, f"leave `transform` out for {default}", key=True)
            gives = given_by(feature.transforms)
            if gives not in feature.encoding.accepts:
                own = self.config.features[feature.name].encoding is not None
                self.add(
                    f"encoding '{feature.encoding.name}' is for {feature.encoding.accepts[0]}s, but {last.name} gives a {gives}",
                    (*place, "encoding") if own else ("preprocessing", feature.kind, "encoding"),
                )

    def labels(self, resolved: Resolved, ranges: dict[str, Range]) -> None:
        trainer = self.config.trainer
        for label in resolved.labels:
            path = ("labels", label.name)
            column = self.schema[label.name]
            if column.num_nulls is not None and column.num_nulls == self.schema.num_rows and self.schema.num_rows:
                self.add(f"label '{label.name}' is null in every row", path, key=True)
                continue
            called = f"loss '{label.loss.name}'" if label.loss else "a regression"
            if trainer.type == "regression" and label.kind not in ("integer", "float", "boolean"):
                self.add(
                    f"label '{label.name}' is a {label.kind}; {called} needs a number",
                    (*path, "loss") if label.loss else path,
                    "for classes set `trainer: {type: classification}`",
                    key=not label.loss,
                )
            if trainer.type == "classification" and label.kind in ("float", "timestamp"):
                self.add(
                    f"label '{label.name}' is a {label.kind}; classes are booleans, words or integers", path, key=True
                )
            self._objectives(label)
            self._label_words(label)
            self._weights(label)
            self.say(trainer.problems(self.label_facts(label, len(resolved.labels), ranges)))

    def _objectives(self, label: Label) -> None:
        tasks = [
            name
            for name, task in TASKS.items()
            if task.has_label and task.has_classes == (self.config.trainer.type == "classification")
        ]
        if label.loss is not None and not set(label.loss.tasks) & set(tasks):
            self.add(
                f"loss '{label.loss.name}' does not fit type '{self.config.trainer.type}'",
                ("labels", label.name, "loss"),
            )
        elif label.asked().quantiles and not self.config.trainer.predicts_quantiles:
            self.add(
                f"the learner '{self.config.trainer.architecture}' predicts no quantiles",
                ("labels", label.name, "loss"),
            )
        for i, metric in enumerate(label.metrics or ()):
            if not set(metric.tasks) & set(tasks):
                self.add(
                    f"metric '{metric.name}' does not fit type '{self.config.trainer.type}'",
                    ("labels", label.name, "metrics", i),
                )
            elif not set(metric.tasks) & self._tasks(label):
                self.add(
                    f"metric '{metric.name}' does not fit label '{label.name}', which has {task_named(label.task).labels_are}",
                    ("labels", label.name, "metrics", i),
                    f"metrics that do: {', '.join(_metrics_for(label.task))}",
                    *_losses_for(metric),
                )
        if label.loss is not None and label.loss.positive_labels:
            minimum = self.schema[label.name].minimum
            if isinstance(minimum, int | float) and minimum < 0:
                self.add(
                    f"loss '{label.loss.name}' needs labels that are not negative, the least is {minimum}",
                    ("labels", label.name, "loss"),
                )

    def _tasks(self, label: Label) -> set[str]:
        """What the label's task may be; without a loss the number of its classes settles it, or the outputs that are asked for."""
        if not task_named(label.task).has_classes or label.loss is not None:
            return {label.task}
        either = is_open(label) or self.config.trainer.one_output_a_class
        return {Binary.name, Classes.name} if either else {label.task}

    def evaluator_metrics(self, resolved: Resolved) -> None:
        """A metric of the evaluator fits one label at least."""
        tasks = set().union(*(self._tasks(label) for label in resolved.labels))
        for i, metric in enumerate(resolved.metrics or ()):
            if tasks and not set(metric.tasks) & tasks:
                self.add(
                    f"metric '{metric.name}' fits no label",
                    ("evaluator", "metrics", i),
                    f"metrics that do: {', '.join(sorted({name for task in tasks for name in _metrics_for(task)}))}",
                    *_losses_for(metric),
                )

    def yardstick(self, resolved: Resolved) -> None:
        """What it is grown with is installed."""
        if resolved.yardstick is not None and importlib.util.find_spec("lightgbm") is None:
            self.add(
                "yardstick: trees needs the package lightgbm",
                ("evaluator", "yardstick"),
                install_command("trees"),
                "without it leave `yardstick` out: the linear model is always there",
            )

    def label_facts(self, label: Label, num_labels: int, ranges: dict[str, Range]) -> LabelFacts:
        """What a learner's block is checked against."""
        known, column = ranges.get(label.name), self.schema[label.name]
        if task_named(label.task).has_classes or known is None or known.low > known.high:
            return LabelFacts(label, num_labels, None)
        return LabelFacts(label, num_labels, (max(column.minimum, known.low), min(column.maximum, known.high)))

    def say(self, findings: Iterable[Finding]) -> None:
        """Adds what is found of the trainer block, once though it be found beside each label."""
        for found in findings:
            if not any(problem.message == found.message for problem in self.problems.found):
                self.add(found.message, ("trainer", found.key, *found.within), *found.notes)

    def _weights(self, label: Label) -> None:
        """What rows count by is a column of numbers that are not negative; only classes are weighted as such."""
        if label.class_weight is not None and not task_named(label.task).has_classes:
            told = "class_weight is for classes, and this label is a number"
            self.add(
                told, ("labels", label.name, "class_weight"), "sample_weight: COLUMN weights single rows", key=True
            )
        name = label.sample_weight
        if name is None or name not in self.schema:
            return
        path, column = ("labels", label.name, "sample_weight"), self.schema[name]
        if name == label.name:
            self.add(f"label '{name}' cannot be its own sample_weight", path, "name another column")
        elif column.kind not in ("integer", "float", "boolean"):
            self.add(f"sample_weight '{name}' is a {column.kind}; how much a row counts is a number", path)
        elif self.config.split.where:
            return  # rows whose weight is none may be left out by a filter
        elif column.num_nulls:
            note = "leave them out with a filter under `split: where:`, such as `abs(COLUMN) < 1e30`"
            self.add(f"sample_weight '{name}' is missing in {column.num_nulls:,} rows", path, note)
        elif isinstance(column.minimum, int | float) and column.minimum < 0:
            told = f"sample_weight '{name}' is below 0 in some rows, the least is {column.minimum:g}"
            self.add(told, path, "a row counts 0 or more")

    def _label_words(self, label: Label) -> None:
        path = ("labels", label.name)
        if label.filling is not None:
            self._filling_fits(label.name, label.filling, label.kind, (*path, "filling"))
        for word in label.transforms:
            if task_named(label.task).has_classes and word.name != "no_transform":
                self.add("classes take no transform: their vocabulary is learnt by itself", (*path, "transform"))
            elif not isinstance(word, InvertibleTransform):
                self.add(
                    f"transform '{word.name}' cannot be undone, so predictions could not be told in the label's unit",
                    (*path, "transform"),
                )
        if self.config.labels[label.name].encoding is not None:
            self.add("a label has no encoding", (*path, "encoding"), key=True)
        if self.config.labels[label.name].missing_indicator is not None:
            self.add("missing_indicator is for features", (*path, "missing_indicator"), key=True)

    def _fits(self, feature: Feature, path: tuple[str | int, ...]) -> None:
        self._filling_fits(feature.name, feature.filling, feature.kind, (*path, "filling"))
        kind = feature.kind
        if feature.filling.name in ("mean", "median") and kind == "integer":
            kind = "float"
        for i, word in enumerate(feature.transforms):
            if kind not in word.accepts:
                where = (*path, "transform", i) if self.config.features[feature.name].transform else path
                what = (
                    f"column '{feature.name}' ({kind})"
                    if i == 0
                    else f"what '{feature.transforms[i - 1].name}' gives ({kind})"
                )
                self.add(
                    f"transform '{word.name}' does not apply to {what}",
                    where,
                    f"it applies to: {', '.join(word.accepts)}",
                    key=len(where) == 2,
                )
                return
            if word.gives_several and i < len(feature.transforms) - 1:
                self.add(f"{word.name} gives several columns and must be the last transform", (*path, "transform", i))
                return
            kind = word.gives or kind

    def _filling_fits(self, name: str, filling: Filling, kind: str, path: tuple[str | int, ...]) -> None:
        if filling.name in SERIES_FILLINGS:
            of_label = path[0] == "labels"
            told = "a label takes no neighbour's value: what is to be predicted would be made up"
            needs = f"filling '{filling.name}' needs the block `timeseries`: rows have no order without it"
            self.add(told if of_label and self.config.timeseries else needs, path)
            return
        if kind not in filling.accepts:
            self.add(f"filling '{filling.name}' does not apply to column '{name}' ({kind})", path)
        elif isinstance(filling, Custom) and not filling.fits(kind):
            self.add(f"custom_value {filling.custom_value!r} is no {kind}, the kind of column '{name}'", path)


def _losses_for(metric: Metric) -> tuple[str, ...]:
    """How a label comes to have what the metric measures, where a loss asks for it."""
    return ("`loss: quantile` gives the label quantiles",) if set(metric.tasks) == {Quantiles.name} else ()


def _metrics_for(task: str) -> list[str]:
    return [name for name, metric in METRICS.usable().items() if task in metric.tasks]
