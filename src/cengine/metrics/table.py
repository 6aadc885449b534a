"""`metrics:`, each defined once, as sums over rows that any engine can form; training and slices use the same.

One of another package comes by the entry point `cengine.metrics`."""

from __future__ import annotations

from cengine.errors import PreprocessError
from cengine.metrics.classification import F1, Accuracy, Auc, LogLoss, PrAuc, Precision, Recall, TopK
from cengine.metrics.forecasts import (
    MeanAbsoluteScaledError,
    RootMeanSquaredScaledError,
    SymmetricPercentageError,
    WeightedPercentageError,
    WeightedQuantileLoss,
)
from cengine.metrics.metric import Metric
from cengine.metrics.quantiles import Coverage, IntervalWidth, QuantileLoss
from cengine.metrics.regression import (
    R2,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    RootMeanSquaredError,
)
from cengine.metrics.rows import AboveThreshold, PrecisionAbove, Score, SquaredError
from cengine.plugins import words_of

METRICS = words_of(
    "metric",
    Metric,
    PreprocessError,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
    MeanAbsolutePercentageError,
    R2,
    SymmetricPercentageError,
    WeightedPercentageError,
    MeanAbsoluteScaledError,
    RootMeanSquaredScaledError,
    QuantileLoss,
    WeightedQuantileLoss,
    Coverage,
    IntervalWidth,
    Accuracy,
    Auc,
    PrAuc,
    Precision,
    Recall,
    F1,
    LogLoss,
    TopK,
    SquaredError,
    Score,
    AboveThreshold,
    PrecisionAbove,
)

METRIC_ALIASES = {
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_percentage_error": "mape",
    "r2_score": "r2",
    "symmetric_mean_absolute_percentage_error": "smape",
    "mean_absolute_scaled_error": "mase",
    "root_mean_squared_scaled_error": "rmsse",
    "weighted_quantile_loss": "wql",
    "pinball": "quantile_loss",
    "pinball_loss": "quantile_loss",
    "acc": "accuracy",
    "binary_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "roc_auc": "auc",
    "average_precision": "pr_auc",
    "f1_score": "f1",
    "binary_crossentropy": "log_loss",
    "categorical_crossentropy": "log_loss",
    "sparse_categorical_crossentropy": "log_loss",
    "top_k_categorical_accuracy": "top_k",
    "sparse_top_k_categorical_accuracy": "top_k",
}


def metric_label(metric: Metric) -> str:
    """The name in tables: with its parameters where they are not the defaults (`top_k(k=3)`)."""
    parameters = ", ".join(f"{key}={value}" for key, value in metric.parameters().items())
    return f"{metric.name}({parameters})" if parameters else metric.name
