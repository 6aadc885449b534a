"""The run, in order: Split > Fit > Transform > Train > Evaluate. Each stage reads folders and fills its own."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.resolve import Resolved
from cengine.engines.duckdb import DuckDB
from cengine.engines.engine import Engine
from cengine.engines.table import EMBEDDED
from cengine.expressions.meanings import MEANING_VERSION
from cengine.pipeline.progress import Progress
from cengine.pipeline.register import Snapshot
from cengine.pipeline.warehouse import Warehouse, evaluated_rows, scratch_folder
from cengine.pipeline.workers import Workers
from cengine.preprocess.source import Rows
from cengine.stopping import Wish
from cengine.store.project import Project
from cengine.tables import ROW_ID

# What Python, Keras, JAX and DuckDB hold before the first row is read.
BASE_BYTES = 700 * 2**20
EVALUATION_SAMPLE_ROWS = 2**19
TRAIN_SAMPLE_ROWS = 2**17
PREDICT_ROWS = 2**20
# How many times the rows are read, for the bar: groups, buckets and cuts; ranges, moments and counts.
NUM_SPLIT_QUERIES = 3
NUM_FIT_QUERIES = 3


@dataclass(frozen=True)
class Context:
    """What every stage is given: the table, the configuration, the limits."""

    project: Project
    snapshot: Snapshot
    resolved: Resolved
    filters: tuple[exp.Expr, ...]
    memory_bytes: int
    threads: int | None
    progress: Progress
    warehouse: Warehouse | None = None
    workers: Workers = field(default_factory=Workers)

    @property
    def rows(self) -> Rows:
        table = self.snapshot.files if self.warehouse is None else self.warehouse.table
        return Rows(table, self.snapshot.schema, self.filters, self.resolved.labels)

    def table_engine(self) -> AbstractContextManager[Engine]:
        """An engine where the table is: that of its warehouse, the workers' that were asked for, or one here."""
        if self.warehouse is None and self.workers.name != EMBEDDED:
            return self.workers.engine(self.project, self.memory_bytes, self.threads)
        if self.warehouse is None:
            return self.engine()
        self.warehouse.say = self.progress.say
        return self.warehouse.engine(int(0.7 * max(self.memory_bytes - BASE_BYTES, 2**28)), self.threads)

    def engine(self) -> DuckDB:
        """An engine within the memory limit; workers are given back, for what follows is this machine's."""
        self.workers.release()
        available = max(self.memory_bytes - BASE_BYTES, 2**28)
        return DuckDB(self.project.scratch, memory_bytes=int(0.7 * available), threads=self.threads, folders=self.project.table_folders)

    def report_rows(self, share: float) -> None:
        """Tells how much of the table a stage has been through."""
        self.progress.advance(share * self.snapshot.schema.num_rows)

    @property
    def matrix_bytes(self) -> int:
        """How much of the train rows may be held at once."""
        return max(self.memory_bytes - BASE_BYTES, 2**27) // 2


@dataclass
class Work:
    """A stage at work: the folders of the stages before, its own, one for what it may want to find again; the wish that it ends.

    A stage that a limit has ended early says at which step (`limited_at`): what it has filled its folder with is not
    the result of its settings alone.
    """

    parents: dict[str, Path]
    folder: Path
    kept: Path
    details: dict[str, Any] = field(default_factory=dict)
    wish: Wish = field(default_factory=Wish)
    limited_at: int | None = None


@dataclass(frozen=True)
class Stage:
    """A part of a run: `settings` are all that its result depends on beside the stages before."""

    name: str
    unit: str
    settings: Callable[[Context], Any]
    size: Callable[[Context, dict[str, Path]], int]
    run: Callable[[Context, Work], None]
    # Raised when the same settings give another result than before.
    version: int = 1


# Split


def _split_settings(context: Context) -> Any:
    resolved = context.resolved
    return {
        "data": context.snapshot.content,
        "where": [condition.sql() for condition in context.filters],
        **({"meaning": MEANING_VERSION} if context.filters else {}),
        "split": resolved.split.model_dump(mode="json", exclude={"where"}),
        "labels": sorted(label.name for label in resolved.labels if label.filling is None),
    }


