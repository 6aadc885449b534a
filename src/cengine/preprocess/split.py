"""`split:`, which row goes where: repeatable, exact in every group, and never dependent on threads or row order.

Rows are ordered by a seeded bijection of their identities (or by `index_by`), and each group is cut where the shares
say. What is kept is not an assignment of rows but the cuts: one key for each group and cut. To find the key of the
k-th row of every group without sorting the table, rows are counted in buckets of keys; only the bucket that holds the
k-th row is sorted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.schema import SplitConfig
from cengine.engines.duckdb import DuckDB
from cengine.errors import PreprocessError, near_miss
from cengine.expressions.build import as_double, as_number, bigint, column, double
from cengine.expressions.keys import seeded_key
from cengine.preprocess.quotas import quotas
from cengine.preprocess.source import Rows
from cengine.tables import ROW_ID

KEY_BITS = 62
ROWS_PER_BUCKET = 32
NUM_SHOWN_GROUPS = 10
GROUP, KEY, ORDER = "_group", "_key", "_order"


@dataclass(frozen=True)
class SplitReport:
    """Rows of each split; how many groups there are, and how many have fewer rows than there are splits."""

    rows: dict[str, int]
    num_groups: int
    num_small_groups: int
    small_groups: list[Any]
    num_left_out: int


@dataclass(frozen=True)
class Split:
    """The cuts of a fitted split: `names` in order, train first; `kind` is `cuts` (within groups) or `groups` (whole)."""

    names: tuple[str, ...]
    kind: str
    by: str | None
    order: str | None
    seed: int
    report: SplitReport
    folder: Path

    def assigned(self, engine: DuckDB, rows: Rows, columns: list[str]) -> exp.Select:
        """The rows that belong to a split: the columns, the row identity, and `_split`, the number of the split.

        Rows come in the order of the snapshot: there is no join in it.
        """
        cuts = pq.ParquetFile(self.folder / "cuts.parquet").read()
        group = self._group_index(engine, cuts)

        def of_group(name: str) -> exp.Expr:
            if group is None:
                return exp.convert(cuts[name][0].as_py())
            return engine.element_of(cuts[name], group)

        outputs: list[exp.Expr] = [column(name) for name in dict.fromkeys([*columns, ROW_ID])]
        number = of_group("split") if self.kind == "groups" else self._number(of_group)
        assigned = exp.select(*outputs, number.as_("_split")).from_(_keyed(engine, rows, self, columns).subquery("rows"))
        if self.kind != "groups":
            return assigned
        named = exp.Not(this=exp.Is(this=column("_split"), expression=exp.null()))
        return exp.select("*").from_(assigned.subquery("grouped")).where(named)

    def _group_index(self, engine: DuckDB, cuts: pa.Table) -> exp.Expr | None:
        """Where the row's group stands in `cuts`; None where there is one group only."""
        if self.by is None:
            return None
        names = engine.fetch_texts(cuts[GROUP])
        known = names.drop_null()
        index = engine.index_of_text(exp.cast(column(GROUP), "text"), known)
        if not names.null_count:
            return index
        # The null group stands last, as it is sorted.
        return exp.Case().when(exp.Is(this=column(GROUP), expression=exp.null()), bigint(len(known))).else_(index)

    def _number(self, of_group: Callable[[str], exp.Expr]) -> exp.Expr:
        case = exp.Case()
        for number in range(len(self.names) - 1):
            below: exp.Expr = exp.LTE(this=column(KEY), expression=of_group(f"key_{number}"))
            if self.order is not None:
                edge = of_group(f"order_{number}")
                earlier = exp.LT(this=column(ORDER), expression=edge)
                same = exp.EQ(this=column(ORDER), expression=edge.copy())
                below = exp.or_(earlier, exp.and_(same, below))
            case = case.when(below, exp.convert(number))
        return exp.cast(case.else_(exp.convert(len(self.names) - 1)), "smallint")


