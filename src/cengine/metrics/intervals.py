"""95 % intervals of metrics in closed form, from sums over the rows of a slice; NaN where they cannot be told."""

from __future__ import annotations

import numpy as np

LEVEL = 0.95
# The two-sided quantile of the standard normal distribution for LEVEL.
Z = 1.959963984540054

Interval = tuple[np.ndarray, np.ndarray]


def mean_interval(mean: np.ndarray, squares: np.ndarray, count: np.ndarray) -> Interval:
    """Student's interval of a mean; `squares` is the sum of the squared terms. NaN for fewer than two rows."""
    from scipy.special import stdtrit

    count = np.asarray(count, dtype=np.float64)
    freedom = np.maximum(count - 1, 1)
    # Of equal terms rounding leaves a little more, or less, than nothing.
    spread = np.asarray(squares, dtype=np.float64) - count * mean**2
    variance = np.where(spread > 1e-12 * squares, spread, 0.0) / freedom
    half = stdtrit(freedom, 0.5 + LEVEL / 2) * np.sqrt(variance / np.maximum(count, 1))
    half = np.where(count > 1, half, np.nan)
    return mean - half, mean + half


def weighted_mean_interval(
    mean: np.ndarray, squares: np.ndarray, weights: np.ndarray, squared_weights: np.ndarray
) -> Interval:
    """The same of a mean of terms that count differently, as of so many alike as tell as much (Kish 1965).

    `squares` is the sum of the squared terms times their weights, `weights` and `squared_weights` the sums of those.
    """
    known = (np.asarray(weights) > 0) & (np.asarray(squared_weights) > 0)
    share = np.where(known, weights, np.nan) / np.where(known, squared_weights, 1.0)
    return mean_interval(mean, squares * share, weights * share)


def quotient_interval(
    value: np.ndarray, size: np.ndarray, aa: np.ndarray, ab: np.ndarray, bb: np.ndarray, count: np.ndarray
) -> Interval:
    """The interval of `value`, a sum of a over a sum of b that is `size`, by the delta method; `aa`, `ab` and `bb` are sums of products."""
    from scipy.special import stdtrit

    freedom = np.maximum(np.asarray(count, dtype=np.float64) - 1, 1)
    residuals = aa - 2 * value * ab + value**2 * bb
    # Where all errors are the same share of their label rounding leaves a little more, or less, than nothing.
    residuals = np.where(residuals > 1e-12 * aa, residuals, 0.0)
    defined = (np.asarray(count) > 1) & (np.asarray(size) > 0)
    variance = residuals * count / freedom / np.where(defined, size, 1.0) ** 2
    half = np.where(defined, stdtrit(freedom, 0.5 + LEVEL / 2) * np.sqrt(variance), np.nan)
    return value - half, value + half


def share_interval(successes: np.ndarray, count: np.ndarray) -> Interval:
    """Wilson's score interval of a share (Wilson 1927), which holds for few rows and for shares near 0 and 1."""
    count = np.asarray(count, dtype=np.float64)
    safe = np.maximum(count, 1)
    share = np.asarray(successes, dtype=np.float64) / safe
    center = (share + Z**2 / (2 * safe)) / (1 + Z**2 / safe)
    half = Z / (1 + Z**2 / safe) * np.sqrt(share * (1 - share) / safe + Z**2 / (4 * safe**2))
    # Of none and of all the ends are 0 and 1 but for rounding.
    low = np.where(share == 0, 0.0, np.maximum(center - half, 0))
    high = np.where(share == 1, 1.0, np.minimum(center + half, 1))
    return np.where(count > 0, low, np.nan), np.where(count > 0, high, np.nan)


def normal_interval(value: np.ndarray, variance: np.ndarray, low: float = -np.inf, high: float = np.inf) -> Interval:
    """value +- Z standard errors, within [low, high]; NaN where no variance is seen, which says nothing about its size."""
    half = Z * np.sqrt(np.where(variance > 0, variance, np.nan))
    return np.maximum(value - half, low), np.minimum(value + half, high)


def logit_interval(share: np.ndarray, count: np.ndarray) -> Interval:
    """The interval of average precision on the logit scale, `count` positives (Boyd, Eng and Page 2013)."""
    inside = (share > 0) & (share < 1) & (count > 0)
    safe = np.where(inside, share, 0.5)
    center = np.log(safe / (1 - safe))
    half = Z / np.sqrt(np.where(inside, count, 1) * safe * (1 - safe))
    low, high = (1 / (1 + np.exp(-(center + sign * half))) for sign in (-1, 1))
    return np.where(inside, low, np.nan), np.where(inside, high, np.nan)


def auc_variance(auc: np.ndarray, sums: dict[str, np.ndarray]) -> np.ndarray:
    """The variance of an AUC from its placements (DeLong, DeLong and Clarke-Pearson 1988)."""
    positive, negative = sums["num_positive"], sums["num_negative"]
    many = (positive > 1) & (negative > 1)
    p, n = np.where(many, positive, 2.0), np.where(many, negative, 2.0)
    of_positives = (sums["above_positive_squared"] / (p * n**2) - (1 - auc) ** 2) * p / (p - 1)
    of_negatives = (sums["above_negative_squared"] / (n * p**2) - auc**2) * n / (n - 1)
    return np.where(many, np.maximum(of_positives, 0) / p + np.maximum(of_negatives, 0) / n, np.nan)


def ratio_variance(error: dict[str, np.ndarray], count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r2 = 1 - A / B and its variance by the delta method.

    A and B are the means of e^2 and of (y - m)^2, m the slice's mean label, which counts to second order only. `error`
    has the sums over rows of e^2, e^4, d, d^2, d^3, d^4, d e^2 and d^2 e^2, d being the label less a constant near m.
    """
    n = np.maximum(count, 1)
    m = {name: value / n for name, value in error.items()}
    d = m["d"]
    b = m["d2"] - d**2
    # Moments about the slice's own mean, from those about the constant.
    b2 = m["d4"] - 4 * d * m["d3"] + 6 * d**2 * m["d2"] - 3 * d**4
    ab = m["d2e2"] - 2 * d * m["de2"] + d**2 * m["e2"]
    defined = (b > 1e-12 * m["d2"]) & (count > 2)
    safe = np.where(defined, b, 1.0)
    ratio = m["e2"] / safe
    variance = (m["e4"] - m["e2"] ** 2 - 2 * ratio * (ab - m["e2"] * b) + ratio**2 * (b2 - b**2)) / (safe**2 * n)
    return np.where(defined, 1 - ratio, np.nan), np.where(defined, np.maximum(variance, 0), np.nan)
