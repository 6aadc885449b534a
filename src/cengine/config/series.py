"""`timeseries:` applied to a table: what a point's columns are made of, and the configuration as it applies to points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cengine.config.schema import ColumnConfig, Config, KindDefaults, LabelConfig
from cengine.config.timeseries import PAST, Series, SeriesColumn, SeriesLabel, TimeSeries
from cengine.names import free_name
from cengine.tables import TableSchema
from cengine.transforms.fill import SERIES_FILLINGS, Forward, left_over
from cengine.transforms.resample import USUAL, Count, Mode, Resampling
from cengine.transforms.tuning import NoTuning, Tuning
from cengine.transforms.value import Filling


def series_of(config: Config, schema: TableSchema) -> Series | None:
    """What points are made of, None without `timeseries`. Columns are called as in the table, and exist."""
    words = config.timeseries
    return None if words is None else _Maker(config, schema, words).series()


def on_points(config: Config, series: Series) -> Config:
    """The configuration as it applies to points: features and labels under the points' names, fillings that look at one point alone."""
    features: dict[str, ColumnConfig] = {}
    for column in series.columns:
        given = config.features.get(column.written, ColumnConfig())
        defaults = config.preprocessing.get(column.kind, KindDefaults())
        filling = given.filling or defaults.filling
        if column.fill or _carries(filling):
            given = given.model_copy(update={"filling": left_over(column.kind)})
        features[column.name] = given
    return config.model_copy(update={"features": features})


def _carries(filling: Filling | None) -> bool:
    return filling is not None and filling.name in SERIES_FILLINGS


def is_of_rows(name: str, config: Config, schema: TableSchema) -> bool:
    """Whether a feature or label needs no column: it is the number of rows of a period."""
    if config.timeseries is None or name in schema:
        return False
    return isinstance(_said(name, config), Count)


def _said(name: str, config: Config) -> Resampling | None:
    """What is said for a name: of a label and the feature that is its past it is enough to say it once."""
    for block in (config.labels, config.features):
        found = block.get(name)
        if found is not None and found.resampling is not None:
            return found.resampling
    return None


def steps_ahead(label: LabelConfig) -> int:
    """How many points ahead of its own a label is taken from."""
    return sum(word.steps_ahead for word in label.label_tuning or ())


def takes_its_past(label: LabelConfig, words: TimeSeries) -> bool:
    """Whether the label's own past is an input where the features do not name it."""
    return bool(words.horizon) if words.label_as_input is None else words.label_as_input


@dataclass(frozen=True)
class _Maker:
    config: Config
    schema: TableSchema
    words: TimeSeries

    def series(self) -> Series:
        labels = tuple(self._label(name, label) for name, label in self.config.labels.items())
        columns = [self._feature(name, given) for name, given in self.config.features.items()]
        for name, label in self.config.labels.items():
            if takes_its_past(label, self.words) and name not in self.config.features:
                columns.append(self._feature(name, ColumnConfig(filling=Forward()), label))
        return Series(self.words, tuple(columns), labels)

    def _feature(self, name: str, given: ColumnConfig, label: LabelConfig | None = None) -> SeriesColumn:
        own = name in (self.words.category, self.words.timestamp)
        resampling = None if own else self._resampling(name, given, label or self.config.labels.get(name))
        raw = self._raw_kind(name)
        kind = resampling.kind(raw) if resampling else raw
        called = self._past(name) if name in self.config.labels else name
        return SeriesColumn(called, name, self._column(name), raw, kind, resampling, self._fill(given, kind))

    def _fill(self, given: ColumnConfig, kind: str) -> Literal["forward", "backwards"] | None:
        filling = given.filling or self.config.preprocessing.get(kind, KindDefaults()).filling
        if filling is None or not _carries(filling):
            return None
        return "forward" if isinstance(filling, Forward) else "backwards"

    def _label(self, name: str, label: LabelConfig) -> SeriesLabel:
        raw = self._raw_kind(name)
        resampling = self._resampling(name, label, self.config.features.get(name), of_label=True)
        kind = resampling.kind(raw) if resampling else raw
        tunings = self._tunings(label, raw)
        for word in tunings:
            kind = word.kind(kind)
        return SeriesLabel(
            name, name, self._column(name), raw, kind, resampling, tunings=tunings, optional=label.filling is not None
        )

    def _tunings(self, label: LabelConfig, raw: str) -> tuple[Tuning, ...]:
        defaults = self.config.preprocessing.get(raw, KindDefaults()).label_tuning
        given = label.label_tuning if label.label_tuning is not None else defaults
        return tuple(word for word in given or () if not isinstance(word, NoTuning))

    def _resampling(
        self, name: str, given: ColumnConfig, other: ColumnConfig | None, *, of_label: bool = False
    ) -> Resampling | None:
        """The word for a column: its own, that of the label or feature of the same name, its kind's."""
        if self.words.rate is None:
            return None
        raw = self._raw_kind(name)
        default = self.config.preprocessing.get(raw, KindDefaults()).resampling
        said = given.resampling or (other.resampling if other else None) or default
        if said is not None:
            return said
        # The mean of whole numbers is none of the classes that they may stand for.
        classes = self.config.trainer.type == "classification"
        classified = classes and raw == "integer" and (of_label or name in self.config.labels)
        return Mode() if classified else USUAL[raw]

    def _column(self, name: str) -> str | None:
        return name if name in self.schema else None

    def _raw_kind(self, name: str) -> str:
        return (self.schema[name].kind or "string") if name in self.schema else "integer"

    def _past(self, name: str) -> str:
        """What a label's own past is called beside the label."""
        taken = (*self.config.features, *self.config.labels, self.words.timestamp, self.words.category or "")
        return free_name(f"{PAST}{name}", taken)


def explicit_columns(config: Config, series: Series) -> dict[str, ColumnConfig]:
    """The features of a configuration as they are written, by the points' names, with all that says what points are made of."""
    found: dict[str, ColumnConfig] = {}
    for column in series.columns:
        given = config.features.get(column.written, ColumnConfig())
        update: dict[str, object] = {"resampling": column.resampling}
        if column.fill is not None:
            update["filling"] = SERIES_FILLINGS[column.fill]()
        found[column.name] = given.model_copy(update=update)
    return found
