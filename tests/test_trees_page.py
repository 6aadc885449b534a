"""What docs/trees.md says is run, and its table of keys is the trainer block's."""

from __future__ import annotations

import re
from pathlib import Path

import yaml_blocks
from terminal import Terminal

from cengine.learners.boosted_trees import BoostedTrees

PAGE = (Path(__file__).parent.parent / "docs" / "trees.md").read_text()


def test_its_yaml_runs(terminal: Terminal) -> None:
    (text,) = yaml_blocks.of(PAGE)
    terminal("sample", "trips", terminal.files / "trips.csv", "--rows", 600)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", terminal.files / "trips.csv")
    shorter = text.rstrip() + "\n  trees: 10\n"
    terminal("pipeline", "push", terminal.write("p.yaml", shorter), "p")
    assert "always saying" in terminal("pipeline", "run", "p", "--yes").out


def test_its_table_has_every_key_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", PAGE, re.M))
    known = {
        name: field.default for name, field in BoostedTrees.model_fields.items() if name not in ("type", "architecture")
    }
    assert set(told) == set(known)
    numbers = {name: value for name, value in known.items() if isinstance(value, int | float)}
    assert {name: float(told[name]) for name in numbers} == numbers


def test_its_losses_are_those_that_there_are() -> None:
    from cengine.learners.trees_objectives import OBJECTIVES

    (sentence,) = re.findall(r"^Losses: (.*)$", PAGE, re.M)
    assert set(re.findall(r"`(\w+)`", sentence)) == {name for name in OBJECTIVES if "crossentropy" not in name}
