"""Whole groups of rows, each in one split: named ones, or drawn by a seeded hash of what they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from cengine.config.schema import INNER_SHARE, SplitConfig
from cengine.errors import PreprocessError, near_miss
from cengine.plain import Cell
from cengine.preprocess.quotas import LARGEST_INNER, quotas

GROUP = "_group"


def assigned_groups(counted: pa.Table, config: SplitConfig, *, inner: bool) -> pa.Table:
    """Those of the groups (GROUP, `num_rows`) that belong to a split, with `split`, its number.

    With `inner` there is `part` too: the same number, or the one after the last split's for the train groups that are kept back
    to choose a model by. Raises PreprocessError where the YAML names groups that are not there, or one twice.
    """
    groups = counted[GROUP].to_pylist()
    chosen = (
        _named_groups(groups, config) if config.categorize.categories is not None else _drawn_groups(groups, config)
    )
    kept = [i for i, number in enumerate(chosen) if number is not None]
    table = counted.select([GROUP, "num_rows"]).take(pa.array(kept, pa.int64()))
    table = table.append_column("split", pa.array([chosen[i] for i in kept], pa.int16()))
    if not inner:
        return table
    held = inner_groups([i for i in kept if chosen[i] == 0], groups, counted["num_rows"].to_numpy(), config.seed)
    parts = [len(config.names) if i in held else chosen[i] for i in kept]
    return table.append_column("part", pa.array(parts, pa.int16()))


def _named_groups(groups: list[Cell], config: SplitConfig) -> list[int | None]:
    wanted: dict[str, int] = {}
    for number, name in enumerate(config.names):
        for value in (config.categorize.categories or {})[name]:
            if wanted.setdefault(_group_text(value), number) != number:
                raise PreprocessError(f"group {value!r} is given to two splits under `categories`")
    known = {_group_text(value) for value in groups}
    absent = [value for value in wanted if value not in known]
    if absent:
        raise PreprocessError(
            f"`categories` names groups that are not in column '{config.categorize.by}': {', '.join(absent[:5])}",
            f"its groups: {', '.join(sorted(known)[:10])}" + (", ..." if len(known) > 10 else ""),
            *near_miss(absent[0], known),
        )
    return [wanted.get(_group_text(value)) for value in groups]


def _drawn_groups(groups: list[Cell], config: SplitConfig) -> list[int | None]:
    """Whole groups by seeded hash, as many for each split as its share of the groups says."""
    shares = config.shares or {}
    counts = quotas(np.array([len(groups)]), [shares[name] for name in config.names])[0]
    return drawn_groups(groups, counts, config.seed)


def drawn_groups(groups: list[Cell], counts: np.ndarray, seed: int) -> list[int | None]:
    """The number of the part that each group is in, by seeded hash; `counts` says how many groups each part has."""
    order = _in_seeded_order(range(len(groups)), groups, str(seed))
    numbers = np.repeat(np.arange(len(counts)), counts)
    chosen: list[int | None] = [None] * len(groups)
    for position, i in enumerate(order):
        chosen[i] = int(numbers[position])
    return chosen


def inner_groups(train: list[int], groups: list[Cell], sizes: np.ndarray, seed: int) -> set[int]:
    """Which of the train groups are kept back: in a seeded order of their own as many as hold a tenth of the rows."""
    total = int(sum(sizes[i] for i in train))
    held: set[int] = set()
    num_rows = 0
    for i in _in_seeded_order(train, groups, f"inner:{seed}"):
        if num_rows < INNER_SHARE * total and num_rows + int(sizes[i]) <= LARGEST_INNER * total:
            held.add(i)
            num_rows += int(sizes[i])
    return held


def _in_seeded_order(places: Iterable[int], groups: list[Cell], seed: str) -> list[int]:
    """The places of groups, ordered by a hash of the seed and of what a group is called."""
    return sorted(places, key=lambda i: hashlib.sha256(f"{seed}:{_group_text(groups[i])}".encode()).digest())


def _group_text(value: object) -> str:
    """A group's value as YAML would write it, so that 3083 and '3083' name the same group."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
