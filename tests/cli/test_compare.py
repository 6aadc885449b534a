"""`cengine pipeline compare`: finished runs side by side."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from terminal import Terminal

NUM_ROWS = 1_500
YAML = """\
features: FEATURES
labels:
  y: {loss: mse, metrics: [mae, rmse]}
split:
  ratio: {train: 0.6, eval: 0.3, test: 0.1}
trainer:
  type: regression
  layers: [{type: dense, units: 8}]
  optimizer: {type: adam, learning_rate: 0.02}
  train_batch_size: 32
  train_steps: 200
evaluator:
  slices: [[word], [word, gender]]
"""
TABLE = "Metric|Run||Model|95 %|Constant|Linear|Difference|95 % of it||Rows"
HOSTILE = "<script>alert(1)</script> txt"  # control characters are refused in names


def table(num_rows: int = NUM_ROWS) -> pa.Table:
    random = np.random.default_rng(0)
    x, z = random.normal(size=(2, num_rows))
    y = 3 * x + 2 * z + 10 + 0.5 * random.normal(size=num_rows)
    return pa.table(
        {
            "x": x,
            "z": z,
            "word": pa.array(np.array(list("abc"))[np.arange(num_rows) % 3]),
            "gender": np.arange(num_rows) % 4 % 3,
            "y": y,
            "rich": y > 10,
        }
    )


def yaml(features: str = "[x]", **replaced: str) -> str:
    text = YAML.replace("FEATURES", features)
    for old, new in replaced.items():
        text = text.replace(
            {
                "labels": "y: {loss: mse, metrics: [mae, rmse]}",
                "ratio": "ratio: {train: 0.6, eval: 0.3, test: 0.1}",
                "seed": "train_steps: 200",
                "slices": "slices: [[word], [word, gender]]",
                "type": "type: regression",
            }[old],
            new,
        )
    return text


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> Terminal:
    """A terminal with finished runs: of one column, of two, of two with another seed; of other rows; of classes."""
    folder = tmp_path_factory.mktemp("compare")
    terminal = Terminal(folder / "project", folder)
    pq.write_table(table(), folder / "t.parquet")
    terminal("datasource", "create", "parquet", "--name", "t", "--path", folder / "t.parquet")
    seed = "train_steps: 200\n  seed: 7"
    configs = {
        "one": yaml(), "two": yaml("[x, z]"), "again": yaml("[x, z]", seed=seed),
        "more": yaml("[x, z]", labels="y: {loss: mse, metrics: [r2, mae]}", slices="slices: [[gender]]"),
        "rows": yaml("[x, z]", ratio="seed: 5\n  ratio: {train: 0.5, eval: 0.5}"),
        "kind": yaml("[x, z]", labels="rich: {}", type="type: classification"),
    }  # fmt: skip
    for name, text in configs.items():
        terminal("pipeline", "push", terminal.write(f"{name}.yaml", text), name)
        terminal("pipeline", "run", name, "-y")
    terminal("pipeline", "push", terminal.write("never.yaml", yaml()), "never")
    return terminal


def cells(answer, metric: str, run: str, split: str = "eval") -> list[str]:
    text = answer.out[answer.out.index(f"y, {split};") :]
    found = type(answer)(answer.code, text, answer.err).rows(TABLE)
    return next(row for row in found if row[:2] == [metric, run])


def label_of(answer, name: str = "y") -> dict:
    return next(label for label in answer.json["labels"] if label["name"] == name)


def run_of(answer, key: str, split: str = "eval") -> dict:
    found = next(found for found in label_of(answer)["splits"] if found["name"] == split)
    return next(run for run in found["runs"] if run["run"] == key)


def test_two_models_and_the_difference_of_each_row(typed) -> None:
    answer = typed("pipeline", "compare", "one", "2")
    assert "eval: one 1:1 is worse than two 2:1, its mae higher by " in answer.out
    assert "y, eval; differences are from 2:1, * is the best" in answer.out
    assert cells(answer, "mae", "2:1")[2] == "*"
    assert cells(answer, "mae", "1:1")[9] == "worse"
    assert cells(answer, "mae", "1:1")[10] == "450"

    found = run_of(typed("pipeline", "compare", "1:1", "2:1", "--json"), "1:1")
    from cengine.inspection.run import find_run

    one, two = (find_run(typed.project, name).predictions().to_pandas() for name in ("one", "two"))
    both = one[one["_split"] == 1].merge(two, on="_row_id", suffixes=("", "_two"))
    errors = (both["label: y"] - both["prediction: y"]).abs() - (both["label: y"] - both["prediction: y_two"]).abs()
    against = found["metrics"]["mae"]["against"]
    assert found["num_common"] == found["num_rows"] == len(errors) == 450
    assert against["difference"] == pytest.approx(errors.mean(), rel=1e-9)
    half = 1.9653 * errors.std(ddof=1) / np.sqrt(450)
    assert [against["low"], against["high"]] == pytest.approx([errors.mean() - half, errors.mean() + half], rel=1e-3)
    assert found["metrics"]["mae"]["constant_is"].startswith("train median")


def test_another_seed_is_within_the_noise_or_nearly_nothing(typed) -> None:
    against = run_of(typed("pipeline", "compare", "two", "again", "--against", "two", "--json"), "3:1")["metrics"][
        "mae"
    ]["against"]
    one = run_of(typed("pipeline", "compare", "two", "one", "--against", "two", "--json"), "1:1")["metrics"]["mae"][
        "against"
    ]
    assert abs(against["difference"]) < one["difference"] / 10
    assert (against["verdict"] == "noise") == (against["low"] <= 0 <= against["high"])


def test_a_run_is_not_better_than_itself(typed) -> None:
    """The same run twice is one; a run of the same configuration again has the same predictions."""
    assert "two runs are needed, only 2:1 can be compared" in typed("pipeline", "compare", "two", "2:1", code=7).err
    typed("pipeline", "run", "two", "-y")
    answer = typed("pipeline", "compare", "two:*")
    assert "have the same mae." in answer.out
    assert "their configurations and data are the same" in answer.out


def test_without_names_the_newest_of_each(typed) -> None:
    answer = typed("pipeline", "compare", "--json")
    assert [run["pipeline"] for run in answer.json["runs"]] == ["one", "two", "again", "more", "rows", "kind"]
    assert answer.json["left_out"] == [{"name": "never", "reason": "pipeline 'never' has no results: it was never run"}]
    assert answer.json["alone"] == [{"label": "rich", "task": "binary", "run": "6:1"}]
    assert label_of(answer)["runs"] == ["1:1", f"2:{answer.json['runs'][1]['number']}", "3:1", "4:1", "5:1"]
    printed = typed("pipeline", "compare").out
    assert "left out: never, pipeline 'never' has no results: it was never run" in printed
    assert "label rich (binary) is in 6:1 only, and is compared with nothing" in printed
    settings = type(answer)(0, printed, "").rows("Setting|1:1|" + "|".join(r["key"] for r in answer.json["runs"][1:]))
    assert ["features.z", "", "true", "true", "true", "true", "true"] in settings
    assert ["trainer.seed", "0", "0", "7", "0", "0", "0"] in settings
    assert all(row[0] != "features.x" for row in settings)


def test_metrics_and_slices_that_one_yaml_does_not_name_are_measured(typed) -> None:
    answer = typed("pipeline", "compare", "two", "more", "--json")
    label = label_of(answer)
    assert [metric["name"] for metric in label["metrics"]] == ["mae", "rmse", "r2"]
    # The two are the same model.
    for split in ("eval", "test"):
        own, other = (run_of(answer, run["key"], split)["metrics"] for run in answer.json["runs"])
        for name in ("mae", "rmse", "r2"):
            assert {
                key: own[name][key] for key in ("model", "low", "high", "constant", "constant_is", "skill")
            } == pytest.approx(
                {key: other[name][key] for key in ("model", "low", "high", "constant", "constant_is", "skill")}
            )
    sets = {(tuple(found["columns"]), found["split"]): found for found in label["slices"]}
    assert set(sets) == {
        (columns, split) for columns in (("word",), ("word", "gender"), ("gender",)) for split in ("eval", "test")
    }
    for found in sets.values():
        own, other = found["runs"].values()
        assert own == other
        assert sum(own["num_rows"]) == {"eval": 450, "test": 150}[found["split"]]
        assert set(own["metrics"]) == {"mae", "rmse", "r2"}


def test_rows_that_only_one_evaluated_are_not_compared(typed) -> None:
    answer = typed("pipeline", "compare", "two", "rows", "--against", "rows", "--json")
    keys = [run["key"] for run in answer.json["runs"]]
    assert keys[0] == "5:1"
    found = run_of(answer, keys[1])
    assert found["num_rows"] == 450
    assert 150 < found["num_common"] < 300
    sentence = found["metrics"]["mae"]["against"]["sentence"]
    assert (
        f"Compared over the {found['num_common']} rows that both evaluated; {450 - found['num_common']} of two"
        in sentence
    )
    assert f"and {750 - found['num_common']} of rows 5:1 are not comparable." in sentence
    # Only one of them has a split `test`.
    test = next(split for split in label_of(answer)["splits"] if split["name"] == "test")
    assert [run["run"] for run in test["runs"]] == [keys[1]]


def test_another_table_has_no_rows_in_common(typed) -> None:
    pq.write_table(table(1_000).drop(["rich"]), typed.files / "other.parquet")
    typed("datasource", "create", "parquet", "--name", "other", "--path", typed.files / "other.parquet")
    typed("datasource", "set", "t")
    typed("pipeline", "run", "one", "-y", "--datasource", "other")
    answer = typed("pipeline", "compare", "1:1", "1:2")
    assert "eval: there is no row that both" in answer.out
    assert ["data.datasource", "t", "other"] in answer.rows("Setting|1:1|1:2")
    typed("pipeline", "run", "one", "-y")


def test_the_page(typed) -> None:
    answer = typed("pipeline", "compare", "one:1", "3", "--no-open")
    path = typed.project.folder / "reports" / "compare-1-1_3-1.html"
    assert answer.out.splitlines()[-1].startswith("page: ")
    assert answer.out.splitlines()[-1].endswith("compare-1-1_3-1.html")
    text = path.read_text()
    assert "one" in text
    assert 'http-equiv="Content-Security-Policy"' in text
    assert "src=" not in text.split("<script")[0]
    target = typed.files / "pages" / "mine.html"
    typed("pipeline", "compare", "1:1", "3", "--output", target, "--json")
    assert target.read_text() == text
    assert "/proc/none" in typed("pipeline", "compare", "1:1", "3", "--output", "/proc/none/x.html", code=7).err


def test_many_runs_have_a_short_name(typed) -> None:
    from cengine.inspection.compare import comparison_file
    from cengine.inspection.run import find_run

    runs = [find_run(typed.project, "one")] * 200
    assert len(comparison_file(typed.project, runs).name) < 60


def test_hostile_names_reach_neither_terminal_nor_page(typed) -> None:
    text = yaml("[x]", labels="y: {loss: mse, metrics: [mae]}", seed="train_steps: 20")
    typed("pipeline", "push", typed.write("h.yaml", text), HOSTILE)
    typed("pipeline", "run", HOSTILE, "-y")
    answer = typed("pipeline", "compare", HOSTILE, "one", "--no-open")
    assert "<script>alert(1)</script>" in answer.out
    (page,) = (typed.project.folder / "reports").glob("compare-8-1_1-*.html")
    assert "<script>alert" not in page.read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["one"], "two runs are needed, only 1:"),
        (["one", "oone"], "there is no pipeline 'oone'"),
        (["one", "never"], "pipeline 'never' has no results: it was never run"),
        (["never:*"], "pipeline 'never' has no results: it was never run"),
        (["one", "two:99"], "has no results"),
        (["one", "two:x"], "'x' is not the number of a run"),
        (["one", "two", "--against", "tow"], "did you mean 'two'?"),
    ],
)
def test_what_cannot_be_compared(typed, words, says) -> None:
    answer = typed("pipeline", "compare", *words, code=7)
    assert says in answer.err


def test_a_new_project_says_what_to_do(terminal) -> None:
    answer = terminal("pipeline", "compare", code=7)
    assert "two runs are needed, there is no finished run" in answer.err


def test_nothing_is_left_behind(typed) -> None:
    typed("pipeline", "compare", "one", "two")
    assert typed.leftovers() == []