def _run_split(context: Context, work: Work) -> None:
    from dataclasses import asdict

    from cengine.preprocess.split import fit_split

    with context.table_engine() as engine:
        engine.expect(NUM_SPLIT_QUERIES, context.report_rows)
        split = fit_split(engine, context.rows, context.resolved.split, work.folder)
    work.details["report"] = asdict(split.report)


# Fit


def _fit_settings(context: Context) -> Any:
    return {"features": [feature.identity() for feature in context.resolved.features],
            "labels": [label.identity() for label in context.resolved.labels]}  # fmt: skip


def _run_fit(context: Context, work: Work) -> None:
    from cengine.preprocess.fit import fit, write_statistics
    from cengine.preprocess.split import read_split

    with context.table_engine() as engine:
        engine.expect(NUM_FIT_QUERIES, context.report_rows)
        write_statistics(fit(engine, context.rows, read_split(work.parents["Split"]), context.resolved), work.folder)


# Transform


def _run_transform(context: Context, work: Work) -> None:
    from cengine.preprocess.apply import write_encoded
    from cengine.preprocess.fit import read_statistics
    from cengine.preprocess.split import read_split

    split = read_split(work.parents["Split"])
    total = sum(split.report.rows.values())
    resolved = context.resolved
    with context.table_engine() as engine:
        num_rows = write_encoded(
            engine, context.rows, split, resolved.features, resolved.labels, read_statistics(work.parents["Fit"]),
            work.folder / "encoded.parquet", lambda share: context.progress.advance(share * total),
        )  # fmt: skip
    work.details["num_rows"] = num_rows


@dataclass(frozen=True)
class _Encoded:
    """What Train and Evaluate both read of the stages before."""

    statistics: Any
    split: Any
    inputs: Any
    heads: Any
    file: Any

    @staticmethod
    def of(context: Context, parents: dict[str, Path]) -> _Encoded:
        from cengine.preprocess.apply import inputs_of
        from cengine.preprocess.fit import read_statistics
        from cengine.preprocess.split import read_split
        from cengine.training.batches import EncodedFile
        from cengine.training.heads import heads_of

        resolved = context.resolved
        statistics = read_statistics(parents["Fit"])
        inputs = inputs_of(resolved.features, statistics)
        heads = heads_of(resolved.labels, resolved.trainer, statistics)
        file = EncodedFile(parents["Transform"] / "encoded.parquet", inputs, [label.name for label in resolved.labels])
        return _Encoded(statistics, read_split(parents["Split"]), inputs, heads, file)


# Train


def _train_settings(context: Context) -> Any:
    trainer = context.resolved.trainer
    return {
        "trainer": trainer.model_dump(mode="json", exclude={"layers", "optimizer", "eval_batch_size"}),
        "layers": [layer.identity() for layer in trainer.layers],
        "optimizer": trainer.optimizer.identity(),
        "losses": [label.loss.identity() if label.loss else None for label in context.resolved.labels],
    }


def _train_steps(context: Context, parents: dict[str, Path]) -> int:
    from cengine.preprocess.split import read_split
    from cengine.training.loop import Plan

    trainer = context.resolved.trainer
    if trainer.train_steps or "Split" not in parents:
        return trainer.train_steps or 0
    return Plan.of(trainer, read_split(parents["Split"]).report.rows["train"], 1).num_steps


