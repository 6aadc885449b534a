"""Where groups are cut: for each group and cut the key, or the order and key, of the last row before it.

To find the key of the k-th row of every group without sorting the table, rows are counted in buckets of keys; only the bucket
that holds the k-th row is sorted.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from sqlglot import exp

from cengine.engines.engine import Engine
from cengine.expressions.build import bigint, column
from cengine.expressions.queries import query
from cengine.preprocess.groups import GROUP
from cengine.preprocess.quotas import LARGEST_INNER

KEY_BITS = 62
ROWS_PER_BUCKET = 32
PLACE, KEY, ORDER = "_place", "_key", "_order"


class OfGroup:
    """Finds what groups have: one of `values`, which stand as the groups do, for the group of each row."""

    def __init__(self, engine: Engine, by: str | None, groups: pa.ChunkedArray, group: exp.Expr) -> None:
        self.engine = engine
        self.group = group
        self.single = by is None
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


def edge_table(edges: np.ndarray) -> pa.Table:
    """The cuts, one row each: PLACE of the group, number of the cut, rows before it."""
    place, cut = (axis.ravel().astype(np.int64) for axis in np.indices(edges.shape))
    return pa.table({PLACE: place, "cut": cut, "edge": edges.ravel()})


def hashed_cuts(engine: Engine, keyed: exp.Select, of_group: OfGroup, sizes: np.ndarray) -> pa.Table:
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


def ordered_cuts(engine: Engine, keyed: exp.Select, of_group: OfGroup) -> pa.Table:
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


def ordered_table(
    groups: pa.ChunkedArray, edges: np.ndarray, found: pa.Table, num_train: np.ndarray, *, whole_blocks: bool
) -> pa.Table:
    """The cuts: for each group and cut the order and key of the last row before it, and how many rows that leaves before it.

    Of `whole_blocks` rows of one time never straddle a cut: it moves to the nearer end of the block of equal times. A cut within
    train, the last one where there is one, moves to the block's beginning, unless that keeps too much of train from being learnt.
    """
    columns: dict[str, pa.ChunkedArray | np.ndarray] = {GROUP: groups}
    for n in range(edges.shape[1]):
        edge = edges[:, n]
        there = at_cut(found, "num_equal", n, len(edge), 0) > 0
        key, before = at_cut(found, KEY, n, len(edge), -1), edge
        if whole_blocks:
            num_before, num_equal = (at_cut(found, name, n, len(edge), 0) for name in ("num_before", "num_equal"))
            nearer = num_before + num_equal - edge <= edge - num_before
            if (edge < edges[:, 0]).any():
                ends = num_before + num_equal == edge
                nearer = ends | (num_train - num_before > LARGEST_INNER * num_train)
            inclusive = there & ((num_before == 0) | nearer)
            key, before = np.where(inclusive, 2**KEY_BITS, -1), np.where(inclusive, num_before + num_equal, num_before)
        part = _of_cut(found, n)
        taken = pa.array(at_cut(found, None, n, len(edge), 0), pa.int64(), mask=~there)
        columns |= {f"order_{n}": part[ORDER].take(taken), f"key_{n}": key, f"rows_before_{n}": before}
    return pa.table(columns)


def at_cut(found: pa.Table, name: str | None, cut: int, num_groups: int, absent: int) -> np.ndarray:
    """A column of whole numbers for each group, at this cut; without a name, where the group's row stands among those of the cut."""
    part = _of_cut(found, cut)
    values = np.full(num_groups, absent, np.int64)
    values[part[PLACE].to_numpy()] = np.arange(len(part)) if name is None else part[name].to_numpy().astype(np.int64)
    return values


def _of_cut(found: pa.Table, cut: int) -> pa.Table:
    import pyarrow.compute as pc  # what reads a split needs none of it, and it takes time to import

    return found.filter(pc.equal(found["cut"], cut))
