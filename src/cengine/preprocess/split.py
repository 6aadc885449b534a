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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.schema import TRAIN, SplitConfig
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, as_number, bigint, column, double
from cengine.expressions.keys import seeded_key
from cengine.expressions.queries import query
from cengine.plain import Cell
from cengine.preprocess.groups import GROUP, assigned_groups
from cengine.preprocess.quotas import LARGEST_INNER, inner_quotas, quotas
from cengine.preprocess.source import Rows
from cengine.tables import ROW_ID

KEY_BITS = 62
ROWS_PER_BUCKET = 32
NUM_SHOWN_GROUPS = 10
PLACE, KEY, ORDER = "_place", "_key", "_order"


@dataclass(frozen=True)
class SplitReport:
    """Rows of each split; how many groups there are, and how many have fewer rows than there are splits.

    `num_inner` of the train rows are kept back from learning, to choose a model by.
    """

    rows: dict[str, int]
    num_groups: int
    num_small_groups: int
    small_groups: list[Cell]
    num_left_out: int
    num_inner: int = 0

    @property
    def num_learnt(self) -> int:
        """How many rows are learnt from."""
        return self.rows[TRAIN] - self.num_inner


@dataclass(frozen=True)
class Split:
    """The cuts of a fitted split: `names` in order, train first; `kind` is `cuts` (within groups) or `groups` (whole).

    A part of train may be kept back to choose a model by, the inner part: train is cut once more, by the same key or order, so
    that it is drawn as the splits are. It stays train for everything but `assigned(..., inner=True)`.
    """

    names: tuple[str, ...]
    kind: str
    by: str | None
    order: str | None
    seed: int
    report: SplitReport
    folder: Path

    @property
    def has_inner(self) -> bool:
        """Whether a part of train is kept back to choose a model by."""
        return self.report.num_inner > 0

    def assigned(self, engine: Engine, rows: Rows, columns: list[str], *, inner: bool = False) -> exp.Select:
        """The rows that belong to a split: the columns, the row identity, and `rows.split_column`, the number of the split.

        With `inner` the part of train that is kept back has the number after the last split's. Rows come in the order of the
        snapshot where the engine keeps it: there is no join in it.
        """
        cuts = pq.ParquetFile(self.folder / "cuts.parquet").read()
        of_group = _OfGroup(engine, self, cuts[GROUP], column(rows.free(GROUP)))
        apart = inner and self.has_inner
        number = (
            of_group(cuts["part" if apart else "split"])
            if self.kind == "groups"
            else self._number(cuts, of_group, rows, inner=apart)
        )
        names = list(dict.fromkeys(name for name in columns if name != ROW_ID))
        outputs = [*map(column, names), column(ROW_ID), number.as_(rows.split_column, quoted=True, copy=False)]
        keyed = _keyed(engine, rows, self, names).subquery("rows", copy=False)
        assigned = exp.select(*outputs, copy=False).from_(keyed, copy=False)
        if self.kind != "groups":
            return assigned
        named = exp.Not(this=exp.Is(this=column(rows.split_column), expression=exp.null()))
        return exp.select("*").from_(assigned.subquery("grouped", copy=False), copy=False).where(named, copy=False)

    def _number(self, cuts: pa.Table, of_group: _OfGroup, rows: Rows, *, inner: bool) -> exp.Expr:
        last = len(self.names) - 1
        case = exp.Case()
        for number in range(last):
            of_split: exp.Expr = exp.convert(number)
            if number == 0 and inner:
                # The cut through train stands after those between splits.
                learnt = self._before(cuts, last, of_group, rows)
                of_split = exp.Case().when(learnt, exp.convert(0)).else_(exp.convert(last + 1))
            case = case.when(self._before(cuts, number, of_group, rows), of_split)
        return exp.cast(case.else_(exp.convert(last)), "smallint")

    def _before(self, cuts: pa.Table, number: int, of_group: _OfGroup, rows: Rows) -> exp.Expr:
        """Whether a row comes before this cut of its group."""
        below: exp.Expr = exp.LTE(this=column(rows.free(KEY)), expression=of_group(cuts[f"key_{number}"]))
        if self.order is None:
            return below
        edge, order = of_group(cuts[f"order_{number}"]), column(rows.free(ORDER))
        earlier = exp.LT(this=order, expression=edge)
        same = exp.EQ(this=order.copy(), expression=edge.copy())
        return exp.or_(earlier, exp.and_(same, below))


