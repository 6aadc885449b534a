"""A model is chosen by rows that are kept back from train, and by nothing that is reported."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.config.schema import INNER
from cengine.errors import CengineError
from cengine.pipeline.execute import Outcome

NUM_ROWS = 300
GROUPS = "categorize: {by: group, categories: {train: [a, b, c, d, e, f, g], eval: [h, i]}}"
TIME = "index_by: when, ratio: {train: 0.7, eval: 0.3}"
FIXED = "train_steps: 30, save_checkpoints_steps: 5"
STOPPING = f"{FIXED}, early_stopping: 2"
YAML = """
features: {{x: {{}}, z: {{}}}}
labels: {{y: {{loss: mse, metrics: [mae]}}}}
split: {{{split}}}
trainer: {{type: regression, train_batch_size: 16, layers: [{{type: dense, units: 4}}], {trainer}}}
"""


def table(*, poisoned: bool = False) -> pa.Table:
    """Rows in the order of time; `poisoned` are the labels of the groups h and i, which also are the last 30 of 100 rows."""
    random = np.random.default_rng(3)
    x, z, noise = random.normal(size=(3, NUM_ROWS))
    late = np.arange(NUM_ROWS) >= 0.7 * NUM_ROWS
    y = x - z + 0.5 * noise + np.where(late, 1000.0 * noise if poisoned else 0.0, 0.0)
    start = datetime.datetime(2020, 1, 1)
    names = np.where(
        late, np.array(list("hi"))[np.arange(NUM_ROWS) % 2], np.array(list("abcdefg"))[np.arange(NUM_ROWS) % 7]
    )
    when = [start + datetime.timedelta(hours=i) for i in range(NUM_ROWS)]
    return pa.table({"x": x, "z": z, "y": y, "group": names.tolist(), "when": when})


def run(folder: Path, split: str, trainer: str, rows: pa.Table) -> Outcome:
    folder.mkdir()
    project = cengine.open_project(folder / "project")
    pq.write_table(rows, folder / "t.parquet")
    source = cengine.register(project, "parquet", path=str(folder / "t.parquet"))
    return cengine.execute(
        cengine.plan(project, cengine.parse_config(YAML.format(split=split, trainer=trainer)), source)
    )


def weights(outcome: Outcome) -> list[np.ndarray]:
    return [np.asarray(array) for array in outcome.model().network.get_weights()]


def training(outcome: Outcome) -> dict:
    return json.loads((outcome.folders["Train"] / "training.json").read_text())


def numbers(outcome: Outcome) -> np.ndarray:
    """The number of each encoded row's part, in the order of the table."""
    return pq.read_table(outcome.folders["Transform"] / "encoded.parquet")["_split"].to_numpy()


@pytest.mark.parametrize("split", [GROUPS, TIME], ids=["groups", "time"])
@pytest.mark.parametrize("trainer", [FIXED, STOPPING], ids=["fixed", "stopping"])
def test_other_labels_in_eval_leave_the_weights_as_they_are(tmp_path, split, trainer) -> None:
    one = run(tmp_path / "one", split, trainer, table())
    poisoned = run(tmp_path / "poisoned", split, trainer, table(poisoned=True))
    for a, b in zip(weights(one), weights(poisoned), strict=True):
        np.testing.assert_array_equal(a, b)
    found, other = training(one), training(poisoned)
    assert found["best_step"] == other["best_step"]
    assert found["history"][-1]["eval"]["loss"] < 0.01 * other["history"][-1]["eval"]["loss"]


@pytest.mark.parametrize(("split", "trainer", "judged", "num_inner"), [
    ("ratio: {train: 0.8, eval: 0.2}", FIXED, None, 0),
    ("ratio: {train: 0.8, eval: 0.2}", STOPPING, INNER, 24),
    ("categorize_by: group, index_ratio: {train: 0.8, eval: 0.2}", STOPPING, INNER, 24),
    ("ratio: {train: 0.6, test: 0.2, valid: 0.2}", FIXED, "valid", 0),
    ("ratio: {train: 0.6, val: 0.2, test: 0.2}", STOPPING, "val", 0),
    ("ratio: {train: 0.8, valid: 0.2}", STOPPING, INNER, 24),
])  # fmt: skip
def test_what_chooses(tmp_path, split, trainer, judged, num_inner) -> None:
    outcome = run(tmp_path / "run", split, trainer, table())
    found = training(outcome)
    assert found["judged_on"] == judged
    num_splits = len(cengine.parse_config(YAML.format(split=split, trainer=trainer)).config.split.names)
    assert (numbers(outcome) == num_splits).sum() == num_inner
    losses = {entry["step"]: entry[judged]["loss"] for entry in found["history"]} if judged else {30: 0.0}
    assert found["best_step"] == min(losses, key=losses.get)
    assert found["num_judged"] == (num_inner or (60 if judged else 0))


