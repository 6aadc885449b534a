"""`--max-minutes`, `--max-cost`: how long a run may go on and what it may cost, all its attempts together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cengine.errors import LimitError, StoreError
from cengine.stopping import LIMITS, Reason, Wish
from cengine.store.settings import Prices

LOOK_SECONDS = 0.2
# What is kept free for evaluation is at most so much of a limit: the estimate may be far too high.
MOST_RESERVE = 0.5


@dataclass(frozen=True)
class Spent:
    """Time and money."""

    seconds: float
    cost: float


@dataclass(frozen=True)
class Limits:
    """None is no limit."""

    max_minutes: float | None = None
    max_cost: float | None = None

    @staticmethod
    def of(options: dict[str, Any]) -> Limits:
        """Those that a run was started with."""
        return Limits(options.get("max_minutes"), options.get("max_cost"))

    def __bool__(self) -> bool:
        return self.max_minutes is not None or self.max_cost is not None

    def check(self, spent: Spent, prices: Prices) -> None:
        """Raises StoreError where a run with these limits cannot even begin."""
        if self.max_cost is not None and not (
            prices.cpu_hour or prices.gpu_hour * prices.num_gpus or prices.gb_scanned
        ):
            raise StoreError(
                f"--max-cost {self.max_cost:g} has no meaning: nothing costs anything here",
                "set `prices:` in settings.yaml",
            )
        reason = self.reached(spent, Spent(0.0, 0.0))
        if reason is not None:
            raise StoreError(f"the limit of this run ({self.told(reason)}) is used up", "give it more, or --no-limits")

    def reached(self, spent: Spent, reserve: Spent) -> Reason | None:
        """The limit that is reached when `reserve` is to be left of each."""
        if self.max_minutes is not None and spent.seconds >= _less(60 * self.max_minutes, reserve.seconds):
            return Reason.OUT_OF_TIME
        if self.max_cost is not None and spent.cost >= _less(self.max_cost, reserve.cost):
            return Reason.OUT_OF_MONEY
        return None

    def told(self, reason: Reason) -> str:
        """A limit as it was given."""
        return (
            f"--max-minutes {self.max_minutes:g}" if reason is Reason.OUT_OF_TIME else f"--max-cost {self.max_cost:g}"
        )

    def note(self, training: dict[str, Any]) -> str:
        """What a run is told with whose training a limit ended; `training` is what is stored of it."""
        reason = next(reason for reason in LIMITS if reason.sentence == training["limit"])
        kept = "the best checkpoint" if training["judged_on"] is not None else "what was reached"
        return (
            f"stopped at step {training['num_steps']:,} of {training['planned_steps']:,} by {self.told(reason)}; {kept}, "
            f"of step {training['best_step']:,}, was evaluated. Run again without the limit to go on from there"
        )

    def error(self, reason: Reason, place: str, key: str) -> LimitError:
        """That the limit was reached at this place, such as "in Fit", and there is nothing to evaluate yet."""
        option = self.told(reason).split()[0]
        return LimitError(
            f"{self.told(reason)} was reached {place}; there is no model to evaluate yet",
            f"what is complete is kept; go on with: cengine pipeline resume {key} {option} MORE",
        )


def _less(limit: float, reserve: float) -> float:
    return limit - min(reserve, MOST_RESERVE * limit)


class Watch:
    """For the block, expresses the wish to end when a limit is reached, from a thread of its own; none where there is no limit."""

    def __init__(self, limits: Limits, wish: Wish, spent: Callable[[], Spent], reserve: Spent) -> None:
        self._limits, self._wish, self._spent, self._reserve = limits, wish, spent, reserve
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="limits", daemon=True)

    def __enter__(self) -> Watch:
        if self._limits:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._limits:
            self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            reason = self._limits.reached(self._spent(), self._reserve)
            if reason is not None:
                self._wish.express(reason)
                return
