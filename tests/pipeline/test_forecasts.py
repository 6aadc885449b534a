"""Windows of made-up machines from the YAML to the metrics: what is predicted, beside what, and from which points."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.errors import CengineError
from cengine.learners.windows import WindowExamples
from cengine.samples.machines import generate_machines

FORECAST = """\
features:
  power: {resampling: mean, filling: forward}
  temperature: {}
  mode: {}
  reported_at: {}
labels:
  power: {resampling: mean, loss: mae, metrics: [mae, mase]}
timeseries:
  process_sequence_w_timestamp: reported_at
  process_sequence_w_category: machine
  resampling_rate_in_secs: 3600
  empty_periods: keep
  sequence_length: 48
  sequence_shift: 2
  horizon: 6
split: {index_by: reported_at, index_ratio: {train: 0.8, eval: 0.2}}
trainer: {architecture: sequential, type: regression, train_steps: 300}
evaluator: {machine: {}, horizon_step: {}}
"""
LENGTH, HORIZON = 48, 6


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecasts")
    generate_machines(folder / "machines.parquet", 4, 40)
    return cengine.open_project(folder / "project"), folder / "machines.parquet"


def run(home, text: str):
    project, file = home
    snapshot = cengine.register(project, kind="parquet", path=str(file))
    return cengine.execute(cengine.plan(project, cengine.parse_config(text, "f.yaml"), snapshot))


@pytest.fixture(scope="module")
def forecast(home):
    return run(home, FORECAST)


def points_of(outcome) -> pa.Table:
    return pq.read_table(outcome.folders["Series"] / "part-points.parquet")


def predictions_of(outcome) -> dict[str, np.ndarray]:
    table = pq.read_table(outcome.folders["Evaluate"] / "predictions.parquet")
    return {name: table[name].to_numpy() for name in table.column_names}


def test_every_window_of_eval_is_predicted_step_by_step(forecast) -> None:
    report = json.loads((forecast.folders["Series"] / "series.json").read_text())
    found = predictions_of(forecast)
    assert len(found["prediction: power"]) == HORIZON * report["windows"]["eval"] > 1000
    assert len(np.unique(found["_row_id"])) == len(found["_row_id"])
    assert np.bincount(found["horizon_step"]).tolist() == [0] + [report["windows"]["eval"]] * HORIZON
    windows = pq.read_table(forecast.folders["Series"] / "windows.parquet")
    first = windows["first"].to_numpy()[windows["split"].to_numpy() == 1]
    assert np.array_equal(np.sort(found["_point"]), np.sort((first[:, None] + LENGTH + np.arange(HORIZON)).ravel()))


def test_the_label_is_that_of_its_point(forecast) -> None:
    found, points = predictions_of(forecast), points_of(forecast)
    assert np.array_equal(found["label: power"], points["power"].to_numpy()[found["_point"]])
    assert np.array_equal(found["machine"], points["machine"].to_numpy(zero_copy_only=False)[found["_point"]])


def test_metrics_are_those_of_the_predictions(forecast) -> None:
    found = predictions_of(forecast)
    error = np.abs(found["label: power"] - found["prediction: power"])
    rows = {row["metric"]: row for row in forecast.results.overall_rows}
    assert rows["mae"]["model"] == pytest.approx(error.mean(), rel=1e-9)
    by_step = next(table for table in forecast.results.slices if table.columns == ("horizon_step",)).table.to_pylist()
    assert {row["horizon_step"]: row["mae"] for row in by_step} == pytest.approx(
        {step: error[found["horizon_step"] == step].mean() for step in range(1, HORIZON + 1)}, rel=1e-9
    )


def test_yardsticks_repeat_what_the_window_holds(forecast) -> None:
    """The naive forecasts, calculated from the points."""
    found, points = predictions_of(forecast), points_of(forecast)
    power = points["power"].to_numpy()
    last = found["_point"] - found["horizon_step"]
    whole = ~np.isnan(power)
    carried = power[np.maximum.accumulate(np.where(whole, np.arange(len(power)), 0))]
    day_before = carried[last - 24 + 1 + (found["horizon_step"] - 1) % 24]
    rows = {row["metric"]: row for row in forecast.results.overall_rows}
    assert rows["mae"]["naive"] == pytest.approx(np.abs(found["label: power"] - carried[last]).mean(), rel=1e-5)
    assert rows["mae"]["seasonal"] == pytest.approx(np.abs(found["label: power"] - day_before).mean(), rel=1e-5)
    assert rows["mae"]["linear"] < rows["mae"]["naive"]
    assert "repeating the last season" in forecast.results.verdicts[0]["sentence"]


def test_mase_divides_by_the_errors_of_last_day_in_train(forecast) -> None:
    found, points = predictions_of(forecast), points_of(forecast)
    power, machine = points["power"].to_numpy(), np.array(points["machine"].to_pylist())
    in_train = np.isin(points["_split"].to_numpy(), [0, 2])
    parts = []
    for name in np.unique(machine):
        own = machine == name
        change, learnt = power[own][24:] - power[own][:-24], in_train[own][24:]
        scale = np.nanmean(np.abs(change[learnt]))
        mine = found["machine"] == name
        parts.append(np.abs(found["label: power"] - found["prediction: power"])[mine].mean() / scale)
    rows = {row["metric"]: row for row in forecast.results.overall_rows}
    assert rows["mase"]["model"] == pytest.approx(np.mean(parts), rel=1e-6)


def test_intervals_are_of_windows_that_share_no_point(forecast) -> None:
    """Six predictions of each of overlapping windows tell no more than one of each window that stands alone."""
    found = predictions_of(forecast)
    error = np.abs(found["label: power"] - found["prediction: power"])
    apart = len(np.unique(found["_point"])) / HORIZON
    row = next(row for row in forecast.results.overall_rows if row["metric"] == "mae")
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * error.std() / apart**0.5, rel=0.02)


def test_a_second_run_reads_what_the_first_has_left(home, forecast) -> None:
    again = run(home, FORECAST.replace("evaluator: {machine: {}, horizon_step: {}}", "evaluator: {machine: {}}"))
    assert {stage.name: stage.reused for stage in again.stages} == {
        **dict.fromkeys(("Split", "Series", "Fit", "Transform", "Yardsticks", "Train"), True),
        "Evaluate": False,
    }
    longer = run(home, FORECAST.replace("sequence_length: 48", "sequence_length: 24"))
    assert [stage.name for stage in longer.stages if stage.reused] == ["Split"]


@pytest.mark.parametrize("layers", [
    "[{type: conv1d, filters: 4, kernel_size: 3}, {type: flatten}]",
    "[{type: gru, units: 4}, {type: dense, units: 4}]",
    "[{type: bidirectional, layer: {type: lstm, units: 3}}]",
])  # fmt: skip
def test_layers_of_sequences_are_learnt(home, layers) -> None:
    text = FORECAST.replace("train_steps: 300", f"train_steps: 30, layers: {layers}")
    row = run(home, text.replace("horizon: 6", "horizon: 2\n  known_in_advance: [reported_at]")).results.overall_rows[0]
    assert row["model"] < 2 * row["constant"]


def test_the_answer_of_a_last_point(home) -> None:
    text = """\
