"""`cengine export` and `cengine model check` at the terminal, and what somebody may type wrong."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from terminal import YAML, Terminal


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> Terminal:
    """A terminal with a finished run, and one of a word that has no ONNX form."""
    folder = tmp_path_factory.mktemp("export")
    terminal = Terminal(folder / "project", folder)
    x = np.random.default_rng(0).normal(size=400)
    rows = {"x": x, "word": np.array(list("abc"))[np.arange(400) % 3], "y": 3 * x + 10}
    pq.write_table(pa.table(rows), folder / "t.parquet")
    terminal("datasource", "create", "parquet", "--name", "t", "--path", folder / "t.parquet")
    hashed = YAML.replace("word: {}\nlabels", "word: {transform: hash_strings}\nlabels")
    assert hashed != YAML
    for name, text in (("plain", YAML), ("hashed", hashed)):
        terminal("pipeline", "push", terminal.write(f"{name}.yaml", text), name)
        assert terminal("pipeline", "run", name, "-y").code == 0
    return terminal


def test_a_run_is_exported_and_checked(typed, tmp_path) -> None:
    answer = typed("export", "plain", "-o", tmp_path / "bundle")
    assert "compared with the model on 81 evaluated rows and 20,000 made-up ones" in answer.out
    assert "largest difference" in answer.out
    checked = typed("model", "check", tmp_path / "bundle")
    assert "is whole" in checked.out and "on 81 kept rows and 20,000 made-up ones" in checked.out
    # From the bundle again, packed, with JSON.
    told = typed("export", tmp_path / "bundle", "--format", "onnx", "-o", tmp_path / "file", "--json").json
    assert (told["format"], told["rows"], told["classes_differ"]) == ("onnx", 81, 0)
    assert (tmp_path / "file" / "model.onnx").read_bytes() == (tmp_path / "bundle" / "model.onnx").read_bytes()
    typed("export", tmp_path / "bundle", "-o", tmp_path / "b.zip")
    assert typed("model", "check", tmp_path / "b.zip", "--json").json["rows"] == 81
    session = onnxruntime.InferenceSession(tmp_path / "file" / "model.onnx")
    golden = json.loads((tmp_path / "bundle" / "golden.json").read_text())
    feeds = {
        "x": np.array([[row["x"]] for row in golden["rows"]]),
        "word": np.array([[row["word"]] for row in golden["rows"]], dtype=object),
    }
    (found,) = session.run(["prediction"], feeds)
    np.testing.assert_allclose(found, golden["predictions"]["prediction"], rtol=1e-6)


def test_what_has_no_form_is_told_with_what_has(typed, tmp_path) -> None:
    answer = typed("export", "hashed", "--format", "onnx", "-o", tmp_path / "file", code=9)
    assert "column 'word': hash_strings has no ONNX operator (MD5)" in answer.err
    assert "--hash-outside" in answer.err and "--format keras do without one" in answer.err
    assert list(tmp_path.iterdir()) == []
    typed("export", "hashed", "--format", "keras", "-o", tmp_path / "keras")


def test_hashes_are_given_beside_the_columns(typed, tmp_path) -> None:
    typed("export", "hashed", "--format", "onnx", "--hash-outside", "-o", tmp_path / "file")
    session = onnxruntime.InferenceSession(tmp_path / "file" / "model.onnx")
    assert [one.name for one in session.get_inputs()] == ["x", "word hash"]
    typed("export", "hashed", "-o", tmp_path / "bundle")
    assert typed("model", "check", tmp_path / "bundle", "--json").json["rows"] == 81
    golden = json.loads((tmp_path / "bundle" / "golden.json").read_text())
    digests = [hashlib.md5(row["word"].encode()).hexdigest() for row in golden["rows"]]
    feeds = {
        "x": np.array([[row["x"]] for row in golden["rows"]]),
        "word hash": np.array([[int(digest[:7], 16)] for digest in digests]),
    }
    (found,) = session.run(["prediction"], feeds)
    np.testing.assert_allclose(found, golden["predictions"]["prediction"], rtol=1e-6)


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (("export", "plain"), 2, "Missing option '-o'"),
    (("export", "plain", "--format", "pmml", "-o", "x"), 2, "is not one of"),
    (("export", "plain", "--hash-outside", "-o", "x"), 2, "--hash-outside is an option of --format onnx"),
    (("export", "nothing", "-o", "x"), 7, "nothing"),
    (("export", "plain:7", "-o", "x"), 7, "7"),
    (("export", "t.parquet", "-o", "x"), 7, "is no bundle, or is damaged"),
    (("export", "project", "-o", "x"), 7, "there is no model in"),
    (("export", "plain", "-o", "t.parquet"), 7, "exists already"),
    (("model", "check", "nowhere"), 2, "does not exist"),
    (("model", "check", "project"), 7, "there is no model in"),
    (("model", "check", "t.parquet"), 7, "is no bundle, or is damaged"),
])  # fmt: skip
def test_what_is_typed_wrong_is_told(typed, arguments, code, message) -> None:
    files = {"t.parquet", "project", "nowhere"}
    answer = typed(*(typed.files / one if one in files else one for one in arguments), code=code)
    assert message in answer.err
    assert "sorry, this is a bug" not in answer.err
    assert not (typed.files / "x").exists()


def test_what_is_not_installed_is_told(typed, tmp_path, monkeypatch) -> None:
    for missing in ("onnx", "onnxruntime"):
        with monkeypatch.context() as patched:
            patched.setitem(__import__("sys").modules, missing, None)
            answer = typed("export", "plain", "-o", tmp_path / "x", code=9)
        assert f"the package {missing}" in answer.err
        assert "cengine-ml[export]" in answer.err
