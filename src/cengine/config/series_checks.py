"""What of `timeseries:` does not fit the table, the split, the learner, or the words of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cengine.config.resolve import Resolved
from cengine.config.schema import ColumnConfig, LabelConfig
from cengine.config.series import steps_ahead, takes_its_past
from cengine.config.timeseries import SeriesColumn, SeriesLabel, TimeSeries, in_seconds
from cengine.names import HORIZON_STEP
from cengine.transforms.fill import Backwards
from cengine.transforms.tuning import NoTuning, Shift

if TYPE_CHECKING:
    from cengine.config.checks import Checker
    from cengine.metrics.metric import Metric

CATEGORIES = ("boolean", "integer", "string")
TIMESTAMP, CATEGORY = "process_sequence_w_timestamp", "process_sequence_w_category"
RATE = "resampling_rate_in_secs"


def of_block(checker: Checker) -> bool:
    """Adds what is wrong with the block and beside other blocks; whether points can be made by it."""
    _learner(checker)
    words = checker.config.timeseries
    if "timeseries" in checker.file.unread:
        return False
    if words is None:
        _without(checker)
        return True
    usable = _time(checker, words) & _category(checker, words)
    _grid(checker, words)
    _split(checker, words)
    _inputs(checker, words)
    return usable


def _learner(checker: Checker) -> None:
    """The learner reads windows where there are any, else rows."""
    trainer = checker.config.trainer
    has_windows = "timeseries" in checker.file.root.value
    if trainer.is_autoencoder and (has_windows or trainer.reads_windows):
        checker.add(
            "an autoencoder reconstructs single rows; windows of `timeseries` it does not take yet",
            ("trainer", "type"),
            "leave `timeseries` and `architecture` out, or predict a label",
        )
        return
    if "trainer" in checker.file.unread or trainer.reads_windows == has_windows:
        return
    if has_windows:
        checker.add(
            f"architecture '{trainer.architecture}' learns from single rows, and `timeseries` makes windows of them",
            ("trainer", "architecture"),
            "write `architecture: sequential`, or remove the block `timeseries`",
        )
    else:
        checker.add(
            f"architecture '{trainer.architecture}' learns from windows of rows, and no block `timeseries` makes them",
            ("trainer", "architecture"),
            f"for example: timeseries: {{{TIMESTAMP}: COLUMN, resampling_rate_in_secs: 3600, sequence_length: 24}}",
        )


def _without(checker: Checker) -> None:
    """Words that need an order of rows. Resampling is read without one too: the post's YAML has it."""
    for name, label in checker.config.labels.items():
        if any(not isinstance(word, NoTuning) for word in label.label_tuning or ()):
            told = "label_tuning needs the block `timeseries`: rows have no order without it"
            checker.add(told, ("labels", name, "label_tuning"))
        for place, metric in enumerate(label.metrics or ()):
            _metric_without(checker, metric, ("labels", name, "metrics", place))
    for place, metric in enumerate(checker.config.evaluator.metrics or ()):
        _metric_without(checker, metric, ("evaluator", "metrics", place))


def _metric_without(checker: Checker, metric: Metric, path: tuple[str | int, ...]) -> None:
    if metric.of_series:
        told = f"metric '{metric.name}' needs the block `timeseries`: it divides by the error of repeating a series' last season"
        checker.add(told, path, "wape and smape need no series")


# The block


def _time(checker: Checker, words: TimeSeries) -> bool:
    path, name = ("timeseries", TIMESTAMP), words.timestamp
    if not checker.exists(name, path):
        return False
    kind = checker.schema[name].kind
    if kind != "timestamp":
        told = f"column '{name}' holds no times but is of type {checker.schema[name].sql_type}"
        times = [column.name for column in checker.schema.columns if column.kind == "timestamp"]
        note = f"columns of times: {', '.join(times[:10])}" if times else "no column of the datasource holds times"
        checker.add(told, path, note)
    elif name in checker.config.labels:
        checker.add(f"'{name}' is the time of the series and a label", ("labels", name), key=True)
    else:
        return True
    return False


