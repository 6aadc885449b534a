"""What is said of a few rows: no more than they can tell, within what is possible, and `-` for what is not defined."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from terminal import Terminal
from test_intervals import CASES, made_rows, metric_of, roles

from cengine.config.resolve import Label
from cengine.engines.duckdb import DuckDB
from cengine.evaluation.baselines import Baseline, skill
from cengine.evaluation.slices import measure
from cengine.evaluation.verdicts import verdict
from cengine.expressions.build import column
from cengine.metrics.table import METRICS, metric_label
from cengine.metrics.verdicts import FEW_ROWS
from cengine.preprocess.targets import targets_of
from cengine.reports import sections

NAN = float("nan")
CONSTANT = Baseline("train median", 3)


@pytest.fixture(scope="module")
def head():
    label = Label("y", "float", "regression", None, (), None, None)
    (found,) = targets_of([label], {"labels": {"y": {"offset": 0.0, "scale": 1.0, "transforms": []}}})
    return found


# Intervals


@pytest.mark.parametrize("task", ["regression", "binary", "classes"])
def test_intervals_stay_within_what_is_possible(tmp_path, task: str) -> None:
    """Slices of 1 to 12 rows, some of them predicted perfectly, some as wrongly as can be."""
    random = np.random.default_rng(7)
    sizes = random.integers(1, 13, 600)
    rows = made_rows(task, int(sizes.sum()), random)
    kind = np.repeat(random.integers(0, 4, 600), sizes)
    if task == "regression":
        rows["label"] = np.where(kind == 3, 0.0, rows["label"])
        rows["prediction"] = np.where(
            kind == 0, rows["label"], np.where(kind == 1, 1e4 * rows["prediction"], rows["prediction"])
        )
    if task == "binary":
        rows["prediction"] = np.where(
            kind == 0, rows["label"], np.where(kind == 1, 1 - rows["label"], rows["prediction"])
        )
    metrics = [metric_of(name) for name, of in CASES if of == task]
    with DuckDB(tmp_path / "s", memory_bytes=2**28, threads=1) as engine:
        engine.register("rows", pa.table({"_split": np.repeat(np.arange(600), sizes), **rows}))
        table = measure(engine, column("rows"), roles, task, metrics, intervals=True)[0].table
    for metric in metrics:
        name = metric_label(metric)
        value, low, high = (table[key].to_numpy() for key in (name, f"{name}: low", f"{name}: high"))
        known = ~np.isnan(low)
        assert known.sum() > 100
        assert np.isnan(high[~known]).all()
        assert (low[known] >= metric.limits[0]).all(), name
        assert (high[known] <= metric.limits[1]).all(), name
        slack = 1e-9 * np.abs(value[known])
        assert (low[known] <= value[known] + slack).all(), name
        assert (value[known] <= high[known] + slack).all(), name


def test_the_auc_of_classes_that_do_not_overlap_has_an_interval(tmp_path) -> None:
    with DuckDB(tmp_path / "s", memory_bytes=2**28, threads=1) as engine:
        engine.register(
            "rows",
            pa.table({"_split": [1] * 40, "label": [0.0] * 30 + [1.0] * 10, "prediction": np.linspace(0, 1, 40)}),
        )
        (row,) = measure(engine, column("rows"), roles, "binary", [METRICS["auc"]()], intervals=True)[
            0
        ].table.to_pylist()
    assert (row["auc"], row["auc: high"]) == (1.0, 1.0)
    assert row["auc: low"] == pytest.approx(0.7225, abs=1e-4)  # Wilson's of 10 in 10


# Sentences


@pytest.mark.parametrize(
    ("model", "constant", "interval", "num_rows", "says"),
    [
        (0.54, 1.0, (NAN, NAN), 1, "The model of y cannot be told from always saying 3 (train median): mae 0.54 against 1, but of 1 evaluated row no "
                                   "interval can be told."),
        (2.0, 1.0, (NAN, NAN), 1, "The model of y cannot be told from always saying 3 (train median): mae 2 against 1, but of 1 evaluated row no "
                                  "interval can be told."),
        (NAN, 1.0, (NAN, NAN), 40, "The model of y cannot be told from always saying 3 (train median): of 40 evaluated rows the mae of the model is "
                                   "not defined."),
        (NAN, NAN, (NAN, NAN), 1, "The model of y cannot be told from always saying 3 (train median): of 1 evaluated row the mae of the model and the "
                                  "constant is not defined."),
        (0.5, 1.0, (0.4, 0.6), 9, "The model of y has mae 0.5: better than always saying 3 (train median, 1). Only 9 evaluated rows: too few to rely "
                                  "on."),
        (0.5, 1.0, (0.4, 0.6), FEW_ROWS, "The model of y has mae 0.5: better than always saying 3 (train median, 1)."),
        (0.5, 1.0, (NAN, NAN), 1000, "The model of y has mae 0.5: better than always saying 3 (train median, 1). No interval can be told."),
        (0.0, 0.0, (0.0, 0.0), 4, "always saying 3 (train median) is perfect already: mae 0 against 0. Only 4 evaluated rows: too few to rely on."),
    ],
)  # fmt: skip
def test_a_sentence_claims_no_more_than_its_rows_tell(head, model, constant, interval, num_rows, says) -> None:
    mae = METRICS["mae"]()
    row = {"model": model, "constant": constant, "low": interval[0], "high": interval[1], "num_rows": num_rows}
    row["skill"] = skill(mae, model, constant)
    assert verdict(head, mae, row, CONSTANT) == says


@pytest.mark.parametrize(("model", "constant"), [(NAN, 1.0), (1.0, NAN), (NAN, NAN), (math.inf, 1.0), (1.0, math.inf)])
def test_better_by_is_not_defined_where_a_metric_is_not(model, constant) -> None:
    assert skill(METRICS["mae"](), model, constant) is None


def test_the_page_is_never_green_on_a_few_rows() -> None:
    row = {"split": "eval", "skill": 0.5, "low": 0.4, "high": 0.6, "constant": 1.0, "num_rows": 9}
    row |= {"metric": "mae", "model": 0.5}
    label = {"metrics": [{"name": "mae", "higher_is_better": False}]}
    assert sections.verdict_level(label | {"overall": [row]}, "eval") == "hardly"
    assert sections.verdict_level(label | {"overall": [row | {"low": None, "high": None}]}, "eval") == "none"
    assert sections.verdict_level(label | {"overall": [row | {"num_rows": 10}]}, "eval") == "good"


# A whole run


CONFIG = """\
features: {a: {}, g: {}}
labels: {y: {metrics: [mae, r2]}, z: {metrics: [mae]}}
split: {ratio: {train: 0.5, eval: 0.5}}
trainer: {type: regression, epochs: 1}
evaluator: {g: {}}
"""


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> Terminal:
    """A terminal in which a model of two labels was evaluated on one row."""
    folder = tmp_path_factory.mktemp("few")
    terminal = Terminal(folder / "project", folder)
    terminal(
        "datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", "a,g,y,z\n1,x,2,5\n2,y,3,7\n")
    )
    terminal("pipeline", "push", terminal.write("c.yaml", CONFIG), "p")
    terminal("pipeline", "run", "p", "-y")
    return terminal


def test_one_row_at_the_terminal(typed) -> None:
    answer = typed("pipeline", "evaluate", "p", "--no-open")
    table = answer.rows("Metric | Model | 95 % | Linear | Constant")
    r2 = next(row for row in table if row[0] == "r2")
    assert (r2[1], r2[2], r2[3]) == ("-", "-", "-")
    assert all(row[2] == "-" for row in table)
    assert "y on eval, 1 row\n" in answer.out
    assert "z on eval, 1 row\n" in answer.out
    assert answer.out.count("of 1 evaluated row no interval can be told") == 2
    assert "better than" not in answer.out
    assert "nan" not in answer.out.lower()


def test_one_row_as_json(typed) -> None:
    found = typed("pipeline", "evaluate", "p", "--json").json
    r2 = next(row for row in found["metrics"] if row["metric"] == "r2")
    assert (r2["model"], r2["low"], r2["skill"]) == (None, None, None)
    assert "cannot be told from always saying" in found["verdicts"][0]["sentence"]


def test_tables_of_slices_name_their_label(typed) -> None:
    lines = typed("pipeline", "evaluate", "p", "--no-open").out.splitlines()
    assert [line for line in lines if "by g" in line] == ["y, by g", "z, by g"]


def test_the_page_names_the_label_and_has_no_nan(typed) -> None:
    typed("pipeline", "evaluate", "p", "--no-open", "--output", typed.folder / "out")
    page = (typed.folder / "out" / "report.html").read_text()
    parts = page.split('<script type="application/json" id="slicing-')[1:]
    views = [json.loads(part.partition(">")[2].partition("</script>")[0]) for part in parts]
    assert [view["label"] for view in views] == ["y", "z"]
    assert "nan %" not in page
    assert 'class="verdict none"' in page


def test_comparing_runs_of_one_row(typed) -> None:
    typed("pipeline", "push", typed.write("d.yaml", CONFIG.replace("epochs: 1", "epochs: 2")), "q")
    typed("pipeline", "run", "q", "-y")
    answer = typed("pipeline", "compare", "p", "q", "--no-open")
    assert "nan" not in answer.out.lower()
    assert " better than " not in answer.out
    assert "cannot be told from 1 row" in answer.out
