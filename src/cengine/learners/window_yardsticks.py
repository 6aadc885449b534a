"""What a forecast has to beat: the last value, the value a season before, and a linear model of the window's own past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cengine.learners.examples import FLOATS, Batch
from cengine.learners.learner import Predictor
from cengine.learners.windows import Frame, WindowBatch, WindowExamples, Windows
from cengine.preprocess.targets import Target

VERSION = 1
FILE = "lags.npz"
# Windows of more are thinned out; a line of a few hundred lags needs no more.
MOST_WINDOWS = 200_000
# The penalty of the linear model, as a share of the mean square of a lag.
PENALTY = 1e-3


def known_past(batch: Batch, target: Target, frame: Frame) -> np.ndarray:
    """The label at the points that enter, as encoded, float32 (n, length); where there is none stands the last one before it.

    Before the first stands 0, which is the train mean.
    """
    first = batch.arrays[FLOATS].shape[-1] - len(batch.label_names)
    past = np.array(batch.arrays[FLOATS][:, : frame.length, first + batch.label_names.index(target.name)])
    missing = np.isnan(past)
    if missing.any():
        place = np.maximum.accumulate(np.where(missing, -1, np.arange(frame.length)), axis=1)
        past = np.where(place < 0, 0.0, np.take_along_axis(past, np.maximum(place, 0), axis=1)).astype(np.float32)
    return past


@dataclass(frozen=True)
class Repeated:
    """The value `season` steps before, of the last season that is known: the last value if it is 1."""

    targets: Sequence[Target]
    frame: Frame
    season: int

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """float64 (n * labels,) by label, in its unit."""
        steps = self.frame.length - self.season + np.arange(self.frame.num_labels) % self.season
        return {
            target.name: target.read_label(known_past(batch, target, self.frame)[:, steps].ravel())
            for target in self.targets
        }


@dataclass(frozen=True)
class OfLastPoint:
    """What a model of rows says of the last point that enters."""

    model: Predictor

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """See `Predictor.predict`."""
        assert isinstance(batch, WindowBatch)
        return self.model.predict(batch.last_point)


@dataclass(frozen=True)
class Lags:
    """A linear map of the own past, less its last value, to each step ahead, less the same: `weights` (length + 1, labels) by label."""

    targets: Sequence[Target]
    frame: Frame
    weights: dict[str, np.ndarray]

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """float64 (n * labels,) by label, in its unit."""
        found = {}
        for target in self.targets:
            past = known_past(batch, target, self.frame)
            values = _design(past) @ self.weights[target.name] + past[:, -1:]
            found[target.name] = target.read_label(values.ravel())
        return found

    def write(self, folder: Path) -> None:
        """Writes the weights into `folder`."""
        weights: dict[str, Any] = {f"label_{place}": self.weights[one.name] for place, one in enumerate(self.targets)}
        np.savez(folder / FILE, **weights)


def read_lags(folder: Path, targets: Sequence[Target], frame: Frame) -> Lags:
    """What `Lags.write` wrote."""
    with np.load(folder / FILE, allow_pickle=False) as stored:
        return Lags(targets, frame, {one.name: stored[f"label_{place}"] for place, one in enumerate(targets)})


def fit_lags(examples: WindowExamples, targets: Sequence[Target], split: str, report: Callable[[float], None]) -> Lags:
    """Least squares with a small penalty (ridge), from sums over the windows of `split`, block by block."""
    frame = examples.frame
    sums = {
        one.name: (np.zeros((frame.length + 1,) * 2), np.zeros((frame.length + 1, frame.num_labels))) for one in targets
    }
    windows, done = examples.thinned(split, MOST_WINDOWS), 0
    for block in _blocks(windows):
        for target in targets:
            past = known_past(block, target, frame)
            wanted = block.labels[target.name].reshape(-1, frame.num_labels) - past[:, -1:]
            design = _design(past)
            squares, products = sums[target.name]
            squares += design.T @ design
            products += design.T @ wanted.astype(np.float64)
        done += len(block)
        report(done / max(1, len(windows)))
    return Lags(targets, frame, {name: _solved(*found) for name, found in sums.items()})


def best_season(examples: WindowExamples, targets: Sequence[Target], split: str, seasons: Sequence[int]) -> int | None:
    """The season whose repetition has the least mean absolute error on a part of `split`; None if no window is as long as one."""
    known = [season for season in seasons if 1 < season <= examples.frame.length]
    if len(known) < 2:
        return known[0] if known else None
    windows = examples.thinned(split, 10_000)
    errors = []
    for season in known:
        found = Repeated(targets, examples.frame, season).predict(windows)
        errors.append(sum(np.abs(found[one.name] - one.read_label(windows.labels[one.name])).mean() for one in targets))
    return known[int(np.argmin(errors))]


def _blocks(windows: Windows) -> list[Windows]:
    size = max(1, 2**26 // windows.bytes_per_row)
    return [windows.part(start, start + size) for start in range(0, len(windows), size)]


def _design(past: np.ndarray) -> np.ndarray:
    """The past less its last value, and a 1: float64 (n, length + 1)."""
    return np.column_stack([(past - past[:, -1:]).astype(np.float64), np.ones(len(past))])


def _solved(squares: np.ndarray, products: np.ndarray) -> np.ndarray:
    size = len(squares) - 1
    penalty = PENALTY * max(np.trace(squares) / size, 1e-12)
    ridge = np.diag(np.append(np.full(size, penalty), 0.0))
    found: np.ndarray = np.linalg.solve(squares + ridge + 1e-12 * np.eye(size + 1), products)
    return found