def fit_split(engine: Engine, rows: Rows, config: SplitConfig, folder: Path, *, inner: bool = False) -> Split:
    """The fitted split, written into `folder`. Raises PreprocessError where a split would be empty.

    With `inner` a tenth of train is kept back: of every group, the latest rows with `index_by`, whole groups where groups are
    whole. Where none can be, as of a single group or time, the report's `num_inner` is 0.
    """
    draft = Split(
        config.names, "cuts", config.categorize.by, config.index.by, config.seed, SplitReport({}, 0, 0, [], 0), folder
    )
    counted = _count_groups(engine, rows, draft)
    if config.categorize.categories is not None or config.categorize.ratio is not None:
        split = _whole_groups(counted, draft, config, inner=inner)
    else:
        split = _cut_groups(engine, rows, counted, draft, config, inner=inner)
    empty = [name for name, count in split.report.rows.items() if count == 0]
    if empty:
        counts = ", ".join(f"{name}: {count:,}" for name, count in split.report.rows.items())
        raise PreprocessError(
            f"split '{empty[0]}' has no rows ({counts})", "change the shares or groups under `split:`, or `where`"
        )
    settings = {key: value for key, value in asdict(split).items() if key != "folder"}
    (folder / "split.json").write_text(json.dumps(settings, indent=1, default=str))
    return split


def read_split(folder: Path) -> Split:
    """The split that `fit_split` wrote."""
    data = json.loads((folder / "split.json").read_text())
    return Split(**{**data, "names": tuple(data["names"]), "report": SplitReport(**data["report"])}, folder=folder)


def _keyed(engine: Engine, rows: Rows, split: Split, columns: list[str] | None = None) -> exp.Select:
    """The rows with their group, their key and, with `index_by`, their order.

    Beside columns of the table these are called as none of it is; alone they have the names that queries here are written with.
    """
    called = str if columns is None else rows.free
    base = rows.select(engine, [*(columns or ()), *(name for name in (split.by, split.order) if name)]).subquery(
        "base", copy=False
    )
    group: exp.Expr = column(split.by) if split.by else bigint(0)
    outputs: list[exp.Expr] = [column(ROW_ID) if columns is None else exp.Star()]
    outputs.append(group.as_(called(GROUP), quoted=True))
    outputs.append(seeded_key(column(ROW_ID), "split", split.seed).as_(called(KEY), quoted=True, copy=False))
    if split.order is not None:
        outputs.append(_order_value(split.order, rows).as_(called(ORDER), quoted=True))
    return exp.select(*outputs, copy=False).from_(base, copy=False)


class _OfGroup:
    """Finds what groups have: one of `values`, which stand as the groups do, for the group of each row."""

    def __init__(self, engine: Engine, split: Split, groups: pa.ChunkedArray, group: exp.Expr) -> None:
        self.engine = engine
        self.group = group
        self.single = split.by is None
        names = groups if self.single else engine.fetch_texts(groups)
        # The null group stands last, as it is sorted.
        self.names, self.has_null = names.drop_null(), names.null_count > 0
        self.text = exp.cast(group.copy(), "text")

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
        return (
            exp.Case().when(exp.Is(this=self.group.copy(), expression=exp.null()), of_null).else_(found)
            if self.has_null
            else found
        )


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
    keyed = _keyed(engine, rows, split)
    counted = engine.fetch(query(f"SELECT {GROUP}, COUNT(*) AS num_rows FROM keyed GROUP BY {GROUP}", keyed=keyed))
    if counted.num_rows == 0:
        raise PreprocessError(
            "no row passes `where` and has a label", f"the datasource has {rows.schema.num_rows:,} rows"
        )
    return counted.sort_by(GROUP)