def test_what_is_kept_back_lies_as_the_splits_do(tmp_path) -> None:
    """The last of the train rows in time, whole groups, the same share of each stratum, whatever the order of the rows."""
    rows = table()
    by_time = numbers(run(tmp_path / "time", TIME, STOPPING, rows))
    assert by_time.tolist() == [0] * 189 + [2] * 21 + [1] * 90
    by_group = numbers(run(tmp_path / "groups", GROUPS, STOPPING, rows))
    parts = {name: set(by_group[np.array(rows["group"].to_pylist()) == name].tolist()) for name in "abcdefghi"}
    assert all(len(found) == 1 for found in parts.values())
    assert sum(found == {2} for found in parts.values()) == 1
    backwards = rows.take(list(range(NUM_ROWS))[::-1])
    assert numbers(run(tmp_path / "backwards", GROUPS, STOPPING, backwards))[::-1].tolist() == by_group.tolist()
    stratified = numbers(
        run(tmp_path / "strata", "categorize_by: group, index_ratio: {train: 0.8, eval: 0.2}", STOPPING, rows)
    )
    held = [int((stratified[np.array(rows["group"].to_pylist()) == name] == 2).sum()) for name in "abcdefghi"]
    assert held == [3, 3, 2, 2, 2, 2, 2, 4, 4]  # of seven times 24 rows and twice 36


def test_where_nothing_can_be_kept_back(tmp_path) -> None:
    """Of one time no tenth can be taken: early stopping says so, and a length that follows from the rows is trained to its end."""
    rows = table()
    when = [datetime.datetime(2020, 1, 1 + (i >= 210)) for i in range(NUM_ROWS)]
    rows = rows.set_column(rows.column_names.index("when"), "when", pa.array(when))
    with pytest.raises(CengineError, match="early_stopping has no rows to look at: of the 210 train rows"):
        run(tmp_path / "stopping", TIME, STOPPING, rows)
    found = training(run(tmp_path / "open", TIME, "save_checkpoints_steps: 1000", rows))
    assert (found["judged_on"], found["num_judged"], found["stopped_early"]) == (None, 0, False)
    assert found["best_step"] == found["num_steps"]


@pytest.mark.parametrize(("train", "num_held"), [(["a"], 3), (["a", "b"], 6)])
def test_of_too_few_train_groups_rows_are_kept_back(tmp_path, train, num_held) -> None:
    """As where a column says `train` and `test`; rows of groups in no split stay out, and each group gives its share."""
    rows = table()
    names = np.array(rows["group"].to_pylist())
    split = f"categorize: {{by: group, categories: {{train: [{', '.join(train)}], eval: [h]}}}}"
    outcome = run(tmp_path / "few", split, STOPPING, rows)
    kept = np.flatnonzero(np.isin(names, [*train, "h"]))
    found = dict(zip(kept.tolist(), numbers(outcome).tolist(), strict=True))
    assert {row for row, number in found.items() if number == 1} == set(np.flatnonzero(names == "h"))
    held = {row for row, number in found.items() if number == 2}
    assert [sum(names[row] == name for row in held) for name in train] == [3] * len(train)
    assert (training(outcome)["judged_on"], training(outcome)["num_judged"]) == (INNER, num_held)
    again = numbers(run(tmp_path / "backwards", split, STOPPING, rows.take(list(range(NUM_ROWS))[::-1])))
    assert again[::-1].tolist() == list(found.values())


def test_a_split_named_for_choosing_is_not_the_only_one() -> None:
    def named(text: str) -> str | None:
        return cengine.parse_config(YAML.format(split=f"ratio: {text}", trainer=FIXED)).config.split.validation

    assert named("{train: 0.8, valid: 0.2}") is None
    assert named("{train: 0.6, eval: 0.2, test: 0.2}") is None
    assert named("{train: 0.6, test: 0.2, Validation: 0.2}") == "Validation"
