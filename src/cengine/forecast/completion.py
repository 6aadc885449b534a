"""How much of a run is done: its stages weigh what they are expected to take, and what was stored before weighs nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping

# A run that is not over is not shown as if it were.
MOST_SHARE = 0.99


class Completion:
    """The share of a run that is done, which never falls.

    `seconds` are those that each stage to run is expected to take, `first` what of it was done by an earlier attempt
    (training's steps), `begun` the share that the run had reached when it was taken up again.
    """

    def __init__(
        self, seconds: Mapping[str, float], first: Mapping[str, float] | None = None, begun: float = 0.0
    ) -> None:
        self._seconds = dict(seconds)
        self._first = dict(first or {})
        self._begun = begun
        self._done: set[str] = set()
        self._share = begun

    def end(self, stage: str) -> None:
        """The stage is over, run or reused."""
        self._done.add(stage)

    def share(self, stage: str | None = None, done: float = 0.0, total: float = 1.0) -> float:
        """The share with a stage at work that has come to `done` of `total`."""
        whole = sum(self._seconds.values())
        part = sum(seconds for name, seconds in self._seconds.items() if name in self._done)
        if stage is not None and stage not in self._done:
            part += self._seconds.get(stage, 0.0) * self.part(stage, done, total)
        fresh = part / whole if whole else 0.0
        self._share = max(self._share, min(self._begun + (1 - self._begun) * fresh, MOST_SHARE))
        return self._share

    def part(self, stage: str, done: float, total: float) -> float:
        """The share of a stage itself, of what was left of it."""
        first = self._first.get(stage, 0.0)
        return min(1.0, max(0.0, done - first) / (total - first)) if total > first else 1.0

    def seconds_left(self, stage: str, done: float, total: float, elapsed_seconds: float) -> float:
        """Of the whole run: the stage at work by its own pace, the more of it is done, else by what was expected; the others as expected."""
        part, seconds = self.part(stage, done, total), self._seconds.get(stage, 0.0)
        own = max(seconds - elapsed_seconds, seconds * (1 - part))
        if part > 0:
            trust = math.sqrt(part)
            own = trust * elapsed_seconds * (1 - part) / part + (1 - trust) * own
        return own + sum(seconds for name, seconds in self._seconds.items() if name not in self._done and name != stage)
