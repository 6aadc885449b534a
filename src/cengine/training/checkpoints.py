"""Checkpoints: all that training needs to go on, written aside and renamed, checked by digest when read."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

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


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes it and removes all but the newest two."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{checkpoint.step:012d}.npz"
    draft = target.with_suffix(".partial")
    about = {"history": checkpoint.history, "best_step": checkpoint.best_step, "best_loss": checkpoint.best_loss,
             "num_arrays": len(checkpoint.arrays), "num_best": len(checkpoint.best_arrays)}  # fmt: skip
    arrays = {f"array_{i}": array for i, array in enumerate(checkpoint.arrays)}
    arrays |= {f"best_{i}": array for i, array in enumerate(checkpoint.best_arrays)}
    with draft.open("wb") as stream:
        np.savez(stream, allow_pickle=False, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), **arrays)
        stream.flush()
        os.fsync(stream.fileno())
    digest = hashlib.sha256(draft.read_bytes()).hexdigest()
    target.with_suffix(".sha256").write_text(digest)
    draft.replace(target)
    for old in sorted(folder.glob("step-*.npz"))[:-KEPT]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)


def read_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, None where there is none; a torn one is passed over."""
    for file in sorted(folder.glob("step-*.npz"), reverse=True):
        try:
            if hashlib.sha256(file.read_bytes()).hexdigest() != file.with_suffix(".sha256").read_text():
                continue
            with np.load(file, allow_pickle=False) as data:
                about = json.loads(data["about"].tobytes().decode())
                return Checkpoint(
                    step=int(file.stem.removeprefix("step-")),
                    arrays=[data[f"array_{i}"] for i in range(about["num_arrays"])],
                    history=about["history"],
                    best_step=about["best_step"],
                    best_loss=about["best_loss"],
                    best_arrays=[data[f"best_{i}"] for i in range(about["num_best"])],
                )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue
    return None
