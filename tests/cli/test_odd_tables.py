"""Whole runs of tables that are out of the ordinary."""

from __future__ import annotations

import json
import math

import pytest
from terminal import YAML, Terminal, table_text

HUGE = ["1e300", "-1e300", "1.7976931348623157e308"]


def evaluated(terminal: Terminal, rows: list[str], yaml: str = YAML) -> tuple[dict, str]:
    """What is measured of the model, and what the run said."""
    terminal(
        "datasource", "create", "csv", "--name", "table", "--path", terminal.write("table.csv", "\n".join(rows) + "\n")
    )
    terminal("pipeline", "push", terminal.write("config.yaml", yaml), "first")
    said = terminal("pipeline", "run", "first", "--yes").out
    return terminal("pipeline", "evaluate", "first", "--json", "--no-open").json, said


@pytest.mark.parametrize("huge", HUGE)
def test_one_huge_number_in_a_feature_ends_nothing_and_hides_nobody(terminal, huge) -> None:
    """It is a number like any other: neither an error nor a null, and it is bounded where the network calculates in 32 bits."""
    header, *rows = table_text().splitlines()
    huge_row = f"{huge},{rows[200].split(',', 1)[1]}"
    found, _ = evaluated(terminal, [header, *rows[:200], huge_row, *rows[201:]])
    assert all(math.isfinite(row["model"]) for row in found["metrics"])
    (statistics,) = (terminal.project.folder / "artifacts" / "Fit").glob("*/*/statistics.json")
    learnt = json.loads(statistics.read_text())["features"]["x"]["transforms"][0]
    assert math.isfinite(learnt["offset"])
    assert math.isfinite(learnt["scale"])


def test_a_split_of_a_few_rows_is_said_to_tell_little(terminal) -> None:
    yaml = YAML.replace(
        "categorize_by: word\n  index_ratio: {train: 0.8, eval: 0.2}", "ratio: {train: 0.9, eval: 0.08, test: 0.02}"
    )
    found, said = evaluated(terminal, table_text(100).splitlines(), yaml)
    assert "fewer than 10 rows are in eval, test: too few to tell how good a model is" in said
    assert {row["num_rows"] for row in found["metrics"]} == {8, 2}
