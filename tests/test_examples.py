"""Every YAML in examples/ runs, on the table it is written for."""

from __future__ import annotations

from pathlib import Path

import pytest

import cengine

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real tables are not beside the project")


def metrics(path: Path, project: Path, table: dict[str, str], **shorter: str) -> dict[str, float]:
    text = path.read_text()
    for old, new in shorter.items():
        assert old in text
        text = text.replace(f"{old}: ", f"{old}: {new}  #")
    home = cengine.open_project(project)
    plan = cengine.plan(home, cengine.parse_config(text, path.name), cengine.register(home, **table))
    return {row["metric"]: row["model"] for row in cengine.execute(plan).results.overall.to_pylist()}


def test_every_example_is_run_here() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.yaml")} == {
        "trips.yaml",
        "citibike.yaml",
        "adult.yaml",
        "forecast.yaml",
        "stops.yaml",
    }


def test_trips(tmp_path: Path) -> None:
    from cengine.samples.trips import generate_trips

    generate_trips(tmp_path / "trips.parquet", 60_000, num_stations=100)
    table = {"kind": "parquet", "path": str(tmp_path / "trips.parquet")}
    found = metrics(ROOT / "examples" / "trips.yaml", tmp_path, table, save_checkpoints_steps="200")
    assert found["mae"] < 8.3


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from cengine.samples.machines import generate_machines

    file = tmp_path_factory.mktemp("machines") / "machines.parquet"
    generate_machines(file, 8, 60)
    return {"kind": "parquet", "path": str(file)}


def test_forecast(tmp_path: Path, machines: dict[str, str]) -> None:
    text = (ROOT / "examples" / "forecast.yaml").read_text()
    home = cengine.open_project(tmp_path)
    plan = cengine.plan(home, cengine.parse_config(text, "forecast.yaml"), cengine.register(home, **machines))
    (row,) = [row for row in cengine.execute(plan).results.overall_rows if row["metric"] == "mae"]
    assert row["model"] < row["seasonal"] < row["naive"]


def test_stops(tmp_path: Path, machines: dict[str, str]) -> None:
    found = metrics(ROOT / "examples" / "stops.yaml", tmp_path, machines)
    assert found["auc"] > 0.9


@needs_data
@pytest.mark.real_data
def test_citibike_shortened_to_three_passes(tmp_path: Path) -> None:
    table = {"kind": "csv", "path": str(DATA / "citibike" / "JC-2018*.csv.gz")}
    assert metrics(ROOT / "examples" / "citibike.yaml", tmp_path, table, epochs="3")["mae"] < 7.3


@needs_data
@pytest.mark.real_data
def test_adult_reaches_its_figures(tmp_path: Path) -> None:
    table = {"kind": "csv", "path": str(DATA / "adult" / "adult.csv.gz")}
    found = metrics(ROOT / "examples" / "adult.yaml", tmp_path, table)
    assert found["accuracy"] >= 0.850
    assert found["auc"] >= 0.903
