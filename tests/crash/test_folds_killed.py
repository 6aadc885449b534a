"""A run of folds, killed by SIGKILL while the model of the third one is trained: the first ones are not trained again, and nothing else comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
from disturbed import RESUME, RUN, SUICIDE, assert_whole, copied, outcome_of, registered
from terminal import Terminal

YAML = """\
features:
  tripduration: {{}}
  start_station_id: {{transform: compute_and_apply_vocabulary}}
labels:
  birth_year: {{loss: mse, metrics: [mae]}}
split: {{folds: 4}}
trainer: {{type: regression, {trainer}}}
evaluator: {{gender: {{}}}}
"""
TRAINERS = {
    "feedforward": "layers: [{type: dense, units: 8}, {type: dropout, rate: 0.1}], train_steps: 200, save_checkpoints_steps: 50",
    "boosted_trees": "architecture: boosted_trees, trees: 60, leaves: 15, save_checkpoints_trees: 10",
}


@pytest.fixture(scope="module", params=TRAINERS)
def undisturbed(request, tmp_path_factory) -> tuple[Terminal, Terminal]:
    """A terminal where everything is ready to run, and one where it ran."""
    folder = tmp_path_factory.mktemp("folds")
    ready = registered(folder, num_rows=1500, text=YAML.format(trainer=TRAINERS[request.param]))
    done = copied(ready, folder / "done")
    done(*RUN)
    return ready, done


def test_killed_in_the_third_fold_it_goes_on_to_the_bit(undisturbed, tmp_path: Path) -> None:
    ready, done = undisturbed
    terminal = copied(ready, tmp_path / "project")
    answer = terminal.start("os.rename", ".work/Train 3 of 4+checkpoints/step-", 2, *RUN, command=SUICIDE).answer()
    assert answer.code == -9, answer.err
    before = {path: path.stat().st_mtime_ns for path in trained(terminal)}
    assert {path.parts[-4] for path in before} == {"Train 1 of 4", "Train 2 of 4"}
    # The plan goes on in the third fold, behind its first checkpoint.
    explained = terminal("pipeline", "run", "mine", "--explain", "--json").json["stages"]
    states = {stage["name"]: stage["stored"] for stage in explained}
    assert [name for name, stored in states.items() if stored][-1] == "Yardsticks 3 of 4"
    third = next(stage for stage in explained if stage["name"] == "Train 3 of 4")
    assert third["estimate"]["first_step"] == (50 if third["unit"] == "steps" and third["size"] == 200 else 10)
    terminal(*RESUME)
    one, other = outcome_of(terminal), outcome_of(done)
    assert one[0].equals(other[0])
    assert one[1:] == other[1:]
    assert before == {path: path.stat().st_mtime_ns for path in trained(terminal) if path in before}
    assert_whole(terminal)


def trained(terminal: Terminal) -> list[Path]:
    return sorted((terminal.project.folder / "artifacts").glob("Train*/??/*/training.json"))
