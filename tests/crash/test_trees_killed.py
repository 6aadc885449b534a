"""Boosted trees from the YAML to the page, killed by SIGKILL on the way: what is taken up again ends like an undisturbed run, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from disturbed import RESUME, RUN, SUICIDE, copied, registered
from terminal import Terminal

import cengine

YAML = """\
features:
  tripduration: {}
  start_station_id: {transform: compute_and_apply_vocabulary}
  starttime: {}
labels:
  birth_year: {loss: mse, metrics: [mae]}
split: {ratio: {train: 0.8, eval: 0.2}}
trainer: {type: regression, architecture: boosted_trees, trees: 60, leaves: 15, save_checkpoints_trees: 10}
"""
# The moments at which a kill could do most harm.
MOMENTS = {
    "between digest and rename of a checkpoint": ("os.rename", "checkpoints/step-", 3),
    "the trees written, not yet in their place": ("os.rename", "draft-Train", 1),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Terminal, Terminal]:
    """A terminal where everything is ready to run, and one where it ran."""
    folder = tmp_path_factory.mktemp("trees")
    ready = registered(folder, num_rows=1500, text=YAML)
    done = copied(ready, folder / "done")
    done(*RUN)
    return ready, done


def outcome(terminal: Terminal) -> tuple[str, object]:
    """The trees and how growing went."""
    (trees,) = terminal.folder.rglob("trees-0.txt")
    return trees.read_text(), json.loads((trees.parent / "training.json").read_text())


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_it_goes_on_to_the_bit(undisturbed, tmp_path: Path, moment: str) -> None:
    ready, done = undisturbed
    terminal = copied(ready, tmp_path / "project")
    when, what, count = MOMENTS[moment]
    answer = terminal.start(when, what, count, *RUN, command=SUICIDE).answer()
    assert answer.code == -9, answer.err
    terminal(*RESUME)
    assert outcome(terminal) == outcome(done)


def test_its_model_predicts_and_its_page_names_what_it_is(undisturbed, tmp_path: Path) -> None:
    _, done = undisturbed
    done("pipeline", "evaluate", "mine", "--no-open", "--output", tmp_path / "page")
    page = (tmp_path / "page" / "report.html").read_text()
    assert "60 trees" in page
    assert "start_station_id" in page
    run = cengine.find_run(done.project, "mine")
    table = done.files / "trips.csv"
    done("predict", "mine", "--input", table, "--output", tmp_path / "predicted.csv")
    assert len((tmp_path / "predicted.csv").read_text().splitlines()) == 1501
    kept = cengine.load_model(run.model().save(tmp_path / "model"))
    assert [label["label"] for label in kept_trees(tmp_path / "model")] == ["birth_year"]
    assert kept.signature.learner.trees == 60


def kept_trees(folder: Path) -> list[dict]:
    return json.loads((folder / "learner" / "trees.json").read_text())["labels"]