def _whole_groups(counted: pa.Table, draft: Split, config: SplitConfig, *, inner: bool) -> Split:
    table = assigned_groups(counted, config, inner=inner)
    pq.write_table(table, draft.folder / "cuts.parquet")
    sizes, number = table["num_rows"].to_numpy(), table["split"].to_numpy()
    totals = {name: int(sizes[number == n].sum()) for n, name in enumerate(draft.names)}
    num_inner = int(sizes[table["part"].to_numpy() == len(draft.names)].sum()) if inner else 0
    left_out = int(counted["num_rows"].to_numpy().sum()) - sum(totals.values())
    return _finished(draft, "groups", SplitReport(totals, len(counted), 0, [], left_out, num_inner))


# Shares within groups


def _cut_groups(
    engine: Engine, rows: Rows, counted: pa.Table, draft: Split, config: SplitConfig, *, inner: bool
) -> Split:
    shares = config.shares or {}
    sizes = counted["num_rows"].to_numpy()
    counts = quotas(sizes, [shares[name] for name in draft.names])
    edges = counts.cumsum(axis=1)[:, :-1]
    held = inner_quotas(counts[:, 0]) if inner else np.zeros_like(sizes)
    if inner:
        edges = np.column_stack([edges, counts[:, 0] - held])
    engine.register("split_edges", _edge_table(edges))
    of_group = _OfGroup(engine, draft, counted[GROUP], column(GROUP))
    keyed = _keyed(engine, rows, draft)
    found = _ordered_cuts(engine, keyed, of_group) if draft.order else _hashed_cuts(engine, keyed, of_group, sizes)
    if draft.order:
        whole_blocks = rows.schema[draft.order].kind == "timestamp"
        cuts = _ordered_table(counted[GROUP], edges, found, counts[:, 0], whole_blocks=whole_blocks)
        counts = _moved_counts(cuts, sizes, len(draft.names) - 1)
        if inner:
            held = np.maximum(0, counts[:, 0] - cuts[f"rows_before_{len(draft.names) - 1}"].to_numpy())
    else:
        cuts = pa.table(
            {
                GROUP: counted[GROUP],
                **{f"key_{n}": _at_cut(found, KEY, n, len(sizes), -1) for n in range(edges.shape[1])},
            }
        )
    pq.write_table(cuts, draft.folder / "cuts.parquet")
    small = np.flatnonzero(sizes < len(draft.names))
    names = [counted[GROUP][int(i)].as_py() for i in small[:NUM_SHOWN_GROUPS]] if draft.by else []
    totals = {name: int(counts[:, n].sum()) for n, name in enumerate(draft.names)}
    num_inner = int(held.sum())
    # Where train is of one time, all of it lies on one side of the cut.
    num_inner = num_inner if num_inner < totals[draft.names[0]] else 0
    return _finished(draft, "cuts", SplitReport(totals, len(sizes), len(small), names, 0, num_inner))


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
    buckets = engine.fetch(
        query(
            f"""
        WITH histogram AS (SELECT {PLACE}, bucket, COUNT(*) AS n FROM bucketed GROUP BY {PLACE}, bucket),
        running AS (SELECT {PLACE}, bucket, n, SUM(n) OVER (PARTITION BY {PLACE} ORDER BY bucket ROWS UNBOUNDED PRECEDING) AS through FROM histogram)
        SELECT running.{PLACE}, running.bucket, edges.cut, CAST(edges.edge - (running.through - running.n) AS BIGINT) AS rank_in_bucket
        FROM running JOIN split_edges AS edges
          ON running.{PLACE} = edges.{PLACE} AND edges.edge > running.through - running.n AND edges.edge <= running.through
    """,
            bucketed=bucketed.copy(),
        )
    )
    engine.register("split_buckets", buckets)
    return engine.fetch(
        query(
            f"""
        WITH ranked AS (
            SELECT buckets.{PLACE}, buckets.cut, bucketed.{KEY}, buckets.rank_in_bucket,
                   ROW_NUMBER() OVER (PARTITION BY buckets.{PLACE}, buckets.cut ORDER BY bucketed.{KEY}) AS rank_of_key
            FROM bucketed JOIN split_buckets AS buckets ON bucketed.{PLACE} = buckets.{PLACE} AND bucketed.bucket = buckets.bucket
        )
        SELECT {PLACE}, cut, {KEY} FROM ranked WHERE rank_of_key = rank_in_bucket
    """,
            bucketed=bucketed,
        )
    )