def _run_train(context: Context, work: Work) -> None:
    from cengine.pipeline.monitor import Monitor
    from cengine.training.batches import TrainRows
    from cengine.training.graph import graph_of
    from cengine.training.loop import Plan, train
    from cengine.training.model import build_model, save_model, signature_of
    from cengine.training.tensorboard import TrainingLog, hyperparameters

    trainer, encoded = context.resolved.trainer, _Encoded.of(context, work.parents)
    split, inputs, heads, file = encoded.split, encoded.inputs, encoded.heads, encoded.file
    rows = TrainRows(file, trainer.seed, context.matrix_bytes)
    plan = Plan.of(trainer, rows.num_rows, file.bytes_per_row)
    model = build_model(inputs, trainer, heads)
    judged = split.names[1]
    _check_memory(context, file, plan, min(rows.num_rows, TRAIN_SAMPLE_ROWS) + min(split.report.rows[judged], EVALUATION_SAMPLE_ROWS))
    samples = {"train": rows.sample(TRAIN_SAMPLE_ROWS), judged: _evaluation_sample(file, split.report.rows[judged])}
    tensorboard, signature = work.kept / "tensorboard", signature_of(inputs, heads)
    with context.engine() as engine, TrainingLog(tensorboard) as log:
        log.begin(
            graph_of(model, signature),
            hyperparameters(trainer, heads, len(context.resolved.features), plan.num_steps, model.count_params()),
        )
        monitor = Monitor(engine, heads, context.resolved.metrics, file.num_numbers)
        trained = train(
            model, heads, trainer, plan, rows, samples, monitor.measure, work.kept / "checkpoints",
            lambda step, loss: context.progress.advance(step, f"loss {loss:.4g}"), log.write, work.wish,
        )  # fmt: skip
    save_model(model, work.folder, signature)
    shutil.copy(work.parents["Fit"] / "statistics.json", work.folder / "statistics.json")
    # Only in the copy: a training that a limit has ended may go on another time, and then knows nothing of that end.
    shutil.copytree(tensorboard, work.folder / "tensorboard", dirs_exist_ok=True)
    with TrainingLog(work.folder / "tensorboard") as log:
        if trained.unlogged is not None:
            log.write(*trained.unlogged)
        log.finish(trained.best_step, trained.best[judged])
    result = {"history": trained.history, "num_steps": trained.num_steps, "best_step": trained.best_step,
              "stopped_early": trained.stopped_early, "judged_on": judged, "num_weights": model.count_params(),
              "planned_steps": plan.num_steps, "limit": trained.limit.sentence if trained.limit else None}  # fmt: skip
    (work.folder / "training.json").write_text(json.dumps(result))
    work.limited_at = trained.num_steps if trained.limit else None
    work.details |= {"first_step": trained.first_step, "num_steps": trained.num_steps, "num_weights": model.count_params()}


def _check_memory(context: Context, file: Any, plan: Any, sample_rows: int) -> None:
    """Raises TrainingError where what training holds beside its windows of rows is more than the memory limit leaves for it."""
    from cengine.errors import TrainingError

    needed = file.bytes_per_row * (sample_rows + 3 * plan.chunk_steps * plan.batch_rows)
    if needed > context.matrix_bytes:
        wanted = context.memory_bytes + 2 * (needed - context.matrix_bytes)
        raise TrainingError(
            f"the memory limit of {context.memory_bytes / 1e9:.1f} GB is too small to train on rows of {file.bytes_per_row:,} bytes in "
            f"batches of {plan.batch_rows:,}",
            f"give more with --memory, here --memory {math.ceil(wanted / 1e9)}GB, or a smaller train_batch_size",
        )


def _evaluation_sample(file: Any, num_rows: int) -> Any:
    """The split that checkpoints are judged on; of a large one every n-th row, so that evaluating stays cheap."""
    import numpy as np

    from cengine.training.batches import joined

    counts = file.split_rows(1)
    if num_rows <= EVALUATION_SAMPLE_ROWS:
        return file.load(1, range(len(counts)), num_rows)
    chosen = np.linspace(0, num_rows - 1, EVALUATION_SAMPLE_ROWS).astype(np.int64)
    parts, before = [], 0
    for groups in _blocks(counts, PREDICT_ROWS):
        rows = sum(counts[group] for group in groups)
        parts.append(file.load(1, groups, rows).take(chosen[(chosen >= before) & (chosen < before + rows)] - before))
        before += rows
    return joined(parts)


# Evaluate


