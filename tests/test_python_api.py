"""The same in a few lines of Python, and what fingerprints read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from terminal import YAML, table_text

import cengine
from cengine.digests import file_digest, fingerprint

STAGES = ["Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate"]


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    (folder / "t.csv").write_text(table_text())
    project = cengine.open_project(folder)
    return project, cengine.register(project, "csv", path=str(folder / "t.csv"))


def planned(registered, text: str = YAML, **options):
    return cengine.plan(registered[0], cengine.parse_config(text), registered[1], **options)


def fingerprints(registered, text: str = YAML) -> dict[str, str]:
    return {stage.name: stage.fingerprint for stage in planned(registered, text).stages}


def test_a_few_lines(registered, tmp_path) -> None:
    (tmp_path / "c.yaml").write_text(YAML)
    plan = cengine.plan(registered[0], cengine.load_config(tmp_path / "c.yaml"), registered[1])
    run = cengine.execute(plan)
    assert [stage.name for stage in run.stages] == STAGES
    frame = run.results.overall.to_pandas()
    assert frame.loc[0, "metric"] == "mae"
    predictions = run.predictions()
    assert predictions.num_rows == frame.loc[0, "num_rows"] == 81
    model = run.model().network
    assert np.asarray(model([np.zeros((2, 1), np.float32), np.zeros((2, 1), np.int32)])).size == 2
    again = cengine.plan(registered[0], cengine.load_config(tmp_path / "c.yaml"), registered[1])
    assert all(stage.stored_seconds is not None for stage in again.stages)
    assert again.saved_seconds > 0
    assert all(stage.reused for stage in cengine.execute(again).stages)


CHANGES = {
    "seed of the split": ("split:", "split:\n  seed: 1", "Split"),
    "where": ("split:", "split:\n  where: ['x > 0.5']", "Split"),
    "ratio": ("{train: 0.8, eval: 0.2}", "{train: 0.7, eval: 0.3}", "Split"),
    "feature dropped": ("  x: {}\n", "", "Fit"),
    "transform": ("  x: {}", "  x: {transform: log}", "Fit"),
    "encoding": ("  x: {}", "  x: {encoding: {method: piecewise_linear, parameters: {num_bins: 4}}}", "Fit"),
    "layers": ("units: 4", "units: 5", "Train"),
    "steps": ("train_steps: 20", "train_steps: 21", "Train"),
    "seed of the trainer": ("trainer:", "trainer:\n  seed: 1", "Train"),
    "loss": ("loss: mse", "loss: mae", "Train"),
    "slices": ("evaluator:\n  word: {}", "evaluator:\n  slices: [[word], [x]]", "Evaluate"),
    "metrics": ("metrics: [mae]", "metrics: [mae, r2]", "Evaluate"),
    "nothing: comment and order": ("features:\n  x: {}", "# a comment\nfeatures:\n  x: {}", None),
    "nothing: nested spelling": (
        "  categorize_by: word\n  index_ratio:",
        "  categorize: {by: word}\n  index: \n    ratio:",
        None,
    ),
    "nothing: a default told": ("split:", "split:\n  seed: 0", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reaches_the_stages_that_read_it_and_those_after(registered, change) -> None:
    old, new, first = CHANGES[change]
    assert old in YAML
    before, after = fingerprints(registered), fingerprints(registered, YAML.replace(old, new, 1))
    changed = [name for name in STAGES if before[name] != after[name]]
    assert changed == (STAGES[STAGES.index(first) :] if first else [])


def test_memory_and_threads_change_nothing(registered) -> None:
    one, other = (
        planned(registered, memory_bytes=10**9, threads=1),
        planned(registered, memory_bytes=4 * 10**9, threads=2),
    )
    assert [s.fingerprint for s in one.stages] == [s.fingerprint for s in other.stages]


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": [1, 2]}) != fingerprint({"a": [2, 1]})
    assert fingerprint({"a": "ü"}) != fingerprint({"a": "u"})


def test_file_digest_reads_bytes_alone(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * 5_000_000)
    read: list[int] = []
    assert file_digest(tmp_path / "a", read.append) == file_digest(tmp_path / "b")
    assert sum(read) == 5_000_000
    (tmp_path / "b").write_bytes(b"x" * 4_999_999 + b"y")
    assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")


def test_errors_are_of_one_family(registered) -> None:
    with pytest.raises(cengine.ConfigError):
        cengine.parse_config("features: 1")
    with pytest.raises(cengine.SourceError):
        cengine.register(registered[0], "csv", path="/nowhere.csv")
    with pytest.raises(cengine.ConfigError):
        planned(registered, YAML.replace("  y: {loss", "  yy: {loss"))
    for name in ("ConfigError", "SourceError", "PreprocessError", "TrainingError", "StoreError"):
        assert issubclass(getattr(cengine, name), cengine.CengineError)
    assert len({getattr(cengine, name).exit_code for name in cengine.__all__ if name.endswith("Error")}) == 6


@pytest.mark.slow
def test_one_result_for_any_number_of_threads_and_memory(tmp_path) -> None:
    """Two row groups, three threads against one: the same encoded rows, so the same model."""
    (tmp_path / "t.csv").write_text(table_text(200_000))
    config = cengine.parse_config(YAML.replace("x: {}", "x: {transform: quantile_normal}"))
    found = []
    for threads, memory_bytes in ((1, 4 * 10**9), (3, 10**9)):
        project = cengine.open_project(tmp_path / str(threads))
        snapshot = cengine.register(project, "csv", path=str(tmp_path / "t.csv"))
        run = cengine.execute(cengine.plan(project, config, snapshot, threads=threads, memory_bytes=memory_bytes))
        encoded = (run.folders["Transform"] / "encoded.parquet").read_bytes()
        found.append((encoded, run.model().network.get_weights(), json.dumps(run.results.overall.to_pylist())))
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[0][2] == found[1][2]