def _category(checker: Checker, words: TimeSeries) -> bool:
    path, name = ("timeseries", CATEGORY), words.category
    if name is None:
        return True
    if not checker.exists(name, path):
        return False
    kind = checker.schema[name].kind
    if name == words.timestamp:
        checker.add(f"'{name}' is the time of the series; the category tells one series from another", path)
    elif kind not in CATEGORIES:
        told = f"column '{name}' is of type {checker.schema[name].sql_type}; what tells series apart are texts or whole numbers"
        checker.add(told, path)
    elif name in checker.config.labels:
        checker.add(
            f"'{name}' tells the series apart and is a label", ("labels", name), "remove it from labels", key=True
        )
    else:
        return True
    return False


def _grid(checker: Checker, words: TimeSeries) -> None:
    """The gap and the rate."""
    if words.rate is None:
        if words.empty_periods == "keep" and _is_of_rows(checker, words):
            told = "empty_periods: keep needs resampling_rate_in_secs: without periods none is empty"
            checker.add(told, ("timeseries", "empty_periods"))
    elif words.gap is not None and words.gap < words.rate:
        gap, rate = in_seconds(words.gap), in_seconds(words.rate)
        checker.add(
            f"trip_gap_threshold_in_secs ({gap}) is below resampling_rate_in_secs ({rate}): every empty period would end a trip",
            ("timeseries", "trip_gap_threshold_in_secs"),
            "take at least the rate, or leave it out: then a series is one trip",
        )


def _split(checker: Checker, words: TimeSeries) -> None:
    """Neighbouring points are nearly the same: only a cut in time, or whole series, keep them apart."""
    split = checker.config.split
    way = "ratio" if split.ratio else "folds" if split.folds else None
    mend = (
        f"take `index_by: {words.timestamp}` with `index_ratio`, or whole series: `categorize_by` with `category_ratio`"
    )
    if way is not None:
        told = (
            f"`{way}` draws rows at random: a window would stand in train and, one row later, in what it is measured on"
        )
        checker.add(told, ("split", way), mend)
    if split.categorize.folds:
        told = "`category_folds` divides rows, not windows: a model of windows is measured on one split"
        checker.add(told, ("split", "categorize", "folds"), "take `categorize_by` with `category_ratio`")
    by = split.index.by
    if by is not None and by != words.timestamp and not split.whole_groups:
        told = f"rows of a time series are cut by their time '{words.timestamp}', not by '{by}'"
        checker.add(told, ("split", "index", "by"), f"write `index_by: {words.timestamp}`, or leave it out")


def _inputs(checker: Checker, words: TimeSeries) -> None:
    """What is known beforehand, and what slices are by."""
    if words.known_in_advance and words.horizon is None:
        told = "known_in_advance is of the points after a window: it needs `horizon`"
        checker.add(told, ("timeseries", "known_in_advance"))
    for i, name in enumerate(words.known_in_advance):
        if name in checker.config.labels:
            told = f"'{name}' is a label: it is not known in advance"
        elif name not in checker.config.features:
            told = f"known_in_advance: '{name}' is not among the features"
        else:
            continue
        checker.add(told, ("timeseries", "known_in_advance", i), f"features: {', '.join(checker.config.features)}")


# Words of columns


def of_words(checker: Checker, resolved: Resolved) -> None:
    """Adds what of features, labels and slices does not fit the points."""
    series = resolved.series
    if series is None:
        return
    for column in series.columns:
        if column.written in checker.config.features:
            _feature(checker, column, series.words)
    for label in series.labels:
        _label(checker, label, series.words)
    _slices(checker, resolved)
    checker.say(checker.config.trainer.problems_of_windows(series.words.length, series.words.horizon))


