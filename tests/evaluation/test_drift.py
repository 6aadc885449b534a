"""Drift between splits: the index by its formula, noise that is not taken for drift, and sentences that say what moved."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.evaluation.drift import with_drift
from cengine.preprocess.describe import describe
from cengine.preprocess.split import fit_split, read_split

NUM_ROWS = 6000


@pytest.fixture
def drifted(make_rows, engine, tmp_path):
    """The drift of column `x` between two groups of rows, each of which is a split: `drifted(train, evaluated)`."""

    def compute(train, evaluated, kind=None) -> dict:
        values = pa.concat_arrays([pa.array(train, kind), pa.array(evaluated, kind)])
        part = ["a"] * len(train) + ["b"] * len(evaluated)
        rows = make_rows({"x": values, "part": part, "y": np.arange(len(part), dtype=float)})
        config = parse_config(
            "features: [x]\nlabels: {y: {}}\nsplit: {categorize: {by: part, categories: {train: [a], eval: [b]}}}\n"
            "trainer: {type: regression, layers: [], train_steps: 1}\n"
        )
        folder = tmp_path / "split"
        folder.mkdir(exist_ok=True)
        fit_split(engine, rows, resolve(config.config, rows.schema).split, folder)
        found = describe(engine, rows, read_split(folder), ["x"])
        (column,) = with_drift([{**column, "roles": []} for column in found])
        return column["drift"]["splits"]["eval"]

    return compute


def psi(p: np.ndarray, q: np.ndarray) -> float:
    """By its definition, with half a row added to each bin as the module says."""
    p, q = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
    return float(((q - p) * np.log(q / p)).sum())


def test_the_index_is_that_of_its_formula(drifted) -> None:
    train, evaluated = ["u"] * 4000 + ["v"] * 1500 + ["w"] * 500, ["u"] * 900 + ["v"] * 900 + ["w"] * 200
    found = drifted(train, evaluated)
    assert found["psi"] == pytest.approx(psi(np.array([4000, 1500, 500]), np.array([900, 900, 200])), rel=1e-9)
    assert found["noise"] == pytest.approx(2 * (1 / 6000 + 1 / 2000))
    assert found["level"] == "moderate"
    assert found["sentence"] == "x: v is 25 % of train and 45 % of eval"


@pytest.mark.parametrize("seed", range(5))
def test_samples_of_one_population_are_the_same(drifted, seed) -> None:
    random = np.random.default_rng(seed)
    found = drifted(random.normal(size=NUM_ROWS), random.normal(size=300))
    assert found["level"] == "same"
    assert found["sentence"] == "x: eval is like train"


def test_noise_is_as_large_as_chance_makes_the_index(drifted) -> None:
    random = np.random.default_rng(9)
    found = [drifted(random.choice(list("abcdefgh"), 2000), random.choice(list("abcdefgh"), 1000)) for _ in range(15)]
    ratios = [one["psi"] / one["noise"] for one in found]
    # Chi-squared with 7 degrees of freedom over its mean: the mean of 15 of them lies within 4 of its own deviations.
    assert abs(np.mean(ratios) - 1) < 4 * np.sqrt(2 / 7 / 15)


def test_numbers_that_moved_are_told_by_their_medians(drifted) -> None:
    random = np.random.default_rng(1)
    found = drifted(random.normal(50, 10, NUM_ROWS), random.normal(65, 10, 1000))
    assert found["level"] == "strong"
    medians = re.fullmatch(r"x: half of train is up to ([\d.]+), half of eval up to ([\d.]+)", found["sentence"])
    assert abs(float(medians[1]) - 50) < 1
    assert abs(float(medians[2]) - 65) < 2


def test_values_that_train_never_has_are_counted(drifted) -> None:
    found = drifted(["u"] * 5000, ["u"] * 700 + ["new"] * 300)
    assert (found["num_unseen"], found["unseen_share"], found["level"]) == (300, 0.3, "strong")
    assert found["sentence"].endswith("30 % of eval (300 rows) has values that train has nowhere")


def test_nulls_count_as_a_value(drifted) -> None:
    found = drifted([1.0] * 3000 + [2.0] * 3000, [1.0] * 300 + [2.0] * 300 + [None] * 400, pa.float64())
    assert found["level"] == "strong"
    assert found["sentence"].startswith("x: null is ")
    assert found["sentence"].endswith(" of train and 40 % of eval")


def test_without_a_reference_there_is_no_drift(make_rows, engine) -> None:
    (column,) = with_drift(describe(engine, make_rows({"x": [1, 2, 3]})))
    assert column["drift"] is None
