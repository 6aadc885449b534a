"""`timeseries:`, how rows become points on a grid of time and points windows: as the YAML says it, and with every column explicit."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from cengine.config.block import Block
from cengine.tables import Column, TableSchema
from cengine.transforms.resample import Resampling
from cengine.transforms.tuning import Tuning

MICROS = 1_000_000
# A hundred years; it keeps times within what is computed with.
MOST_SECONDS = 36_525 * 86_400
MOST_POINTS = 1_000_000
DAY, YEAR = 86_400, 31_557_600
# What stands before the name of a label's own past where it is a feature.
PAST = "past "
# Types of the points' columns.
STORED = {
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "float": "DOUBLE",
    "string": "VARCHAR",
    "timestamp": "TIMESTAMP",
}


def _micros(given: object) -> object:
    """Seconds of the YAML as microseconds; through text, so that 0.1 is a tenth."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError("expected a number of seconds")
    micros = Fraction(str(given)) * MICROS
    if micros <= 0:
        raise ValueError("expected more than 0 seconds")
    if given > MOST_SECONDS:
        raise ValueError(f"expected at most {MOST_SECONDS:,} seconds, a hundred years")
    if micros.denominator != 1:
        raise ValueError("a microsecond, 0.000001, is the finest")
    return int(micros)


def in_seconds(micros: int) -> int | float:
    """Microseconds as the YAML writes them."""
    return micros // MICROS if micros % MICROS == 0 else micros / MICROS


Seconds = Annotated[int, BeforeValidator(_micros)]


class TimeSeries(Block):
    """Which rows are a series, how long the periods are of which each becomes a point, and which points are a window.

    It is made of the YAML's keys, with seconds; `rate` and `gap` are in microseconds. Without a rate every row is a point.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(validate_by_alias=True, validate_by_name=False)

    timestamp: str = Field(alias="process_sequence_w_timestamp", min_length=1)
    category: str | None = Field(default=None, alias="process_sequence_w_category")
    rate: Seconds | None = Field(default=None, alias="resampling_rate_in_secs")
    gap: Seconds | None = Field(default=None, alias="trip_gap_threshold_in_secs")
    length: int = Field(alias="sequence_length", ge=1, le=MOST_POINTS)
    shift: int = Field(default=1, alias="sequence_shift", ge=1, le=MOST_POINTS)
    horizon: int | None = Field(default=None, ge=1, le=MOST_POINTS)
    empty_periods: Literal["drop", "keep"] = "drop"
    known_in_advance: tuple[str, ...] = ()
    season: int | None = Field(default=None, ge=1, le=MOST_POINTS)
    label_as_input: bool | None = None

    @property
    def points(self) -> int:
        """How many points a window has, those that it is asked for among them."""
        return self.length + (self.horizon or 0)

    def to_nested(self) -> dict[str, Any]:
        """The block as the YAML has it, defaults left out."""
        nested: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is None or (not field.is_required() and value == field.default):
                continue
            if name in ("rate", "gap"):
                value = in_seconds(value)
            nested[field.alias or name] = list(value) if isinstance(value, tuple) else value
        return nested


@dataclass(frozen=True)
class SeriesColumn:
    """A column of the points that is a feature: `name` is what it is called there, `written` in the YAML.

    `column` is the raw column, None for the number of rows; `resampling` None takes it as it is: the category, the begin of the
    point's period, and every column where each row is a point. `fill` takes the neighbour's value where there is none.
    """

    name: str
    written: str
    column: str | None
    raw_kind: str
    kind: str
    resampling: Resampling | None
    fill: Literal["forward", "backwards"] | None = None

    def identity(self) -> dict[str, Any]:
        """What a fingerprint reads."""
        return {
            "name": self.name,
            "column": self.column,
            "raw_kind": self.raw_kind,
            "kind": self.kind,
            "resampling": self.resampling.identity() if self.resampling else None,
            "fill": self.fill,
        }


@dataclass(frozen=True)
class SeriesLabel(SeriesColumn):
    """A column of the points that is a label: `tunings` in order give it `kind`. `optional` says that a missing one is filled."""

    tunings: tuple[Tuning, ...] = ()
    optional: bool = False

    @property
    def untuned_kind(self) -> str:
        """The kind of its values before they are tuned."""
        return self.resampling.kind(self.raw_kind) if self.resampling else self.raw_kind

    def identity(self) -> dict[str, Any]:
        tuned = [word.identity() for word in self.tunings]
        return {**super().identity(), "tunings": tuned, "optional": self.optional}


@dataclass(frozen=True)
class Series:
    """The block applied to a table: `columns` are the features of a point, `labels` its labels."""

    words: TimeSeries
    columns: tuple[SeriesColumn, ...]
    labels: tuple[SeriesLabel, ...]

    def identity(self) -> dict[str, Any]:
        """What a fingerprint of points and windows reads; what only a learner or a metric reads of the block is not in it."""
        words = self.words.model_dump(mode="json", exclude={"known_in_advance", "season", "label_as_input"})
        return {
            **words,
            "columns": [column.identity() for column in self.columns],
            "labels": [label.identity() for label in self.labels],
        }

    def schema(self, table: TableSchema, num_points: int = 0) -> TableSchema:
        """The table of points, given that of the rows: features, labels, the category, and the begin of the point's period as the time.

        Nothing is known of their ranges.
        """
        kinds = {column.name: column.kind for column in (*self.columns, *self.labels)}
        for name in (self.words.category, self.words.timestamp):
            if name is not None and name in table:
                kinds.setdefault(name, table[name].kind or "string")
        columns = tuple(Column(name, STORED[kind], kind) for name, kind in kinds.items())
        return TableSchema(columns, num_points)

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """The columns of the rows that points are made of."""
        named = (self.words.timestamp, self.words.category, *(c.column for c in (*self.columns, *self.labels)))
        return tuple(dict.fromkeys(name for name in named if name is not None))


def seasons_of(words: TimeSeries) -> list[int]:
    """How many points a season may have: what the YAML says, else a day or a week of shorter periods, a week of days, a year of longer ones."""
    if words.season is not None:
        return [words.season]
    if words.rate is None:
        return []
    seconds = words.rate / MICROS
    lengths = [DAY, 7 * DAY] if seconds < DAY else [7 * DAY] if seconds < 7 * DAY else [YEAR]
    return [found for length in lengths if (found := round(length / seconds)) > 1]
