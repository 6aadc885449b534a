"""Event files, read back by TensorBoard itself."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from encoded import INPUTS, columns_of, regression_head, signal, trainer, write
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_INT32
from tensorboard.context import RequestContext
from tensorboard.data.provider import ListHyperparametersResult
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler
from tensorboard.util.tensor_util import make_ndarray
from terminal import YAML, Terminal, table_text

from cengine.config.schema import EarlyStopping
from cengine.learners.examples import TrainRows
from cengine.learners.graph import graph_of
from cengine.learners.loop import Plan, train
from cengine.learners.model import build_model, signature_of
from cengine.learners.tensorboard import MAX_HISTOGRAM_VALUES, TrainingLog, buckets, hyperparameters
from cengine.networks.encodings import Embedding, Linear, Periodic
from cengine.networks.layers import LAYERS
from cengine.networks.optimizers import OPTIMIZERS, CosineDecay, PiecewiseConstantDecay
from cengine.preprocess.apply import Input
from cengine.stopping import Reason, Stopped

WEIGHTS = {"dense/kernel": np.arange(60, dtype=np.float32)}


def read(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    return events


def points(folder, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(name)]


def histograms(folder, name: str) -> dict[int, np.ndarray]:
    return {event.step: make_ndarray(event.tensor_proto) for event in read(folder).Tensors(name)}


# Curves


def test_points_of_each_split(tmp_path) -> None:
    with TrainingLog(tmp_path) as log:
        log.write(10, {"train": {"loss": 2.0, "mae": 1.5}, "eval": {"loss": 3.0}}, WEIGHTS)
        log.write(20, {"train": {"loss": 1.0, "mae": 0.5}, "eval": {"loss": 2.5}}, WEIGHTS)
    assert points(tmp_path / "train", "loss") == [(10, 2.0), (20, 1.0)]
    assert points(tmp_path / "train", "mae") == [(10, 1.5), (20, 0.5)]
    assert points(tmp_path / "eval", "loss") == [(10, 3.0), (20, 2.5)]


def test_a_metric_that_is_not_defined_has_no_point(tmp_path) -> None:
    with TrainingLog(tmp_path) as log:
        log.write(10, {"train": {"auc": None, "loss": float("nan")}}, {})
    assert read(tmp_path / "train").Tags()["scalars"] == ["loss"]


@pytest.mark.parametrize("torn", [0, 1, 40])
def test_steps_made_again_stand_there_once(tmp_path, torn) -> None:
    """A process that was killed after it had logged a step and before its checkpoint makes that step again."""
    with TrainingLog(tmp_path) as killed:
        for step in (10, 20, 30):
            killed.write(step, {"train": {"loss": 1.0}, "eval": {"loss": 1.0}}, WEIGHTS)
    for file in tmp_path.rglob("*.1.points"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size - torn])
    with TrainingLog(tmp_path) as resumed:
        for step in (20, 30, 40):
            resumed.write(
                step,
                {"train": {"loss": 2.0}, "eval": {"loss": 2.0}},
                {name: 2 * array for name, array in WEIGHTS.items()},
            )
    for split in ("train", "eval"):
        assert points(tmp_path / split, "loss") == [(10, 1.0), (20, 2.0), (30, 2.0), (40, 2.0)]
    assert [(step, found[-1, 1]) for step, found in histograms(tmp_path, "weights/dense/kernel").items()] == [
        (10, 59.0),
        (20, 118.0),
        (30, 118.0),
        (40, 118.0),
    ]


@pytest.mark.parametrize(
    "left", [b"", b"\x18", b"\0" * 64, b"not an event file at all, though long enough for a record"]
)
def test_a_file_that_is_torn_at_its_start_begins_anew(tmp_path, left) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "events.out.tfevents.1.points").write_bytes(left)
    with TrainingLog(tmp_path) as log:
        log.write(10, {"train": {"loss": 1.0}}, {})
    assert points(tmp_path / "train", "loss") == [(10, 1.0)]


def test_a_training_stopped_between_logging_and_checkpoint(tmp_path) -> None:
    """Whatever was logged before the end came, TensorBoard shows of the resumed training what it shows of an undisturbed one."""
    columns = columns_of(600)
    split = np.where(np.arange(600) % 5 == 0, 1, 0)
    file = write(tmp_path / "encoded.parquet", {"y": signal(columns)}, columns, split, 200)

    def go(folder, stop_at: int | None = None) -> None:
        config, head = trainer(), regression_head()
        rows = TrainRows(file, 0, 2**26)
        samples = {"train": rows.sample(100), "eval": file.load("eval")}
        with TrainingLog(folder / "tensorboard") as log:

            def logged(step, values, weights) -> None:
                log.write(step, values, weights)
                if step == stop_at:
                    raise Stopped(Reason.INTERRUPTED)

            train(
                build_model(INPUTS, config, [head]),
                [head],
                config,
                Plan.of(config, rows.num_rows, file.bytes_per_row),
                rows,
                samples,
                "eval",
                lambda outputs, rows: {},
                folder / "checkpoints",
                lambda step, loss: None,
                logged,
            )

    for stop in (80, 120):
        with pytest.raises(Stopped):
            go(tmp_path / "disturbed", stop)
    go(tmp_path / "disturbed")
    go(tmp_path / "undisturbed")
    for name in ("train", "eval"):
        found = [points(tmp_path / kind / "tensorboard" / name, "loss") for kind in ("disturbed", "undisturbed")]
        assert [step for step, _ in found[0]] == [40, 80, 120]
        assert found[0] == found[1]
    one, other = (
        histograms(tmp_path / kind / "tensorboard", "weights/dense/kernel") for kind in ("disturbed", "undisturbed")
    )
    assert list(one) == list(other) == [40, 80, 120]
    for step, found in one.items():
        np.testing.assert_array_equal(found, other[step])


# Histograms


@pytest.mark.parametrize("array", [
    np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32),
    np.array([[0.25, -1.5], [3.75, 0.0]], np.float32),
    np.full((7, 3), -2.5, np.float32),
    np.zeros((0, 4), np.float32),
], ids=["many", "few", "equal", "none"])  # fmt: skip
def test_histograms_are_tensorboards_own(array) -> None:
    (value,) = histogram_pb("weights", array).value
    np.testing.assert_allclose(buckets(array), make_ndarray(value.tensor), rtol=1e-6)


def test_numbers_that_are_none_lie_in_no_bucket() -> None:
    found = buckets(np.array([1.0, np.nan, 2.0, np.inf, -np.inf], np.float32))
    assert (found[0, 0], found[-1, 1], found[:, 2].sum()) == (1.0, 2.0, 2.0)
    assert not buckets(np.array([np.nan], np.float32)).any()


def test_of_a_large_matrix_a_sample_is_counted_and_its_ends_are_exact() -> None:
    array = np.random.default_rng(2).normal(size=(MAX_HISTOGRAM_VALUES // 16, 64)).astype(np.float32)
    array[0, 0], array[-1, -1] = -9.0, 11.0
    found = buckets(array)
    exact, _ = np.histogram(array, len(found), (-9, 11))
    assert (found[0, 0], found[-1, 1]) == (-9.0, 11.0)
    assert found[:, 2].sum() == pytest.approx(array.size)
    np.testing.assert_allclose(found[:, 2], exact, atol=0.01 * array.size)
    np.testing.assert_array_equal(found, buckets(array))


# The network


def test_the_graph_of_a_network() -> None:
    inputs = [
        Input("age", None, Linear(), {}),
        Input("wave", None, Periodic(num_frequencies=4), {}),
        Input("city <b>", 9, Embedding(dim=3), {}),
        Input("day", 7, Embedding(dim=2), {}),
    ]
    heads = [regression_head("year"), regression_head("month")]
    config = trainer(layers=(LAYERS["dense"](units=8), LAYERS["dropout"](rate=0.25)))
    model = build_model(inputs, config, heads)
    graph = graph_of(model, signature_of(inputs, heads))
    nodes = {node.name: node for node in graph.node}
    assert set(nodes) == {layer.name for layer in model.layers}
    edges = {name: list(node.input) for name, node in nodes.items()}
    assert edges["dense"] == ["periodic_code"]
    assert edges["dense_1"] == ["concatenate"]
    assert edges["concatenate"] == ["columns", "dense", "flatten", "flatten_1"]
    assert (edges["dropout"], edges["output_0"], edges["output_1"], edges["unit_1"]) == (
        ["dense_1"],
        ["dropout"],
        ["dropout"],
        ["output_1"],
    )
    assert edges["numbers"] == edges["codes"] == []
    columns = {name: node.attr["columns"].s.decode() for name, node in nodes.items() if "columns" in node.attr}
    assert columns == {
        "numbers": "age, wave",
        "codes": "city <b>, day",
        "columns": "age",
        "columns_1": "wave",
        "columns_2": "city <b>",
        "columns_3": "day",
    }
    assert (nodes["dense_1"].op, nodes["dense_1"].attr["units"].i, nodes["dense_1"].attr["activation"].s) == (
        "Dense",
        8,
        b"relu",
    )
    assert nodes["dense_1"].attr["num_weights"].i == model.get_layer("dense_1").count_params()
    assert nodes["dropout"].attr["rate"].f == 0.25
    assert (nodes["numbers"].attr["dtype"].type, nodes["codes"].attr["dtype"].type) == (DT_FLOAT, DT_INT32)
    assert (nodes["output_1"].attr["label"].s, nodes["unit_0"].attr["label"].s) == (b"month", b"year")
    shapes = {name: [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim] for name, node in nodes.items()}
    assert (shapes["codes"], shapes["embedding"], shapes["dense_1"]) == ([-1, 2], [-1, 1, 3], [-1, 8])


def test_many_columns_are_cut_before_tensorboard_leaves_them_out() -> None:
    inputs = [Input(f"a column with a long name, number {i} ✨", None, Linear(), {}) for i in range(100)]
    heads = [regression_head("y")]
    graph = graph_of(build_model(inputs, trainer(), heads), signature_of(inputs, heads))
    (numbers,) = [node for node in graph.node if node.name == "numbers"]
    assert numbers.attr["columns"].ByteSize() < 1024
    assert numbers.attr["columns"].s.decode().endswith(" …")


# Hyper-parameters


def of(**settings) -> dict:
    return hyperparameters(trainer(**settings), [regression_head()], 5, 120, 449)


def test_hyperparameters_are_flat() -> None:
    layers = (
        LAYERS["dense"](units=64),
        LAYERS["dropout"](rate=0.1),
        LAYERS["dense"](units=8, activation="gelu", use_bias=False),
    )
    found = of(
        layers=layers,
        optimizer=OPTIMIZERS["sgd"](learning_rate=0.05, momentum=0.9, nesterov=True),
        seed=7,
        early_stopping=EarlyStopping(patience=2),
    )
    assert found == {
        "architecture": "feedforward",
        "layers": "dense(64) > dropout(0.1) > dense(8, gelu, use_bias=False)",
        "loss_function": "mse",
        "optimizer": "sgd",
        "optimizer.momentum": 0.9,
        "optimizer.nesterov": True,
        "learning_rate": 0.05,
        "train_batch_size": 32,
        "train_steps": 120,
        "seed": 7,
        "num_features": 5,
        "num_weights": 449,
        "early_stopping.patience": 2,
        "early_stopping.min_delta": 0.0,
    }
    assert of(layers=())["layers"] == "none"


@pytest.mark.parametrize(
    ("schedule", "rate", "shown"),
    [
        (
            CosineDecay(initial_learning_rate=0.0, warmup_target=0.02, warmup_steps=10),
            0.02,
            "cosine_decay(initial_learning_rate=0.0, warmup_target=0.02, warmup_steps=10)",
        ),
        (
            PiecewiseConstantDecay(boundaries=(10,), values=(0.1, 0.01)),
            0.1,
            "piecewise_constant_decay(boundaries=(10,), values=(0.1, 0.01))",
        ),
    ],
)
def test_a_schedule_has_its_greatest_rate_as_a_number(schedule, rate, shown) -> None:
    found = of(optimizer=OPTIMIZERS["adam"](learning_rate=schedule))
    assert (found["learning_rate"], found["schedule"]) == (rate, shown)


def compared(folder) -> tuple[api_pb2.Experiment, list[api_pb2.SessionGroup]]:
    """What the HParams tab shows of the runs in `folder`."""
    multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 0})
    multiplexer.AddRunsFromDirectory(str(folder)).Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(folder))))
    about = context.hparams_metadata(RequestContext(), "")
    experiment = context.experiment_from_metadata(RequestContext(), "", True, about, ListHyperparametersResult([], []))
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=10, allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN]
    )
    return experiment, list(Handler(RequestContext(), context, "", request).run().session_groups)


def test_runs_are_compared_by_what_their_kept_weights_reach(tmp_path) -> None:
    graph = graph_of(build_model(INPUTS, trainer(), [regression_head()]), signature_of(INPUTS, [regression_head()]))
    for name, seed, loss in (("one", 1, 0.5), ("same", 1, 0.25), ("other", 2, 0.75)):
        with TrainingLog(tmp_path / name) as log:
            for _ in range(2):  # the second time nothing is added
                log.begin(graph, {**of(seed=seed), **({"schedule": "s"} if name == "other" else {})})
            log.write(10, {"train": {"loss": 9.0}, "eval": {"loss": loss}}, {})
            log.write(20, {"train": {"loss": 8.0}, "eval": {"loss": 7.0}}, {})
            if name != "other":  # that one is still going on
                log.finish(10, {"loss": loss})
                log.finish(10, {"loss": loss})
    experiment, sessions = compared(tmp_path)
    told = {info.name: info for info in experiment.hparam_infos}
    assert set(told) == {*of(), "schedule"}
    assert [name for name, info in told.items() if info.differs] == ["seed"]
    assert (told["seed"].type, told["layers"].type) == (api_pb2.DATA_TYPE_FLOAT64, api_pb2.DATA_TYPE_STRING)
    assert [(i.name.tag, i.name.group) for i in experiment.metric_infos] == [
        ("loss", ""),
        ("loss", "eval"),
        ("loss", "train"),
    ]
    by_name = {session.name: session for session in sessions}
    assert set(by_name) == {"one", "same", "other"}  # each for itself, though two have the same hyper-parameters
    values = {name: [(v.name.group, v.value, v.training_step) for v in s.metric_values] for name, s in by_name.items()}
    assert values["one"] == [("", 0.5, 10), ("eval", 7.0, 20), ("train", 8.0, 20)]
    assert values["other"] == [("eval", 7.0, 20), ("train", 8.0, 20)]
    statuses = {name: session.sessions[0].status for name, session in by_name.items()}
    assert statuses == {"one": api_pb2.STATUS_SUCCESS, "same": api_pb2.STATUS_SUCCESS, "other": api_pb2.STATUS_UNKNOWN}
    assert by_name["one"].hparams["seed"].number_value == 1
    assert read(tmp_path / "one").Graph() == graph


# All of it


@pytest.mark.slow
def test_tensorflow_is_never_asked_for() -> None:
    """Not even tried to be imported: where it is installed, it would take seconds and a gigabyte. Keras looks for it itself."""
    code = """
