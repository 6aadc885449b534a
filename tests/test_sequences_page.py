"""What docs/sequences.md says of rows, points and windows: its YAMLs run on the table they speak of, its table of keys is complete."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml_blocks
from terminal import Terminal

from cengine.config.timeseries import TimeSeries
from cengine.preprocess.series import POINTS
from cengine.samples.machines import generate_machines
from cengine.samples.trips import generate_trips

PAGE = (Path(__file__).parent.parent / "docs" / "sequences.md").read_text()
SECTION = PAGE[PAGE.index("## From rows to windows") :].split("\n## ")[0]


@pytest.mark.parametrize(("number", "columns"), [(0, {"past num_trips", "tripduration"}), (1, {"gender", "usertype"})])
def test_its_yamls_run(number, columns, terminal: Terminal) -> None:
    text = yaml_blocks.of(SECTION)[number]
    # Few steps, of a network that need not be good.
    shorter = re.sub(r"(architecture: sequential, type: \w+)", r"\1, train_steps: 10, layers: [{type: flatten}]", text)
    assert shorter != text
    generate_trips(terminal.files / "trips.csv", 12_000, num_stations=5)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", terminal.files / "trips.csv")
    terminal("pipeline", "push", terminal.write("p.yaml", shorter), "p")
    terminal("pipeline", "run", "p", "--yes")
    (report,) = terminal.folder.rglob("series.json")
    found = json.loads(report.read_text())
    assert min(found["windows"].values()) > 100
    assert columns <= set(pq.read_schema(report.parent / POINTS).names)


def test_its_table_has_every_key_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", SECTION, re.M))
    known = {field.alias or name: field for name, field in TimeSeries.model_fields.items()}
    assert set(told) == set(known)
    for key, default in ((key, default.strip()) for key, default in told.items()):
        assert (default == "") == known[key].is_required()
        if default.isdigit() or default == "drop":
            assert default == str(known[key].default)


def test_the_yaml_with_layers_runs(terminal: Terminal) -> None:
    text = yaml_blocks.of(PAGE[PAGE.index("## The network") :])[0]
    assert "train_steps: 200" in text
    generate_trips(terminal.files / "trips.csv", 4_000, num_stations=3)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", terminal.files / "trips.csv")
    terminal("pipeline", "push", terminal.write("p.yaml", text.replace("train_steps: 200", "train_steps: 10")), "p")
    assert "repeating the last season" in terminal("pipeline", "run", "p", "--yes").out


def test_its_commands_run(terminal: Terminal, monkeypatch) -> None:
    monkeypatch.chdir(terminal.files)
    (commands,) = re.findall(r"```console\n(.*?)```", PAGE, re.S)
    text = (Path(__file__).parent.parent / "examples" / "forecast.yaml").read_text()
    terminal.write("forecast.yaml", text.replace("  type: regression", "  type: regression\n  train_steps: 20"))
    for line in commands.splitlines():
        program, *words = shlex.split(line)
        assert program == "cengine"
        more = ["--machines", "2", "--days", "30"] if words[0] == "sample" else []
        found = terminal(*words, *more)
    assert "mase" in found.out


def test_what_does_not_take_it_yet_says_so(terminal: Terminal) -> None:
    generate_machines(terminal.files / "m.parquet", 2, 20)
    text = (Path(__file__).parent.parent / "examples" / "forecast.yaml").read_text()
    shorter = text.replace("  type: regression", "  type: regression\n  train_steps: 5").replace("168", "24")
    terminal("datasource", "create", "parquet", "--name", "m", "--path", terminal.files / "m.parquet")
    terminal("pipeline", "push", terminal.write("p.yaml", shorter), "p")
    terminal("pipeline", "run", "p", "--yes")
    for words in (
        ("predict", "p", "--input", "m", "--output", "o.csv"),
        ("export", "p", "--format", "onnx", "--output", "o"),
    ):
        assert "learnt windows of series" in terminal(*words, code=None).err