features: {vibration: {resampling: max, filling: forward}, temperature: {filling: backwards}, mode: {}}
labels:
  stopped:
    resampling: {method: threshold, parameters: {cond: equal, c_value: 1, threshold: 0, set_value: 1}}
    label_tuning: {method: leadup, parameters: {event_value: 1, duration: 86400}}
    loss: binary_crossentropy
    metrics: [auc]
timeseries:
  process_sequence_w_timestamp: reported_at
  process_sequence_w_category: machine
  resampling_rate_in_secs: 3600
  trip_gap_threshold_in_secs: 14400
  sequence_length: 12
split: {categorize_by: machine, category_ratio: {train: 0.5, eval: 0.5}}
trainer: {architecture: sequential, type: classification, train_steps: 200}
"""
    outcome = run(home, text)
    found, points = predictions_of(outcome), points_of(outcome)
    assert np.array_equal(found["label: stopped"], points["stopped"].to_numpy()[found["_point"]])
    row = outcome.results.overall_rows[0]
    assert row["model"] > 0.8
    assert row["linear"] is not None
    assert "horizon_step" not in found


def test_without_slices_those_of_series_and_steps_are_there(home) -> None:
    outcome = run(home, FORECAST.replace("evaluator: {machine: {}, horizon_step: {}}", ""))
    assert [table.columns for table in outcome.results.slices] == [("machine",), ("horizon_step",)]


def test_more_points_than_memory_is_said(home, monkeypatch) -> None:
    monkeypatch.setattr(WindowExamples, "points_bytes", 3 * 10**11)
    with pytest.raises(CengineError, match=r"points of the series take 300\.0 GB, more than the memory limit") as found:
        run(home, FORECAST.replace("train_steps: 300", "train_steps: 301"))
    assert "--memory" in str(found.value)
