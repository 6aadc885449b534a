"""Checkpoints: all that training needs to go on, written aside and renamed, checked by digest when read."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cengine.stopping import Reason, Stopped

CHECKPOINTS = "checkpoints"
KEPT = 2


@dataclass
class Checkpoint:
    """Training after `step` steps: the arrays of network and optimizer, and what was measured so far."""

    step: int
    arrays: list[np.ndarray]
    history: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    best_loss: float = float("inf")
    best_arrays: list[np.ndarray] = field(default_factory=list)
    # Of the steps since what was measured last: the sum of their losses and their number.
    loss_sum: float = 0.0
    num_losses: int = 0

    def add(self, losses: np.ndarray) -> None:
        """Counts the steps of these losses, (n,). One by one: the sum is the same in whatever portions they come."""
        self.step += len(losses)
        self.num_losses += len(losses)
        self.loss_sum = float(np.add.accumulate(np.concatenate([[self.loss_sum], losses.astype(np.float64)]))[-1])

    def take_running_loss(self) -> float:
        """The mean loss of the steps since the last time it was asked for."""
        mean = self.loss_sum / self.num_losses
        self.loss_sum, self.num_losses = 0.0, 0
        return mean


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes it and removes all but the newest two. Raises OSError where the disk does not take it; no part of it stays then.

    The digest is on the disk before the file appears, and the file before an older one goes: whenever the process or
    the machine ends, a whole checkpoint is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = _file(folder, checkpoint.step)
    draft, digest = target.with_suffix(".partial"), target.with_suffix(".sha256")
    try:
        _write_arrays(draft, checkpoint)
        with digest.open("w") as stream:
            stream.write(hashlib.sha256(draft.read_bytes()).hexdigest())
            stream.flush()
            os.fsync(stream.fileno())
        _flush_folder(folder)
        draft.replace(target)
        _flush_folder(folder)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    for old in sorted(folder.glob("step-*.npz"))[:-KEPT]:
        old.unlink()
    # A digest without its file is what a process left that was killed between the two.
    for digest in folder.glob("step-*.sha256"):
        if not digest.with_suffix(".npz").exists():
            digest.unlink(missing_ok=True)


def _write_arrays(draft: Path, checkpoint: Checkpoint) -> None:
    about = {"history": checkpoint.history, "best_step": checkpoint.best_step, "best_loss": checkpoint.best_loss,
             "num_arrays": len(checkpoint.arrays), "num_best": len(checkpoint.best_arrays),
             "loss_sum": checkpoint.loss_sum, "num_losses": checkpoint.num_losses}  # fmt: skip
    arrays = {f"array_{i}": array for i, array in enumerate(checkpoint.arrays)}
    arrays |= {f"best_{i}": array for i, array in enumerate(checkpoint.best_arrays)}
    with draft.open("wb") as stream:
        np.savez(stream, allow_pickle=False, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), **arrays)
        stream.flush()
        os.fsync(stream.fileno())


def _file(folder: Path, step: int) -> Path:
    return folder / f"step-{step:012d}.npz"


def _flush_folder(folder: Path) -> None:
    """So that the names in it outlive a machine that goes down."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint by its name, whole or not; 0 where there is none. For estimates: nothing is read."""
    steps = [int(file.stem.removeprefix("step-")) for file in folder.glob("step-*.npz")]
    return max(steps, default=0)


def read_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, None where there is none; a torn one is passed over."""
    for file in sorted(folder.glob("step-*.npz"), reverse=True):
        try:
            if hashlib.sha256(file.read_bytes()).hexdigest() != file.with_suffix(".sha256").read_text():
                continue
            return _read(file)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue
    return None


def _read(file: Path) -> Checkpoint:
    with np.load(file, allow_pickle=False) as data:
        about = json.loads(data["about"].tobytes().decode())
        return Checkpoint(
            step=int(file.stem.removeprefix("step-")),
            arrays=[data[f"array_{i}"] for i in range(about["num_arrays"])],
            history=about["history"],
            best_step=about["best_step"],
            best_loss=about["best_loss"],
            best_arrays=[data[f"best_{i}"] for i in range(about["num_best"])],
            loss_sum=about.get("loss_sum", 0.0),  # older ones stand where a loss was measured
            num_losses=about.get("num_losses", 0),
        )


def leave(reason: Reason, step: int, write: Callable[[], None] | None) -> None:
    """Ends a training after `step`, with a checkpoint where there is one to `write`. Raises Stopped, but for a limit that left a model."""
    if write is not None:
        try:
            write()
        except OSError:
            if reason.is_limit:
                raise
            # The one before is whole, and the wish to end is what is to be said.
    if not reason.is_limit or step == 0:
        raise Stopped(reason)