import sys
import numpy as np, tempfile, pathlib
from encoded import *
from cengine.learners.graph import graph_of
from cengine.learners.model import build_model, signature_of
from cengine.learners.tensorboard import TrainingLog, hyperparameters
head = regression_head()
model = build_model(INPUTS, trainer(), [head])
class Refuses:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] != "tensorflow", name
sys.meta_path.insert(0, Refuses())
with tempfile.TemporaryDirectory() as folder, TrainingLog(pathlib.Path(folder)) as log:
    log.begin(graph_of(model, signature_of(INPUTS, [head])), hyperparameters(trainer(), [head], 3, 120, 10))
    log.write(10, {"train": {"loss": 1.0}}, {"dense/kernel": np.ones((3, 2))})
    log.finish(10, {"loss": 1.0})
assert "tensorflow" not in sys.modules and "tensorboard.program" not in sys.modules
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path), "PATH": ""}
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The Train folder of a run with checkpoints at 10, 20, 30 and 35."""
    folder = tmp_path_factory.mktemp("run")
    terminal = Terminal(folder / "project", folder)
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML.replace("train_steps: 20", "train_steps: 35")), "mine")
    terminal("pipeline", "run", "mine", "-y")
    (train,) = (terminal.project.folder / "artifacts" / "Train").glob("*/*")
    return terminal, train


def test_a_run_writes_train_and_eval_at_each_checkpoint(run) -> None:
    terminal, folder = run
    training = json.loads((folder / "training.json").read_text())
    history = training["history"]
    assert [entry["step"] for entry in history] == [10, 20, 30, 35]
    for split, tag in itertools.product(("train", "eval"), ("loss", "mae")):
        found = points(folder / "tensorboard" / split, tag)
        assert [step for step, _ in found] == [10, 20, 30, 35]
        np.testing.assert_allclose([value for _, value in found], [entry[split][tag] for entry in history], rtol=1e-6)
    (row,) = terminal("pipeline", "evaluate", "mine", "--json").json["metrics"]
    best = next(entry for entry in history if entry["step"] == training["best_step"])
    assert row["model"] == pytest.approx(best["eval"]["mae"], rel=1e-5)
    assert points(folder / "tensorboard", "mae") == [
        (training["best_step"], pytest.approx(best["eval"]["mae"], rel=1e-6))
    ]


def test_a_run_writes_network_weights_and_hyperparameters(run) -> None:
    _, folder = run
    events = read(folder / "tensorboard")
    assert [node.name for node in events.Graph().node][-2:] == ["output_0", "unit_0"]
    names = ["weights/dense/kernel", "weights/dense/bias", "weights/output_0/kernel", "weights/output_0/bias"]
    assert [name for name in events.Tags()["tensors"] if name.startswith("weights/")] == names
    for name, size in zip(names, (20, 4, 4, 1), strict=True):
        found = histograms(folder / "tensorboard", name)
        assert list(found) == [10, 20, 30, 35]
        assert all(h[:, 2].sum() == size for h in found.values())
    _, (session,) = compared(folder.parent)
    assert (session.hparams["layers"].string_value, session.hparams["num_features"].number_value) == ("dense(4)", 2)
    assert (session.hparams["train_steps"].number_value, session.hparams["num_weights"].number_value) == (35, 29)
    assert session.sessions[0].status == api_pb2.STATUS_SUCCESS


def test_event_files_name_no_machine_and_no_user(run) -> None:
    _, folder = run
    assert sorted(
        str(file.relative_to(folder / "tensorboard")) for file in (folder / "tensorboard").rglob("*") if file.is_file()
    ) == [
        "eval/events.out.tfevents.1.points",
        "events.out.tfevents.0.about",
        "events.out.tfevents.1.points",
        "events.out.tfevents.2.end",
        "train/events.out.tfevents.1.points",
    ]
    assert not any(b"/tmp" in file.read_bytes() for file in (folder / "tensorboard").rglob("*") if file.is_file())
