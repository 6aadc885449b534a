"""Cross validation: every row is predicted once, by a model that has not seen it, and so is everything that is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cengine
from cengine.config.schema import INNER
from cengine.errors import CengineError
from cengine.inspection.run import Run

NUM_ROWS, NUM_FOLDS = 360, 5
NETWORK = "train_steps: 30, train_batch_size: 32, layers: [{type: dense, units: 4}, {type: dropout, rate: 0.1}]"
STOPPING = f"{NETWORK}, save_checkpoints_steps: 5, early_stopping: 2"
TREES = "architecture: boosted_trees, trees: 12, leaves: 7"
STOPPED_TREES = f"{TREES}, early_stopping: true"
YAML = """
features: {{x: {{}}, z: {{transform: quantile_normal}}, word: {{}}}}
labels: {{{label}: {{}}}}
split: {{{split}}}
trainer: {{type: {task}, {trainer}}}
evaluator: {{n: {{}}, group: {{}}, yardstick: trees}}
"""


def table(*, poisoned: str | None = None, extra: dict[str, list] | None = None) -> pa.Table:
    """`n` numbers the rows; `poisoned` are the groups (a letter each) whose labels say something else."""
    random = np.random.default_rng(5)
    x, z, noise = random.normal(size=(3, NUM_ROWS))
    numbers = np.arange(NUM_ROWS)
    group = np.array(list("abcdefghij"))[numbers % 10]
    bad = np.isin(group, list(poisoned or ""))
    y = x - z + 0.3 * noise + np.where(bad, 100 * noise, 0)
    kind = np.where(numbers % 120 == 7, "rare", np.where((y > 0) != bad, "high", "low"))
    columns = {"n": numbers, "x": x, "z": z, "word": [f"w{i * i % 11}" for i in range(NUM_ROWS)], "y": y}
    return pa.table(
        {**columns, "kind": kind.tolist(), "flag": (kind == "high").tolist(), "group": group.tolist(), **(extra or {})}
    )


def run(folder: Path, rows: pa.Table, split: str, trainer: str, label: str = "y") -> Run:
    """Of the project in a folder, which may be there already."""
    folder.mkdir(exist_ok=True)
    pq.write_table(rows, folder / "t.parquet")
    project = cengine.open_project(folder / "project")
    task = "regression" if label == "y" else "classification"
    text = YAML.format(split=split, trainer=trainer, label=label, task=task)
    source = cengine.register(project, "parquet", path=str(folder / "t.parquet"))
    return cengine.execute(cengine.plan(project, cengine.parse_config(text), source))


def predictions(found: Run) -> pa.Table:
    return found.predictions().sort_by("n")


def folds(found: Run) -> np.ndarray:
    """The fold of each row, from 1."""
    return predictions(found)["_fold"].to_numpy()


@pytest.mark.parametrize(("label", "trainer"), [
    ("y", NETWORK), ("y", TREES), ("flag", NETWORK), ("flag", TREES), ("kind", NETWORK), ("kind", TREES),
])  # fmt: skip
def test_each_row_is_predicted_once_as_by_a_plain_run_on_the_other_folds(tmp_path, label, trainer) -> None:
    found = run(tmp_path / "folds", table(), f"folds: {NUM_FOLDS}, seed: 3", trainer, label)
    rows = predictions(found)
    assert rows["n"].to_pylist() == list(range(NUM_ROWS))
    number = folds(found)
    assert np.bincount(number).tolist() == [0] + [NUM_ROWS // NUM_FOLDS] * NUM_FOLDS
    beside = table(extra={"part": [f"p{one}" for one in number]})
    for fold in (1, NUM_FOLDS) if label == "y" else (2,):
        others = ", ".join(f"p{one}" for one in range(1, NUM_FOLDS + 1) if one != fold)
        groups = f"categorize_by: part, categories: {{train: [{others}], eval: [p{fold}]}}"
        plain = run(tmp_path / f"plain-{fold}", beside, groups, trainer, label)
        for name in (name for name in rows.column_names if ": " in name):
            own = rows.filter(pa.array(number == fold))[name]
            assert own.to_pylist() == predictions(plain)[name].to_pylist(), name
        # All that was fitted, the yardsticks too.
        for stage in ("Fit", "Yardsticks"):
            (one, other) = (r.folders[s] for r, s in ((found, f"{stage} {fold} of {NUM_FOLDS}"), (plain, stage)))
            names = {str(path.relative_to(one)) for path in one.rglob("*") if path.is_file()} - {"artifact.json"}
            assert names == {str(p.relative_to(other)) for p in other.rglob("*") if p.is_file()} - {"artifact.json"}
            for name in (name for name in names if name.endswith((".json", ".npz", ".txt"))):
                assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("trainer", [STOPPING, STOPPED_TREES], ids=["network", "trees"])
@pytest.mark.parametrize("label", ["y", "flag"])
def test_other_labels_in_a_fold_leave_what_is_predicted_for_it_as_it_is(tmp_path, trainer, label) -> None:
    split = "category_folds: 5, categorize_by: group"
    clean = run(tmp_path / "clean", table(), split, trainer, label)
    number = folds(clean)
    groups = predictions(clean)["group"].to_numpy(zero_copy_only=False)
    poisoned = run(tmp_path / "bad", table(poisoned="".join(sorted(set(groups[number == 2])))), split, trainer, label)
    assert folds(poisoned).tolist() == number.tolist()
    one, other = (predictions(found)[f"prediction: {label}"].to_numpy() for found in (clean, poisoned))
    assert one[number == 2].tolist() == other[number == 2].tolist()
    for fold in (1, 3, 4, 5):
        assert not np.array_equal(one[number == fold], other[number == fold])
    # What a constant and the linear model reach on it hangs on the others alone, too.
    for stage in ("Fit 2 of 5", "Yardsticks 2 of 5", "Train 2 of 5"):
        file = {"Fit": "statistics.json", "Yardsticks": "linear.npz", "Train": "statistics.json"}[stage.split()[0]]
        if (clean.folders[stage] / file).exists():
            assert (clean.folders[stage] / file).read_bytes() == (poisoned.folders[stage] / file).read_bytes()


@pytest.mark.parametrize("split", ["folds: 4", "folds: 4, categorize_by: group", "category_folds: 4, categorize_by: group",
                                   "category_folds: 10, categorize_by: group", "category_folds: 2, categorize_by: flag"])  # fmt: skip
def test_what_a_model_is_chosen_by_is_cut_out_of_the_rows_that_it_sees(tmp_path, split) -> None:
    found = run(tmp_path / "run", table(), split, STOPPING)
    number, num_folds = folds(found), found.resolved.split.num_folds
    assert number.min() == 1 and number.max() == num_folds
    last = pq.read_table(found.folders["Transform"] / "encoded.parquet")
    assert len(set(last["_row_id"].to_pylist())) == NUM_ROWS
    for fold in range(num_folds + 1):
        name = f"{fold} of {num_folds}" if fold else ""
        encoded = pq.read_table(found.folders[f"Transform {name}".strip()] / "encoded.parquet")["_split"].to_numpy()
        told = json.loads((found.folders[f"Train {name}".strip()] / "training.json").read_text())
        if fold:
            assert (encoded == 1).tolist() == (number == fold).tolist()
        inner = encoded == (2 if fold else 1)
        assert (told["judged_on"], told["num_judged"]) == (INNER, int(inner.sum()))
        seen = NUM_ROWS - int((number == fold).sum())
        assert 0.05 * seen < inner.sum() < 0.34 * seen
        assert not (inner & (number == fold)).any()


def test_groups_stay_whole_or_are_dealt_to_all_folds(tmp_path) -> None:
    whole = run(tmp_path / "whole", table(), "category_folds: 3, categorize_by: group", TREES)
    group = predictions(whole)["group"].to_numpy(zero_copy_only=False)
    of_group = {name: set(folds(whole)[group == name].tolist()) for name in "abcdefghij"}
    assert all(len(found) == 1 for found in of_group.values())
    assert sorted(np.bincount([min(found) for found in of_group.values()])[1:].tolist()) == [3, 3, 4]
    stratified = folds(run(tmp_path / "dealt", table(), "folds: 7, categorize_by: group", TREES))
    for name in "abcdefghij":
        counts = np.bincount(stratified[group == name], minlength=8)[1:]
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(stratified)[1:]) <= 1


def test_the_same_rows_in_another_order_are_in_the_same_folds(tmp_path) -> None:
    one = folds(run(tmp_path / "one", table(), "folds: 4", TREES))
    other = folds(run(tmp_path / "other", table().take(list(range(NUM_ROWS))[::-1]), "folds: 4", TREES))
    assert one.tolist() == other.tolist()
    assert one.tolist() != folds(run(tmp_path / "seed", table(), "folds: 4, seed: 1", TREES)).tolist()


def test_mean_and_deviation_over_folds(tmp_path) -> None:
    found = run(tmp_path / "run", table(), f"folds: {NUM_FOLDS}", TREES)
    rows, number = predictions(found), folds(found)
    error = np.abs(rows["label: y"].to_numpy() - rows["prediction: y"].to_numpy())
    (mae, *_) = found.results.overall_rows
    assert (mae["metric"], mae["split"], mae["num_rows"]) == ("mae", "out_of_fold", NUM_ROWS)
    of_folds = [error[number == fold].mean() for fold in range(1, NUM_FOLDS + 1)]
    np.testing.assert_allclose(mae["folds"]["values"], of_folds, rtol=1e-9)
    np.testing.assert_allclose(mae["folds"]["mean"], np.mean(of_folds), rtol=1e-9)
    np.testing.assert_allclose(mae["folds"]["deviation"], np.std(of_folds, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(mae["model"], error.mean(), rtol=1e-9)
    # The constant beside it is that of the other folds.
    label = rows["label: y"].to_numpy()
    constants = np.concatenate([np.abs(label[number == fold] - np.quantile(label[number != fold], 0.5, method="inverted_cdf"))
                                for fold in range(1, NUM_FOLDS + 1)])  # fmt: skip
    np.testing.assert_allclose(mae["constant"], constants.mean(), rtol=2e-2)
    assert found.results.folds == (
        "each of the 5 models was measured on the fifth of the rows that it did not see; the model kept learnt from all rows"
    )


def test_a_constant_is_ranked_nowhere(tmp_path) -> None:
    """Constants of folds differ, and would order the rows of one fold behind those of another."""
    found = run(tmp_path / "run", table(), "folds: 3", TREES, "flag")
    constant = {row["metric"]: row["constant"] for row in found.results.overall_rows}
    assert constant["auc"] == 0.5


def test_classes_that_a_fold_lacks(tmp_path) -> None:
    """Three rows are rare: where all of them are in one fold, its model has two classes, and the table of predictions has three all the same."""
    rows = table().append_column("third", pa.array(["rare" if i % 120 == 7 else f"t{i % 9}" for i in range(NUM_ROWS)]))
    found = run(tmp_path / "run", rows, "category_folds: 5, categorize_by: third", NETWORK, "kind")
    out = predictions(found)
    (rare,) = set(folds(found)[[i % 120 == 7 for i in range(NUM_ROWS)]].tolist())
    statistics = json.loads((found.folders[f"Fit {rare} of 5"] / "statistics.json").read_text())
    assert statistics["labels"]["kind"]["classes"] == ["high", "low"]
    names = found.targets[0].classes
    assert names == ("high", "low", "rare")
    assert [names[int(one)] for one in out["label: kind"].to_pylist()] == table()["kind"].to_pylist()
    listed = np.array(out["class_probabilities: kind"].to_pylist())
    np.testing.assert_allclose(listed.sum(axis=1), 1, rtol=1e-5)
    assert (listed[folds(found) == rare][:, 2] == 0).all()
    assert (listed[folds(found) != rare][:, 2] > 0).all()
    assert out["label_probability: kind"].to_numpy()[[i % 120 == 7 for i in range(NUM_ROWS)]].tolist() == [0.0] * 3


def test_only_what_changes_is_done_again(tmp_path) -> None:
    first = run(tmp_path / "run", table(), "folds: 3", TREES)
    again = cengine.execute(cengine.plan(first.project, first.config, first.snapshot))
    assert all(stage.reused for stage in again.stages)
    text = YAML.format(split="folds: 3", trainer=TREES, label="y", task="regression").replace("group: {}", "word: {}")
    project = first.project
    sliced = cengine.execute(cengine.plan(project, cengine.parse_config(text), first.snapshot))
    assert [stage.name for stage in sliced.stages if not stage.reused] == ["Evaluate"]
    assert sliced.results.overall_rows[0]["folds"] == first.results.overall_rows[0]["folds"]
    names = [stage.name for stage in first.stages]
    assert names[:5] == ["Split", "Fit 1 of 3", "Transform 1 of 3", "Yardsticks 1 of 3", "Train 1 of 3"]
    assert names[-4:] == ["Fit", "Transform", "Train", "Evaluate"]
    assert len({stage.fingerprint for stage in first.stages}) == len(names)


def test_the_model_that_is_kept_learnt_from_all_rows(tmp_path) -> None:
    found = run(tmp_path / "run", table(), "folds: 3", TREES)
    told = found.model().predict(table())["prediction"].to_numpy()
    everything = run(tmp_path / "all", table(extra={"part": ["a"] * (NUM_ROWS - 1) + ["b"]}),
                     "categorize_by: part, categories: {train: [a], eval: [b]}", TREES)  # fmt: skip
    near = everything.model().predict(table())["prediction"].to_numpy()
    out = predictions(found)["prediction: y"].to_numpy()
    label = table()["y"].to_numpy()
    assert np.abs(told - label).mean() < np.abs(out - label).mean()
    assert np.abs(told - near).mean() < 0.5 * np.abs(told - out).mean()
    assert found.split.report.rows == {"train": NUM_ROWS}


def test_runs_of_folds_stand_beside_plain_ones(tmp_path) -> None:
    from cengine.inspection.compare import choose_runs, compare_runs

    one = run(tmp_path / "run", table(), "folds: 4", TREES)
    two = run(tmp_path / "run", table(), "ratio: {train: 0.7, eval: 0.2, test: 0.1}", TREES)
    found = compare_runs(choose_runs(one.project, [one.key, two.key]))
    (label,) = found["labels"]
    splits = {split["name"]: split for split in label["splits"]}
    assert list(splits) == ["out_of_fold", "eval", "test"]
    ours, theirs = predictions(one), two.predictions()
    for number, name in enumerate(("eval", "test"), start=1):
        rows = theirs.filter(pa.compute.equal(theirs["_split"], number))["n"].to_numpy()
        of_run = {found["run"]: found for found in splits[name]["runs"]}
        assert {found["num_rows"] for found in of_run.values()} == {len(rows)}
        error = np.abs(ours["label: y"].to_numpy() - ours["prediction: y"].to_numpy())[rows].mean()
        np.testing.assert_allclose(of_run[one.key]["metrics"]["mae"]["model"], error, rtol=1e-6)
        compared = next(one for one in of_run.values() if one["num_common"] is not None)
        assert compared["num_common"] == len(rows)


@pytest.mark.parametrize("label", ["y", "kind"])
def test_slices_of_kept_predictions_have_the_constants_of_their_folds(tmp_path, label) -> None:
    from cengine.inspection.slicing import slice_run

    found = run(tmp_path / "run", table(), "category_folds: 5, categorize_by: group", TREES, label)
    again = slice_run(found, "group").tables[0].table
    (kept,) = [one for one in found.results.slices if one.columns == ("group",)]
    assert again.equals(kept.table)


def test_repeated_rows_are_those_of_another_fold(tmp_path) -> None:
    half = table().slice(0, NUM_ROWS // 2).drop_columns(["n"])
    rows = pa.concat_tables([half, half]).append_column("n", pa.array(range(NUM_ROWS)))
    found = run(tmp_path / "run", rows, "folds: 5", TREES)
    number = folds(found)
    apart = int((number[: NUM_ROWS // 2] != number[NUM_ROWS // 2 :]).sum()) * 2
    (told,) = found.results.truth["repeated"]
    assert (told["split"], told["counted"], told["alike"]) == ("out_of_fold", NUM_ROWS, apart)
    assert "stand in another fold too" in told["sentence"]


def test_what_is_said_of_a_run(tmp_path) -> None:
    found = run(tmp_path / "run", table(), "folds: 5", TREES)
    summary = found.summary
    assert summary["split"]["folds"]["rows"] == {f"fold_{i}": 72 for i in range(1, 6)}
    assert summary["labels"][0]["overall"][0]["folds"]["mean"] == pytest.approx(
        found.results.overall_rows[0]["folds"]["mean"]
    )
    important = found.results.truth["important"]
    assert (important["split"], important["num_rows"]) == ("out_of_fold", NUM_ROWS)
    assert important["features"][0]["feature"] in ("x", "z")
    assert {one["feature"] for one in found.results.truth["dependences"]} >= {"x", "z"}
    assert len(found.results.truth["worst_rows"][0]["rows"]) > 0


def test_a_limit_ends_the_run_and_no_model_of_a_fold_is_shorter_than_the_others(tmp_path) -> None:
    from cengine.stopping import Reason, Wish

    (tmp_path / "run").mkdir()
    pq.write_table(table(), tmp_path / "run" / "t.parquet")
    project = cengine.open_project(tmp_path / "run" / "project")
    source = cengine.register(project, "parquet", path=str(tmp_path / "run" / "t.parquet"))
    plan = cengine.plan(
        project,
        cengine.parse_config(YAML.format(split="folds: 3", trainer=NETWORK, label="y", task="regression")),
        source,
    )
    from cengine.pipeline.execute import execute
    from cengine.stopping import Stopped

    wish = Wish()

    def recorded(stages: list, position: object) -> None:
        if position is not None and position.stage == "Train 2 of 3":
            wish.express(Reason.OUT_OF_TIME)

    with pytest.raises(Stopped):
        execute(plan, recorded, wish)
    assert project.artifacts.find("Train 1 of 3", next(s.fingerprint for s in plan.stages if s.name == "Train 1 of 3"))
    again = cengine.execute(plan)
    assert [stage.name for stage in again.stages if stage.reused][:5] == [
        "Split", "Fit 1 of 3", "Transform 1 of 3", "Yardsticks 1 of 3", "Train 1 of 3",
    ]  # fmt: skip
    assert all(stage.limited_at is None for stage in again.stages)


def test_fewer_groups_than_folds(tmp_path) -> None:
    with pytest.raises(CengineError, match="there are 10 groups of 'group', fewer than the 12 folds"):
        run(tmp_path / "run", table(), "category_folds: 12, categorize_by: group", TREES)
    with pytest.raises(CengineError, match="there is 1 row, fewer than the 3 folds"):
        run(tmp_path / "one", table(), "folds: 3, where: [n = 4]", TREES)
