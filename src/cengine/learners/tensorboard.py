"""What TensorBoard shows of a training, written without TensorFlow: curves, weights, the network, hyper-parameters.

Each split has a folder, so that TensorBoard draws train and eval in one chart; the folder above them is the model's.
TensorBoard reads a folder's files in the order of their names:

    events.out.tfevents.0.about     the network and its hyper-parameters
    events.out.tfevents.1.points    an event a checkpoint: how the weights are spread
    events.out.tfevents.2.end       what the weights reach that were kept, and that the training came to its end
    train/events.out.tfevents.1.points    an event a checkpoint: loss and metrics
    eval/events.out.tfevents.1.points

What the kept weights reach has the names of the curves: it is a dot in their charts, and what runs are compared by
beside their hyper-parameters. Which of those differ TensorBoard finds out by itself; a list of them in a run's own
file would hide those of all other runs.
"""

from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cengine.config.schema import TRAIN
from cengine.learners.heads import Head
from cengine.learners.learner import TENSORBOARD, Course
from cengine.words import Word

if TYPE_CHECKING:
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.summary_pb2 import Summary

    from cengine.learners.feedforward import Feedforward

FILE_VERSION = "brain.Event:2"
MODEL = ""  # the folder above those of the splits
NUM_BUCKETS = 30
# Of a larger matrix so many weights are looked at, drawn once and for all.
MAX_HISTOGRAM_VALUES = 2**18
# What says by itself which parameter of a layer it is.
_PLAIN = ("units", "rate", "activation")

Values = dict[str, dict[str, float]]


class TrainingLog:
    """The event files under `folder`.

    A training that goes on from a checkpoint writes into the same files: what was written at its first step or later
    by the training that was ended goes, so that every step stands there once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._points: dict[str, BinaryIO] = {}

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._points.values():
            stream.close()

    def begin(self, graph: GraphDef | None, hyperparameters: dict[str, float | str]) -> None:
        """Writes the network, where the model is one, and its hyper-parameters, where they are not there from before."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        # Without a name of its own, runs of the same hyper-parameters would be shown as one, their metrics averaged.
        drawn = [{"graph_def": graph.SerializeToString()}] if graph is not None else []
        self._write_whole("0.about", *drawn, {"summary": hparams_pb(hyperparameters, trial_id="")})

    def write(self, step: int, values: Values, weights: dict[str, np.ndarray]) -> None:
        """A point of each curve, values by split and name, and a histogram of each weight."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        histograms = Summary(value=[histogram_value(f"weights/{name}", array) for name, array in weights.items()])
        for folder, summary in {
            **{split: scalar_summary(scalars) for split, scalars in values.items()},
            MODEL: histograms,
        }.items():
            if folder not in self._points:
                self._points[folder] = self._opened(folder, step)
            self._points[folder].write(_record(step=step, summary=summary))
            self._points[folder].flush()

    def finish(self, best_step: int, kept: dict[str, float]) -> None:
        """Writes that the training came to its end; `kept` is what the weights of the best step reach."""
        self._write_whole(
            "2.end",
            {"step": best_step, "summary": scalar_summary(kept)},
            {"step": best_step, "summary": _session_end()},
        )

    def _file(self, folder: str, name: str) -> Path:
        (self.folder / folder).mkdir(parents=True, exist_ok=True)
        return self.folder / folder / f"events.out.tfevents.{name}"

    def _write_whole(self, name: str, *events: dict[str, Any]) -> None:
        file = self._file(MODEL, name)
        if file.exists():
            return
        draft = file.with_name(f"{name}.partial")
        draft.write_bytes(_record(file_version=FILE_VERSION) + b"".join(_record(**event) for event in events))
        draft.replace(file)

    def _opened(self, folder: str, step: int) -> BinaryIO:
        """The file of points, cut off where a step comes that is yet to be made, or where it is torn."""
        stream = self._file(folder, "1.points").open("ab")
        kept = _bytes_before(Path(stream.name).read_bytes(), step)
        stream.truncate(kept)
        if not kept:
            stream.write(_record(file_version=FILE_VERSION))
        return stream


def scalar_summary(values: dict[str, float]) -> Summary:
    """One value a name."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(
        value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items() if value is not None]
    )


