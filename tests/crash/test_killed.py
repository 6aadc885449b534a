"""A run killed by SIGKILL, at random moments and at the worst ones: what is taken up again ends like an undisturbed run, bit for bit."""

from __future__ import annotations

import random
import time

import pytest
from disturbed import RESUME, RUN, STAGES, SUICIDE, Outcome, Timeline, assert_whole, copied, registered
from terminal import Terminal

SEED = 20261124
NUM_MOMENTS = 24
NUM_USUAL = 2

# Where a kill could do most harm: when, what the event is about, and the how manieth time.
WORST = {
    "a result before its marker": ("open", "draft-Fit+artifact.json", 1),
    "a result complete, not yet in its place": ("os.rename", "draft-Split", 1),
    "the training before its marker": ("open", "draft-Train+artifact.json", 1),
    "the training complete, not yet in its place": ("os.rename", "draft-Train", 1),
    "the training in its place, its checkpoints still there": ("shutil.rmtree", ".work/Train", 1),
    "the evaluation complete, not yet in its place": ("os.rename", "draft-Evaluate", 1),
    "the first checkpoint without its digest": ("open", "checkpoints/step+.sha256+'w'", 1),
    "the first checkpoint between digest and rename": ("os.rename", "checkpoints/step-", 1),
    "a later checkpoint between digest and rename": ("os.rename", "checkpoints/step-", 5),
    "an old checkpoint about to go": ("os.remove", "checkpoints/step+.npz", 2),
    "an old checkpoint gone without its digest": ("os.remove", "checkpoints/step+.sha256", 1),
    "the record of a new run": ("sql", "INSERT INTO runs", 1),
    "the record of a run that begins": ("sql", "UPDATE runs+'Running'", 1),
    "the record of progress": ("sql", "UPDATE runs+completion_ratio", 6),
    "the record of success": ("sql", "UPDATE runs+'Succeeded'", 1),
}
USUAL = ("the training in its place, its checkpoints still there", "a later checkpoint between digest and rename")
heavy = pytest.mark.heavy


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Terminal, Timeline, Outcome]:
    """A terminal where everything is ready to run; how long an undisturbed run takes, and what it comes to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ready = registered(folder)
    done = copied(ready, folder / "done")
    timeline = Timeline.of(done)
    assert_whole(done)
    return ready, timeline, Outcome.of(done)


def drawn(timeline: Timeline, number: int) -> tuple[str, float]:
    """The number-th moment: every other one from the whole duration, the others from the parts of the run in turn."""
    generator = random.Random(SEED + number)
    if number % 2:
        return timeline.anchored(generator.uniform(0, timeline.ended))
    parts = ("Train", "Evaluate", "Split", "Transform", "start", "Fit", "Yardsticks")
    part = parts[number // 2 % len(parts)]
    return part, generator.uniform(0, timeline.length(part))


def killed(terminal: Terminal, words: tuple[str, ...], part: str, seconds: float) -> bool:
    """Whether the command was killed so many seconds after a part of it began; False where it was through by then."""
    typed = terminal.start(*words)
    if part in STAGES:
        typed.says(f"{part}: ")
    time.sleep(seconds)
    return typed.kill().code == -9


def taken_up(terminal: Terminal, *, by_resume: bool) -> None:
    """Goes on by `resume` where there is something to be resumed, else by running again; a success needs neither."""
    statuses = [run["status"] for run in terminal("pipeline", "runs", "mine", "--json").json]
    assert set(statuses) <= {"Interrupted", "Succeeded"}, statuses
    if "Succeeded" not in statuses:  # killed while it told of it
        terminal(*(RESUME if by_resume and statuses else RUN))


@pytest.mark.parametrize("number", [n if n < NUM_USUAL else pytest.param(n, marks=heavy) for n in range(NUM_MOMENTS)])
def test_at_a_random_moment(undisturbed, tmp_path, number) -> None:
    ready, timeline, expected = undisturbed
    part, seconds = drawn(timeline, number)
    terminal = copied(ready, tmp_path / "project")
    attempt = 0
    while not killed(terminal, RUN, part, seconds):  # this time the machine was faster: a little earlier, on a new copy
        attempt += 1
        seconds *= 0.7
        terminal = copied(ready, tmp_path / f"project-{attempt}")
    if number % 4 == 3:  # and once more, while it goes on
        killed(terminal, RUN, "start", random.Random(number).uniform(0, timeline.ended))
    taken_up(terminal, by_resume=number % 3 != 0)
    Outcome.of(terminal).assert_equal(expected)
    assert_whole(terminal)


@pytest.mark.parametrize("where", [name if name in USUAL else pytest.param(name, marks=heavy) for name in WORST])
def test_at_the_worst_moment(undisturbed, tmp_path, where) -> None:
    ready, _, expected = undisturbed
    terminal = copied(ready, tmp_path / "project")
    when, what, count = WORST[where]
    answer = terminal.start(when, what, count, *RUN, command=SUICIDE).answer()
    assert answer.code == -9, answer.err
    taken_up(terminal, by_resume=True)
    Outcome.of(terminal).assert_equal(expected)
    assert_whole(terminal)
