"""What a run costs: prices from the settings, cores times time, preprocessing and evaluation apart from training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cengine.store.settings import Prices

TRAINING = "Train"


@dataclass(frozen=True)
class Costs:
    """In the currency of the prices; `saved` is what stored stages would have cost."""

    compute: float
    training: float
    saved: float


def costs_of(stages: Sequence[dict[str, Any]], prices: Prices, threads: int | None, scanned_bytes: int = 0) -> Costs:
    """The costs of finished stages (`name`, `seconds`, `saved_seconds`): all cores they were given, for as long as they took.

    What a warehouse scanned for them is part of `compute`.
    """
    cores = threads or os.cpu_count() or 1
    hourly = {True: cores * prices.cpu_hour + prices.num_gpus * prices.gpu_hour, False: cores * prices.cpu_hour}
    spent = {True: 0.0, False: 0.0}
    saved = 0.0
    for stage in stages:
        training = stage["name"] == TRAINING
        spent[training] += hourly[training] * (stage["seconds"] or 0.0) / 3600
        saved += hourly[training] * (stage["saved_seconds"] or 0.0) / 3600
    return Costs(spent[False] + scan_cost(scanned_bytes, prices), spent[True], saved)


def scan_cost(num_bytes: int, prices: Prices) -> float:
    """What scanning so much of a warehouse's table costs."""
    return num_bytes / 1e9 * prices.gb_scanned
