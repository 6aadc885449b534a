"""What Evaluate finds beside its metrics: which features matter, and the worst rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cengine.config.schema import TRAIN
from cengine.stages.attributing import Attributing
from cengine.stages.context import Context
from cengine.stages.exchange import Exchange, Exchanges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot import exp

    from cengine.engines.engine import Engine
    from cengine.evaluation.truth import Truth
    from cengine.preprocess.source import Rows
    from cengine.stages.measured import Measured


def found_in_predictions(
    context: Context,
    models: Sequence[Measured],
    kept: Measured,
    engine: Engine,
    predictions: exp.Expr,
    rows: Rows,
    products: int,
) -> Truth:
    """What the evaluated rows say of the last split: `rows` have their raw features, `products` are the multiplications of one.

    Features are exchanged among the rows of each of the models that are measured; how predictions depend on them is that of the
    model that is kept.
    """
    from cengine.evaluation.dependence import dependences, drawn_features
    from cengine.evaluation.importance import Effort, told
    from cengine.evaluation.raw_cells import raw_cells
    from cengine.evaluation.truth import empty_truth
    from cengine.evaluation.worst_rows import worst_rows

    targets, names_of_splits = kept.targets, kept.encoded.split.measured_names
    split = names_of_splits[-1]
    features = {feature.name: feature.kind for feature in context.resolved.features}
    effort = Effort.of(sum(one.encoded.examples.num_rows(split) for one in models), len(features), products)
    exchanges = Exchanges(
        [Exchange.of(one, split, max(1, effort.num_rows // len(models)), _block_rows(context, one)) for one in models]
    )
    names, blocks = exchanges.features, None
    if context.folds:
        blocks, effort = exchanges.blocks, replace(effort, num_rows=len(exchanges.blocks))
    important = told(split, effort, names, [(one.name, one.task.row_loss) for one in targets], exchanges.losses, blocks)
    drawn = drawn_features(important)
    wanted = list(dict.fromkeys(name for own in drawn.values() for name in own))
    shown = exchanges.parts[0]
    if context.folds:
        shown = Exchange.of(kept, TRAIN, effort.num_rows, _block_rows(context, kept))
    cells = raw_cells(engine, rows, wanted, shown.identities)
    explainer, explained = context.learner.explainer(kept.predictor), TRAIN if context.folds else split
    rows_at_once = _block_rows(context, kept)
    attributing = Attributing(explainer, kept.encoded.examples, explained, rows_at_once) if explainer else None
    # The model of a row's fold, which predicted it, is not the one that is kept.
    pushed = attributing.pushed if attributing and not context.folds else None
    by_importance = list(dict.fromkeys(one["feature"] for one in important["features"]))
    return {
        **empty_truth(),
        "important": important,
        "dependences": dependences(drawn, names, features, cells, shown.predictions, targets),
        "worst_rows": worst_rows(engine, predictions, rows, targets, by_importance, names_of_splits, pushed),
        "attributions": attributing.means() if attributing else [],
    }


def found_in_windows(context: Context, model: Measured, products: int) -> Truth:
    """Which features of windows matter in the last split: each is exchanged for that of whole other windows."""
    from cengine.evaluation.importance import Effort, told
    from cengine.evaluation.truth import empty_truth

    split = model.encoded.split.measured_names[-1]
    effort = Effort.of(model.encoded.examples.num_rows(split), len(context.resolved.features), products)
    exchange = Exchange.of(model, split, effort.num_rows, _block_rows(context, model))
    exchanges = Exchanges([exchange])
    names = [(one.name, one.task.row_loss) for one in model.targets]
    return {**empty_truth(), "important": told(split, effort, exchanges.features, names, exchanges.losses, None)}


def _block_rows(context: Context, model: Measured) -> int:
    return max(1, context.matrix_bytes // model.encoded.examples.bytes_per_row)