def _ordered_cuts(engine: Engine, keyed: exp.Select, of_group: _OfGroup) -> pa.Table:
    """For each group and cut with rows before it the order and key of the last of them, and how many rows are before and equal."""
    placed = exp.select(of_group.place().as_(PLACE, quoted=True), column(ORDER), column(KEY)).from_(
        keyed.subquery("keyed")
    )
    return engine.fetch(
        query(
            f"""
        WITH ranked AS (
            SELECT {PLACE}, {ORDER}, {KEY},
                   ROW_NUMBER() OVER (PARTITION BY {PLACE} ORDER BY {ORDER}, {KEY}) AS position,
                   RANK() OVER (PARTITION BY {PLACE} ORDER BY {ORDER}) - 1 AS num_before,
                   COUNT(*) OVER (PARTITION BY {PLACE}, {ORDER}) AS num_equal
            FROM placed
        )
        SELECT ranked.{PLACE}, edges.cut, ranked.{ORDER}, ranked.{KEY}, ranked.num_before, ranked.num_equal
        FROM ranked JOIN split_edges AS edges ON ranked.{PLACE} = edges.{PLACE} AND ranked.position = edges.edge
    """,
            placed=placed,
        )
    )


def _ordered_table(
    groups: pa.ChunkedArray, edges: np.ndarray, found: pa.Table, num_train: np.ndarray, *, whole_blocks: bool
) -> pa.Table:
    """The cuts: for each group and cut the order and key of the last row before it, and how many rows that leaves before it.

    Of `whole_blocks` rows of one time never straddle a cut: it moves to the nearer end of the block of equal times. A cut within
    train, the last one where there is one, moves to the block's beginning, unless that keeps too much of train from being learnt.
    """
    columns: dict[str, pa.ChunkedArray | np.ndarray] = {GROUP: groups}
    for n in range(edges.shape[1]):
        edge = edges[:, n]
        there = _at_cut(found, "num_equal", n, len(edge), 0) > 0
        key, before = _at_cut(found, KEY, n, len(edge), -1), edge
        if whole_blocks:
            num_before, num_equal = (_at_cut(found, name, n, len(edge), 0) for name in ("num_before", "num_equal"))
            nearer = num_before + num_equal - edge <= edge - num_before
            if (edge < edges[:, 0]).any():
                ends = num_before + num_equal == edge
                nearer = ends | (num_train - num_before > LARGEST_INNER * num_train)
            inclusive = there & ((num_before == 0) | nearer)
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


def _moved_counts(cuts: pa.Table, sizes: np.ndarray, num_cuts: int) -> np.ndarray:
    """Rows of each group and split, from where the cuts between splits came to lie."""
    before = [cuts[f"rows_before_{n}"].to_numpy() for n in range(num_cuts)]
    edges = np.maximum.accumulate(np.stack([np.zeros_like(sizes), *before, sizes], axis=1), axis=1)
    return np.diff(edges, axis=1)


def _finished(draft: Split, kind: str, report: SplitReport) -> Split:
    return Split(draft.names, kind, draft.by, draft.order, draft.seed, report, draft.folder)


__all__ = ["Split", "SplitReport", "fit_split", "read_split"]
