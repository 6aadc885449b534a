"""Models of random weights: what they predict is worth nothing, and as hard to say in another format as that of trained ones.

To fit statistics takes a second; to compile a training takes ten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cengine.config.read import parse_config
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
from cengine.store.project import open_project

MEMORY_BYTES = 2**29


def untrained_models(folder: Path, table: pa.Table, pipelines: Mapping[str, str]) -> dict[str, Model]:
    """A model of each YAML, its statistics fitted to the table."""
    pq.write_table(table, folder / "table.parquet")
    source = Parquet(path=str(folder / "table.parquet"), keep_headers=True)
    snapshot = take_snapshot(open_project(folder / "project"), source, memory_bytes=MEMORY_BYTES)
    found = {}
    for place, (name, text) in enumerate(pipelines.items()):
        config = parse_config(text).config
        resolved = resolve(config, snapshot.schema)
        rows = Rows(snapshot.files, snapshot.schema, (), resolved.labels)
        with DuckDB(folder / "scratch", memory_bytes=MEMORY_BYTES, threads=1) as engine:
            split = fit_split(engine, rows, resolved.split, folder)
            statistics = json.loads(json.dumps(fit(engine, rows, split, resolved), default=str))
        targets = tuple(targets_of(resolved.labels, statistics))
        signature = Signature(resolved.features, targets, statistics, config.trainer)
        found[name] = _with_weights(folder / f"learner-{place}", signature)
    return found


def _with_weights(folder: Path, signature: Signature) -> Model:
    """The model with weights of two digits, which are the same on every machine."""
    folder.mkdir()
    inputs = inputs_of(signature.features, signature.statistics)
    heads = heads_of(signature.targets, signature.learner)
    network = build_model(inputs, signature.learner, heads)
    random = np.random.default_rng(1)
    network.set_weights([_weights(random, kept.shape) for kept in network.get_weights()])
    save_model(network, folder, signature_of(inputs, heads))
    return Model(Parts(signature, folder, dict, {}))


def _weights(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    scale = 1.5 / np.sqrt(shape[0]) if len(shape) > 1 else 0.3
    return np.round(random.normal(0, scale, shape), 2)
