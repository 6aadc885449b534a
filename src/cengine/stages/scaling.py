"""What the errors of forecasts are divided by: those of repeating the season before, in the train points of each series."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cengine.config.resolve import metrics_of
from cengine.engines.engine import Engine
from cengine.stages.context import Context
from cengine.stages.encoded import Encoded


def add_scales(context: Context, encoded: Encoded, engine: Engine, predictions: Path, season: int) -> dict[str, Any]:
    """Adds the scales to the table of predictions if a metric asks for them; how many series have one, as plain data."""
    from cengine.evaluation.scales import Season, with_scales, write_scales
    from cengine.preprocess.point_split import PointSplit

    resolved, split = context.resolved, encoded.split
    asking = [
        target.name
        for target in encoded.targets
        if any(metric.of_series for metric in metrics_of(target.label, target.task.name, resolved.metrics))
    ]
    if not asking or resolved.series is None:
        return {}
    assert isinstance(split, PointSplit)
    words, points = resolved.series.words, engine.parquet(context.snapshot.files)
    of_season = Season(season, words.timestamp, words.category, words.rate)
    scales, written = predictions.with_name("scales.parquet"), predictions.with_name("scaled.parquet")
    train = (0, len(split.names))  # the part that is kept back to choose a model by is train too
    found = write_scales(engine, points, split.split_column, train, of_season, asking, scales)
    with_scales(engine, predictions, points, scales, of_season, asking, written)
    written.replace(predictions)
    scales.unlink()
    return {"season": season, **asdict(found)}
