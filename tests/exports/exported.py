"""Models that the tests of exports write, and rows that are hard on them."""

from __future__ import annotations

import datetime
import json

import every_kind
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import cengine
from cengine.config.resolve import resolve
from cengine.datasources.register import take_snapshot
from cengine.engines.duckdb import DuckDB
from cengine.learners.heads import heads_of
from cengine.learners.model import build_model, save_model, signature_of
from cengine.models.artifact import Parts
from cengine.models.model import Model
from cengine.models.signature import Signature
from cengine.preprocess.apply import inputs_of
from cengine.preprocess.fit import fit
from cengine.preprocess.source import Rows
from cengine.preprocess.split import fit_split
from cengine.preprocess.targets import targets_of
from cengine.sources import Parquet

NUM_ROWS = 500
WORD = 'a "b" é'
FEATURES = every_kind.FEATURES.replace("  word:", f"  '{WORD}':")
TRAINER = "layers: [{type: dense, units: 8}, {type: dropout, rate: 0.1}], train_steps: 60"
PIPELINES = {
    "a number": FEATURES + f"labels: {{y: {{}}}}\ntrainer: {{type: regression, {TRAINER}}}",
    "a logarithm": FEATURES + f"labels: {{y: {{transform: log}}}}\ntrainer: {{type: regression, {TRAINER}}}",
    "normal scores": FEATURES
    + f"labels: {{y: {{transform: [quantile_normal, scale_to_0_1]}}}}\ntrainer: {{type: regression, {TRAINER}}}",
    "quantiles": FEATURES
    + "labels: {y: {transform: log, loss: {type: quantile, at: [0.1, 0.4, 0.5, 0.9]}}}\n"
    + f"trainer: {{type: regression, ensemble: 2, {TRAINER}}}",
    "two classes": FEATURES + f"labels: {{rich: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
    "yes or no": FEATURES + f"labels: {{old: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
    "classes": FEATURES + f"labels: {{kind: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
    "two labels": FEATURES + f"labels: {{kind: {{}}, rich: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
}


def made() -> pa.Table:
    """Columns of every kind, some cells missing."""
    random = np.random.default_rng(5)
    gaps = random.random(NUM_ROWS) < 0.1
    grams = random.lognormal(0, 1, NUM_ROWS)
    size = random.integers(0, 50, NUM_ROWS)
    seconds = random.integers(1_600_000_000, 1_700_000_000, NUM_ROWS)
    return pa.table({
        "Size": pa.array(size, pa.int64(), mask=gaps),
        "grams": pa.array(grams, mask=np.roll(gaps, 1)),
        'a "b" é': pa.array(random.choice(["red", "green", "blue", 'a "b"\n'], NUM_ROWS), mask=np.roll(gaps, 2)),
        "member": pa.array(random.random(NUM_ROWS) < 0.5, mask=np.roll(gaps, 3)),
        "at": pa.array(seconds * 1_000_000, pa.timestamp("us", tz="UTC"), mask=np.roll(gaps, 4)),
        "y": 10 * grams + size + 1,
        "rich": np.where(grams > 1, "yes", "no"),
        "old": size > 20,
        "kind": np.where(size % 3 == 0, 7, np.where(grams > 1, 8, 9)),
    })  # fmt: skip


def models_in(folder, pipelines=PIPELINES):
    """A model of each pipeline by name: fitted to one table, its network not trained, which changes nothing about its forms."""
    pq.write_table(made(), folder / "made.parquet")
    project = cengine.open_project(folder / "project")
    snapshot = take_snapshot(project, Parquet(path=str(folder / "made.parquet")), memory_bytes=2**29)
    return {name: _model(text, snapshot, folder / name) for name, text in pipelines.items()}


def _model(text, snapshot, folder):
    (folder / "learner").mkdir(parents=True)
    resolved = resolve(cengine.parse_config(text).config, snapshot.schema)
    rows = Rows(snapshot.files, snapshot.schema, (), resolved.labels)
    with DuckDB(folder / "scratch", folders=[folder.parent]) as engine:
        split = fit_split(engine, rows, resolved.split, folder)
        statistics = json.loads(json.dumps(fit(engine, rows, split, resolved)))
    targets = tuple(targets_of(resolved.labels, statistics))
    inputs, heads = inputs_of(resolved.features, statistics), heads_of(targets, resolved.trainer)
    save_model(build_model(inputs, resolved.trainer, heads), folder / "learner", signature_of(inputs, heads))
    signature = Signature(resolved.features, targets, statistics, resolved.trainer)
    certificate = {
        "run": "made <b>up</b>, run 1",
        "verdicts": [{"sentence": "It is as good as a network that knows nothing."}],
    }
    return Model(Parts(signature, folder / "learner", lambda: certificate, {}))


def hard_rows() -> pa.Table:
    """Nulls, words never seen, the ends of all types, leap days and the hours at which clocks are set."""
    moments = [
        None, datetime.datetime(1, 1, 1), datetime.datetime(2024, 2, 29, 23, 59, 59, 999_999),
        datetime.datetime(2023, 10, 29, 0, 59, 59, 999_999), datetime.datetime(2023, 10, 29, 1), datetime.datetime(1969, 12, 31, 23),
        datetime.datetime(9999, 12, 31), datetime.datetime(1900, 3, 1), datetime.datetime(2000, 2, 29), datetime.datetime(1970, 1, 1),
    ]  # fmt: skip
    return pa.table({
        "Size": pa.array([None, 2**63 - 1, -(2**63), 0, 1, 2, 3, 2**53 + 1, -1, 25], pa.int64()),
        "grams": pa.array([None, float("nan"), float("inf"), 1e300, -1e300, -0.0, 5e-324, 1.0, 2.0, 1e9]),
        'a "b" é': pa.array([None, "", "never seen", "red", "RED", " red", "e\u0301", "\x00", "😀", 'a "b"\n']),
        "member": pa.array([None, True, False] * 3 + [True]),
        "at": pa.array(moments, pa.timestamp("us")),
    })  # fmt: skip
