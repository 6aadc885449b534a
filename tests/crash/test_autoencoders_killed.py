"""An autoencoder killed by SIGKILL on the way: what is taken up again ends like an undisturbed run, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from disturbed import RESUME, RUN, SUICIDE, copied, registered
from terminal import Terminal

import cengine

YAML = """\
features:
  tripduration: {}
  start_station_id: {transform: compute_and_apply_vocabulary}
  starttime: {}
split: {ratio: {train: 0.8, eval: 0.2}}
trainer: {type: autoencoder, train_steps: 600, train_batch_size: 64, save_checkpoints_steps: 100}
"""
MOMENTS = {
    "between digest and rename of a checkpoint": ("os.rename", "checkpoints/step-", 3),
    "trained, its train rows not yet scored": ("open", "scores.npz", 1),
    "written, not yet in its place": ("os.rename", "draft-Train", 1),
    "the oddest rows being written": ("open", "odd_rows.json", 1),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Terminal, Terminal]:
    """A terminal where everything is ready to run, and one where it ran."""
    folder = tmp_path_factory.mktemp("autoencoders")
    ready = registered(folder, num_rows=1500, text=YAML)
    done = copied(ready, folder / "done")
    done(*RUN)
    return ready, done


def outcome(terminal: Terminal) -> tuple[object, ...]:
    """Scores of train and evaluated rows, and what is told of them."""
    run = cengine.find_run(terminal.project, "mine")
    with np.load(run.folders["Train"] / "scores.npz") as kept:
        scores = kept["scores"].tolist()
    predictions = run.predictions().sort_by("_row_id")["prediction: reconstruction"].to_pylist()
    return scores, predictions, run.results.odd_rows


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_it_goes_on_to_the_bit(undisturbed, tmp_path: Path, moment: str) -> None:
    ready, done = undisturbed
    terminal = copied(ready, tmp_path / "project")
    when, what, count = MOMENTS[moment]
    answer = terminal.start(when, what, count, *RUN, command=SUICIDE).answer()
    assert answer.code == -9, answer.err
    terminal(*RESUME)
    assert outcome(terminal) == outcome(done)
