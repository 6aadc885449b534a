"""The folder that TensorBoard reads: a link to the curves of each run, named so that a person knows them again."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cengine.errors import CengineError, StoreError
from cengine.learners.learner import TENSORBOARD
from cengine.runs.runs import parse_key, settled_runs
from cengine.stages.train import Train
from cengine.store.disk import disk_errors
from cengine.store.permissions import make_folder
from cengine.store.project import Project
from cengine.store.rows import PipelineRow, RunRow

HOST = "127.0.0.1"
MAX_NAME = 60
_ALIVE = ("Running", "Succeeded")


@dataclass(frozen=True)
class Chosen:
    """The runs of some pipelines: `choices` are pairs of a pipeline's id and a run's number, None for all its runs."""

    project: Project
    choices: tuple[tuple[int, int | None], ...]

    @property
    def folder(self) -> Path:
        """Where the links are; the same choice has the same folder."""
        name = "_".join(
            str(pipeline) if number is None else f"{pipeline}-{number}" for pipeline, number in self.choices
        )
        if len(name) > MAX_NAME:
            name = hashlib.sha256(name.encode()).hexdigest()
        return (self.project.aside or self.project.folder) / "tensorboard" / name

    def runs(self) -> list[RunRow]:
        """The records of the runs, oldest first."""
        return [
            run
            for run in settled_runs(self.project)
            if (run.pipeline_id, None) in self.choices or (run.pipeline_id, run.number) in self.choices
        ]

    def linked(self) -> list[str]:
        """The names of the runs that have curves, which `folder` now holds links to and nothing else.

        Called again it follows what has happened: a run that began, one that completed and so moved its files.
        """
        wanted = self._targets()
        with disk_errors():
            make_folder(self.folder)
            for old in self.folder.iterdir():
                if old.is_symlink() and old.name not in wanted:
                    old.unlink(missing_ok=True)
            for name, target in wanted.items():
                _link(self.folder / name, target)
        return list(wanted)

    def _targets(self) -> dict[str, Path]:
        """The folder with the curves of each run, by the run's name.

        A run that failed or was interrupted is left out where another one has gone on with its training.
        """
        runs = self.runs()
        names = _names_of(
            [self.project.records.pipelines.get(i) for i in dict.fromkeys(run.pipeline_id for run in runs)]
        )
        alive = {_training(run) for run in runs if run.status in _ALIVE}
        found = {}
        for run in runs:
            folder = self._curves(_training(run))
            if folder is not None and (run.status in _ALIVE or _training(run) not in alive):
                found[f"{names[run.pipeline_id]}-{run.number}"] = folder
        return found

    def _curves(self, training: str | None) -> Path | None:
        """What TensorBoard reads of a training, complete or going on."""
        if training is None:
            return None
        artifacts = self.project.artifacts
        for folder in (artifacts.folder(Train.name, training), artifacts.work_folder(Train.name, training)):
            if (folder / TENSORBOARD).is_dir():
                return folder / TENSORBOARD
        return None


def chosen_runs(project: Project, keys: Sequence[str]) -> Chosen:
    """The runs of each `ID|NAME[:RUN]`. Raises StoreError where none of them has curves, or will have them."""
    chosen = named_runs(project, keys)
    if not chosen.linked() and all(run.status != "Running" for run in chosen.runs()):
        raise StoreError(
            "there is nothing to show: training was never reached, or its learner draws no curves",
            "see what happened: cengine pipeline status",
        )
    return chosen


def named_runs(project: Project, keys: Sequence[str]) -> Chosen:
    """The runs of each `ID|NAME[:RUN]`, with curves or without. Raises StoreError where there are no such runs."""
    choices: list[tuple[int, int | None]] = []
    for key in keys:
        name, number = parse_key(key)
        pipeline = project.records.pipelines.find(name)
        runs = project.records.runs.all(pipeline_id=pipeline.id)
        if not runs:
            raise StoreError(f"pipeline '{pipeline.name}' was never run", f"run it: cengine pipeline run {pipeline.id}")
        if number is not None and number not in [run.number for run in runs]:
            raise StoreError(f"pipeline '{pipeline.name}' has no run {number}", f"its newest run is {runs[-1].number}")
        choices.append((pipeline.id, number))
    return Chosen(project, tuple(dict.fromkeys(choices)))


def serve(folder: Path, port: int | None) -> str:
    """The address of a TensorBoard on this machine that shows `folder` until the process ends.

    It listens on the loopback interface only. Port None takes 6006 or the next one that is free, 0 any free one.
    Raises CengineError where there is none.
    """
    from tensorboard.program import TensorBoard, TensorBoardServerException

    server = TensorBoard()
    arguments = ["", f"--logdir={folder}", f"--host={HOST}", "--load_fast=false"]
    server.configure(arguments if port is None else [*arguments, f"--port={port}"])
    try:
        return str(server.launch())
    except TensorBoardServerException as error:
        raise CengineError(str(error.msg), "leave --port out for the next free one") from None


def _training(run: RunRow) -> str | None:
    """The fingerprint of a run's training."""
    return next((stage["fingerprint"] for stage in run.stages if stage["name"] == Train.name), None)


def _names_of(pipelines: Sequence[PipelineRow]) -> dict[int, str]:
    """A name for each pipeline that is safe as a file's name, with the id where two would be the same."""
    slugs = {pipeline.id: _slug(pipeline.name) for pipeline in pipelines}
    lowered = [slug.casefold() for slug in slugs.values()]
    return {
        i: slug if slug and lowered.count(slug.casefold()) == 1 else f"{slug or 'pipeline'}.{i}"
        for i, slug in slugs.items()
    }


def _slug(name: str) -> str:
    """Letters, digits and `_` of a name, whatever else is between them as one dash."""
    return re.sub(r"[^\w]+", "-", name)[:MAX_NAME].strip("-_")


def _link(link: Path, target: Path) -> None:
    """Makes a relative link, in one step, so that the project can be moved and no reader finds it missing."""
    relative = os.path.relpath(target, link.parent)
    if link.is_symlink() and str(link.readlink()) == relative:
        return
    draft = link.parent.with_name(f".{os.getpid()}-{link.name}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(relative, target_is_directory=True)
    draft.replace(link)