def _evaluate_settings(context: Context) -> Any:
    resolved = context.resolved
    return {
        "slices": [list(columns) for columns in resolved.slices],
        "metrics": [metric.identity() for metric in resolved.metrics or ()],
        "label_metrics": [[m.identity() for m in label.metrics or ()] for label in resolved.labels],
    }


def _run_evaluate(context: Context, work: Work) -> None:
    from cengine.evaluation.evaluate import evaluate
    from cengine.evaluation.predictions import write_predictions
    from cengine.evaluation.search import columns_beside
    from cengine.training.model import load_predictor, training_model

    resolved, encoded = context.resolved, _Encoded.of(context, work.parents)
    heads, split = encoded.heads, encoded.split
    model = training_model(load_predictor(work.parents["Train"]), len(heads))
    raw = work.folder / "raw.parquet"
    _predict(context, model, heads, encoded.file, len(split.names), raw)
    beside = columns_beside(resolved)
    with context.engine() as engine, _rows_beside(context, split, [*beside, *(label.name for label in resolved.labels)]) as rows:
        predictions = work.folder / "predictions.parquet"
        write_predictions(engine, rows, heads, encoded.statistics, raw, beside, predictions)
        raw.unlink()
        evaluate(engine, engine.parquet([predictions]), heads, resolved, encoded.statistics, split.names, work.folder)


@contextlib.contextmanager
def _rows_beside(context: Context, split: Any, names: list[str]) -> Iterator[Rows]:
    """Rows that can be joined here; of a warehouse's table those that were not trained on are brought here first."""
    if context.warehouse is None:
        yield context.rows
        return
    with scratch_folder(context.project) as folder, context.table_engine() as engine:
        yield evaluated_rows(engine, context.rows, split, names, Path(folder) / "beside.parquet")


def _predict(context: Context, model: Any, heads: Any, file: Any, num_splits: int, target: Path) -> None:
    """Predictions of every row that was not trained on, block by block."""
    from cengine.evaluation.predictions import prediction_columns, raw_schema, raw_table
    from cengine.training.predict import Predictor

    predictor = Predictor(model, file.num_numbers)
    schema = raw_schema(heads)
    done = 0
    with pq.ParquetWriter(target, schema, compression="lz4") as writer:
        for number in range(1, num_splits):
            counts = file.split_rows(number)
            for groups in _blocks(counts, min(PREDICT_ROWS, max(1, context.matrix_bytes // file.bytes_per_row))):
                rows = file.load(number, groups, sum(counts[g] for g in groups))
                identities = file.column(ROW_ID, number, groups)
                columns = prediction_columns(heads, predictor.outputs(rows), rows.floats[:, file.num_numbers :])
                writer.write_table(raw_table(identities, number, columns, schema))
                done += len(rows)
                context.progress.advance(done)


def _blocks(counts: list[int], block_rows: int) -> Iterator[list[int]]:
    """Row groups in blocks of about so many rows."""
    block: list[int] = []
    rows = 0
    for group, count in enumerate(counts):
        block.append(group)
        rows += count
        if rows >= block_rows:
            yield block
            block, rows = [], 0
    if rows:
        yield block


def _all_rows(context: Context, parents: dict[str, Path]) -> int:
    return context.snapshot.schema.num_rows


def _evaluated_rows(context: Context, parents: dict[str, Path]) -> int:
    from cengine.preprocess.split import read_split

    if "Split" not in parents:
        return 0
    counts = read_split(parents["Split"]).report.rows
    return sum(counts.values()) - counts["train"]


STAGES = (
    Stage("Split", "rows", _split_settings, _all_rows, _run_split),
    Stage("Fit", "rows", _fit_settings, _all_rows, _run_fit),
    Stage("Transform", "rows", lambda context: {}, _all_rows, _run_transform, version=3),
    Stage("Train", "steps", _train_settings, _train_steps, _run_train),
    Stage("Evaluate", "rows", _evaluate_settings, _evaluated_rows, _run_evaluate, version=3),
)
