"""Words of other packages: a transform, an encoding with a Keras layer of its own, a loss and a metric, from the YAML to the page."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from terminal import Terminal, table_text
from yamls import only_problem, yaml

import cengine
from cengine.errors import PreprocessError
from cengine.metrics.table import METRICS
from cengine.networks.encodings import ENCODINGS
from cengine.transforms import TRANSFORMS

MODULE = '''
from typing import ClassVar
from pydantic import Field
from sqlglot import exp
from cengine.expressions.build import as_double, double
from cengine.metrics.intervals import mean_interval
from cengine.metrics.metric import Metric, ratio
from cengine.networks.encodings import Encoding
from cengine.networks.losses import Loss
from cengine.summaries import Needs
from cengine.transforms import Transform, Value

class Steps(Transform):
    """How many medians it is."""
    name = "steps"
    version = 3
    accepts = ("integer", "float")
    gives = "code"
    most: int = Field(default=4, ge=1)

    def needs(self):
        return Needs(probabilities=(0.5,))

    def fit(self, summary, where):
        return {"median": summary.quantiles[0]}

    def apply(self, value, statistics, lookups):
        steps = exp.Floor(this=as_double(value.expression) / double(statistics["median"]))
        bounded = exp.Least(this=exp.Greatest(this=steps, expressions=[double(0.0)]), expressions=[double(self.most)])
        return (Value(exp.cast(bounded, "bigint"), "code", self.most + 1, value.part),)

class Powers(Encoding):
    """The number and its powers."""
    name = "powers"
    accepts = ("number",)
    upto: int = 3

    def width(self, size):
        return self.upto

    def build(self, columns, sizes, statistics):
        from other_layers import Power
        return Power(self.upto)(columns)

    def know_layers(self):
        import other_layers

class Bias(Metric):
    """mean p - y"""
    name = "bias"
    tasks = ("regression",)
    unit = "label"
    limits = (-float("inf"), float("inf"))
    scale: float = 1.0

    def sums(self, roles, task):
        return {"difference": exp.Paren(this=roles("prediction") - roles("label"))}

    def value(self, sums):
        return self.scale * ratio(sums["difference"], sums["num_rows"])

    def spread(self, roles, task):
        difference = self.sums(roles, task)["difference"]
        return {"difference_squared": difference * difference.copy()}

    def interval(self, sums):
        low, high = mean_interval(self.value(sums) / self.scale, sums["difference_squared"], sums["num_rows"])
        return self.scale * low, self.scale * high

class Cauchy(Loss):
    """log(1 + error^2)"""
    name = "cauchy"
    tasks = ("regression",)
    shift_invariant = True

    def build(self):
        return lambda labels, outputs: __import__("keras").ops.log1p((labels.reshape((-1,)) - outputs[:, 0]) ** 2)

class Unset(Transform):
    name = "unset"
    gives = "float"
    needs = fit = apply = lambda self, *_: None
'''
LAYERS = """
import keras

@keras.saving.register_keras_serializable(package="other_words")
class Power(keras.layers.Layer):
    def __init__(self, upto, **kwargs):
        super().__init__(**kwargs)
        self.upto = upto

    def call(self, inputs):
        return keras.ops.concatenate([inputs ** (n + 1) for n in range(self.upto)], axis=1)

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] * self.upto)

    def get_config(self):
        return {**super().get_config(), "upto": self.upto}
"""
ENTRY_POINTS = """\
[cengine.transforms]
steps = other_words:Steps
log = other_words:Steps
unset = other_words:Unset
elsewhere = other_words:Bias
absent = no_such_module:X
[cengine.encodings]
powers = other_words:Powers
[cengine.metrics]
bias = other_words:Bias
misnamed = other_words:Bias
[cengine.losses]
cauchy = other_words:Cauchy
"""
YAML = """\
features:
  x: {transform: {method: steps, parameters: {most: 3}}}
  bias: {encoding: {method: powers, parameters: {upto: 2}}}
