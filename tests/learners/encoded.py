"""Encoded rows and what is trained on them, made by hand for tests."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cengine.config.resolve import Label
from cengine.learners.examples import Examples, TrainRows
from cengine.learners.feedforward import Feedforward
from cengine.learners.heads import Head, heads_of
from cengine.learners.loop import Plan, train
from cengine.learners.model import build_model
from cengine.networks.encodings import Linear, OneHot
from cengine.networks.layers import LAYERS
from cengine.networks.losses import LOSSES
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import targets_of
from cengine.stopping import Reason, Stopped, Wish

INPUTS = [Input("a", None, Linear(), {}), Input("b", None, Linear(), {}), Input("c", 3, OneHot(), {})]
SPLITS = ("train", "eval")
MEMORY_BYTES = 2**26


def write(
    path: Path, labels: dict[str, np.ndarray], columns: dict[str, np.ndarray], split: np.ndarray, group_rows: int
) -> Examples:
    """The file as Transform writes it."""
    table = {name: pa.array(values) for name, values in columns.items()}
    table |= {f"label: {name}": pa.array(values.astype(np.float32)) for name, values in labels.items()}
    table |= {"_split": pa.array(split.astype(np.int16)), "_row_id": pa.array(np.arange(len(split)))}
    pq.write_table(pa.table(table), path, row_group_size=group_rows)
    return Examples(path, INPUTS, list(labels), SPLITS)


def columns_of(num_rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Two numbers and a code."""
    random = np.random.default_rng(seed)
    return {
        "a": random.normal(size=num_rows).astype(np.float32),
        "b": random.normal(size=num_rows).astype(np.float32),
        "c": random.integers(0, 3, num_rows).astype(np.int32),
    }


def signal(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Something to be learnt of the columns, of mean 0 and deviation near 1."""
    raw = columns["a"] - 0.5 * columns["b"] + (columns["c"] == 1)
    return (raw - raw.mean()) / raw.std()


def regression_head(name: str = "y", loss: str = "mse", offset: float = 0.0, scale: float = 1.0, **trainer) -> Head:
    """The head of a regression label of this mean and deviation."""
    label = Label(name, "float", "regression", None, (), LOSSES[loss](), None)
    statistics = {"labels": {name: {"offset": offset, "scale": scale, "transforms": []}}}
    return heads_of(targets_of([label], statistics), Feedforward(type="regression", **trainer))[0]


def class_head(classes: list, name: str = "y", **trainer) -> Head:
    """The head of a label with these classes."""
    label = Label(name, "string", "classes", None, (), None, None)
    statistics = {"labels": {name: {"classes": classes, "counts": [1] * len(classes), "transforms": []}}}
    return heads_of(targets_of([label], statistics), Feedforward(type="classification", **trainer))[0]


def trainer(**settings) -> Feedforward:
    """A small network's configuration."""
    layers = settings.pop("layers", (LAYERS["dense"](units=8, activation="relu"),))
    return Feedforward(
        **{
            "type": "regression",
            "layers": layers,
            "train_batch_size": 32,
            "train_steps": 120,
            "save_checkpoints_steps": 40,
            **settings,
        }
    )


class Trained:
    """A training from its beginning, or on from the checkpoints in `folder`."""

    def __init__(
        self,
        file: Examples,
        heads: list[Head],
        config: Feedforward,
        folder: Path,
        *,
        until: int | None = None,
        memory_bytes: int = MEMORY_BYTES,
        chunk_steps: int | None = None,
        wish_at: int | None = None,
        reason: Reason = Reason.TERMINATED,
        judged: str | None = "eval",
    ) -> None:
        self.judged = judged
        self.rows = TrainRows(file, config.seed, memory_bytes)
        self.model = build_model(INPUTS, config, heads)
        plan = Plan.of(config, self.rows.num_rows, file.bytes_per_row)
        if chunk_steps:
            plan = Plan(plan.num_steps, plan.every, plan.batch_rows, chunk_steps)
        self.steps: list[tuple[int, float]] = []
        self.logged: list[tuple[int, dict]] = []
        self.wish, self._wish_at, self._reason = Wish(), wish_at, reason
        self.stopped_for: Reason | None = None
        if wish_at == 0:
            self.wish.express(reason)
        samples = {"train": self.rows.sample(2_000), "eval": file.load("eval")}
        self.result = None
        with contextlib.suppress(Ended):
            try:
                self.result = train(
                    self.model,
                    heads,
                    config,
                    plan,
                    self.rows,
                    samples,
                    self.judged,
                    self._measure,
                    folder,
                    self._report,
                    lambda step, values, weights: self._log(step, values, until),
                    self.wish,
                )
            except Stopped as stopped:
                self.stopped_for = stopped.reason

    def _measure(self, predicted, rows) -> dict[str, float]:
        return {"mean_output": float(np.mean(next(iter(predicted.values()))))}

    def _report(self, step: int, loss: float) -> None:
        self.steps.append((step, loss))
        if self._wish_at is not None and step >= self._wish_at:
            self.wish.express(self._reason)

    def _log(self, step: int, values: dict, until: int | None) -> None:
        if until is not None and step > until:
            raise Ended
        self.logged.append((step, values))

    @property
    def weights(self) -> list[np.ndarray]:
        return self.model.get_weights()

    def predicted(self, rows, head: int = 0) -> np.ndarray:
        """What the finished model says of encoded rows, in the label's unit."""
        outputs = self.model([rows.inputs["numbers"], rows.inputs["codes"]])
        return np.asarray(outputs[head] if isinstance(outputs, list) else outputs)[:, 0]

    def losses(self, split: str = "eval") -> list[float]:
        """The loss at each checkpoint."""
        return [values[split]["loss"] for _, values in self.logged]


class Ended(Exception):
    """The process was ended while it measured a checkpoint: that one is not written."""
