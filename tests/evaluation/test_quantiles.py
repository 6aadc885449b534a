"""`loss: quantile`: intervals hold what they say and widen where the noise does, and what is told of them is true, for both learners."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml_blocks
from scipy.stats import binom
from terminal import Terminal

import cengine
from cengine.config.resolve import Label
from cengine.errors import ConfigError
from cengine.evaluation.calibration import calibrations, misses_by_much, should_cover
from cengine.evaluation.predictions import name_beside
from cengine.expressions.build import column
from cengine.networks.losses import LOSSES
from cengine.preprocess.targets import targets_of

ROOT = Path(__file__).parents[2]
NUM_ROWS, NEAR, FAR = 6_000, 0.25, 0.75
AT = (0.05, 0.5, 0.95)
TRAINERS = {
    "network": {"type": "regression", "layers": [{"type": "dense", "units": 32}], "train_steps": 1500, "train_batch_size": 128,
                "optimizer": {"type": "adam", "learning_rate": 0.01}},
    "ensemble": {"type": "regression", "layers": [{"type": "dense", "units": 16}], "ensemble": 4, "train_steps": 1500,
                 "train_batch_size": 128, "optimizer": {"type": "adam", "learning_rate": 0.01}},
    "trees": {"type": "regression", "architecture": "boosted_trees", "trees": 120, "leaves": 6, "learning_rate": 0.05,
              "min_rows_in_leaf": 100},
}  # fmt: skip


def table() -> pa.Table:
    """A price whose noise grows ten times over x; `skewed` is the same with a long tail above 0."""
    random = np.random.default_rng(0)
    x = random.uniform(0, 1, NUM_ROWS)
    noise = (1 + 9 * x) * random.normal(size=NUM_ROWS)
    kind = np.array(["a", "b", "c"])[random.integers(0, 3, NUM_ROWS)]
    return pa.table({"x": x, "kind": kind, "price": 100 + 20 * x + noise, "skewed": np.exp(3 + x + noise / 10)})


class Lab:
    """Runs configurations on the table; the same one once."""

    def __init__(self, folder: Path) -> None:
        pq.write_table(table(), folder / "table.parquet")
        self.project = cengine.open_project(folder / "project")
        self.snapshot = cengine.register(self.project, "parquet", path=str(folder / "table.parquet"))
        self.runs: dict[str, cengine.Run] = {}

    def planned(self, labels, trainer="network", **evaluator):
        config = {
            "features": ["x", "kind"],
            "labels": labels,
            "split": {"ratio": {"train": 0.7, "eval": 0.3}},
            "trainer": TRAINERS[trainer] if isinstance(trainer, str) else trainer,
            "evaluator": {"slices": ["kind"], **evaluator},
        }
        return cengine.plan(self.project, cengine.parse_config(json.dumps(config)), self.snapshot)

    def run(self, labels, trainer="network", **evaluator):
        plan = self.planned(labels, trainer, **evaluator)
        key = plan.stages[-1].fingerprint
        if key not in self.runs:
            self.runs[key] = cengine.execute(plan)
        return self.runs[key]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("quantiles"))


def quantiles(label="price", **more):
    return {label: {"loss": "quantile", "metrics": ["quantile_loss", "mae", "coverage", "interval_width"], **more}}


def predicted(run, label="price") -> dict[str, np.ndarray]:
    """The columns of the table of predictions that are of a label."""
    found = run.predictions()
    names = [name for name in found.column_names if name.endswith(f": {label}")]
    return {name.removesuffix(f": {label}"): found[name].to_numpy() for name in names}


def metrics_of(run) -> dict[str, dict]:
    return {row["metric"]: row for row in run.results.overall_rows}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_intervals_hold_what_they_say_and_widen_where_the_noise_does(lab, trainer) -> None:
    found = predicted(lab.run(quantiles(), trainer))
    within = (found["label"] >= found["quantile_0.05"]) & (found["label"] <= found["quantile_0.95"])
    # What is learnt is not quite the truth; so the band is that of a coverage that is off by 1.5 points.
    fewest, most = binom.ppf(0.005, len(within), 0.885), binom.ppf(0.995, len(within), 0.915)
    assert fewest <= within.sum() <= most
    model, at = lab.run(quantiles(), trainer).model(), {"x": [NEAR, FAR], "kind": ["a", "a"]}
    told = model.predict(pa.table(at)).to_pydict()
    near, far = np.array(told["quantile_0.95"]) - np.array(told["quantile_0.05"])
    truth = [2 * 1.6449 * (1 + 9 * x) for x in (NEAR, FAR)]
    assert (near, far) == pytest.approx(truth, rel=0.25)
    assert far > 1.8 * near


@pytest.mark.parametrize("trainer", TRAINERS)
def test_metrics_are_those_of_the_table_of_predictions(lab, trainer) -> None:
    run = lab.run(quantiles(), trainer)
    found, metrics = predicted(run), metrics_of(run)
    label, told = found["label"], np.column_stack([found[f"quantile_{share}"] for share in AT])
    assert (np.diff(told, axis=1) >= 0).all()
    np.testing.assert_array_equal(found["prediction"], told[:, 1])
    error = label[:, None] - told
    pinball = np.maximum(np.array(AT) * error, (np.array(AT) - 1) * error).mean(axis=1)
    assert metrics["quantile_loss"]["model"] == pytest.approx(pinball.mean(), rel=1e-9)
    assert metrics["mae"]["model"] == pytest.approx(np.abs(label - told[:, 1]).mean(), rel=1e-9)
    within = (label >= told[:, 0]) & (label <= told[:, 2])
    assert metrics["coverage"]["model"] == pytest.approx(within.mean(), rel=1e-9)
    assert metrics["interval_width"]["model"] == pytest.approx((told[:, 2] - told[:, 0]).mean(), rel=1e-9)
    half = 1.961 * pinball.std(ddof=1) / np.sqrt(len(label))
    assert metrics["quantile_loss"]["high"] - metrics["quantile_loss"]["low"] == pytest.approx(2 * half, rel=1e-2)
    for row in run.results.slices[0].table.to_pylist():
        assert row["coverage: low"] <= row["coverage"] <= row["coverage: high"]
        assert row["quantile_loss"] < row["quantile_loss: constant"]
    (worst,) = run.results.truth["worst_rows"]
    assert worst["rows"][0]["error"] == pytest.approx(pinball.max(), rel=1e-9)


def test_beside_stand_the_train_rows_own_quantiles_and_a_line(lab) -> None:
    run = lab.run(quantiles())
    statistics = run.statistics["labels"]["price"]
    assert statistics["quantiles"][1] == statistics["median"]
    label = predicted(run)["label"]
    low, median, high = statistics["quantiles"]
    metrics = metrics_of(run)
    assert metrics["coverage"]["constant"] == pytest.approx(np.mean((label >= low) & (label <= high)))
    assert metrics["interval_width"]["constant"] == pytest.approx(high - low)
    assert metrics["quantile_loss"]["constant_is"] == f"train quantiles {low:.6g} to {high:.6g}"
    assert metrics["mae"]["constant_is"].startswith("train median ")
    assert metrics["mae"]["constant"] == pytest.approx(np.abs(label - median).mean())
    # One width for all rows: it covers as much, and is worse where the noise is small.
    assert metrics["coverage"]["linear"] == pytest.approx(0.9, abs=0.03)
    assert metrics["quantile_loss"]["model"] < metrics["quantile_loss"]["linear"] < metrics["quantile_loss"]["constant"]
    assert [metrics[name]["skill"] for name in ("coverage", "interval_width")] == [None, None]
    assert "better than a linear model" in run.results.verdicts[0]["sentence"]


def test_the_sentence_says_what_was_asked_and_what_was_found(lab) -> None:
    run = lab.run(quantiles())
    (found,) = [one for one in run.results.cautions if one["kind"] == "calibration"]
    coverage = metrics_of(run)["coverage"]
    share, low, high = (f"{100 * coverage[key]:.1f}" for key in ("model", "low", "high"))
    assert (
        found["sentence"]
        == f"90 % intervals of price (5 % to 95 %) hold {share} % ({low} to {high}) of the rows of eval."
    )
    assert not found["is_warning"]


def test_intervals_that_are_far_too_narrow_are_warned_of(lab) -> None:
    steep = {**TRAINERS["trees"], "trees": 400, "leaves": 127, "min_rows_in_leaf": 1, "learning_rate": 0.3}
    (found,) = [one for one in lab.run(quantiles(), steep).results.cautions if one["kind"] == "calibration"]
    assert found["is_warning"]
    assert re.search(
        r"hold [\d.]+ % \([\d.]+ to [\d.]+\) of the rows of eval: they are too narrow\.", found["sentence"]
    )


@pytest.mark.parametrize(
    ("kind", "ends"), [("float", "they are too wide."), ("integer", "they are too wide, or the label has few values.")]
)
def test_intervals_that_are_far_too_wide_are_warned_of(engine, kind, ends) -> None:
    label = Label("y", kind, "quantiles", None, (), LOSSES["quantile"](), None)
    (target,) = targets_of([label], {"labels": {"y": {"offset": 0.0, "scale": 1.0, "transforms": []}}})
    numbers = np.arange(100.0)
    rows = {"label: y": numbers, "prediction: y": numbers, "_split": np.ones(100, int)}
    rows |= {f"quantile_{share}: y": numbers + 10 * (share - 0.5) for share in AT}
    engine.register("rows", pa.table(rows))
    (found,) = calibrations(engine, column("rows"), target, ("train", "eval"))
    assert (found["coverage"], found["should"], found["is_off"]) == (1.0, 0.9, True)
    assert (
        found["sentence"]
        == f"90 % intervals of y (5 % to 95 %) hold 100.0 % (96.3 to 100.0) of the rows of eval: {ends}"
    )


def test_one_quantile_is_a_bound(lab) -> None:
    run = lab.run({"price": {"loss": {"type": "quantile", "at": [0.9]}}})
    found, metrics = predicted(run), metrics_of(run)
    assert list(metrics) == ["quantile_loss", "mae", "coverage"]
    np.testing.assert_array_equal(found["prediction"], found["quantile_0.9"])
    assert metrics["coverage"]["model"] == pytest.approx(np.mean(found["label"] <= found["quantile_0.9"]))
    (told,) = [one["sentence"] for one in run.results.cautions if one["kind"] == "calibration"]
    assert re.fullmatch(
        r"[\d.]+ % \([\d.]+ to [\d.]+\) of the rows of eval lie at or below the 90 % quantile of price\.", told
    )
    assert run.results.verdicts[0]["sentence"].count("train quantile, ") == 1


def test_quantiles_pass_through_the_inverse_of_a_transform(lab) -> None:
    run = lab.run(quantiles("skewed", transform=["log", "quantile_normal"]))
    assert metrics_of(run)["coverage"]["model"] == pytest.approx(0.9, abs=0.03)
    told = predicted(run, "skewed")
    above, below = told["quantile_0.95"] - told["prediction"], told["prediction"] - told["quantile_0.05"]
    assert np.mean(above > below) > 0.9  # the tail is above


def test_two_labels_one_by_quantiles_the_other_by_a_number(lab) -> None:
    run = lab.run({"price": {"loss": "quantile"}, "skewed": {"loss": "mae"}})
    metrics = {(row["label"], row["metric"]) for row in run.results.overall_rows}
    assert metrics == {("price", name) for name in ("quantile_loss", "mae", "coverage")} | {
        ("skewed", name) for name in ("mae", "rmse", "r2")
    }
    names = run.model().predict(table().slice(0, 2)).column_names
    assert names == ["price: prediction", *(f"price: quantile_{share}" for share in AT), "skewed: prediction"]
    assert "quantiles" not in run.statistics["labels"]["skewed"]


def test_a_coverage_alone_is_neither_good_nor_bad(lab) -> None:
    run = lab.run({"price": {"loss": "quantile", "metrics": ["coverage"]}})
    assert run.results.verdicts[0]["sentence"].endswith("which alone is neither good nor bad.")


@pytest.mark.parametrize(
    ("should", "low", "high", "is_off"),
    [(0.9, 0.87, 0.89, False), (0.9, 0.84, 0.87, True), (0.9, 0.91, 0.93, False), (0.9, 0.93, 0.95, True),
     (0.5, 0.36, 0.42, False), (0.5, 0.30, 0.39, True), (0.98, 0.95, 0.97, True)],
)  # fmt: skip
def test_how_far_off_is_too_far(should, low, high, is_off) -> None:
    assert misses_by_much(should, low, high) is is_off


def test_what_lies_between_two_quantiles() -> None:
    assert should_cover((0.05, 0.5, 0.95)) == 0.9
    assert should_cover((0.9,)) == 0.9


BAD = {
    "none": ({"price": {"loss": {"type": "quantile", "at": []}}}, "needs 1 to 19 quantiles, found []"),
    "many": ({"price": {"loss": {"type": "quantile", "at": [n / 21 for n in range(1, 21)]}}}, "needs 1 to 19 quantiles"),
    "falling": ({"price": {"loss": {"type": "quantile", "at": [0.9, 0.1]}}}, "quantiles must ascend, each above the one before"),
    "equal": ({"price": {"loss": {"type": "quantile", "at": [0.5, 0.5]}}}, "quantiles must ascend"),
    "beyond": ({"price": {"loss": {"type": "quantile", "at": [1.5]}}}, "quantiles lie between 0 and 1"),
    "classes": ({"kind": {"loss": "quantile"}}, "loss 'quantile' does not fit type 'classification'"),
    "no quantiles": ({"price": {"metrics": ["coverage"]}}, "metric 'coverage' does not fit label 'price', which has numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_one_error(lab, name) -> None:
    labels, message = BAD[name]
    trainer = {"type": "classification", "train_steps": 5} if name == "classes" else "network"
    with pytest.raises(ConfigError) as raised:
        lab.planned(labels, trainer)
    assert message in raised.value.render()
    assert raised.value.render().count("error:") == 1
    if name == "no quantiles":
        assert "`loss: quantile` gives the label quantiles" in raised.value.render()


def test_a_learner_without_quantiles_is_named(lab, monkeypatch) -> None:
    monkeypatch.setattr("cengine.learners.feedforward.Feedforward.predicts_quantiles", False)
    with pytest.raises(ConfigError, match="the learner 'feedforward' predicts no quantiles"):
        lab.planned({"price": {"loss": "quantile"}})


def test_outputs_for_another_number_of_quantiles_are_refused(lab) -> None:
    with pytest.raises(ConfigError, match="needs an output unit for each of its 3 quantiles, found 2"):
        lab.planned({"price": {"loss": "quantile"}}, {**TRAINERS["network"], "num_output_units": 2})


def test_a_column_called_as_a_quantile_is_set_aside() -> None:
    assert name_beside("quantile_0.05: price") == "column: quantile_0.05: price"
    assert name_beside("quantile_of: price") == "quantile_of: price"


def test_the_example_of_the_page_runs_and_says_it_everywhere(tmp_path) -> None:
    """From the YAML of docs/configuration.md to the terminal, the page, and predictions of new rows."""
    (text,) = [one for one in yaml_blocks.of((ROOT / "docs" / "configuration.md").read_text()) if "quantile" in one]
    terminal = Terminal(tmp_path / "project", tmp_path)
    pq.write_table(table(), tmp_path / "table.parquet")
    terminal("datasource", "create", "parquet", tmp_path / "table.parquet")
    terminal("pipeline", "push", terminal.write("prices.yaml", text), "prices")
    told = terminal("pipeline", "run", "prices", "-y").out
    sentence = r"80 % intervals of price \(10 % to 90 %\) hold [\d.]+ % \([\d.]+ to [\d.]+\) of the rows of eval"
    assert re.search(sentence, " ".join(told.split()))
    terminal("pipeline", "evaluate", "prices", "--no-open")
    (page,) = (tmp_path / "project").rglob("*.html")
    assert re.search(sentence, page.read_text())
    terminal("predict", "prices", "--input", tmp_path / "table.parquet", "-o", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert [name for name in found.column_names if "quantile" in name] == [
        "quantile_0.1",
        "quantile_0.5",
        "quantile_0.9",
    ]
    np.testing.assert_array_equal(found["prediction"].to_numpy(), found["quantile_0.5"].to_numpy())