labels: {y: {loss: cauchy, metrics: [mae, bias, {type: bias, scale: 2}]}}
split: {ratio: {train: 0.8, eval: 0.2}}
trainer: {type: regression, layers: [{type: dense, units: 8}], train_steps: 60, optimizer: {type: adam, learning_rate: 0.02}}
evaluator: {slices: [[bias], [word]]}
"""
LOADS_IT = """
import sys, cengine, pyarrow as pa
model = cengine.load_model(sys.argv[1])
assert "other_words" in sys.modules
print(model.predict(pa.table({"x": [1.0, 9.0], "bias": [0, 1]}))["prediction"].to_pylist(), model.network.count_params())
"""


@pytest.fixture
def package(install_package):
    """A package with the words, where Python finds it."""
    modules = {"other_words.py": MODULE, "other_layers.py": LAYERS}
    return install_package("other-words", modules, ENTRY_POINTS, version="2.1")


@pytest.fixture
def pushed(terminal: Terminal, package) -> Terminal:
    """The table, with a column that is called like a metric of the package, and the pipeline."""
    lines = table_text().splitlines()
    rows = [f"{line},{number % 3}" for number, line in enumerate(lines[1:])]
    terminal(
        "datasource", "create", "csv", terminal.write("t.csv", "\n".join([f"{lines[0]},bias", *rows])), "--name", "t"
    )
    terminal("pipeline", "push", terminal.write("p.yaml", YAML), "p")
    return terminal


def test_from_the_yaml_to_the_page(pushed: Terminal, package, tmp_path, monkeypatch) -> None:
    assert "valid" in pushed("pipeline", "validate", pushed.files / "p.yaml").out
    pushed("pipeline", "run", "p", "--yes")
    run = cengine.find_run(pushed.project, "p")
    (overall,) = [row for row in run.results.overall_rows if row["metric"] == "bias"]
    (doubled,) = [row for row in run.results.overall_rows if row["metric"] == "bias(scale=2.0)"]
    assert overall["low"] < overall["model"] < overall["high"]
    assert [doubled[key] for key in ("model", "low", "high")] == pytest.approx(
        [2 * overall[key] for key in ("model", "low", "high")]
    )
    predictions = run.predictions()
    errors = predictions["prediction: y"].to_numpy() - predictions["label: y"].to_numpy()
    assert overall["model"] == pytest.approx(errors.mean())
    fitted = json.loads(next(pushed.folder.rglob("statistics.json")).read_text())["features"]["x"]["transforms"]
    assert fitted == [{"median": pytest.approx(5.0, abs=0.5)}]

    monkeypatch.setattr(METRICS, "_points", dict)  # slices are read where the package is gone, too
    sliced = {found.columns: found for found in run.results.slices}
    assert sliced["bias",].keys == ("column: bias",)
    assert sliced["word",].keys == ("word",)
    assert {"bias", "bias: low", "column: bias"} <= {*sliced["bias",].table.column_names}
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(package))

    page = tmp_path / "page"
    pushed("pipeline", "evaluate", "p", "--no-open", "--output", page)
    assert "mean p - y" in (page / "report.html").read_text()
    assert "stored" in pushed("pipeline", "run", "p", "--explain").out

    folder = run.model().save(tmp_path / "model")
    expected = run.model().predict(pa.table({"x": [1.0, 9.0], "bias": [0, 1]}))["prediction"].to_pylist()
    environment = {"PYTHONPATH": f"{package}:{':'.join(sys.path)}", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", LOADS_IT, str(folder)], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[: done.stdout.index("]") + 1])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_new_version_of_a_word_is_new_work(pushed: Terminal, package, monkeypatch) -> None:
    pushed("pipeline", "run", "p", "--yes")
    monkeypatch.setattr(TRANSFORMS["steps"], "version", 4)
    told = pushed("pipeline", "run", "p", "--explain").out
    assert {name: "stored" in line for line in told.splitlines() for name in re.findall(r"Split|Fit|Train", line)[:1]} == {
        "Split": True, "Fit": False, "Train": False}  # fmt: skip


@pytest.mark.parametrize(("block", "place", "message"), [
    ("features: {a: {transform: absent}}", "1:27",
     "the transform 'absent' of the package other-words 2.1 cannot be used: ModuleNotFoundError: No module named 'no_such_module'"),
    ("features: {a: {transform: [log, unset]}}", "1:33", "it does not define accepts"),
    ("features: {a: {transform: elsewhere}}", "1:27", "it is no class derived from cengine.transforms.value.Transform"),
    ("features: {a: {transform: {method: steps, parameters: {most: 0}}}}", "1:62", "'most' of transform 'steps': input should be greater"),
    ("features: {a: {transform: stepps}}", "1:27", "unknown transform 'stepps'"),
    ("labels: {y: {metrics: [misnamed]}}", "2:24", "its class calls itself 'bias'"),
])  # fmt: skip
def test_what_is_wrong_is_told_where_the_yaml_names_it(package, block, place, message) -> None:
    found, told, notes = only_problem(**{block.partition(":")[0]: block})
    assert (found, message in told) == (place, True), (found, told)
    if "stepps" in told:
        assert "did you mean 'steps'?" in notes


def test_broken_ones_are_in_nobodys_way(package) -> None:
    assert cengine.parse_config(yaml(features="features: {a: {transform: steps}}"))
    assert "bias" in METRICS.usable()
    assert "misnamed" not in METRICS.usable()
    assert "misnamed" in list(METRICS)


def test_our_own_names_stay_ours(package) -> None:
    assert TRANSFORMS["log"].__module__ == "cengine.transforms.scale"
    assert list(TRANSFORMS).count("log") == 1
    with pytest.raises(PreprocessError, match="no_such_module"):
        TRANSFORMS["absent"]


def test_a_word_given_does_not_fit_the_one_before(pushed: Terminal) -> None:
    """What a transform says that it gives is what the words after it are checked against."""
    text = YAML.replace("{transform: {method: steps, parameters: {most: 3}}}", "{transform: [steps, log]}")
    answer = pushed("pipeline", "validate", pushed.write("q.yaml", text), code=3)
    assert "transform 'log' does not apply to what 'steps' gives (code)" in answer.err


def test_ours_alone_are_found_without_a_look_at_the_packages(monkeypatch) -> None:
    def looked(**_: object):
        raise AssertionError("looked through the packages")

    monkeypatch.setattr("importlib.metadata.entry_points", looked)
    text = (
        "features: {a: {transform: log, encoding: linear, filling: mean}}\nlabels: {y: {loss: mae, metrics: [mae]}}\n"
    )
    cengine.parse_config(
        text + "split: {ratio: {train: 0.8, eval: 0.2}}\ntrainer: {type: regression, architecture: feedforward}"
    )
    assert ENCODINGS["auto"]().name == "auto"
