"""The commands of docs/predict.md, in order, and the options that its table names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from terminal import Terminal

from cengine.samples.trips import generate_trips

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "predict.md").read_text()


def test_the_commands_of_the_page_work_in_order(tmp_path, monkeypatch) -> None:
    terminal = Terminal(tmp_path, tmp_path)
    monkeypatch.chdir(tmp_path)
    generate_trips(tmp_path / "trips.csv", 4_000, num_stations=20)
    generate_trips(tmp_path / "new-trips.csv", 500, num_stations=30)
    text = (ROOT / "examples" / "trips.yaml").read_text()
    terminal.write("trips.yaml", re.sub(r"(train_steps|epochs): [\d.]+", "train_steps: 60", text))
    terminal("datasource", "create", "csv", "trips.csv")
    terminal("pipeline", "push", "trips.yaml", "birth_year")
    terminal("pipeline", "run", "birth_year", "-y")
    (block,) = re.findall(r"```console\n(.*?)```", PAGE, re.S)
    said = {}
    for line in block.splitlines():
        program, *words = shlex.split(line)
        assert program == "cengine"
        said[words[words.index("-o") + 1]] = terminal(*words).out
    assert "500 rows predicted: predicted.parquet" in said["predicted.parquet"]
    assert "4,000 rows predicted: predicted.csv" in said["predicted.csv"]
    assert "features differ from the train rows" in said["predicted.jsonl"]
    assert (tmp_path / "predicted.html").read_text().startswith("<!doctype html>")


def test_the_options_of_the_page_exist(tmp_path) -> None:
    shown = Terminal(tmp_path, tmp_path)("predict", "--help").out
    for option in re.findall(r"`(--[a-z]+)", PAGE):
        assert option in shown or option in ("--decimal", "--null")
