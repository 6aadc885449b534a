"""What Evaluate finds beside its metrics: which features matter, and the worst rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cengine.stages.attributing import Attributing
from cengine.stages.context import Context
from cengine.stages.encoded import Encoded
from cengine.stages.exchange import Exchange

if TYPE_CHECKING:
    from sqlglot import exp

    from cengine.engines.engine import Engine
    from cengine.evaluation.truth import Truth
    from cengine.learners.learner import Predictor
    from cengine.preprocess.source import Rows


def found_in_predictions(
    context: Context,
    encoded: Encoded,
    predictor: Predictor,
    engine: Engine,
    predictions: exp.Expr,
    rows: Rows,
    products: int,
) -> Truth:
    """What the evaluated rows say of the last split: `rows` have their raw features, `products` are the multiplications of one."""
    from cengine.evaluation.dependence import dependences, drawn_features
    from cengine.evaluation.importance import Effort, told
    from cengine.evaluation.raw_cells import raw_cells
    from cengine.evaluation.truth import empty_truth
    from cengine.evaluation.worst_rows import worst_rows

    examples, targets, split = encoded.examples, encoded.targets, encoded.split.names[-1]
    features = {feature.name: feature.kind for feature in context.resolved.features}
    effort = Effort.of(examples.num_rows(split), len(features), products)
    exchange = Exchange.of(predictor, targets, examples, split, effort, _block_rows(context, encoded))
    names = exchange.features
    important = told(split, effort, names, [(one.name, one.task.row_loss) for one in targets], exchange.losses)
    drawn = drawn_features(important)
    wanted = list(dict.fromkeys(name for own in drawn.values() for name in own))
    cells = raw_cells(engine, rows, wanted, exchange.identities)
    explainer = context.learner.explainer(predictor)
    attributing = Attributing(explainer, examples, split, _block_rows(context, encoded)) if explainer else None
    by_importance = list(dict.fromkeys(one["feature"] for one in important["features"]))
    return {
        **empty_truth(),
        "important": important,
        "dependences": dependences(drawn, names, features, cells, exchange.predictions, targets),
        "worst_rows": worst_rows(
            engine,
            predictions,
            rows,
            targets,
            by_importance,
            encoded.split.names,
            attributing.pushed if attributing else None,
        ),
        "attributions": attributing.means() if attributing else [],
    }


def _block_rows(context: Context, encoded: Encoded) -> int:
    return max(1, context.matrix_bytes // encoded.examples.bytes_per_row)
