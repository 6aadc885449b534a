"""`cengine predict`: every way in and every way out gives what the model says, in the table's order, or says what is wrong before it starts."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from terminal import Terminal

import cengine
from cengine.errors import PreprocessError, StoreError
from cengine.inspection.run import find_run
from cengine.memory import default_memory_bytes
from cengine.prediction import predict as prediction
from cengine.prediction.parts import Parts
from cengine.prediction.predict import Limits, predict_table
from cengine.prediction.source import datasource_source

NUM_ROWS = 3_000
YAML = """\
features: {size: {}, grams: {}, word: {}, zip: {}, member: {}, at: {transform: calendar}}
labels: {kind: {}}
split: {ratio: {train: 0.8, eval: 0.2}, where: [size > 10]}
trainer: {type: classification, layers: [{type: dense, units: 4}], train_steps: 40}
"""
LIMITS = Limits(default_memory_bytes())


def made(seed: int = 5, words: tuple[str, ...] = ("red", "green", 'a "b", c')) -> pa.Table:
    """A column of every kind with gaps, a key, and a label; codes of places begin with zeros."""
    random = np.random.default_rng(seed)

    def gaps() -> np.ndarray:
        return random.random(NUM_ROWS) < 0.1

    seconds = random.integers(1_600_000_000, 1_700_000_000, NUM_ROWS)
    size = random.integers(0, 50, NUM_ROWS)
    return pa.table(
        {
            "key": np.arange(NUM_ROWS),
            "size": pa.array(size, pa.int64(), mask=gaps()),
            "grams": pa.array(random.lognormal(0, 1, NUM_ROWS).round(4), mask=gaps()),
            "word": pa.array(random.choice(words, NUM_ROWS), mask=gaps()),
            "zip": pa.array([f"0{n}" for n in random.integers(1000, 1040, NUM_ROWS)]),
            "member": pa.array(random.random(NUM_ROWS) < 0.5, mask=gaps()),
            "at": pa.array(seconds * 1_000_000, pa.timestamp("us"), mask=gaps()),
            "kind": np.where(size % 3 == 0, "a", np.where(size > 30, "b", "c")),
        }
    )


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """A project in which a model was trained on CSV."""
    folder = tmp_path_factory.mktemp("predict")
    terminal = Terminal(folder / "project", folder)
    pa.csv.write_csv(made(), folder / "made.csv")
    terminal("datasource", "create", "csv", folder / "made.csv")
    terminal("pipeline", "push", terminal.write("kinds.yaml", YAML), "kinds")
    terminal("pipeline", "run", "kinds", "-y")
    return terminal


@pytest.fixture(scope="module")
def model(terminal):
    return find_run(terminal.project, "kinds").model()


def predicted(terminal, place, *words, name: str = "out.parquet") -> pa.Table:
    """What the command wrote."""
    target = terminal.files / name
    target.unlink(missing_ok=True)
    terminal("predict", "kinds", "--input", place, "-o", target, *words)
    assert not target.with_name(f".{name}.partial").exists()
    return pq.read_table(target)


def assert_same(found: pa.Table, expected: pa.Table) -> None:
    assert found["prediction"].to_pylist() == expected["prediction"].to_pylist()
    for name in expected.column_names[1:]:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz", "jsonl", "typed.parquet", "shuffled.csv"])
def test_every_file_is_predicted_as_the_model_predicts_the_table(terminal, model, ending) -> None:
    """Files have their columns in any order and more of them, and say types in their own way."""
    rows = made(7)
    file = terminal.files / f"new.{ending}"
    if ending == "shuffled.csv":
        rows = rows.select(["zip", "word", "size", "member", "key", "grams", "at"])
        rows = rows.rename_columns([name.upper() for name in rows.column_names])
    if ending == "typed.parquet":  # whole numbers with a fraction's type, small types, times of another unit
        typed = rows.set_column(1, "size", rows["size"].cast(pa.float64()))
        typed = typed.set_column(6, "at", rows["at"].cast(pa.timestamp("ns", "UTC")))
        pq.write_table(typed, file)
    elif ending == "parquet":
        pq.write_table(rows, file)
    elif ending == "jsonl":
        lines = [json.dumps({k: str(v) if k == "at" and v else v for k, v in row.items()}) for row in rows.to_pylist()]
        file.write_text("\n".join(lines))
    else:
        with pa.output_stream(file) as stream:
            pa.csv.write_csv(rows, stream)
    expected = rows.rename_columns([name.lower() for name in rows.column_names])
    assert_same(predicted(terminal, file), model.predict(expected))


def test_a_datasource_is_predicted_in_its_order(terminal, model) -> None:
    found = predicted(terminal, "made", "--keep", "KEY,word", "--keep", "at")
    assert found.column_names[:4] == ["key", "word", "at", "prediction"]
    assert found["key"].to_pylist() == list(range(NUM_ROWS))
    assert found["word"].to_pylist() == made()["word"].to_pylist()
    assert_same(found.drop_columns(["key", "word", "at"]), model.predict(made()))


def test_only_rows_that_pass_the_filter_where_that_is_asked_for(terminal, model) -> None:
    chosen = made().filter(pa.compute.greater(made()["size"], 10))
    found = predicted(terminal, "made", "--where", "--keep", "key")
    assert found["key"].to_pylist() == chosen["key"].to_pylist()
    assert_same(found.drop_columns("key"), model.predict(chosen))


def test_csv_and_json_lines_hold_the_same(terminal) -> None:
    whole = predicted(terminal, "made", "--keep", "*")
    for name in ("out.csv", "out.jsonl"):
        target = terminal.files / name
        terminal("predict", "kinds", "--input", "made", "-o", target, "--keep", "*")
        back = pa.csv.read_csv(target) if name.endswith("csv") else pa.Table.from_pylist(
            [json.loads(line) for line in target.read_text().splitlines()]
        )  # fmt: skip
        assert back.column_names == whole.column_names
        for column in ("key", "member", "grams", "prediction", "probability_b"):
            assert back[column].to_pylist() == whole[column].to_pylist()
    texts = pa.csv.read_csv(terminal.files / "out.csv", convert_options=pa.csv.ConvertOptions(
        column_types={"zip": pa.string(), "word": pa.string()}, strings_can_be_null=True, quoted_strings_can_be_null=False,
    ))  # fmt: skip
    for column in ("zip", "word"):
        assert texts[column].to_pylist() == whole[column].to_pylist()


def test_a_folder_predicts_without_a_project(terminal, model, tmp_path) -> None:
    folder = model.save(tmp_path / "model")
    pq.write_table(made(7), tmp_path / "rows.parquet")
    elsewhere = Terminal(tmp_path / "empty", tmp_path)
    elsewhere("predict", folder, "--input", tmp_path / "rows.parquet", "-o", tmp_path / "out.parquet")
    assert_same(pq.read_table(tmp_path / "out.parquet"), model.predict(made(7)))
    assert not (tmp_path / "empty").exists()


def test_a_packed_bundle_predicts(terminal, model, tmp_path) -> None:
    pytest.importorskip("onnx")
    terminal("export", "kinds", "--format", "bundle", "-o", tmp_path / "kinds.zip")
    pq.write_table(made(7), tmp_path / "rows.parquet")
    terminal("predict", tmp_path / "kinds.zip", "--input", tmp_path / "rows.parquet", "-o", tmp_path / "out.parquet")
    assert_same(pq.read_table(tmp_path / "out.parquet"), model.predict(made(7)))


def test_it_tells_what_is_odd_about_the_rows(terminal, tmp_path) -> None:
    rows = made(9, words=("red", "blue"))
    pq.write_table(rows, tmp_path / "odd.parquet")
    page = tmp_path / "page.html"
    words = ("--input", tmp_path / "odd.parquet", "--page", page, "--overwrite", "-o")
    found = terminal("predict", "kinds", *words, tmp_path / "odd.csv", "--json").json
    num_blue = rows["word"].to_pylist().count("blue")
    assert found["rows"] == NUM_ROWS
    assert found["missing"] == {
        name: rows[name].null_count for name in ("size", "grams", "word", "zip", "member", "at")
    }
    assert found["unseen"] == {"word": num_blue, "zip": 0}
    assert {name: drift["level"] for name, drift in found["drift"].items()} == {
        "size": "strong", "grams": "same", "word": "strong", "zip": "same", "member": "same", "at": "same",
    }  # fmt: skip
    said = terminal("predict", "kinds", *words, tmp_path / "odd.csv").out
    assert f"word: {num_blue:,} (" in said
    assert "drift: 2 of 6 features differ from the train rows" in said
    assert "any other value" in page.read_text()


def test_rows_like_those_of_training_do_not_drift(terminal) -> None:
    assert "drift: none" in terminal(
        "predict", "kinds", "--input", "made", "--where", "-o", terminal.files / "like.csv", "--overwrite"
    ).out  # fmt: skip


def test_what_is_wrong_is_said_before_anything_is_predicted(terminal, tmp_path) -> None:
    rows = made()
    pq.write_table(rows.drop_columns(["word"]).rename_columns(["key", "sise", "grams", *rows.column_names[4:]]), tmp_path / "less.parquet")  # fmt: skip
    pq.write_table(rows.set_column(4, "zip", pa.array(range(NUM_ROWS))), tmp_path / "kind.parquet")
    pq.write_table(rows.set_column(1, "size", pa.array(np.full(NUM_ROWS, 1.5))), tmp_path / "half.parquet")
    pq.write_table(
        rows.set_column(2, "grams", pa.array([-(2**63)] + [2**53 + 1] * (NUM_ROWS - 1))), tmp_path / "large.parquet"
    )
    (tmp_path / "less.csv").write_text("size,grams\n1,2\n")
    (tmp_path / "bad.csv").write_text("size,grams,word,zip,member,at\nmany,2,red,01,true,2020-01-01\n")
    wrong = {
        ("less.parquet", "out.csv"): ["'size' is missing; did you mean 'sise'?", "'word' is missing"],
        ("kind.parquet", "out.csv"): ["column 'zip' is of the kind integer, the model was trained on string"],
        ("half.parquet", "out.csv"): ["column 'size': 3,000 have a fraction"],
        ("large.parquet", "out.csv"): ["column 'grams': 3,000 lie beyond 2^53"],
        ("less.csv", "out.csv"): ["'word' is missing", "'zip' is missing"],
        ("bad.csv", "out.csv"): ["size", "many"],
        ("none.csv", "out.csv"): ["there is no file"],
        ("made", "out.xlsx"): ["does not say in what format", ".jsonl"],
        ("nothing", "out.csv"): ["there is no datasource 'nothing'"],
    }
    for (place, output), texts in wrong.items():
        given = tmp_path / place if "." in place else place
        said = terminal("predict", "kinds", "--input", given, "-o", tmp_path / output, code=None)
        assert said.code in (1, 2, 4, 5, 7), said
        for text in texts:
            assert text in said.err, (place, said.err)
        assert not list(tmp_path.glob("*out*")) and not list(tmp_path.glob(".out*"))
    for words, text in (
        (("--keep", "prize"), "--keep: there is no column 'prize'"),
        (("--threads", "0"), "--threads"),
    ):
        said = terminal("predict", "kinds", "--input", "made", "-o", tmp_path / "out.csv", *words, code=None)
        assert said.code and text in said.err


def test_nothing_is_written_over_unless_that_is_asked_for(terminal, tmp_path) -> None:
    target = tmp_path / "kept.csv"
    target.write_text("mine")
    assert "--overwrite" in terminal("predict", "kinds", "--input", "made", "-o", target, code=7).err
    assert target.read_text() == "mine"


def test_a_column_that_is_called_as_a_prediction_is_not_kept(terminal, tmp_path) -> None:
    pq.write_table(made().append_column("prediction", pa.array(range(NUM_ROWS))), tmp_path / "again.parquet")
    said = terminal("predict", "kinds", "--input", tmp_path / "again.parquet", "-o", tmp_path / "o.csv", "--keep", "*", code=7)  # fmt: skip
    assert "would have the name of a prediction" in said.err


def test_two_commands_do_not_write_one_file(terminal, tmp_path) -> None:
    target = tmp_path / "one.csv"
    with FileLock(target.with_name(".one.csv.partial") / "lock"):
        said = terminal("predict", "kinds", "--input", "made", "-o", target, code=7)
    assert "another process is writing" in said.err


class Interrupted(Exception):
    pass


class Counting(prediction.Silent):
    """Ends the work after so many rows."""

    def __init__(self, limit: int) -> None:
        self.limit, self.seen = limit, []

    def advance(self, done: float, note: str = "") -> None:
        self.seen.append(done)
        if done > self.limit:
            raise Interrupted


def test_an_interrupted_command_goes_on_where_it_was(terminal, model, tmp_path, monkeypatch) -> None:
    """With parts of few rows; the file is that of an undisturbed command to the byte."""
    monkeypatch.setattr(prediction, "PART_ROWS", 1)
    monkeypatch.setattr(prediction, "block_rows", lambda model: 500)
    source = datasource_source(terminal.project, "made", print)
    whole = tmp_path / "whole.parquet"
    with Parts(whole) as parts:
        predict_table(model, source, parts, keep=["key"], limits=LIMITS)
    target = tmp_path / "again.parquet"
    with pytest.raises(Interrupted), Parts(target) as parts:
        predict_table(model, source, parts, keep=["key"], limits=LIMITS, progress=Counting(1_600))
    assert not target.exists()
    left = sorted(file.name for file in parts.folder.glob("part-*"))
    assert len(left) >= 2
    counting = Counting(NUM_ROWS)
    with Parts(target) as parts:
        done = predict_table(model, source, parts, keep=["key"], limits=LIMITS, progress=counting)
    assert done.num_resumed == counting.seen[0] >= 1_000
    assert done.counts.num_rows == NUM_ROWS
    assert done.counts.missing["word"] == made()["word"].null_count
    assert target.read_bytes() == whole.read_bytes()


def test_what_another_choice_has_left_is_not_taken_up(terminal, model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(prediction, "PART_ROWS", 1)
    monkeypatch.setattr(prediction, "block_rows", lambda model: 500)
    source = datasource_source(terminal.project, "made", print)
    target = tmp_path / "other.parquet"
    with pytest.raises(Interrupted), Parts(target) as parts:
        predict_table(model, source, parts, keep=["key"], limits=LIMITS, progress=Counting(1_600))
    with Parts(target) as parts:
        done = predict_table(model, source, parts, limits=LIMITS)
    assert done.num_resumed == 0
    assert pq.read_table(target).column_names[0] == "prediction"


def test_no_rows_give_a_file_of_no_rows(terminal, model, tmp_path) -> None:
    pq.write_table(made().slice(0, 0), tmp_path / "none.parquet")
    found = predicted(terminal, tmp_path / "none.parquet")
    assert found.num_rows == 0
    assert found.schema == predicted(terminal, "made").schema


def test_a_model_of_a_regression_with_two_labels(tmp_path) -> None:
    terminal = Terminal(tmp_path / "project", tmp_path)
    pq.write_table(made(), tmp_path / "made.parquet")
    terminal("datasource", "create", "parquet", tmp_path / "made.parquet")
    text = "features: {word: {}, zip: {}}\nlabels: {size: {}, grams: {loss: mae}}\nsplit: {ratio: {train: 0.8, eval: 0.2}}\n"
    text += "trainer: {type: regression, layers: [{type: dense, units: 4}], train_steps: 40}\n"
    terminal("pipeline", "push", terminal.write("two.yaml", text), "two")
    terminal("pipeline", "run", "two", "-y")
    rows = made(3).select(["zip", "word"])  # no label is needed
    pq.write_table(rows, tmp_path / "new.parquet")
    terminal("predict", "two", "--input", tmp_path / "new.parquet", "-o", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column_names == ["size: prediction", "grams: prediction"]
    expected = find_run(terminal.project, "two").predict(rows)
    for name in found.column_names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


@pytest.mark.slow
def test_a_killed_command_goes_on(terminal, model, tmp_path) -> None:
    """Killed for good, as soon as a part is there."""
    rows = pa.concat_tables([made(seed) for seed in range(4)] * 500)
    pq.write_table(rows, tmp_path / "many.parquet")
    target = tmp_path / "many.out.parquet"
    words = ("predict", "kinds", "--input", tmp_path / "many.parquet", "-o", target)
    typed = terminal.start(*words)
    typed.waits_for(lambda: list((tmp_path / ".many.out.parquet.partial").glob("part-*.parquet")))
    assert typed.kill().code == -9
    assert not target.exists()
    said = terminal(*words).out
    assert "6,000,000 rows predicted, 4," in said and "by the command that was interrupted" in said
    found = pq.read_table(target).slice(5_999_000)
    assert_same(found, model.predict(rows.slice(5_999_000)))


def test_errors_are_ours(terminal, model) -> None:
    with pytest.raises(PreprocessError, match="does not have what the model needs"):
        model.predict(pa.table({"size": [1]}))
    with pytest.raises(StoreError, match="no model in"):
        cengine.load_model(terminal.files / "nowhere")
    shutil.rmtree(terminal.files / "nowhere", ignore_errors=True)
