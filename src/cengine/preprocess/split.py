"""`split:`, which row goes where: repeatable, exact in every group, and never dependent on threads or row order.

Rows are ordered by a seeded bijection of their identities (or by `index_by`), and each group is cut where the shares
say. What is kept is not an assignment of rows but the cuts: one key for each group and cut. To find the key of the
k-th row of every group without sorting the table, rows are counted in buckets of keys; only the bucket that holds the
k-th row is sorted.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.schema import SplitConfig
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError, near_miss
from cengine.expressions.build import as_double, as_number, bigint, column, double
from cengine.expressions.keys import seeded_key
from cengine.expressions.queries import query
from cengine.preprocess.quotas import quotas
from cengine.preprocess.source import Rows
from cengine.tables import ROW_ID

KEY_BITS = 62
ROWS_PER_BUCKET = 32
NUM_SHOWN_GROUPS = 10
GROUP, PLACE, KEY, ORDER = "_group", "_place", "_key", "_order"


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

    def assigned(self, engine: Engine, rows: Rows, columns: list[str]) -> exp.Select:
        """The rows that belong to a split: the columns, the row identity, and `rows.split_column`, the number of the split.

        Rows come in the order of the snapshot where the engine keeps it: there is no join in it.
        """
        cuts = pq.ParquetFile(self.folder / "cuts.parquet").read()
        of_group = _OfGroup(engine, self, cuts[GROUP])
        number = of_group(cuts["split"]) if self.kind == "groups" else self._number(cuts, of_group)
        names = list(dict.fromkeys(name for name in columns if name != ROW_ID))
        outputs: list[exp.Expr] = [column(f"c{place}").as_(name, quoted=True, copy=False) for place, name in enumerate(names)]
        outputs += [column(ROW_ID), number.as_(rows.split_column, quoted=True)]
        keyed = _keyed(engine, rows, self, names).subquery("rows", copy=False)
        assigned = exp.select(*outputs, copy=False).from_(keyed, copy=False)
        if self.kind != "groups":
            return assigned
        named = exp.Not(this=exp.Is(this=column(rows.split_column), expression=exp.null()))
        return exp.select("*").from_(assigned.subquery("grouped")).where(named)

    def _number(self, cuts: pa.Table, of_group: _OfGroup) -> exp.Expr:
        case = exp.Case()
        for number in range(len(self.names) - 1):
            below: exp.Expr = exp.LTE(this=column(KEY), expression=of_group(cuts[f"key_{number}"]))
            if self.order is not None:
                edge = of_group(cuts[f"order_{number}"])
                earlier = exp.LT(this=column(ORDER), expression=edge)
                same = exp.EQ(this=column(ORDER), expression=edge.copy())
                below = exp.or_(earlier, exp.and_(same, below))
            case = case.when(below, exp.convert(number))
        return exp.cast(case.else_(exp.convert(len(self.names) - 1)), "smallint")


def fit_split(engine: Engine, rows: Rows, config: SplitConfig, folder: Path) -> Split:
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


def _keyed(engine: Engine, rows: Rows, split: Split, columns: list[str]) -> exp.Select:
    """The rows with their group, their key and, with `index_by`, their order.

    The columns are called c0, c1, ... beside these: one of the user's may be called like any of ours.
    """
    base = rows.select(engine, [*columns, *(name for name in (split.by, split.order) if name)]).subquery("base", copy=False)
    group: exp.Expr = column(split.by) if split.by else bigint(0)
    outputs: list[exp.Expr] = [column(name).as_(f"c{place}", quoted=True, copy=False) for place, name in enumerate(columns)]
    outputs += [column(ROW_ID), group.as_(GROUP, quoted=True), seeded_key(column(ROW_ID), "split", split.seed).as_(KEY, quoted=True)]
    if split.order is not None:
        outputs.append(_order_value(split.order, rows).as_(ORDER, quoted=True))
    return exp.select(*outputs, copy=False).from_(base, copy=False)


class _OfGroup:
    """Finds what groups have: one of `values`, which stand as the groups do, for the group of each row."""

    def __init__(self, engine: Engine, split: Split, groups: pa.ChunkedArray) -> None:
        self.engine = engine
        self.single = split.by is None
        names = groups if self.single else engine.fetch_texts(groups)
        # The null group stands last, as it is sorted.
        self.names, self.has_null = names.drop_null(), names.null_count > 0
        self.text = exp.cast(column(GROUP), "text")

    def place(self) -> exp.Expr:
        """Where the group stands."""
        if self.single:
            return bigint(0)
        return self._or_null_group(self.engine.index_of_text(self.text, self.names), bigint(len(self.names)))

    def __call__(self, values: pa.ChunkedArray) -> exp.Expr:
        if self.single:
            return exp.convert(values[0].as_py())
        found = self.engine.beside(self.text, self.names, values.slice(0, len(self.names)))
        return self._or_null_group(found, exp.convert(values[len(values) - 1].as_py()))

    def _or_null_group(self, found: exp.Expr, of_null: exp.Expr) -> exp.Expr:
        return exp.Case().when(exp.Is(this=column(GROUP), expression=exp.null()), of_null).else_(found) if self.has_null else found


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


def _count_groups(engine: Engine, rows: Rows, split: Split) -> pa.Table:
    """Groups and their numbers of rows, ordered by group."""
    keyed = _keyed(engine, rows, split, [])
    counted = engine.fetch(query(f"SELECT {GROUP}, COUNT(*) AS num_rows FROM keyed GROUP BY {GROUP}", keyed=keyed))
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


def _cut_groups(engine: Engine, rows: Rows, counted: pa.Table, draft: Split, config: SplitConfig) -> Split:
    shares = config.shares or {}
    sizes = counted["num_rows"].to_numpy()
    counts = quotas(sizes, [shares[name] for name in draft.names])
    edges = counts.cumsum(axis=1)[:, :-1]
    engine.register("split_edges", _edge_table(edges))
    of_group = _OfGroup(engine, draft, counted[GROUP])
    keyed = _keyed(engine, rows, draft, [])
    found = _ordered_cuts(engine, keyed, of_group) if draft.order else _hashed_cuts(engine, keyed, of_group, sizes)
    if draft.order:
        whole_blocks = rows.schema[draft.order].kind == "timestamp"
        cuts = _ordered_table(counted[GROUP], edges, found, whole_blocks=whole_blocks)
        counts = _moved_counts(cuts, sizes)
    else:
        cuts = pa.table({GROUP: counted[GROUP], **{f"key_{n}": _at_cut(found, KEY, n, len(sizes), -1) for n in range(edges.shape[1])}})
    pq.write_table(cuts, draft.folder / "cuts.parquet")
    small = np.flatnonzero(sizes < len(draft.names))
    names = [counted[GROUP][int(i)].as_py() for i in small[:NUM_SHOWN_GROUPS]] if draft.by else []
    totals = {name: int(counts[:, n].sum()) for n, name in enumerate(draft.names)}
    return _finished(draft, "cuts", SplitReport(totals, len(sizes), len(small), names, 0))


def _edge_table(edges: np.ndarray) -> pa.Table:
    """The cuts, one row each: PLACE of the group, number of the cut, rows before it."""
    place, cut = (axis.ravel().astype(np.int64) for axis in np.indices(edges.shape))
    return pa.table({PLACE: place, "cut": cut, "edge": edges.ravel()})


def _hashed_cuts(engine: Engine, keyed: exp.Select, of_group: _OfGroup, sizes: np.ndarray) -> pa.Table:
    """For each group and cut with rows before it the key of the last of them."""
    num_buckets = np.maximum(1, sizes // ROWS_PER_BUCKET)
    shifts = KEY_BITS - np.minimum(20, np.floor(np.log2(num_buckets)).astype(np.int64))
    bucket = exp.BitwiseRightShift(this=column(KEY), expression=of_group(pa.chunked_array([shifts])))
    bucketed = exp.select(of_group.place().as_(PLACE, quoted=True), column(KEY), bucket.as_("bucket", quoted=True))
    bucketed = bucketed.from_(keyed.subquery("keyed"))
    buckets = engine.fetch(query(f"""
        WITH histogram AS (SELECT {PLACE}, bucket, COUNT(*) AS n FROM bucketed GROUP BY {PLACE}, bucket),
        running AS (SELECT {PLACE}, bucket, n, SUM(n) OVER (PARTITION BY {PLACE} ORDER BY bucket ROWS UNBOUNDED PRECEDING) AS through FROM histogram)
        SELECT running.{PLACE}, running.bucket, edges.cut, CAST(edges.edge - (running.through - running.n) AS BIGINT) AS rank_in_bucket
        FROM running JOIN split_edges AS edges
          ON running.{PLACE} = edges.{PLACE} AND edges.edge > running.through - running.n AND edges.edge <= running.through
    """, bucketed=bucketed.copy()))  # fmt: skip
    engine.register("split_buckets", buckets)
    return engine.fetch(query(f"""
        WITH ranked AS (
            SELECT buckets.{PLACE}, buckets.cut, bucketed.{KEY}, buckets.rank_in_bucket,
                   ROW_NUMBER() OVER (PARTITION BY buckets.{PLACE}, buckets.cut ORDER BY bucketed.{KEY}) AS rank_of_key
            FROM bucketed JOIN split_buckets AS buckets ON bucketed.{PLACE} = buckets.{PLACE} AND bucketed.bucket = buckets.bucket
        )
        SELECT {PLACE}, cut, {KEY} FROM ranked WHERE rank_of_key = rank_in_bucket
    """, bucketed=bucketed))  # fmt: skip


def _ordered_cuts(engine: Engine, keyed: exp.Select, of_group: _OfGroup) -> pa.Table:
    """For each group and cut with rows before it the order and key of the last of them, and how many rows are before and equal."""
    placed = exp.select(of_group.place().as_(PLACE, quoted=True), column(ORDER), column(KEY)).from_(keyed.subquery("keyed"))
    return engine.fetch(query(f"""
        WITH ranked AS (
            SELECT {PLACE}, {ORDER}, {KEY},
                   ROW_NUMBER() OVER (PARTITION BY {PLACE} ORDER BY {ORDER}, {KEY}) AS position,
                   RANK() OVER (PARTITION BY {PLACE} ORDER BY {ORDER}) - 1 AS num_before,
                   COUNT(*) OVER (PARTITION BY {PLACE}, {ORDER}) AS num_equal
            FROM placed
        )
        SELECT ranked.{PLACE}, edges.cut, ranked.{ORDER}, ranked.{KEY}, ranked.num_before, ranked.num_equal
        FROM ranked JOIN split_edges AS edges ON ranked.{PLACE} = edges.{PLACE} AND ranked.position = edges.edge
    """, placed=placed))  # fmt: skip


def _ordered_table(groups: pa.ChunkedArray, edges: np.ndarray, found: pa.Table, *, whole_blocks: bool) -> pa.Table:
    """The cuts: for each group and cut the order and key of the last row before it, and how many rows that leaves before it.

    Of `whole_blocks` rows of one time never straddle a cut: it moves to the nearer end of the block of equal times.
    """
    columns: dict[str, Any] = {GROUP: groups}
    for n in range(edges.shape[1]):
        edge = edges[:, n]
        there = _at_cut(found, "num_equal", n, len(edge), 0) > 0
        key, before = _at_cut(found, KEY, n, len(edge), -1), edge
        if whole_blocks:
            num_before, num_equal = (_at_cut(found, name, n, len(edge), 0) for name in ("num_before", "num_equal"))
            inclusive = there & ((num_before == 0) | (num_before + num_equal - edge <= edge - num_before))
            key, before = np.where(inclusive, 2**KEY_BITS, -1), np.where(inclusive, num_before + num_equal, num_before)
        part = _of_cut(found, n)
        taken = pa.array(_at_cut(found, None, n, len(edge), 0), pa.int64(), mask=~there)
        columns |= {f"order_{n}": part[ORDER].take(taken), f"key_{n}": key, f"rows_before_{n}": before}
    return pa.table(columns)


def _at_cut(found: pa.Table, name: str | None, cut: int, num_groups: int, absent: int) -> np.ndarray:
    """A column of whole numbers for each group, at this cut; without a name, where the group's row stands among those of the cut."""
    part = _of_cut(found, cut)
    values = np.full(num_groups, absent, np.int64)
    values[part[PLACE].to_numpy()] = np.arange(len(part)) if name is None else part[name].to_numpy().astype(np.int64)
    return values


def _of_cut(found: pa.Table, cut: int) -> pa.Table:
    import pyarrow.compute as pc  # what reads a split needs none of it, and it takes time to import

    return found.filter(pc.equal(found["cut"], cut))


def _moved_counts(cuts: pa.Table, sizes: np.ndarray) -> np.ndarray:
    """Rows of each group and split, from where the cuts came to lie."""
    before = [cuts[name].to_numpy() for name in cuts.column_names if name.startswith("rows_before_")]
    edges = np.maximum.accumulate(np.stack([np.zeros_like(sizes), *before, sizes], axis=1), axis=1)
    return np.diff(edges, axis=1)


def _finished(draft: Split, kind: str, report: SplitReport) -> Split:
    return Split(draft.names, kind, draft.by, draft.order, draft.seed, report, draft.folder)


__all__ = ["Split", "SplitReport", "fit_split", "read_split"]
