"""`folds:`, which row is in which fold: dealt as splits are, by the same seeded order, and cut once more for each model's inner part.

With k folds there are k + 1 models: one for each fold, which learns from the other folds, and a last one, which learns from all rows.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cengine.config.schema import SplitConfig
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.expressions.build import column
from cengine.preprocess.cuts import KEY, OfGroup, at_cut, edge_table, hashed_cuts
from cengine.preprocess.groups import GROUP, drawn_groups, inner_groups
from cengine.preprocess.quotas import inner_quotas
from cengine.preprocess.source import Rows
from cengine.preprocess.split import (
    NUM_SHOWN_GROUPS,
    FoldedSplit,
    Split,
    SplitReport,
    counted_groups,
    keyed_rows,
    read_split,
)


def fit_folds(engine: Engine, rows: Rows, config: SplitConfig, folder: Path, *, inner: bool = False) -> FoldedSplit:
    """The rows dealt to folds, written into `folder`. Raises PreprocessError where there are fewer rows or groups than folds.

    With `inner` each model keeps a tenth of the rows that it sees back, as `fit_split` does of train.
    """
    num_folds = config.num_folds or 0
    names = tuple(f"fold_{number}" for number in range(1, num_folds + 1))
    kind = "groups" if config.whole_groups else "cuts"
    draft = Split(names, kind, config.categorize.by, None, config.seed, SplitReport({}, 0, 0, [], 0), folder)
    counted = counted_groups(engine, rows, draft)
    sizes = counted["num_rows"].to_numpy()
    _refuse_too_few(config, len(sizes), int(sizes.sum()))
    if config.whole_groups:
        number = np.array(drawn_groups(counted[GROUP].to_pylist(), fold_sizes(len(sizes), num_folds), config.seed))
        counts = np.where(number[:, None] == np.arange(num_folds), sizes[:, None], 0)
        table = counted.append_column("split", pa.array(number, pa.int16()))
    else:
        counts = dealt(sizes, num_folds)
        table = counted.select([GROUP])
    found = _Cuts(engine, rows, draft, counted, counts)
    num_inner = [0] * (num_folds + 1)
    if config.whole_groups:
        table, num_inner = found.with_inner_groups(table) if inner else (table, num_inner)
    else:
        edges = counts.cumsum(axis=1)[:, :-1]
        learnt, num_inner = found.learnt_of_models() if inner else (edges[:, :0], num_inner)
        keys = found.keys(np.column_stack([edges, learnt]))
        for place, key in enumerate(keys):
            known = f"key_{place}" if place < num_folds - 1 else f"inner_{place - num_folds + 1}"
            table = table.append_column(known, pa.array(key, pa.int64()))
    pq.write_table(table, folder / "cuts.parquet")
    small = np.flatnonzero((sizes < num_folds) & (draft.by is not None) & (not config.whole_groups))
    shown = [counted[GROUP][int(i)].as_py() for i in small[:NUM_SHOWN_GROUPS]]
    of_folds = {name: int(counts[:, n].sum()) for n, name in enumerate(names)}
    report = SplitReport(of_folds, len(sizes), len(small), shown, 0)
    settings = {**asdict(draft), "report": asdict(report), "num_inner_of_models": num_inner}
    del settings["folder"]
    (folder / "split.json").write_text(json.dumps(settings, indent=1, default=str))
    split = read_split(folder)
    assert isinstance(split, FoldedSplit)
    return split


def _refuse_too_few(config: SplitConfig, num_groups: int, num_rows: int) -> None:
    num, what, where = (num_rows, "row", "folds")
    if config.whole_groups:
        num, what, where = num_groups, f"group of '{config.categorize.by}'", "category_folds"
    if num < (config.num_folds or 0):
        plural = what if num == 1 else what.replace("row", "rows").replace("group", "groups", 1)
        raise PreprocessError(
            f"there {'is' if num == 1 else 'are'} {num:,} {plural}, fewer than the {config.num_folds} folds under `split:`",
            f"a fold needs a {what.split()[0]} at least: ask for fewer with `{where}`, or widen `where`",
        )


def fold_sizes(num: int, num_folds: int) -> np.ndarray:
    """How many of `num` things each fold has, the first ones one more where they cannot all have the same, int64 (folds,)."""
    return num // num_folds + (np.arange(num_folds) < num % num_folds)


def dealt(sizes: np.ndarray, num_folds: int) -> np.ndarray:
    """How many rows of each group each fold has, int64 (groups, folds).

    Rows are dealt as cards are: each group continues where the one before it ended, so that neither the folds of a group nor those of
    the whole table differ by more than a row.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    first = (np.cumsum(sizes) - sizes) % num_folds
    places = (np.arange(num_folds)[None, :] - first[:, None]) % num_folds
    counts: np.ndarray = (sizes[:, None] - places + num_folds - 1) // num_folds
    return counts