def histogram_value(name: str, array: np.ndarray) -> Summary.Value:
    """How the numbers of an array are spread, as TensorBoard's histogram plugin stores it."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.histogram.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    described = create_summary_metadata(display_name=None, description=None)
    return Summary.Value(tag=name, metadata=described, tensor=make_tensor_proto(buckets(array), dtype=np.float64))


def buckets(array: np.ndarray) -> np.ndarray:
    """Left edge, right edge and number of values of each bucket, float64 (NUM_BUCKETS, 3).

    Equal numbers all lie in the last bucket, which has no width, as TensorBoard has it. NaN and infinity lie nowhere.
    """
    flat = np.ravel(array)
    if flat.size and not np.isfinite([flat.min(), flat.max()]).all():
        flat = flat[np.isfinite(flat)]
    found = np.zeros((NUM_BUCKETS, 3))
    if not flat.size:
        return found
    low, high = float(flat.min()), float(flat.max())
    if low == high:
        found[:, :2], found[-1, 2] = low, flat.size
        return found
    chosen = flat
    if flat.size > MAX_HISTOGRAM_VALUES:
        chosen = flat[np.random.default_rng(0).integers(0, flat.size, MAX_HISTOGRAM_VALUES)]
    counts, edges = np.histogram(chosen, NUM_BUCKETS, (low, high))
    return np.stack([edges[:-1], edges[1:], counts * (flat.size / chosen.size)], axis=1)


def hyperparameters(
    trainer: Feedforward, heads: Sequence[Head], num_features: int, num_steps: int, num_weights: int
) -> dict[str, float | str]:
    """What a run is told apart by, flat, under the words of the YAML; what it leaves at Keras' defaults is left out."""
    optimizer = trainer.optimizer
    assert optimizer is not None, "it is filled in"
    assert trainer.train_batch_size is not None
    parameters = {name: getattr(optimizer, name) for name in optimizer.parameters()}
    parameters.pop("learning_rate", None)
    found: dict[str, Any] = {
        "architecture": trainer.architecture,
        "layers": " > ".join(_shown(layer) for layer in trainer.layers) or "none",
        "loss_function": ", ".join(_shown(head.loss) for head in heads),
        "optimizer": optimizer.name,
        **_rates(optimizer.learning_rate),
        "train_batch_size": trainer.train_batch_size,
        "train_steps": num_steps,
        "seed": trainer.seed,
        "num_features": num_features,
        "num_weights": num_weights,
        **{f"optimizer.{name}": value for name, value in parameters.items()},
    }
    if trainer.early_stopping:
        found |= {f"early_stopping.{name}": value for name, value in trainer.early_stopping}
    return {name: value if isinstance(value, int | float) else _shown(value) for name, value in found.items()}


def _rates(rate: float | Word) -> dict[str, float | str]:
    """The learning rate as a number, the greatest one of a schedule, so that runs lie on one axis; then the schedule."""
    if not isinstance(rate, Word):
        return {"learning_rate": rate}
    rates = [
        getattr(rate, "initial_learning_rate", None),
        getattr(rate, "warmup_target", None),
        *getattr(rate, "values", ()),
    ]
    return {"learning_rate": max(rate for rate in rates if rate is not None), "schedule": _shown(rate)}


def _shown(value: object) -> str:
    """A word with the parameters it was given: `dense(64)`, `cosine_decay(initial_learning_rate=0.01)`."""
    if not isinstance(value, Word):
        return str(value)
    given = ", ".join(
        ("" if name in _PLAIN else f"{name}=") + _shown(getattr(value, name)) for name in value.parameters()
    )
    return f"{value.name}({given})" if given else value.name


def _session_end() -> Summary:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    ending = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    described = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=ending))
    return Summary(
        value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=described, tensor=metadata.NULL_TENSOR)]
    )


# Event files are records: length (8 bytes), its checksum (4), an Event, its checksum (4)


def _record(**event: Any) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event

    content = Event(wall_time=time.time(), **event).SerializeToString()
    header = struct.pack("<Q", len(content))
    return b"".join((header, _checksum(header), content, _checksum(content)))


def _checksum(data: bytes) -> bytes:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return struct.pack("<I", masked_crc32c(data))


def _records(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The content of each record and where it ends, up to one that is not whole."""
    start = 0
    while len(data) >= start + 16:
        header, end = data[start : start + 8], start + 16 + struct.unpack_from("<Q", data, start)[0]
        content = data[start + 12 : end - 4]
        if (
            len(data) < end
            or data[start + 8 : start + 12] != _checksum(header)
            or data[end - 4 : end] != _checksum(content)
        ):
            return
        yield content, end
        start = end


def _bytes_before(data: bytes, step: int) -> int:
    """How much of an event file comes before the first event of this step or a later one."""
    from tensorboard.compat.proto.event_pb2 import Event

    kept = 0
    for content, end in _records(data):
        if Event.FromString(content).step >= step:
            break
        kept = end
    return kept


def finish_log(
    course: Course, best_step: int, reached: Values, unlogged: tuple[int, Values, dict[str, np.ndarray]] | None
) -> None:
    """Writes what TensorBoard shows into the model's folder, with its end: `reached` is what was measured at the step that was kept."""
    # Only in the copy: a training that a limit has ended may go on another time, and then knows nothing of that end.
    shutil.copytree(course.kept / TENSORBOARD, course.folder / TENSORBOARD, dirs_exist_ok=True)
    with TrainingLog(course.folder / TENSORBOARD) as log:
        if unlogged is not None:
            log.write(*unlogged)
        # Runs are compared by what is reported.
        log.finish(best_step, reached[course.shown or course.judged or TRAIN])
