"""Our training loop beside Keras' `fit()` and beside a bare compiled scan, in turn, on the same network and rows.

    python bench/loop.py [--steps 20000] [--rounds 3]

Prints microseconds a step and the ratios; quote the ratios, machines differ and are shared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.learners.examples import Examples, TrainRows
from cengine.learners.heads import heads_of
from cengine.learners.loop import Plan, train
from cengine.learners.model import build_model, training_model
from cengine.networks.encodings import Linear
from cengine.networks.keras_setup import import_keras
from cengine.preprocess.apply import Input
from cengine.preprocess.targets import targets_of
from cengine.tables import Column, TableSchema

NUM_ROWS, NUM_FEATURES, BATCH = 2_000_000, 5, 256
CONFIG = """
features: [{features}]
labels: {{y: {{loss: mse, metrics: [mae]}}}}
split: {{ratio: {{train: 0.9, eval: 0.1}}}}
trainer:
  type: regression
  layers: [{{type: dense, units: 64}}, {{type: dense, units: 32}}]
  train_steps: {steps}
  train_batch_size: 256
  save_checkpoints_steps: {steps}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(Path(folder), arguments.steps)
        kinds = {"ours": subject.ours, "bare scan": subject.bare_scan, "keras fit()": subject.keras_fit}
        times: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(arguments.rounds):
            for name, run in kinds.items():
                times[name].append(run())
                print(f"{name:<12} {1e6 * times[name][-1]:8.1f} us a step", flush=True)
    fit = statistics.median(f / o for f, o in zip(times["keras fit()"], times["ours"], strict=True))
    bare = statistics.median(o / b for o, b in zip(times["ours"], times["bare scan"], strict=True))
    print(f"\nfit() takes {fit:.1f} times as long as our loop (must 4, aim 7)")
    print(f"our loop takes {bare:.2f} times as long as the bare scan (must 1.5, aim 1.1)")


class Subject:
    """The rows, encoded on disk as Transform leaves them, and the three ways to train on them."""

    def __init__(self, folder: Path, steps: int) -> None:
        names = [f"x{i}" for i in range(NUM_FEATURES)]
        random = np.random.default_rng(0)
        self.x = random.normal(size=(NUM_ROWS, NUM_FEATURES)).astype(np.float32)
        self.y = (self.x @ random.normal(size=NUM_FEATURES) + np.sin(3 * self.x[:, 0])).astype(np.float32)
        columns = {name: self.x[:, i] for i, name in enumerate(names)}
        table = pa.table(
            {
                **columns,
                "label: y": self.y,
                "_split": pa.array(np.zeros(NUM_ROWS), pa.int16()),
                "_row_id": pa.nulls(NUM_ROWS, pa.int64()),
            }
        )
        pq.write_table(table, folder / "encoded.parquet", row_group_size=122_880)
        schema = TableSchema(tuple(Column(name, "DOUBLE", "float") for name in [*names, "y"]), NUM_ROWS)
        self.resolved = resolve(parse_config(CONFIG.format(features=", ".join(names), steps=steps)).config, schema)
        statistics_ = {"labels": {"y": {"offset": 0.0, "scale": 1.0, "transforms": [{}], "mean": 0.0, "median": 0.0}}}
        self.heads = heads_of(targets_of(self.resolved.labels, statistics_), self.resolved.trainer)
        self.inputs = [Input(name, None, Linear(), {}) for name in names]
        self.folder, self.steps = folder, steps

    def model(self):
        """The network, untrained."""
        return build_model(self.inputs, self.resolved.trainer, self.heads)

    def ours(self) -> float:
        """Seconds a step of the whole loop: reading the Parquet file, shuffling, training, one checkpoint."""
        import shutil

        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        model = self.model()
        file = Examples(self.folder / "encoded.parquet", self.inputs, ["y"], ["train", "eval"])
        rows = TrainRows(file, 0, 2**30)
        plan = Plan.of(self.resolved.trainer, rows.num_rows, file.bytes_per_row)
        reached: list[tuple[int, float]] = []
        sample = rows.sample(1000)
        train(
            model,
            self.heads,
            self.resolved.trainer,
            plan,
            rows,
            {"train": sample, "eval": sample},
            None,
            lambda outputs, rows: {},
            self.folder / "checkpoints",
            lambda step, loss: reached.append((step, time.perf_counter())),
            lambda step, values, weights: None,
        )
        # From the end of the first chunk on, so that compiling does not count; neither does it for the others.
        (first, began), (last, ended) = reached[0], reached[-1]
        return (ended - began) / (last - first)

    def bare_scan(self) -> float:
        """Seconds a step of a compiled scan over batches that lie in memory, in order."""
        import jax
        import jax.numpy as jnp

        inner = training_model(self.model(), 1)
        optimizer = self.resolved.trainer.optimizer.build(self.steps)
        optimizer.build(inner.trainable_variables)

        def loss(weights, others, x, y):
            outputs, others = inner.stateless_call(
                weights, others, [x, jnp.zeros((BATCH, 0), jnp.int32)], training=True
            )
            return jnp.mean(
                (outputs[0][:, 0] - y) ** 2 if isinstance(outputs, list) else (outputs[:, 0] - y) ** 2
            ), others

        gradient = jax.value_and_grad(loss, has_aux=True)

        def step(state, batch):
            weights, others, slots = state
            (value, others), gradients = gradient(weights, others, *batch)
            weights, slots = optimizer.stateless_apply(slots, gradients, weights)
            return (list(weights), list(others), list(slots)), value

        scan = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches), donate_argnums=0)
        chunk = 1000
        x = jnp.asarray(self.x[: chunk * BATCH].reshape(chunk, BATCH, -1))
        y = jnp.asarray(self.y[: chunk * BATCH].reshape(chunk, BATCH))
        groups = (inner.trainable_variables, inner.non_trainable_variables, optimizer.variables)
        state = tuple([jnp.array(v.value) for v in group] for group in groups)
        state, losses = scan(state, (x, y))
        losses.block_until_ready()
        began = time.perf_counter()
        for _ in range(max(1, self.steps // chunk - 1)):
            state, losses = scan(state, (x, y))
        losses.block_until_ready()
        return (time.perf_counter() - began) / (max(1, self.steps // chunk - 1) * chunk)

    def keras_fit(self) -> float:
        """Seconds a step of `fit()`, steps_per_execution left alone, on arrays in memory."""
        keras = import_keras()
        inner = training_model(self.model(), 1)
        inner.compile(optimizer=keras.optimizers.Adam(), loss="mse")
        steps = min(self.steps, 3000)
        x, y = [self.x[: steps * BATCH], np.zeros((steps * BATCH, 0), np.int32)], self.y[: steps * BATCH]
        inner.fit([part[: 20 * BATCH] for part in x], y[: 20 * BATCH], batch_size=BATCH, verbose=0)
        began = time.perf_counter()
        inner.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        return (time.perf_counter() - began) / steps


if __name__ == "__main__":
    main()
