"""`split:`, which row goes where: repeatable, exact in every group, and never dependent on threads or row order.

Rows are ordered by a seeded bijection of their identities (or by `index_by`), and each group is cut where the shares
say. What is kept is not an assignment of rows but the cuts: one key for each group and cut.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from cengine.config.schema import OUT_OF_FOLD, TRAIN, SplitConfig
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, as_number, bigint, column, double
from cengine.expressions.keys import seeded_key
from cengine.expressions.queries import query
from cengine.plain import Cell
from cengine.preprocess.cuts import KEY, ORDER, OfGroup, at_cut, edge_table, hashed_cuts, ordered_cuts, ordered_table
from cengine.preprocess.groups import GROUP, assigned_groups
from cengine.preprocess.quotas import inner_quotas, quotas
from cengine.preprocess.source import Rows
from cengine.tables import ROW_ID

NUM_SHOWN_GROUPS = 10
# Of whole groups, where rows are kept back: the last key of each group that is learnt from.
LEARNT = "learnt"


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

    @property
    def examples(self) -> dict[str, int]:
        """How many examples a model has of each split, those that are kept back among train: rows, or windows of points."""
        return self.report.rows

    @property
    def num_inner_examples(self) -> int:
        """How many of train are kept back to choose a model by."""
        return self.report.num_inner

    @property
    def measured_names(self) -> tuple[str, ...]:
        """What the numbers of splits in a table of predictions are called, train first."""
        return self.names

    @property
    def all_are_measured(self) -> bool:
        """Whether train rows are measured too, by models that have not learnt from them."""
        return False

    def assigned(self, engine: Engine, rows: Rows, columns: list[str], *, inner: bool = False) -> exp.Select:
        """The rows that belong to a split: the columns, the row identity, and `rows.split_column`, the number of the split.

        With `inner` the part of train that is kept back has the number after the last split's. Rows come in the order of the
        snapshot where the engine keeps it: there is no join in it.
        """
        cuts = pq.ParquetFile(self.folder / "cuts.parquet").read()
        of_group = OfGroup(engine, self.by, cuts[GROUP], column(rows.free(GROUP)))
        apart = inner and self.has_inner
        number_of = self._number_of_group if self.kind == "groups" else self._number
        number = number_of(cuts, of_group, rows, inner=apart)
        names = list(dict.fromkeys(name for name in columns if name != ROW_ID))
        outputs = [*map(column, names), column(ROW_ID), number.as_(rows.split_column, quoted=True, copy=False)]
        keyed = keyed_rows(engine, rows, self, names).subquery("rows", copy=False)
        assigned = exp.select(*outputs, copy=False).from_(keyed, copy=False)
        if self.kind != "groups":
            return assigned
        named = exp.Not(this=exp.Is(this=column(rows.split_column), expression=exp.null()))
        return exp.select("*").from_(assigned.subquery("grouped", copy=False), copy=False).where(named, copy=False)

    def _number(self, cuts: pa.Table, of_group: OfGroup, rows: Rows, *, inner: bool) -> exp.Expr:
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

    def _number_of_group(self, cuts: pa.Table, of_group: OfGroup, rows: Rows, *, inner: bool) -> exp.Expr:
        if not inner:
            return of_group(cuts["split"])
        if LEARNT not in cuts.column_names:
            return of_group(cuts["part"])
        held = exp.GT(this=column(rows.free(KEY)), expression=of_group(cuts[LEARNT]))
        in_train = exp.EQ(this=of_group(cuts["split"]), expression=exp.convert(0))
        case = exp.Case().when(exp.and_(in_train, held), exp.convert(len(self.names)))
        return exp.cast(case.else_(of_group(cuts["split"])), "smallint")

    def _before(self, cuts: pa.Table, number: int, of_group: OfGroup, rows: Rows) -> exp.Expr:
        """Whether a row comes before this cut of its group."""
        below: exp.Expr = exp.LTE(this=column(rows.free(KEY)), expression=of_group(cuts[f"key_{number}"]))
        if self.order is None:
            return below
        edge, order = of_group(cuts[f"order_{number}"]), column(rows.free(ORDER))
        earlier = exp.LT(this=order, expression=edge)
        same = exp.EQ(this=order.copy(), expression=edge.copy())
        return exp.or_(earlier, exp.and_(same, below))


@dataclass(frozen=True)
class FoldedSplit(Split):
    """Rows that are dealt to folds, as one model sees them: it does not learn from `fold` (from 1). None is the last model, which learns from all.

    `dealt` are the folds as splits of their own; `cuts.parquet` has for each model, the last one first, where its inner part lies:
    `inner_0`, the last key of each group that is learnt from, or `held_0`, whether a whole group is kept back.
    """

    dealt: Split
    fold: int | None

    @property
    def num_folds(self) -> int:
        """How many there are."""
        return len(self.dealt.names)

    @property
    def measured_names(self) -> tuple[str, ...]:
        return (TRAIN, OUT_OF_FOLD)

    @property
    def all_are_measured(self) -> bool:
        return self.fold is None

    def _number(self, cuts: pa.Table, of_group: OfGroup, rows: Rows, *, inner: bool) -> exp.Expr:
        seen: exp.Expr = exp.convert(0)
        if inner:
            seen = exp.Case().when(self._kept_back(cuts, of_group, rows), exp.convert(len(self.names))).else_(seen)
        if self.fold is not None:
            seen = exp.Case().when(self._held_out(cuts, of_group, rows), exp.convert(1)).else_(seen)
        return exp.cast(seen, "smallint")

    _number_of_group = _number

    def _held_out(self, cuts: pa.Table, of_group: OfGroup, rows: Rows) -> exp.Expr:
        """Whether a row is of this fold."""
        assert self.fold is not None
        place = self.fold - 1
        if self.kind == "groups":
            return exp.EQ(this=of_group(cuts["split"]), expression=exp.convert(place))
        after = [exp.Not(this=exp.Paren(this=self._before(cuts, place - 1, of_group, rows)))] if place else []
        before = [self._before(cuts, place, of_group, rows)] if place < self.num_folds - 1 else []
        return exp.and_(*after, *before)

    def _kept_back(self, cuts: pa.Table, of_group: OfGroup, rows: Rows) -> exp.Expr:
        """Whether a row that this model sees is of its inner part."""
        model = self.fold or 0
        if f"held_{model}" in cuts.column_names:
            return exp.EQ(this=of_group(cuts[f"held_{model}"]), expression=exp.convert(1))
        return exp.GT(this=column(rows.free(KEY)), expression=of_group(cuts[f"inner_{model}"]))


def fit_split(engine: Engine, rows: Rows, config: SplitConfig, folder: Path, *, inner: bool = False) -> Split:
    """The fitted split, written into `folder`. Raises PreprocessError where a split would be empty.

    With `inner` a tenth of train is kept back: of every group, the latest rows with `index_by`, whole groups where groups are
    whole; rows of them where train is too few groups for that, as where a column says `train` and `test`. Where none can
    be, as of a single time, the report's `num_inner` is 0.
    """
    draft = Split(
        config.names, "cuts", config.categorize.by, config.index.by, config.seed, SplitReport({}, 0, 0, [], 0), folder
    )
    counted = counted_groups(engine, rows, draft)
    if config.whole_groups:
        split = _whole_groups(engine, rows, counted, draft, config, inner=inner)
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


def read_split(folder: Path, fold: int | None = None) -> Split:
    """The split that `fit_split` or `fit_folds` wrote; of folds as seen by the model that does not learn from `fold` (from 1), or by the last one."""
    data = json.loads((folder / "split.json").read_text())
    inner = data.pop("num_inner_of_models", None)
    split = Split(**{**data, "names": tuple(data["names"]), "report": SplitReport(**data["report"])}, folder=folder)
    return split if inner is None else _as_seen(split, fold, inner)


def _as_seen(dealt: Split, fold: int | None, inner: list[int]) -> FoldedSplit:
    """The folds as a model sees them; `inner` are the rows that are kept back for each, for the last one first."""
    total = sum(dealt.report.rows.values())
    out = 0 if fold is None else dealt.report.rows[dealt.names[fold - 1]]
    rows = {TRAIN: total - out, **({OUT_OF_FOLD: out} if fold is not None else {})}
    report = replace(dealt.report, rows=rows, num_inner=inner[fold or 0])
    return FoldedSplit(
        tuple(rows), dealt.kind, dealt.by, dealt.order, dealt.seed, report, dealt.folder, dealt=dealt, fold=fold
    )


def keyed_rows(engine: Engine, rows: Rows, split: Split, columns: list[str] | None = None) -> exp.Select:
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


def counted_groups(engine: Engine, rows: Rows, split: Split) -> pa.Table:
    """Groups and their numbers of rows, ordered by group."""
    keyed = keyed_rows(engine, rows, split)
    counted = engine.fetch(query(f"SELECT {GROUP}, COUNT(*) AS num_rows FROM keyed GROUP BY {GROUP}", keyed=keyed))
    if counted.num_rows == 0:
        raise PreprocessError(
            "no row passes `where` and has a label", f"the datasource has {rows.schema.num_rows:,} rows"
        )
    return counted.sort_by(GROUP)


def _whole_groups(
    engine: Engine, rows: Rows, counted: pa.Table, draft: Split, config: SplitConfig, *, inner: bool
) -> Split:
    table = assigned_groups(counted, config, inner=inner)
    sizes, number = table["num_rows"].to_numpy(), table["split"].to_numpy()
    totals = {name: int(sizes[number == n].sum()) for n, name in enumerate(draft.names)}
    num_inner = int(sizes[table["part"].to_numpy() == len(draft.names)].sum()) if inner else 0
    if inner and not num_inner:
        held = inner_quotas(np.where(number == 0, sizes, 0))
        num_inner = int(held.sum())
        table = table.append_column(LEARNT, [_last_learnt(engine, rows, draft, table, sizes - held)])
    pq.write_table(table, draft.folder / "cuts.parquet")
    left_out = int(counted["num_rows"].to_numpy().sum()) - sum(totals.values())
    return _finished(draft, "groups", SplitReport(totals, len(counted), 0, [], left_out, num_inner))


def _last_learnt(engine: Engine, rows: Rows, draft: Split, groups: pa.Table, num_learnt: np.ndarray) -> np.ndarray:
    """The key of the last row that is learnt from in each group."""
    engine.register("split_edges", edge_table(num_learnt[:, None]))
    of_group = OfGroup(engine, draft.by, groups[GROUP], column(GROUP))
    keyed = exp.select("*").from_(keyed_rows(engine, rows, draft).subquery("all_groups"))
    keyed = keyed.where(exp.Not(this=exp.Is(this=of_group.place(), expression=exp.null())))
    found = hashed_cuts(engine, keyed, of_group, groups["num_rows"].to_numpy())
    return at_cut(found, KEY, 0, len(groups), -1)


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
    engine.register("split_edges", edge_table(edges))
    of_group = OfGroup(engine, draft.by, counted[GROUP], column(GROUP))
    keyed = keyed_rows(engine, rows, draft)
    found = ordered_cuts(engine, keyed, of_group) if draft.order else hashed_cuts(engine, keyed, of_group, sizes)
    if draft.order:
        whole_blocks = rows.schema[draft.order].kind == "timestamp"
        cuts = ordered_table(counted[GROUP], edges, found, counts[:, 0], whole_blocks=whole_blocks)
        counts = _moved_counts(cuts, sizes, len(draft.names) - 1)
        if inner:
            held = np.maximum(0, counts[:, 0] - cuts[f"rows_before_{len(draft.names) - 1}"].to_numpy())
    else:
        cuts = pa.table(
            {
                GROUP: counted[GROUP],
                **{f"key_{n}": at_cut(found, KEY, n, len(sizes), -1) for n in range(edges.shape[1])},
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


def _moved_counts(cuts: pa.Table, sizes: np.ndarray, num_cuts: int) -> np.ndarray:
    """Rows of each group and split, from where the cuts between splits came to lie."""
    before = [cuts[f"rows_before_{n}"].to_numpy() for n in range(num_cuts)]
    edges = np.maximum.accumulate(np.stack([np.zeros_like(sizes), *before, sizes], axis=1), axis=1)
    return np.diff(edges, axis=1)


def _finished(draft: Split, kind: str, report: SplitReport) -> Split:
    return Split(draft.names, kind, draft.by, draft.order, draft.seed, report, draft.folder)


__all__ = ["FoldedSplit", "Split", "SplitReport", "fit_split", "read_split"]