def fit_split(engine: DuckDB, rows: Rows, config: SplitConfig, folder: Path) -> Split:
    """The fitted split, written into `folder`. Raises PreprocessError where a split would be empty."""
    draft = Split(config.names, "cuts", config.categorize.by, config.index.by, config.seed, SplitReport({}, 0, 0, [], 0), folder)
    counted = _count_groups(engine, rows, draft)
    if config.categorize.categories is not None or config.categorize.ratio is not None:
        split = _assign_groups(counted, draft, config)
    else:
        split = _cut_groups(engine, rows, counted, draft, config)
    empty = [name for name, count in split.report.rows.items() if count == 0]
    if empty:
        counts = ", ".join(f"{name}: {count:,}" for name, count in split.report.rows.items())
        raise PreprocessError(f"split '{empty[0]}' has no rows ({counts})", "change the shares or groups under `split:`, or `where`")
    settings = {key: value for key, value in asdict(split).items() if key != "folder"}
    (folder / "split.json").write_text(json.dumps(settings, indent=1, default=str))
    return split


def read_split(folder: Path) -> Split:
    """The split that `fit_split` wrote."""
    data = json.loads((folder / "split.json").read_text())
    return Split(**{**data, "names": tuple(data["names"]), "report": SplitReport(**data["report"])}, folder=folder)


def _keyed(engine: DuckDB, rows: Rows, split: Split, columns: list[str]) -> exp.Select:
    """The rows with their group, their key and, with `index_by`, their order."""
    names = list(dict.fromkeys([*columns, *(name for name in (split.by, split.order) if name)]))
    base = rows.select(engine, names).subquery("base")
    group: exp.Expr = column(split.by) if split.by else bigint(0)
    outputs: list[exp.Expr] = [column(name) for name in dict.fromkeys([*names, ROW_ID])]
    outputs += [group.as_(GROUP), seeded_key(column(ROW_ID), "split", split.seed).as_(KEY)]
    if split.order is not None:
        outputs.append(_order_value(split.order, rows).as_(ORDER))
    return exp.select(*outputs).from_(base)


def _order_value(name: str, rows: Rows) -> exp.Expr:
    """The column `index_by` as something that all engines order alike, nulls first."""
    kind = rows.schema[name].kind
    if kind == "timestamp":
        micros = exp.Anonymous(this="epoch_us", expressions=[exp.cast(column(name), "timestamp")])
        return exp.Coalesce(this=micros, expressions=[bigint(-(2**62))])
    if kind in ("integer", "boolean"):
        return exp.Coalesce(this=exp.cast(as_number(column(name), kind), "bigint"), expressions=[bigint(-(2**62))])
    if kind == "float":
        return exp.Coalesce(this=as_double(column(name)), expressions=[double(-1.7e308)])
    return exp.Coalesce(this=column(name), expressions=[exp.Literal.string("")])


def _count_groups(engine: DuckDB, rows: Rows, split: Split) -> pa.Table:
    """Groups and their numbers of rows, ordered by group."""
    keyed = _keyed(engine, rows, split, [])
    counted = engine.fetch(exp.select(GROUP, exp.Count(this=exp.Star()).as_("num_rows")).from_(keyed.subquery("keyed")).group_by(GROUP))
    if counted.num_rows == 0:
        raise PreprocessError("no row passes `where` and has a label", f"the datasource has {rows.schema.num_rows:,} rows")
    return counted.sort_by(GROUP)


# Whole groups


def _assign_groups(counted: pa.Table, draft: Split, config: SplitConfig) -> Split:
    groups = counted[GROUP].to_pylist()
    chosen = _named_groups(groups, config) if config.categorize.categories is not None else _drawn_groups(groups, config)
    kept = [i for i, number in enumerate(chosen) if number is not None]
    sizes = counted["num_rows"].to_numpy()
    totals = {name: int(sum(sizes[i] for i in kept if chosen[i] == n)) for n, name in enumerate(draft.names)}
    table = pa.table({GROUP: counted[GROUP].take(pa.array(kept, pa.int64())),
                      "split": pa.array([chosen[i] for i in kept], pa.int16())})  # fmt: skip
    pq.write_table(table, draft.folder / "cuts.parquet")
    left_out = int(sizes.sum()) - sum(totals.values())
    return _finished(draft, "groups", SplitReport(totals, len(groups), 0, [], left_out))


