"""A run of windows, killed by SIGKILL while points are made and while it trains: nothing else comes out than of an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest
from disturbed import RESUME, RUN, SUICIDE, assert_whole, copied, outcome_of
from terminal import Terminal

from cengine.samples.machines import generate_machines

YAML = """\
features:
  power: {resampling: mean, filling: forward}
  mode: {}
labels:
  power: {resampling: mean, loss: mae, metrics: [mae, mase]}
timeseries:
  process_sequence_w_timestamp: reported_at
  process_sequence_w_category: machine
  resampling_rate_in_secs: 3600
  empty_periods: keep
  sequence_length: 24
  horizon: 4
split: {index_by: reported_at, index_ratio: {train: 0.8, eval: 0.2}}
trainer:
  architecture: sequential
  type: regression
  layers: [{type: gru, units: 4}, {type: dropout, rate: 0.1}]
  train_steps: 200
  save_checkpoints_steps: 50
evaluator: {horizon_step: {}}
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Terminal, Terminal]:
    """A terminal where everything is ready to run, and one where it ran."""
    folder = tmp_path_factory.mktemp("series")
    generate_machines(folder / "machines.parquet", 3, 20)
    ready = Terminal(folder / "project", folder)
    ready("datasource", "create", "parquet", "--name", "machines", "--path", folder / "machines.parquet")
    ready("pipeline", "push", ready.write("mine.yaml", YAML), "mine")
    done = copied(ready, folder / "done")
    done(*RUN)
    return ready, done


@pytest.mark.parametrize(("path", "number"), [
    ("artifacts/Series", 1),
    ("Train+checkpoints/step-", 2),
])  # fmt: skip
def test_killed_it_goes_on_to_the_bit(undisturbed, tmp_path: Path, path: str, number: int) -> None:
    ready, done = undisturbed
    terminal = copied(ready, tmp_path / "project")
    answer = terminal.start("os.rename", path, number, *RUN, command=SUICIDE).answer()
    assert answer.code == -9, answer.err
    terminal(*RESUME)
    one, other = outcome_of(terminal), outcome_of(done)
    assert one[0].equals(other[0])
    assert one[1:] == other[1:]
    assert_whole(terminal)
