"""What Evaluate finds of an autoencoder beside its metrics: where scores lie, the loss of each column, the oddest rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlglot import exp

from cengine.config.resolve import Resolved
from cengine.config.schema import TRAIN
from cengine.expressions.build import column
from cengine.preprocess.targets import row_target
from cengine.stages.context import Context
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from cengine.engines.engine import Engine
    from cengine.evaluation.odd_rows import ColumnLoss, OddRow, ScoresOfSplit
    from cengine.evaluation.truth import Truth
    from cengine.learners.autoencoder import RowPredictor
    from cengine.learners.examples import Batch
    from cengine.preprocess.source import Rows
    from cengine.stages.measured import Measured

# Of larger splits so many rows tell where scores lie, and so many what each column loses.
SCORED_ROWS, COLUMN_ROWS = 2**20, 2**17


def odd_rows_settings(resolved: Resolved) -> dict[str, Any]:
    """What the evaluation of an autoencoder depends on beside all that others do."""
    if not resolved.is_autoencoder:
        return {}
    anomaly, metrics = resolved.anomaly, row_target(resolved).label.metrics or ()
    return {
        "row_metrics": [one.identity() for one in metrics],
        "threshold": resolved.threshold,
        "anomaly": anomaly.model_dump(mode="json") if anomaly else None,
    }


def found_in_scores(
    context: Context, models: Sequence[Measured], engine: Engine, predictions: exp.Expr, rows: Rows, folder: Path
) -> Truth:
    """Writes what is found into `folder`. `predictions` is the table of predictions, `rows` have the raw features of its rows."""
    from cengine.evaluation.odd_rows import edges_of, scores_of_split, sentences, worst_first, write_odd_rows
    from cengine.evaluation.truth import empty_truth

    target, first = models[0].targets[0], _predictor(models[0])
    names = models[0].encoded.split.measured_names
    scores = {name: _scores(engine, predictions, target.name, number) for number, name in enumerate(names) if number}
    train = np.concatenate([_predictor(model).train.scores for model in models])
    edges = edges_of(np.concatenate([train, *(found for found, _ in scores.values())]))
    mean, last = float(train.mean()), names[-1]
    splits: list[ScoresOfSplit] = [scores_of_split(TRAIN, train, 1 - target.task.threshold, mean, edges)]  # type: ignore[attr-defined]  # the task is Reconstruction
    splits += [scores_of_split(name, found, above, mean, edges) for name, (found, above) in scores.items()]
    anomaly = context.resolved.anomaly
    found: dict[str, Any] = {
        "threshold": {
            "level": context.resolved.threshold,
            "value": first.threshold,
            "num_rows": len(first.train.scores),
        },
        "code": context.resolved.trainer.code_size,
        "edges": edges.tolist(),
        "splits": splits,
        "columns": worst_first(_columns(context, models, names[1:]), last),
        "left_out": list(first.layout.left_out),
        "hashed": [part.column for part in first.layout.parts if part.is_hashed],
        "anomaly": f"{anomaly.column} is {anomaly.positive}" if anomaly else None,
        "split": last,
        "rows": _oddest(context, models, engine, predictions, rows, len(names) - 1),
    }
    found["told"] = sentences(found)  # type: ignore[arg-type]  # all but what is told is there
    write_odd_rows(found, folder)
    return empty_truth()


def _predictor(model: Measured) -> RowPredictor:
    from cengine.learners.autoencoder import RowPredictor

    assert isinstance(model.predictor, RowPredictor)
    return model.predictor


def _scores(engine: Engine, predictions: exp.Expr, name: str, number: int) -> tuple[np.ndarray, float]:
    """The scores of a split, of a large one those of so many of its rows, and the share of them above the threshold."""
    from cengine.expressions.keys import drawn

    of_split = exp.EQ(this=column("_split"), expression=exp.convert(number))
    outputs = [
        exp.Count(this=exp.Star()).as_("n"),
        exp.Avg(this=column(f"score_above: {name}")).as_("above"),
    ]
    (counted,) = engine.fetch_rows(exp.select(*outputs).from_(predictions.copy()).where(of_split))
    query = exp.select(column(f"prediction: {name}").as_("score")).from_(predictions.copy()).where(of_split.copy())
    if counted["n"] > SCORED_ROWS:
        query = query.where(drawn("scores", SCORED_ROWS, counted["n"]))
    found = engine.fetch(query)["score"].to_numpy().astype(np.float64)
    return np.sort(found), float(counted["above"] or 0.0)


def _columns(context: Context, models: Sequence[Measured], splits: Sequence[str]) -> list[ColumnLoss]:
    """What each column loses, over the rows of all models together; if some of them leave a column out, those of the others count."""
    from cengine.stages.told_cells import part_of

    train: dict[str, list[float]] = {}
    sums: dict[str, dict[str, list[float]]] = {}
    kinds: dict[str, str] = {}
    for model in models:
        predictor = _predictor(model)
        parts = predictor.layout.parts
        for part, loss in zip(parts, predictor.train.columns, strict=True):
            kinds[part.column] = part_of(part).replace("_", " ") or part.kind
            train.setdefault(part.column, []).append(float(loss))
        for split in splits:
            examples = model.encoded.examples
            batch = examples.thinned(split, max(1, COLUMN_ROWS // len(models)), _block_rows(context, model))
            total = predictor.sums(batch)
            for part, loss in zip(parts, total, strict=True):
                own = sums.setdefault(part.column, {}).setdefault(split, [0.0, 0.0])
                own[0] += float(loss)
                own[1] += len(batch)
    return [
        {
            "column": name,
            "kind": kinds[name],
            "train": float(np.mean(losses)),
            "splits": {split: total / max(num, 1.0) for split, (total, num) in sums.get(name, {}).items()},
        }
        for name, losses in train.items()
    ]


def _oddest(
    context: Context, models: Sequence[Measured], engine: Engine, predictions: exp.Expr, rows: Rows, number: int
) -> list[OddRow]:
    """The rows of the last split with the highest scores."""
    from cengine.evaluation.odd_rows import NUM_ODDEST
    from cengine.evaluation.predictions import FOLD
    from cengine.evaluation.raw_cells import raw_cells

    name = models[0].targets[0].name
    wanted = {"score": "prediction", "max": "score_max", "above": "score_above", "known": "label"}
    outputs = [column(ROW_ID), *(column(f"{own}: {name}").as_(short) for short, own in wanted.items())]
    outputs += [column(FOLD)] if context.folds else []
    query = exp.select(*outputs).from_(predictions.copy())
    query = query.where(exp.EQ(this=column("_split"), expression=exp.convert(number)))
    order = exp.Ordered(this=column("score"), desc=True, nulls_first=False)
    picked = engine.fetch_rows(query.order_by(order, column(ROW_ID)).limit(NUM_ODDEST))
    cells = raw_cells(
        engine,
        rows,
        [one.name for one in context.resolved.features],
        np.array([row[ROW_ID] for row in picked], np.int64),
    )
    found: dict[int, OddRow] = {}
    for model in models:
        own = [k for k, row in enumerate(picked) if model.fold is None or row[FOLD] == model.fold]
        if not own:
            continue
        batch = _encoded_rows(context, model, number, np.array([picked[k][ROW_ID] for k in own], np.int64))
        for k, told in zip(own, _told(context, model, batch), strict=True):
            for one in told:
                raw = cells[one.pop("feature")][k]
                one["found"] = raw if one["found"] is None else one["found"]
            row = picked[k]
            known = None if context.resolved.anomaly is None else bool(row["known"])
            found[k] = {
                "score": row["score"],
                "score_max": row["max"],
                "above": bool(row["above"]),
                "known": known,
                "cells": told,  # type: ignore[typeddict-item]  # plain data of the same keys
            }
    return [found[k] for k in sorted(found)]


def _encoded_rows(context: Context, model: Measured, number: int, identities: np.ndarray) -> Batch:
    """The encoded rows of these identities, in their order."""
    from cengine.learners.examples import joined

    examples = model.encoded.examples
    split = next(name for place, name in model.splits if place == number)
    parts, known = [examples.load(split, [])], []
    for groups, batch in examples.blocks(split, _block_rows(context, model)):
        own = examples.column(ROW_ID, split, groups)
        at = np.flatnonzero(np.isin(own, identities))
        parts.append(batch.take(at))
        known.append(own[at])
    place = {identity: at for at, identity in enumerate(np.concatenate(known).tolist())}
    return joined(parts).take(np.array([place[identity] for identity in identities.tolist()], np.int64))


def _told(context: Context, model: Measured, batch: Batch) -> list[list[dict[str, Any]]]:
    """Of each row the columns that lose most, with what is expected and what there is; None for what the raw cell says better."""
    from cengine.evaluation.odd_rows import NUM_COLUMNS_TOLD
    from cengine.stages.told_cells import shown_name, told

    predictor, features = _predictor(model), {one.name: one for one in context.resolved.features}
    parts, learnt = predictor.layout.parts, model.encoded.statistics["features"]
    losses, expected = predictor.losses(batch), predictor.told(batch)
    actual = predictor.layout.encoded(batch)
    rows = []
    for k in range(len(batch)):
        values = {part.column: float(one[k]) for part, one in zip(parts, expected, strict=True)}
        own = {part.column: float(one[k]) for part, one in zip(parts, actual, strict=True)}
        cells: list[dict[str, Any]] = []
        for place in np.argsort(-losses[k], kind="stable"):
            part = parts[place]
            name, feature = shown_name(part), features[part.feature]
            if len(cells) == NUM_COLUMNS_TOLD:
                break
            if any(one["column"] == name for one in cells):
                continue  # the sine and the cosine of the same hour
            has_parts = name != part.feature
            read = learnt[part.feature]
            found = told(feature, read, part, own[part.column], own) if has_parts else None
            cells.append(
                {
                    "column": name,
                    "feature": part.feature,
                    "loss": float(losses[k][place]),
                    "expected": told(feature, read, part, values[part.column], values),
                    "found": found,
                }
            )
        rows.append(cells)
    return rows


def _block_rows(context: Context, model: Measured) -> int:
    return max(1, context.matrix_bytes // model.encoded.examples.bytes_per_row)