def _feature(checker: Checker, column: SeriesColumn, words: TimeSeries) -> None:
    path, given = ("features", column.written), checker.config.features[column.written]
    _resampling(checker, column, given, path, words)
    if given.filling is not None and column.fill == Backwards.name and words.horizon is not None:
        checker.add(
            "filling 'backwards' takes values of the future, which a forecast does not have",
            (*path, "filling"),
            "take forward, or leave `horizon` out",
        )
    label = checker.config.labels.get(column.written)
    if label is not None and words.horizon is None and steps_ahead(label) <= 0:
        checker.add(
            f"'{column.written}' is a label and a feature too: the last point of a window has the answer",
            path,
            "remove it from features, or give `horizon`, or `label_tuning: {method: shift, parameters: {shift_steps: -1}}`",
            key=True,
        )


def _label(checker: Checker, label: SeriesLabel, words: TimeSeries) -> None:
    path, given = ("labels", label.name), checker.config.labels[label.name]
    _resampling(checker, label, given, path, words)
    _tunings(checker, label, given, words)
    unasked = label.name not in checker.config.features
    if unasked and takes_its_past(given, words) and words.horizon is None and steps_ahead(given) <= 0:
        told = f"label_as_input: the last point of a window has the value of '{label.name}', which is the answer"
        checker.add(told, ("timeseries", "label_as_input"), "give `horizon`, or leave label_as_input out")
    if given.sample_weight is not None:
        told = "sample_weight is of rows, and a point is made of several: windows are not weighted yet"
        checker.add(told, (*path, "sample_weight"), "leave it out")


def _is_of_rows(checker: Checker, words: TimeSeries) -> bool:
    """Whether each row is a point because no rate is written; one that cannot be read is told of by itself."""
    return words.rate is None and RATE not in checker.file.root.value["timeseries"].value


def _resampling(
    checker: Checker, column: SeriesColumn, given: ColumnConfig, path: tuple[str, ...], words: TimeSeries
) -> None:
    own = given.resampling is not None
    where = (*path, "resampling") if own else path
    if own and column.resampling is None:
        if _is_of_rows(checker, words):
            checker.add("resampling needs resampling_rate_in_secs: without it each row is a point", where)
        else:
            called = "the time of the series" if column.written == words.timestamp else "what tells the series apart"
            checker.add(
                f"'{column.written}' is {called}: it is the same all over a point, take `resampling` out", where
            )
        return
    word = column.resampling
    if word is None:
        return
    if column.raw_kind not in word.accepts:
        told = f"resampling '{word.name}' does not apply to column '{column.written}' ({column.raw_kind})"
        checker.add(told, where, f"it applies to: {', '.join(word.accepts)}", key=not own)
    elif (why := word.problem(column.raw_kind)) is not None:
        checker.add(f"resampling '{word.name}' of column '{column.written}': {why}", where, key=not own)


def _tunings(checker: Checker, label: SeriesLabel, given: LabelConfig, words: TimeSeries) -> None:
    kind = label.untuned_kind
    path = ("labels", label.name, *(("label_tuning",) if given.label_tuning is not None else ()))
    for word in label.tunings:
        if isinstance(word, Shift) and words.horizon is not None:
            told = "`horizon` and label_tuning 'shift' both say how far from a window its label is"
            checker.add(told, path, "keep one of the two")
        if kind not in word.accepts:
            told = f"label_tuning '{word.name}' does not apply to label '{label.name}' ({kind})"
            checker.add(told, path, f"it applies to: {', '.join(word.accepts)}")
            return
        if (why := word.problem(kind)) is not None:
            checker.add(f"label_tuning '{word.name}' of label '{label.name}': {why}", path)
            return
        kind = word.kind(kind)


def _slices(checker: Checker, resolved: Resolved) -> None:
    """Slices are by what a point has."""
    series = resolved.series
    assert series is not None
    known = [*series.schema(checker.schema).names, *((HORIZON_STEP,) if series.words.horizon else ())]
    for i, columns in enumerate(resolved.slices):
        for j, name in enumerate(columns):
            if name in known:
                continue
            path = ("evaluator", "slices", i, j)
            if name == HORIZON_STEP:
                checker.add(f"a slice by {HORIZON_STEP} needs `horizon`", path)
            else:
                there = "is none of a point's columns" if name in checker.schema else "is no column"
                checker.add(f"slice '{name}' {there}", path, f"those of a point: {', '.join(known)}")
