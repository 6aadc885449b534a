"""How much rows count: `sample_weight`, a column of the table, and `class_weight`.

Weights are used as shares of their mean over the train rows, so that their unit changes nothing: not the size of a step, not a penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from sqlglot import exp

from cengine.config.resolve import ClassWeight, Label
from cengine.config.schema import BALANCED
from cengine.engines.engine import Engine
from cengine.errors import PreprocessError
from cengine.expressions.build import as_double, as_number, column, double
from cengine.expressions.keys import drawn
from cengine.names import in_filter
from cengine.plain import Cell
from cengine.preprocess.fixed_point import FixedPoint
from cengine.preprocess.source import Rows
from cengine.preprocess.summarize import MAX_SAMPLE_ROWS
from cengine.tables import ROW_ID
from cengine.transforms import Value

# Shares of the greatest weight, and numbers as shares of their range.
_SHARES = FixedPoint.of((-1.0, 1.0), whole=False)


def weight_cell(label: Label, rows: Rows, table: str | None = None) -> exp.Expr:
    """The label's weight in a row of the rows, which a query may call `table`, DOUBLE."""
    assert label.sample_weight is not None
    return as_double(as_number(column(label.sample_weight, table), rows.schema[label.sample_weight].kind or "float"))


def fit_weights(
    engine: Engine, assigned: exp.Select, rows: Rows, label: Label, value: Value, fitted: dict[str, Any], num_rows: int
) -> dict[str, Any]:
    """What is learnt of a label's weights: `mean_weight` over the train rows, and in `weighted` the constants of weighted rows.

    `assigned` are the rows of all splits with the columns of both and the number of the split, of which `num_rows` are train's; `value`
    is the label where it is filled, `fitted` its own statistics. Raises PreprocessError for rows whose weight is missing or below 0, and
    where no train row has any.
    """
    name = label.sample_weight
    greatest = _greatest(engine, assigned, rows, label)
    share = as_double(exp.Div(this=exp.column("w"), expression=double(greatest), typed=False, safe=False))
    weight = exp.Greatest(this=share, expressions=[double(0.0)], ignore_nulls=True)
    of_train = exp.EQ(this=column(rows.split_column), expression=exp.convert(0))
    cells = {"w": weight_cell(label, rows), "y": value.expression}
    outputs = [*[cell.as_(key, quoted=True) for key, cell in cells.items()], column(ROW_ID)]
    train = exp.select(*outputs).from_(assigned.copy().subquery("assigned")).where(of_train)
    total = _sums(engine, train, {"w": weight})["w"]
    if not total:
        raise PreprocessError(f"sample_weight '{name}' is 0 in every train row: there is nothing to learn from")
    mean = float(total / num_rows) * greatest
    if "classes" in fitted:
        counts = _counts(engine, train, weight, fitted["classes"], total, num_rows)
        return {"mean_weight": mean, "weighted": {"counts": counts}}
    low, high = float(fitted["minimum"]), float(fitted["maximum"])
    span = (high / 2 - low / 2) or 1.0
    middle = low / 2 + high / 2
    number = as_double(as_number(column("y"), value.kind))
    relative = exp.Div(
        this=exp.Paren(this=exp.Sub(this=number, expression=double(middle))),
        expression=double(span),
        typed=False,
        safe=False,
    )
    weighed = _sums(engine, train, {"wy": exp.Mul(this=weight.copy(), expression=relative)})["wy"]
    found = Fraction(middle) + Fraction(span) * weighed / total
    return {
        "mean_weight": mean,
        "weighted": {"mean": float(found), **_quantiles(engine, train, number, num_rows, label)},
    }


def class_weights(
    chosen: ClassWeight | None, classes: Sequence[Cell], counts: Sequence[int], label: str
) -> tuple[float, ...]:
    """What a row of each class counts in training, () if all count alike.

    Balanced classes count alike together, as in scikit-learn: rows / (classes * rows of the class). A class that is not named counts 1.
    Raises PreprocessError for the name of a class that the train rows do not have.
    """
    if chosen is None:
        return ()
    if chosen == BALANCED:
        return tuple(sum(counts) / (len(classes) * count) for count in counts)
    given = dict(chosen) if not isinstance(chosen, str) else {}
    names = [class_name(value) for value in classes]
    for name in given:
        if name not in names:
            raise PreprocessError(
                f"class_weight of label '{label}' names {name!r}, which is no class of its train rows",
                f"the classes are {', '.join(names[:20])}{' ...' if len(names) > 20 else ''}",
            )
    found = tuple(float(given.get(name, 1.0)) for name in names)
    if not any(found):
        raise PreprocessError(f"class_weight of label '{label}' is 0 for every class: there is nothing to learn from")
    return found


