"""Metrics of forecasts: what a row counts, what a series' scale is, and edges."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from cengine.engines.duckdb import DuckDB
from cengine.evaluation.scales import Season, scale_names, with_scales, write_scales
from cengine.evaluation.slices import measure
from cengine.expressions.build import column, double
from cengine.metrics.table import METRICS
from cengine.names import POINT

NAMES = ("smape", "wape", "mase", "rmsse", "wql")
HOUR = datetime.timedelta(hours=1)
RATE = 3_600_000_000


def roles(wanted: str):
    if wanted == "quantiles":
        return exp.Tuple(expressions=[exp.Literal.number("0.5")])
    return double(0.0) if wanted == "center" else column({"quantile_0.5": "prediction"}.get(wanted, wanted))


@pytest.fixture
def engine(tmp_path):
    with DuckDB(tmp_path / "s", memory_bytes=2**28, threads=2) as engine:
        yield engine


def measured(engine, rows, weight=None, names=NAMES):
    engine.register("rows", pa.table({"_split": np.ones(len(rows["label"]), np.int16), **rows}))
    metrics = [METRICS[name]() for name in names]
    counts = None if weight is None else column(weight)
    (found,) = measure(engine, column("rows"), roles, "quantiles", metrics, intervals=True, weight=counts)
    return found.table.to_pylist()[0]


def rows(num_rows=200, seed=1):
    random = np.random.default_rng(seed)
    series = random.integers(0, 3, num_rows)
    label = random.normal(10, 4, num_rows)
    return {
        "label": label,
        "prediction": label + random.normal(0.3, 2, num_rows),
        "scale": np.array([1.0, 2.0, 5.0])[series],
        "squared_scale": np.array([2.0, 5.0, 30.0])[series],
        "series_share": 1 / np.bincount(series)[series],
        "n": random.integers(1, 4, num_rows).astype(float),
    }


def test_a_weight_of_three_is_three_rows(engine) -> None:
    made = rows()
    repeated = {name: np.repeat(values, made["n"].astype(int)) for name, values in made.items()}
    weighted, copied = measured(engine, made, "n"), measured(engine, repeated)
    for name in NAMES:
        assert weighted[name] == pytest.approx(copied[name], rel=1e-11)
        # Copies look like more rows than there are.
        assert weighted[f"{name}: high"] - weighted[f"{name}: low"] > copied[f"{name}: high"] - copied[f"{name}: low"]


def test_wql_of_the_median_is_wape(engine) -> None:
    found = measured(engine, rows())
    for end in ("", ": low", ": high"):
        assert found[f"wql{end}"] == pytest.approx(found[f"wape{end}"], rel=1e-9)


def test_nothing_predicted_of_nothing_is_right(engine) -> None:
    zeros = np.zeros(3)
    known = {"scale": np.ones(3), "squared_scale": np.ones(3), "series_share": np.ones(3)}
    found = measured(engine, {"label": zeros, "prediction": zeros, **known})
    assert (found["smape"], found["mase"], found["rmsse"]) == (0.0, 0.0, 0.0)
    assert np.isnan([found["wape"], found["wql"], found["wape: low"]]).all()
    worst = measured(engine, {"label": zeros, "prediction": np.ones(3), **known})
    assert worst["smape"] == 200.0


def test_every_series_counts_alike_and_constant_ones_do_not(engine) -> None:
    """Nine rows of a series that errs by its scale, one of a series that errs by three times its own."""
    label = np.zeros(12)
    scale = pa.array([2.0] * 9 + [4.0] + [None] * 2)
    made = {
        "label": label,
        "prediction": np.array([2.0] * 9 + [12.0] + [100.0] * 2),
        "scale": scale,
        "squared_scale": pa.array([4.0] * 9 + [16.0] + [None] * 2),
        "series_share": np.array([1 / 9] * 9 + [1.0] + [0.5] * 2),
    }
    found = measured(engine, made, names=("mase", "rmsse"))
    assert found["mase"] == pytest.approx((1 + 3) / 2)
    assert found["rmsse"] == pytest.approx(np.sqrt((1 + 9) / 2))


def points(tmp_path, rate_missing=False):
    """Three series of hours, 'a' with a hole of one hour, 'b' constant in train, one without a name; the last third is no train."""
    random = np.random.default_rng(4)
    table = {"_row_id": [], "station": [], "time": [], "y": [], "_split": []}
    for station, holes in (("a", {5}), ("b", set()), (None, set())):
        for hour in range(30):
            if hour in holes:
                continue
            table["_row_id"].append(len(table["_row_id"]))
            table["station"].append(station)
            table["time"].append(datetime.datetime(2018, 6, 1) + hour * HOUR)
            table["y"].append(7.0 if station == "b" and hour < 20 else float(random.integers(0, 50)))
            # The part of train by which a model is chosen has a number of its own.
            table["_split"].append(1 if hour >= 20 else 2 if hour >= 18 else 0)
    file = tmp_path / "points.parquet"
    pq.write_table(pa.table({**table, "_split": pa.array(table["_split"], pa.int16())}), file)
    return file, table


@pytest.mark.parametrize(("steps", "rate"), [(1, RATE), (4, RATE), (4, None)])
def test_scales_are_those_of_the_definition(engine, tmp_path, steps, rate) -> None:
    file, table = points(tmp_path)
    season = Season(steps, "time", "station", rate)
    target = tmp_path / "scales.parquet"
    told = write_scales(engine, engine.parquet([file]), "_split", (0, 2), season, ["y"], target)
    assert (told.num_series, told.left_out) == (3, {"y": 1})
    found = {row["_series"]: row for row in pq.read_table(target).to_pylist()}
    assert found["b"]["scale_0"] is None
    assert found["b"]["squared_scale_0"] is None
    for station in ("a", None):
        own = [n for n, name in enumerate(table["station"]) if name == station and table["_split"][n] != 1]
        changes = [
            table["y"][n] - table["y"][m]
            for m, n in zip(own, own[steps:], strict=False)
            if rate is None or table["time"][n] - table["time"][m] == steps * HOUR
        ]
        assert found[station]["scale_0"] == pytest.approx(np.mean(np.abs(changes)))
        assert found[station]["squared_scale_0"] == pytest.approx(np.mean(np.square(changes)))


def test_predictions_have_the_scale_of_their_series(engine, tmp_path) -> None:
    file, table = points(tmp_path)
    season, scales = Season(1, "time", "station", RATE), tmp_path / "scales.parquet"
    scan = engine.parquet([file])
    write_scales(engine, scan, "_split", (0, 2), season, ["y"], scales)
    predicted = [n for n in range(len(table["y"])) if table["_split"][n] == 1 and (table["station"][n] != "a" or n % 2)]
    made = {
        "_row_id": np.arange(len(predicted)) * 3,
        "_split": np.ones(len(predicted), np.int16),
        POINT: np.array(predicted),
        "prediction: y": np.array(predicted) * 0.5,
    }
    pq.write_table(pa.table(made), tmp_path / "predictions.parquet")
    target = tmp_path / "scaled.parquet"
    with_scales(engine, tmp_path / "predictions.parquet", scan, scales, season, ["y"], target)
    found = pq.read_table(target)
    assert found.column_names == [*made, *scale_names("y")]
    assert found[POINT].to_pylist() == predicted
    by_series = {row["_series"]: row for row in pq.read_table(scales).to_pylist()}
    of = [table["station"][n] for n in predicted]
    assert found["scale: y"].to_pylist() == [by_series[name]["scale_0"] for name in of]
    assert found["squared_scale: y"].to_pylist() == [by_series[name]["squared_scale_0"] for name in of]
    assert found["series_share: y"].to_pylist() == [1 / of.count(name) for name in of]


def test_one_series_without_a_category(engine, tmp_path) -> None:
    file, _ = points(tmp_path)
    target = tmp_path / "scales.parquet"
    told = write_scales(engine, engine.parquet([file]), "_split", (0, 2), Season(1, "time"), ["y"], target)
    assert told.num_series == 1
    assert told.left_out == {"y": 0}
