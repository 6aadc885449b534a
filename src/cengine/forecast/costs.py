"""What a run costs: prices from the settings, cores times time and bytes read, preprocessing and evaluation apart from training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cengine.stages.table import stage_named
from cengine.store.settings import Prices

GB = 10**9


@dataclass(frozen=True)
class Costs:
    """In the currency of the prices; `saved` is what stored stages would have cost."""

    compute: float
    training: float
    saved: float


def hourly(stage: str, prices: Prices, threads: int | None) -> float:
    """The price of an hour of a stage: all cores it is given, and for training the GPUs."""
    cores = threads or os.cpu_count() or 1
    return cores * prices.cpu_hour + (prices.num_gpus * prices.gpu_hour if _is_training(stage) else 0.0)


def costs_of(stages: Sequence[dict[str, Any]], prices: Prices, threads: int | None) -> Costs:
    """The costs of stages (`name`, `seconds`, `saved_seconds`, `scanned_bytes`), for as long as they took and what they read.

    What a reused stage would have taken and read is saved.
    """
    spent = {True: 0.0, False: 0.0}
    saved = 0.0
    for stage in stages:
        price = hourly(stage["name"], prices, threads) / 3600
        read = scan_cost(stage.get("scanned_bytes") or 0, prices)
        spent[_is_training(stage["name"])] += price * (stage["seconds"] or 0.0) + (0.0 if stage.get("reused") else read)
        saved += price * (stage["saved_seconds"] or 0.0) + (read if stage.get("reused") else 0.0)
    return Costs(spent[False], spent[True], saved)


def _is_training(name: str) -> bool:
    """Of a stage, or of another artifact that is kept."""
    stage = stage_named(name)
    return stage is not None and stage.is_training


def scan_cost(num_bytes: int, prices: Prices) -> float:
    """What scanning so much of a source costs."""
    return prices.gb_scanned * num_bytes / GB


def month_cost(num_bytes: int, prices: Prices) -> float:
    """What keeping so many bytes costs a month."""
    return prices.gb_month * num_bytes / GB