def class_name(value: Cell) -> str:
    """A class as a YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _greatest(engine: Engine, assigned: exp.Select, rows: Rows, label: Label) -> float:
    """The greatest weight of all rows."""
    cell = column("w")
    weights = exp.select(weight_cell(label, rows).as_("w", quoted=True)).from_(assigned.copy().subquery("assigned"))

    def counted(condition: exp.Expr) -> exp.Expr:
        return exp.Count(this=exp.Case().when(condition, exp.convert(1)))

    row = engine.fetch_rows(
        exp.select(
            exp.Max(this=cell).as_("greatest"),
            exp.Min(this=cell.copy()).as_("least"),
            counted(exp.Is(this=cell.copy(), expression=exp.null())).as_("missing"),
            counted(exp.LT(this=cell.copy(), expression=double(0.0))).as_("negative"),
        ).from_(weights.subquery("weights"))
    )[0]
    name = str(label.sample_weight)
    if row["missing"]:
        raise PreprocessError(
            f"sample_weight '{name}' is missing in {row['missing']:,} rows",
            f"leave them out with `where: [abs({in_filter(name)}) < 1e30]` in the split",
        )
    if row["negative"]:
        raise PreprocessError(
            f"sample_weight '{name}' is below 0 in {row['negative']:,} rows, the least is {row['least']:g}",
            "a row counts 0 or more",
        )
    return float(row["greatest"] or 0.0) or 1.0


def _sums(engine: Engine, train: exp.Select, terms: dict[str, exp.Expr]) -> dict[str, Fraction]:
    """Exact sums of terms between -1 and 1 over the train rows."""
    shifted = [_SHARES.shifted(term).as_(key, quoted=True) for key, term in terms.items()]
    inner = exp.select(*shifted).from_(train.subquery("train"))
    sums = {key: _SHARES.sums(key)["x"] for key in terms}
    totals = [total.as_(key, quoted=True) for key, total in sums.items()]
    row = engine.fetch_rows(exp.select(*totals).from_(inner.subquery("terms")))[0]
    return {key: _SHARES.total(row[key]) for key in terms}


def _counts(
    engine: Engine, train: exp.Select, weight: exp.Expr, classes: Sequence[Cell], total: Fraction, num_rows: int
) -> list[float]:
    """How much each class counts; in all as many as there are rows."""
    shifted = exp.select(column("y"), _SHARES.shifted(weight.copy()).as_("w", quoted=True)).from_(
        train.subquery("train")
    )
    sums = exp.select(column("y"), _SHARES.sums("w")["x"].as_("w", quoted=True)).from_(shifted.subquery("terms"))
    found = {row["y"]: _SHARES.total(row["w"]) for row in engine.fetch_rows(sums.group_by(column("y")))}
    return [float(found[value] / total * num_rows) for value in classes]


def _quantiles(
    engine: Engine, train: exp.Select, number: exp.Expr, num_rows: int, label: Label
) -> dict[str, float | list[float]]:
    """The median, and the quantiles that are asked for; of many rows those of a sample."""
    sample = exp.select(number.as_("y", quoted=True), column("w")).from_(train.subquery("train"))
    if num_rows > MAX_SAMPLE_ROWS:
        sample = sample.where(drawn("sample", MAX_SAMPLE_ROWS, num_rows))
    table, shares = engine.fetch(sample), label.asked().quantiles
    median, *others = weighted_quantiles(table["y"].to_numpy(), table["w"].to_numpy(), (0.5, *shares)).tolist()
    return {"median": median, **({"quantiles": others} if shares else {})}


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """For each share the least of the values (n,) up to which that much of the weight (n,) lies, float64."""
    order = np.lexsort((weights, values))
    through = np.cumsum(weights[order], dtype=np.float64)
    places = np.searchsorted(through, np.asarray(shares) * through[-1])
    found: np.ndarray = values[order[np.minimum(places, len(order) - 1)]].astype(np.float64)
    return found
