"""The models of the examples as ONNX, beside the models, on all rows that they were evaluated on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cengine
from cengine.exports.formats import export
from cengine.samples.trips import generate_trips

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real tables are not beside the project")


def certificate(name, folder, table, steps):
    text = (ROOT / "examples" / f"{name}.yaml").read_text()
    text = re.sub(r"(train_steps|epochs): [\d.]+", f"train_steps: {steps}", text)
    text = re.sub(r"save_checkpoints_steps: \d+", f"save_checkpoints_steps: {steps}", text)
    home = cengine.open_project(folder / "project")
    run = cengine.execute(cengine.plan(home, cengine.parse_config(text), cengine.register(home, **table)))
    with run.evaluated() as tables:
        return export(run.model(), "onnx", folder / "onnx", tables), run.split.report.rows


@pytest.mark.slow
def test_trips(tmp_path) -> None:
    generate_trips(tmp_path / "trips.parquet", 30_000, num_stations=100)
    table = {"kind": "parquet", "path": str(tmp_path / "trips.parquet")}
    told, rows = certificate("trips", tmp_path, table, 300)
    assert told["rows"] == sum(rows.values()) - rows["train"] > 2_000
    assert told["largest_difference"] <= told["bound"]


@needs_data
@pytest.mark.slow
@pytest.mark.real_data
def test_adult(tmp_path) -> None:
    told, rows = certificate("adult", tmp_path, {"kind": "csv", "path": str(DATA / "adult" / "adult.csv.gz")}, 1_000)
    assert told["rows"] == sum(rows.values()) - rows["train"] > 15_000
    assert told["classes_differ"] == 0
    assert told["largest_difference"] <= 1e-6