def _named_groups(groups: list[Any], config: SplitConfig) -> list[int | None]:
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


def _drawn_groups(groups: list[Any], config: SplitConfig) -> list[int | None]:
    """Whole groups by seeded hash, as many for each split as its share of the groups says."""
    import hashlib

    shares = config.shares or {}
    counts = quotas(np.array([len(groups)]), [shares[name] for name in config.names])[0]
    order = sorted(range(len(groups)), key=lambda i: hashlib.sha256(f"{config.seed}:{_group_text(groups[i])}".encode()).digest())
    numbers = np.repeat(np.arange(len(counts)), counts)
    chosen: list[int | None] = [None] * len(groups)
    for position, i in enumerate(order):
        chosen[i] = int(numbers[position])
    return chosen


def _group_text(value: Any) -> str:
    """A group's value as YAML would write it, so that 3083 and '3083' name the same group."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


# Shares within groups


def _cut_groups(engine: DuckDB, rows: Rows, counted: pa.Table, draft: Split, config: SplitConfig) -> Split:
    shares = config.shares or {}
    sizes = counted["num_rows"].to_numpy()
    counts = quotas(sizes, [shares[name] for name in draft.names])
    edges = counts.cumsum(axis=1)[:, :-1]
    plan = {GROUP: counted[GROUP]}
    plan.update({f"edge_{n}": edges[:, n] for n in range(edges.shape[1])})
    buckets = np.maximum(1, sizes // ROWS_PER_BUCKET)
    plan["bucket_shift"] = KEY_BITS - np.minimum(20, np.floor(np.log2(buckets)).astype(np.int64))
    engine.register("split_plan", pa.table(plan))
    cuts = _ordered_cuts(engine, rows, draft) if draft.order else _hashed_cuts(engine, rows, draft, edges.shape[1])
    cuts = cuts.sort_by(GROUP)
    if draft.order:
        counts = _moved_counts(cuts, sizes)
    pq.write_table(cuts, draft.folder / "cuts.parquet")
    small = np.flatnonzero(sizes < len(draft.names))
    names = [counted[GROUP][int(i)].as_py() for i in small[:NUM_SHOWN_GROUPS]] if draft.by else []
    totals = {name: int(counts[:, n].sum()) for n, name in enumerate(draft.names)}
    return _finished(draft, "cuts", SplitReport(totals, len(sizes), len(small), names, 0))


def _hashed_cuts(engine: DuckDB, rows: Rows, split: Split, num_cuts: int) -> pa.Table:
    """For each group the key of the last row before each cut; -1 where no row lies before it."""
    keyed = _keyed(engine, rows, split, [])
    joined = exp.select(
        column(GROUP, "rows"), column(KEY, "rows"),
        exp.BitwiseRightShift(this=column(KEY, "rows"), expression=column("bucket_shift", "split_plan")).as_("bucket"),
    ).from_(keyed.subquery("rows")).join("split_plan", on=exp.NullSafeEQ(this=column(GROUP, "rows"), expression=column(GROUP, "split_plan")))  # fmt: skip
    histogram = exp.select(GROUP, "bucket", exp.Count(this=exp.Star()).as_("n")).from_(joined.subquery("j")).group_by(GROUP, "bucket")
    text = f"""
        WITH histogram AS ({histogram.sql(engine.dialect)}),
        running AS (SELECT *, SUM(n) OVER (PARTITION BY "{GROUP}" ORDER BY bucket ROWS UNBOUNDED PRECEDING) AS through FROM histogram)
        SELECT running."{GROUP}", bucket, CAST(through - n AS BIGINT) AS below, cut, CAST(edge - (through - n) AS BIGINT) AS rank_in_bucket
        FROM running JOIN ({_edges_by_cut(num_cuts)}) AS edges
          ON running."{GROUP}" IS NOT DISTINCT FROM edges."{GROUP}" AND edge > through - n AND edge <= through
    """
    engine.register("split_buckets", engine.fetch(text))
    ranked = f"""
        SELECT rows."{GROUP}", cut, "{KEY}", rank_in_bucket,
               ROW_NUMBER() OVER (PARTITION BY rows."{GROUP}", cut ORDER BY "{KEY}") AS rank
        FROM ({joined.sql(engine.dialect)}) AS rows
        JOIN split_buckets ON rows."{GROUP}" IS NOT DISTINCT FROM split_buckets."{GROUP}" AND rows.bucket = split_buckets.bucket
    """
    picks = ", ".join(f'COALESCE(MAX(CASE WHEN cut = {n} THEN "{KEY}" END), -1) AS key_{n}' for n in range(num_cuts))
    found = f'SELECT "{GROUP}", cut, "{KEY}" FROM ({ranked}) WHERE rank = rank_in_bucket'
    return engine.fetch(f"""
        SELECT split_plan."{GROUP}", {picks} FROM split_plan
        LEFT JOIN ({found}) AS found ON split_plan."{GROUP}" IS NOT DISTINCT FROM found."{GROUP}"
        GROUP BY split_plan."{GROUP}"
    """)


def _ordered_cuts(engine: DuckDB, rows: Rows, split: Split) -> pa.Table:
    """For each group and cut the order and key of the last row before it, and how many rows that leaves before it.

    Rows of one time never straddle a cut: the cut moves to the nearer end of the block of equal times.
    """
    num_cuts = len(split.names) - 1
    whole_blocks = rows.schema[split.order or ""].kind == "timestamp"
    keyed = _keyed(engine, rows, split, [])
    ranked = f"""
        SELECT "{GROUP}", "{ORDER}", "{KEY}",
               ROW_NUMBER() OVER (PARTITION BY "{GROUP}" ORDER BY "{ORDER}", "{KEY}") AS position,
               RANK() OVER (PARTITION BY "{GROUP}" ORDER BY "{ORDER}") - 1 AS before,
               COUNT(*) OVER (PARTITION BY "{GROUP}", "{ORDER}") AS equal
        FROM ({keyed.sql(engine.dialect)})
    """
    found = f"""
        SELECT edges."{GROUP}", cut, edge, "{ORDER}", "{KEY}", before, equal
        FROM ({_edges_by_cut(num_cuts)}) AS edges LEFT JOIN ({ranked}) AS ranked
          ON ranked."{GROUP}" IS NOT DISTINCT FROM edges."{GROUP}" AND ranked.position = edges.edge
    """
    inclusive = "(before = 0 OR before + equal - edge <= edge - before)" if whole_blocks else "FALSE"
    key = f"CASE WHEN {inclusive} THEN {2**KEY_BITS} ELSE -1 END" if whole_blocks else f'"{KEY}"'
    rows_before = f"CASE WHEN {inclusive} THEN before + equal ELSE before END" if whole_blocks else "edge"
    picks = ", ".join(
        f'MAX(CASE WHEN cut = {n} THEN "{ORDER}" END) AS order_{n}, COALESCE(MAX(CASE WHEN cut = {n} THEN {key} END), -1) AS key_{n}, '
        f"COALESCE(MAX(CASE WHEN cut = {n} THEN {rows_before} END), 0) AS rows_before_{n}"
        for n in range(num_cuts)
    )
    return engine.fetch(f'SELECT "{GROUP}", {picks} FROM ({found}) GROUP BY "{GROUP}"')


def _edges_by_cut(num_cuts: int) -> str:
    """The cuts of `split_plan`, one row each."""
    return " UNION ALL ".join(f'SELECT "{GROUP}", {n} AS cut, edge_{n} AS edge FROM split_plan' for n in range(num_cuts))


def _moved_counts(cuts: pa.Table, sizes: np.ndarray) -> np.ndarray:
    """Rows of each group and split, from where the cuts came to lie."""
    before = [cuts[name].to_numpy() for name in cuts.column_names if name.startswith("rows_before_")]
    edges = np.maximum.accumulate(np.stack([np.zeros_like(sizes), *before, sizes], axis=1), axis=1)
    return np.diff(edges, axis=1)


def _finished(draft: Split, kind: str, report: SplitReport) -> Split:
    return Split(draft.names, kind, draft.by, draft.order, draft.seed, report, draft.folder)


__all__ = ["Split", "SplitReport", "fit_split", "read_split"]
