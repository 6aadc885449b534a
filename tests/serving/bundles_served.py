"""Bundles of real models for a server to serve, and what those models predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from every_kind import FEATURES, every_kind

import cengine
from cengine.exports.bundle import write_bundle
from cengine.models.model import Model

NUM_ROWS = 600
TRAINER = "layers: [{type: dense, units: 8}], train_steps: 60"
PIPELINES = {
    "price": FEATURES + f"labels: {{y: {{}}}}\ntrainer: {{type: regression, {TRAINER}}}",
    "kind": FEATURES + f"labels: {{kind: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
    "range": FEATURES + f"labels: {{y: {{loss: quantile}}}}\ntrainer: {{type: regression, {TRAINER}}}",
    # ONNX has no hash of a text: the server gives it.
    "both": FEATURES.replace("word: {}", "word: {transform: hash_strings}")
    + f"labels: {{rich: {{}}, kind: {{}}}}\ntrainer: {{type: classification, {TRAINER}}}",
}
# A name that is markup, a script's end, a terminal's escape: it must come out as text wherever it is shown.
ODD = '<img src=x onerror=alert(1)> "a" \\ \n\x1b[31m'


def table() -> pa.Table:
    """Columns of every kind, some cells missing."""
    return every_kind(NUM_ROWS, ["red", "green", "blue", ODD])


def trained(folder: Path, *names: str) -> dict[str, Model]:
    """Models of these pipelines by name."""
    project = cengine.open_project(folder)
    datasource = cengine.register(project, table(), name="table")
    return {
        name: cengine.execute(
            cengine.plan(project, cengine.parse_config(PIPELINES[name]), datasource), name=name
        ).model()
        for name in names
    }


def rows_of(given: pa.Table, model: Model) -> list[dict[str, Any]]:
    """The rows as JSON has them."""
    rows = given.select(list(model.features)).to_pylist()
    return [
        {name: cell.isoformat() if hasattr(cell, "isoformat") else cell for name, cell in row.items()} for row in rows
    ]


def write(model: Model, folder: Path) -> Path:
    """A bundle of the model; its golden rows are some of the table."""
    write_bundle(model, folder, [table().select(list(model.features))])
    return folder
