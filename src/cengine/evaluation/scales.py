"""What repeating the season before errs by in the train points of each series: what `mase` and `rmsse` divide by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.expressions.build import bigint, column, double
from cengine.expressions.queries import query
from cengine.names import POINT
from cengine.tables import ROW_ID

# Threads add numbers in any order; what they disagree on lies far below this.
SIGNIFICANT_DIGITS = 12


@dataclass(frozen=True)
class Scales:
    """How many series there are, and how many of them have no scale for a label: constant in train, or shorter than a season there."""

    num_series: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class Season:
    """What a season of points is: `steps` of them, and where points are `rate` microseconds apart, so far in time too.

    `category` is the column that tells series apart, None where all points are one; `time` that of the points' times.
    """

    steps: int
    time: str
    category: str | None = None
    rate: int | None = None


def scale_names(label: str) -> list[str]:
    """The columns of the table of predictions that say how large the errors of a naive forecast of the row's series are."""
    return [f"{what}: {label}" for what in ("scale", "squared_scale", "series_share")]


def write_scales(
    engine: Engine,
    points: exp.Expr,
    split_column: str,
    train: Sequence[int],
    season: Season,
    labels: Sequence[str],
    target: Path,
) -> Scales:
    """Writes a row for each series: `_series`, and by label, in the order given, `scale_0` and `squared_scale_0`, null where there is none.

    `points` are an item of FROM in which a series' points have consecutive numbers `_row_id`; those whose split is among `train` count.
    """
    found = engine.fetch(_by_series(points, split_column, train, season, labels))
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {"_series": found["_series"]}
    for name in found.column_names[1:]:
        values = [_usable(value) for value in found[name].to_pylist()]
        arrays[name] = pa.array(values, pa.float64())
    pq.write_table(pa.table(arrays), target)
    left_out = {label: arrays[f"scale_{place}"].null_count for place, label in enumerate(labels)}
    return Scales(len(found), left_out)


def _usable(value: float | None) -> float | None:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if value else None


def _by_series(
    points: exp.Expr, split_column: str, train: Sequence[int], season: Season, labels: Sequence[str]
) -> exp.Select:
    series = exp.convert(0) if season.category is None else column(season.category)
    is_train = exp.In(this=column(split_column), expressions=[exp.convert(number) for number in train])
    changes = [exp.cast(column(label), "double") - exp.cast(_before(label, season), "double") for label in labels]
    outputs = [series.as_("_series"), is_train.as_("_learnt")]
    outputs += [change.as_(f"_change_{place}") for place, change in enumerate(changes)]
    if season.rate is not None:
        outputs.append(exp.EQ(this=_micros(season), expression=bigint(season.steps * season.rate)).as_("_apart"))
    source = exp.select(*outputs).from_(points)
    counts = "_learnt AND _apart" if season.rate is not None else "_learnt"
    sums = []
    for place in range(len(labels)):
        change = f"CASE WHEN {counts} THEN _change_{place} END"
        sums += [f"AVG(ABS({change})) AS scale_{place}", f"AVG(({change}) * ({change})) AS squared_scale_{place}"]
    return query(f"SELECT _series, {', '.join(sums)} FROM source GROUP BY _series ORDER BY _series", source=source)


def _before(name: str, season: Season) -> exp.Expr:
    """The cell a season before in the same series."""
    partition = [] if season.category is None else [column(season.category)]
    return exp.Window(
        this=exp.Lag(this=column(name), offset=exp.convert(season.steps)),
        partition_by=partition,
        order=exp.Order(expressions=[exp.Ordered(this=column(ROW_ID), desc=False)]),
    )


def _micros(season: Season) -> exp.Expr:
    """How far in time the point a season before is."""
    return exp.TimestampDiff(
        this=column(season.time), expression=_before(season.time, season), unit=exp.var("MICROSECOND")
    )


def with_scales(
    engine: Engine,
    predictions: Path,
    points: exp.Expr,
    scales: Path,
    season: Season,
    labels: Sequence[str],
    target: Path,
) -> None:
    """Writes the predictions, in their order, with the columns `scale_names` of each label beside.

    `points` are an item of FROM; a prediction's `_point` is the `_row_id` of one of them.
    """
    series = exp.convert(0) if season.category is None else column(season.category)
    places = exp.select(column(ROW_ID), series.as_("_series")).from_(points).subquery("places")
    share = exp.Window(
        this=exp.Count(this=exp.Star()), partition_by=[column("_split", "predictions"), column("_series", "places")]
    )
    beside: list[exp.Expr] = []
    for place, label in enumerate(labels):
        scale, squared, counts = scale_names(label)
        beside += [
            column(f"scale_{place}", "scales").as_(scale, quoted=True),
            column(f"squared_scale_{place}", "scales").as_(squared, quoted=True),
            (double(1.0) / exp.cast(share.copy(), "double")).as_(counts, quoted=True),
        ]
    joined = (
        exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier("predictions")), *beside)
        .from_(engine.parquet([predictions], alias="predictions"))
        .join(places, on=exp.EQ(this=column(POINT, "predictions"), expression=column(ROW_ID, "places")))
        .join(
            engine.parquet([scales], alias="scales"),
            on=exp.NullSafeEQ(this=column("_series", "places"), expression=column("_series", "scales")),
            join_type="left",
        )
        .order_by(column(ROW_ID, "predictions"))
    )
    engine.write(joined, target)
