"""The oracle: every word's arithmetic in plain NumPy and Python, written from the documentation and not from the source.

A column is a list with None for null. `train` are the values of the train rows, `values` those of all rows.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections import Counter
from fractions import Fraction
from statistics import NormalDist
from zoneinfo import ZoneInfo

import numpy as np

EPOCH = datetime.datetime(1970, 1, 1)


def present(values):
    return [value for value in values if value is not None]


def seconds(time):
    return (time - EPOCH) / datetime.timedelta(seconds=1)


def ranked(values):
    """Distinct values, most frequent first, equally frequent ones by value."""
    return sorted(Counter(present(values)).items(), key=lambda pair: (-pair[1], pair[0]))


# Fillings: train values -> what stands for null


FILLINGS = {
    "min": lambda train: min(present(train)),
    "max": lambda train: max(present(train)),
    "mean": lambda train: math.fsum(present(train)) / len(present(train)),
    "median": lambda train: float(np.median(present(train))),
    "mode": lambda train: ranked(train)[0][0],
    "custom": lambda train, custom_value: custom_value,
}


def fill(values, replacement):
    return [replacement if value is None else value for value in values]


# Transforms: (train values, values, parameters) -> {part: array}; no value is null any more


def no_transform(train, values):
    return {"": np.array(values)}


def scale_to_z_score(train, values):
    train, values = np.array(train, np.float64), np.array(values, np.float64)
    return {"": (values - train.mean()) / (train.std() or 1.0)}


def scale_by_min_max(train, values, min=0.0, max=1.0):
    train, values = np.array(train, np.float64), np.array(values, np.float64)
    share = (values - train.min()) / ((train.max() - train.min()) or 1.0)
    return {"": min + share * (max - min)}


def bucketize(train, values, num_buckets=10):
    edges = np.unique(np.quantile(np.array(train, np.float64), np.arange(1, num_buckets) / num_buckets))
    return {"": np.array([int((edges <= value).sum()) for value in values])}


def vocabulary(train, values, top_k=None, num_oov_buckets=1):
    words = [word for word, _ in ranked(train)][:top_k]
    unseen = {value: len(words) + (hash_of(value) % num_oov_buckets if num_oov_buckets > 1 else 0) for value in values}
    return {"": np.array([words.index(value) if value in words else unseen[value] for value in values])}


def hash_of(value):
    """The first seven hexadecimal digits of the MD5 of the value's text."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return int(hashlib.md5(text.encode()).hexdigest()[:7], 16)


def hash_strings(train, values, hash_buckets=1000):
    return {"": np.array([hash_of(value) % hash_buckets for value in values])}


def log(train, values):
    return {"": np.log(np.maximum(np.array(values, np.float64), min(train)))}


def quantile_normal(train, values):
    """Scores of a standard normal, linear between 129 quantiles of the train rows."""
    probabilities = np.linspace(0, 1, 129)
    quantiles = np.quantile(np.array(train, np.float64), probabilities)
    scores = [NormalDist().inv_cdf(min(max(p, 1e-7), 1 - 1e-7)) for p in probabilities]
    points = np.unique(quantiles)
    ends = [[s for s, q in zip(scores, quantiles, strict=True) if q == point] for point in points]
    return {"": np.interp(np.array(values, np.float64), points, [(end[0] + end[-1]) / 2 for end in ends])}


def robust(train, values):
    """By median and quartiles, half the range where those are equal, and clipped to 3 smoothly."""
    train, values = np.array(train, np.float64), np.array(values, np.float64)
    low, median, high = np.quantile(train, [0.25, 0.5, 0.75])
    distance = np.clip((values - median) / ((high - low) or (train.max() - train.min()) / 2 or 1.0), -1e9, 1e9)
    return {"": distance / np.sqrt(1 + (distance / 3) ** 2)}


def epoch_seconds(train, values):
    return scale_to_z_score([seconds(t) for t in train], [seconds(v) for v in values])


def calendar(train, values, parts=("year", "month", "day_of_week", "hour", "minute"), zone="UTC"):
    columns = {}
    train, values = ([clock(v, zone) for v in times] for times in (train, values))
    for part in parts:
        if part == "year":
            columns["year"] = scale_to_z_score([t.year for t in train], [v.year for v in values])[""]
            continue
        turns = np.array([TURNS[part](v) for v in values])
        columns[f"{part}_sin"], columns[f"{part}_cos"] = np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)
    return columns


def clock(time, zone):
    """What a clock in the zone shows at a time of UTC."""
    return time.replace(tzinfo=datetime.UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def day_share(time):
    return (time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6) / 86_400


# How much of its cycle has passed at a time.
TURNS = {
    "month": lambda t: (t.month - 1) / 12,
    "day": lambda t: (t.day - 1) / 31,
    "day_of_week": lambda t: (t.weekday() + day_share(t)) / 7,
    "hour": day_share,
    "minute": lambda t: (t.minute * 60 + t.second + t.microsecond / 1e6) / 3600,
}

TRANSFORMS = {
    "no_transform": no_transform,
    "scale_to_z_score": scale_to_z_score,
    "scale_to_0_1": scale_by_min_max,
    "scale_by_min_max": scale_by_min_max,
    "bucketize": bucketize,
    "compute_and_apply_vocabulary": vocabulary,
    "one_hot_encode": vocabulary,
    "hash_strings": hash_strings,
    "log": log,
    "quantile_normal": quantile_normal,
    "robust": robust,
    "calendar": calendar,
    "epoch_seconds": epoch_seconds,
}


# Splits


def largest_remainder(size, shares):
    """Rows of a group for each split, before the two rules for small groups."""
    exact = [Fraction(share) * size for share in shares]
    counts = [math.floor(e) for e in exact]
    order = sorted(range(len(shares)), key=lambda i: (-(exact[i] - counts[i]), i))
    for i in order[: size - sum(counts)]:
        counts[i] += 1
    return counts
