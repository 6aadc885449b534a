"""A leak, a score that is too good and repeated rows are told at the terminal, in JSON and on the page; old runs are shown without them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.evaluation.results import read_results
from cengine.evaluation.truth import FILE, cautions, empty_truth
from cengine.reports.html import page

NUM_ROWS = 1000
YAML = """
features: {columns}
labels: {{survived: {{}}}}
split: {{ratio: {{train: 0.7, eval: 0.3}}}}
trainer: {{type: classification, layers: [{{type: dense, units: 8}}], train_steps: 300, train_batch_size: 64, optimizer: {{type: adam, learning_rate: 0.02}}}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Passengers, 150 of them twice; `<b>alive` says who survived."""
    folder = tmp_path_factory.mktemp("cautions")
    random = np.random.default_rng(0)
    age, fare = random.normal(size=(2, NUM_ROWS))
    survived = (age + random.normal(size=NUM_ROWS) > 0).astype(int)
    table = pa.table({"age": age, "fare": fare, "<b>alive": np.where(survived, "yes", "no"), "survived": survived})
    pq.write_table(pa.concat_tables([table, table.slice(0, 150)]), folder / "passengers.parquet")
    opened = cengine.open_project(folder / "project")
    return opened, cengine.register(opened, "parquet", path=str(folder / "passengers.parquet"))


def run_of(project, columns: str):
    opened, snapshot = project
    return cengine.execute(cengine.plan(opened, cengine.parse_config(YAML.format(columns=columns), "t.yaml"), snapshot))


@pytest.fixture(scope="module")
def leaky(project):
    return run_of(project, "[age, fare, <b>alive]")


def test_a_leak_a_perfect_score_and_copies_are_told(leaky) -> None:
    found = leaky.results.cautions
    assert [one["kind"] for one in found] == ["leak", "too_good", "repeated"]
    assert all(one["is_warning"] for one in found)
    assert "'<b>alive' all but determines 'survived'" in found[0]["sentence"]
    assert found[1]["sentence"] == "accuracy 1 of survived on eval is too good to be true."
    assert "stand in train too" in found[2]["sentence"]


def test_a_model_without_the_leak_is_told_of_copies_alone(project) -> None:
    run = run_of(project, "[age, fare]")
    assert [one["kind"] for one in run.results.cautions] == ["repeated"]


def test_the_page_tells_them_and_runs_none_of_their_text(leaky, tmp_path) -> None:
    text = page(leaky.summary, cache=tmp_path, sections=["answer"])
    assert text.count("data-caution=") == 3
    assert "&lt;b&gt;alive" in text
    assert "'<b>alive'" not in text


def test_a_perfect_score_without_a_known_leak_says_where_to_look() -> None:
    row = {"split": "eval", "label": "y", "metric": "auc", "model": 1.0, "skill": 1.0, "num_rows": 10}
    (found,) = cautions(empty_truth(), [row, row | {"metric": "log_loss"}])
    assert (
        found["sentence"] == "auc 1 of y on eval is too good to be true: look for a column that is made from the label."
    )
    assert cautions(empty_truth(), [row | {"skill": 0.99}, row]) == []
    assert cautions(empty_truth(), [row | {"num_rows": 9}]) == []
    assert cautions(empty_truth(), [row | {"skill": None}]) == []


def test_an_evaluation_of_an_earlier_version_is_read_without_them(leaky, tmp_path) -> None:
    source = leaky.predictions_file.parent
    for file in source.glob("*.*"):
        if file.name != FILE:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    old = read_results(tmp_path)
    assert old.truth == empty_truth()
    summary = leaky.summary
    bare = summary | {
        "labels": [
            one | {"importance": None, "dependences": [], "rows": [], "attributions": None} for one in summary["labels"]
        ]
    }
    assert page(bare, cache=tmp_path, sections=["features", "rows"]).count("of an earlier version") == 2
    (tmp_path / FILE).write_text(json.dumps({"associations": []}))
    assert read_results(tmp_path).truth == empty_truth()


def test_what_a_model_is_made_of_is_told(leaky) -> None:
    """The feature that says the label matters; the fare, which has nothing to do with it, is worth 0 within its interval."""
    found = leaky.results.truth["important"]
    assert (found["split"], found["losses"], found["left_out"]) == ("eval", {"survived": "log_loss"}, 0)
    by_name = {one["feature"]: one for one in found["features"]}
    assert found["features"][0]["feature"] == "<b>alive"
    assert by_name["<b>alive"]["low"] > 1
    assert abs(by_name["fare"]["value"]) < 0.01
    (drawn,) = [one for one in leaky.results.truth["dependences"] if one["feature"] == "<b>alive"]
    assert set(drawn["values"]) == {"yes", "no"}
    assert drawn["outputs"] == ["1"]
    shares = dict(zip(drawn["values"], drawn["means"][0], strict=True))
    assert shares["yes"] > 0.9
    assert shares["no"] < 0.1


def test_single_rows_stand_with_their_features(leaky) -> None:
    """Those with the largest errors are the largest of the table of predictions, and their cells those of the table."""
    found = {one["kind"]: one for one in leaky.results.truth["worst_rows"]}
    assert list(found) == ["worst", "typical", "border"]
    table = leaky.predictions().to_pandas()
    own = np.where(table["label: survived"] == 1, table["prediction: survived"], 1 - table["prediction: survived"])
    worst = [row["error"] for row in found["worst"]["rows"]]
    assert worst == pytest.approx(sorted(-np.log(own), reverse=True)[:10])
    assert [row["error"] for row in found["typical"]["rows"]] == pytest.approx(sorted(-np.log(own))[:5])
    certainty = sorted(np.abs(table["prediction: survived"] - 0.5))[:5]
    assert [row["probability"] - 0.5 for row in found["border"]["rows"]] == pytest.approx(certainty)
    for one in found.values():
        alive = one["features"].index("<b>alive")
        assert {(row["label"], row["cells"][alive]) for row in one["rows"]} <= {(1, "yes"), (0, "no")}


def test_push_warns_of_a_leak_at_its_line_and_of_nothing_else(terminal) -> None:
    random = np.random.default_rng(0)
    survived = random.integers(0, 2, 2000)
    table = pa.table(
        {
            "age": random.normal(size=2000),
            "alive": np.where(survived, "yes", "no"),
            "row": range(2000),
            "survived": survived,
        }
    )
    pq.write_table(table, terminal.files / "passengers.parquet", row_group_size=150)
    terminal("datasource", "create", "parquet", "--path", terminal.files / "passengers.parquet")
    for number, columns in enumerate(("[age, alive, row]", "[age, row]")):
        config = terminal.write(f"{number}.yaml", YAML.format(columns=columns))
        told = terminal("pipeline", "push", config, f"p{number}").err
        assert told.count("all but determines") == ("alive" in columns)
        if "alive" in columns:
            assert "warning: 'alive' all but determines 'survived'" in told
            assert "0.yaml:2:17" in told
