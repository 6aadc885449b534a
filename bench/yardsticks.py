"""What the linear model beside every model costs: its stage, its predictions and its metrics, as a share of the whole run.

    python bench/yardsticks.py [--folder build/yardsticks] [--rows 3000000] [--steps 23000]

The run is the post's, over made-up trips; two passes over three million rows are 23,000 steps.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cengine
from cengine.evaluation import yardsticks
from cengine.learners.linear_model import LinearModel
from cengine.samples.trips import generate_trips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/yardsticks"))
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--steps", type=int, default=23_000)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    generate_trips(arguments.folder / "trips.parquet", arguments.rows)
    text = Path(__file__).with_name("post.yaml").read_text()
    text = text.replace("train_steps: 230000", f"train_steps: {arguments.steps}")
    text = text.replace("save_checkpoints_steps: 15000", f"save_checkpoints_steps: {max(1, arguments.steps // 4)}")
    project = cengine.open_project(arguments.folder / "project")
    snapshot = cengine.register(project, "parquet", path=str(arguments.folder / "trips.parquet"))
    predicting = timed(LinearModel, "predict")
    measuring = timed(yardsticks, "beside_yardsticks")
    began = time.monotonic()
    run = cengine.execute(cengine.plan(project, cengine.parse_config(text), snapshot))
    whole = time.monotonic() - began
    stages = {stage.name: stage.seconds for stage in run.stages}
    parts = {"stage": stages["Yardsticks"], "predictions": sum(predicting), "metrics": sum(measuring)}
    print(" / ".join(stages), "  " + " / ".join(f"{seconds:.1f}" for seconds in stages.values()), "s")
    for what, seconds in parts.items():
        print(f"{what:12} {seconds:6.2f} s")
    print(
        f"together     {sum(parts.values()):6.2f} s of {whole:.1f} s: {100 * sum(parts.values()) / whole:.1f} %  must be below 5 %"
    )
    print(run.results.verdicts[0]["sentence"])


def timed(owner: Any, name: str) -> list[float]:
    """The seconds of each call of a function from now on."""
    found: list[float] = []
    before: Callable[..., Any] = getattr(owner, name)

    def measured(*given: Any, **named: Any) -> Any:
        began = time.monotonic()
        try:
            return before(*given, **named)
        finally:
            found.append(time.monotonic() - began)

    setattr(owner, name, measured)
    return found


if __name__ == "__main__":
    main()
