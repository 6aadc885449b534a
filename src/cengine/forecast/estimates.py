"""What a run will take, before it: time, memory, disk and money of each stage, from what it has to do and what earlier runs took.

A measure of a stage is taken to be `fixed + sum(rate * quantity)`, with rates measured once on two cores. What earlier
runs on this machine took corrects both parts by a factor each, those of runs of a like size counting most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cengine.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Load, Stage
from cengine.store.processes import machine
from cengine.store.rows import RunRow

MEASURES = (SECONDS, CPU, PEAK, KEPT)
# How far 4 of 5 values are from what is expected, as a factor: with nothing to go by, and at least.
UNKNOWN_SPREAD, LEAST_SPREAD = 0.7, 0.15
Z_OF_FOUR_IN_FIVE = 1.28
# How strongly the factors are drawn to 1, beside a measurement's 1; and over how many e-foldings of size one counts.
PRIOR_WEIGHT, SIZE_REACH = 0.01, 1.5
FORGETTING = 0.95
# More spread for each e-fold of size between what is asked for and the nearest that was measured.
FAR_SPREAD = 0.15
BUSY_SPREAD = 0.4
MAX_MEASURED = 60


@dataclass(frozen=True)
class Interval:
    """What is expected, and between what 4 of 5 are."""

    expected: float
    low: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.expected + other.expected, self.low + other.low, self.high + other.high)

    def times(self, factor: float, more: float = 0.0) -> Interval:
        """Each bound times a factor, and something that is known for certain added."""
        return Interval(self.expected * factor + more, self.low * factor + more, self.high * factor + more)

    def to_json(self) -> dict[str, float]:
        """Plain data."""
        return {"expected": self.expected, "low": self.low, "high": self.high}


NOTHING = Interval(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Measured:
    """A stage that was run: what it had to do, what of that was known before the stages before it were, and the measures it took."""

    stage: str
    load: Load
    guessed_load: Load
    measures: dict[str, float]


def history(runs: Sequence[RunRow]) -> list[Measured]:
    """What the stages of earlier runs took on this machine, the newest last."""
    here = machine().split("@")[0]
    found = []
    for run in runs:
        if not run.process or run.process.split("@")[0] != here:
            continue
        for stage in run.stages:
            if stage.get("load") and not stage["reused"] and stage["seconds"]:
                measures = {name: stage[name] for name in MEASURES if stage.get(name)}
                # As on a machine of one's own: how busy it is at a time says nothing of another.
                measures[SECONDS] /= stage.get("slowdown") or 1.0
                name = stage["name"].partition(" ")[0]  # of any fold
                found.append(Measured(name, stage["load"], stage.get("guessed_load") or stage["load"], measures))
    return found


def while_busy(seconds: Interval, slowdown: float) -> Interval:
    """A time on a machine that others keep busy; they may come and go."""
    unsure = math.exp(BUSY_SPREAD * math.log(slowdown))
    return Interval(seconds.expected * slowdown, seconds.low * slowdown / unsure, seconds.high * slowdown * unsure)


def expected(measure: str, stage: Stage, load: Load, past: Sequence[Measured], *, guessed: bool = False) -> Interval:
    """What a stage with so much to do will take of a measure. A `guessed` load is compared with what was guessed then."""
    fixed, rest = _parts(measure, stage, load)
    alike = [m for m in past if m.stage == stage.name and measure in m.measures][-MAX_MEASURED:]
    known = [(*_parts(measure, stage, m.guessed_load if guessed else m.load), m.measures[measure]) for m in alike]
    if not known:
        return _interval(fixed + rest, UNKNOWN_SPREAD)
    distances = [abs(_log_ratio(fixed + rest, f + r)) for f, r, _ in known]
    weights = [
        FORGETTING ** (len(known) - 1 - i) * math.exp(-distance / SIZE_REACH) for i, distance in enumerate(distances)
    ]
    factors = _factors([(w, f, r, t) for w, (f, r, t) in zip(weights, known, strict=True)])
    value = factors[0] * fixed + factors[1] * rest
    errors = [math.log(taken / max(factors[0] * f + factors[1] * r, 1e-9)) ** 2 for f, r, taken in known]
    spread = math.sqrt(sum(w * e for w, e in zip(weights, errors, strict=True)) / sum(weights))
    # Of little that is known, or of other sizes, less follows.
    unsure = UNKNOWN_SPREAD / (1 + 4 * sum(weights)) + FAR_SPREAD * min(distances)
    return _interval(value, max(LEAST_SPREAD, spread) + unsure)


def _parts(measure: str, stage: Stage, load: Load) -> tuple[float, float]:
    """By the rates alone: what does not grow, and what does."""
    rates, amounts = stage.rates[measure], {**load, FIXED: 1.0}
    taken = {name: rate * amounts.get(name, 0.0) for name, rate in rates.items()}
    fixed = sum(share for name, share in taken.items() if name.startswith(FIXED))
    return fixed, sum(taken.values()) - fixed


def _factors(rows: list[tuple[float, float, float, float]]) -> tuple[float, float]:
    """Factors (x, y) by which x * fixed + y * rest comes near what was taken; rows are (weight, fixed, rest, taken).

    First one factor for both, how much faster or slower this machine is; then what differs from that, by least squares of
    relative errors, drawn to none. Neither is below a twentieth of the first.
    """
    whole = sum(w for w, *_ in rows)
    common = math.exp(sum(w * _log_ratio(taken, fixed + rest) for w, fixed, rest, taken in rows) / whole)
    scaled = [(w, common * fixed / taken, common * rest / taken) for w, fixed, rest, taken in rows]
    aa = sum(w * a * a for w, a, _ in scaled) + PRIOR_WEIGHT
    bb = sum(w * b * b for w, _, b in scaled) + PRIOR_WEIGHT
    ab = sum(w * a * b for w, a, b in scaled)
    a1 = sum(w * a for w, a, _ in scaled) + PRIOR_WEIGHT
    b1 = sum(w * b for w, _, b in scaled) + PRIOR_WEIGHT
    determinant = aa * bb - ab * ab
    x, y = (a1 * bb - b1 * ab) / determinant, (b1 * aa - a1 * ab) / determinant
    return common * max(0.05, x), common * max(0.05, y)


def _log_ratio(one: float, other: float) -> float:
    return math.log(max(one, 1e-9) / max(other, 1e-9))


def _interval(value: float, spread: float) -> Interval:
    factor = math.exp(Z_OF_FOUR_IN_FIVE * spread)
    return Interval(value, value / factor, value * factor)