class _Cuts:
    """The cuts of each group, of which there are `counts` (groups, folds) rows in each fold."""

    def __init__(self, engine: Engine, rows: Rows, draft: Split, counted: pa.Table, counts: np.ndarray) -> None:
        self.engine, self.rows, self.draft, self.counted, self.counts = engine, rows, draft, counted, counts
        self.sizes = counted["num_rows"].to_numpy()
        self.num_models = counts.shape[1] + 1

    def keys(self, edges: np.ndarray) -> list[np.ndarray]:
        """For each cut the key of the last row before it in each group; `edges` (groups, cuts) are the rows before it."""
        self.engine.register("split_edges", edge_table(edges))
        of_group = OfGroup(self.engine, self.draft.by, self.counted[GROUP], column(GROUP))
        found = hashed_cuts(self.engine, keyed_rows(self.engine, self.rows, self.draft), of_group, self.sizes)
        return [at_cut(found, KEY, n, len(edges), -1) for n in range(edges.shape[1])]

    def learnt_of_models(self) -> tuple[np.ndarray, list[int]]:
        """For each model the rows of each group before its inner part, which is the last tenth of what the model sees of the group."""
        parts = [self._learnt(model) for model in range(self.num_models)]
        return np.column_stack([learnt for learnt, _ in parts]), [num for _, num in parts]

    def _learnt(self, model: int) -> tuple[np.ndarray, int]:
        own = self.counts[:, model - 1] if model else np.zeros_like(self.sizes)
        ends = self.counts[:, :model].sum(axis=1) if model else self.sizes
        held = inner_quotas(self.sizes - own)
        # Of the rows after the fold as many as there are, the others before it.
        after = self.sizes - ends
        return np.where(held <= after, self.sizes - held, ends - own - (held - after)), int(held.sum())

    def with_inner_groups(self, table: pa.Table) -> tuple[pa.Table, list[int]]:
        """The groups with what each model keeps back: whole ones, or rows of them where it sees too few groups for that."""
        groups, number = self.counted[GROUP].to_pylist(), table["split"].to_numpy()
        num_inner: list[int] = []
        by_rows: dict[int, np.ndarray] = {}
        for model in range(self.num_models):
            seen = np.flatnonzero(number != model - 1)
            held = np.isin(
                np.arange(len(groups)), list(inner_groups(seen.tolist(), groups, self.sizes, self.draft.seed))
            )
            num_inner.append(int(self.sizes[held].sum()))
            if num_inner[-1]:
                table = table.append_column(f"held_{model}", pa.array(held.astype(np.int16)))
                continue
            rows = inner_quotas(np.where(number != model - 1, self.sizes, 0))
            num_inner[-1], by_rows[model] = int(rows.sum()), self.sizes - rows
        for model, key in zip(by_rows, self.keys(np.column_stack([*by_rows.values()])) if by_rows else (), strict=True):
            table = table.append_column(f"inner_{model}", pa.array(key, pa.int64()))
        return table, num_inner
