"""A resolved configuration as a list of settings, one path each: what a person compares and a page shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

from pydantic import BaseModel

from cengine.config.resolve import Feature, Label, Resolved, default_loss, is_open, metrics_of
from cengine.config.schema import SplitConfig, TrainerConfig
from cengine.config.timeseries import Series, TimeSeries
from cengine.metrics.table import metric_label
from cengine.plain import Plain
from cengine.words import Word

_BARE = re.compile(r"\w+")
# What follows from the number of classes, which is counted in the train rows.
BY_CLASSES = "by the number of classes"

Setting = tuple[str, Plain]


class FlatSetting(TypedDict):
    """A setting as plain data: null, a number, a text or a list of them under its path."""

    path: str
    value: Any


def flattened(resolved: Resolved, tasks: Mapping[str, str] | None = None) -> list[FlatSetting]:
    """Every setting with its defaults, `{"path": "features.x.transform", "value": "log"}`, in the order of a YAML.

    Values are null, numbers, texts and lists of them. `tasks` are those of the labels once their classes are counted;
    without them what follows from the number of classes is said to.
    """
    settings = [setting for feature in resolved.features for setting in _feature(feature)]
    for label in resolved.labels:
        settings += _label(label, (tasks or {}).get(label.name), resolved)
    settings += _series(resolved.series)
    settings += [
        *_split(resolved.split),
        *_trainer(resolved.trainer),
        ("evaluator.slices", [list(columns) for columns in resolved.slices]),
        ("evaluator.yardstick", resolved.yardstick),
    ]
    if resolved.is_autoencoder:
        anomaly = resolved.anomaly
        settings.append(("evaluator.threshold", resolved.threshold))
        settings.append(("evaluator.anomaly", anomaly.model_dump(mode="json") if anomaly else None))
    return [{"path": path, "value": value} for path, value in settings]


def step(name: str) -> str:
    """A column's name as a step of a path, in quotes where it could be taken for several steps."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _feature(feature: Feature) -> Iterator[Setting]:
    path = f"features.{step(feature.name)}"
    yield f"{path}.kind", feature.kind
    yield from _word(f"{path}.filling", feature.filling)
    yield from _words(f"{path}.transform", feature.transforms)
    yield from _word(f"{path}.encoding", feature.encoding)


def _label(label: Label, found_task: str | None, resolved: Resolved) -> Iterator[Setting]:
    path = f"labels.{step(label.name)}"
    open_task = found_task is None and is_open(label)
    task = found_task or label.task
    yield f"{path}.kind", label.kind
    yield f"{path}.task", BY_CLASSES if open_task else task
    yield from [(f"{path}.filling", None)] if label.filling is None else _word(f"{path}.filling", label.filling)
    yield from _words(f"{path}.transform", label.transforms)
    yield from [(f"{path}.loss", BY_CLASSES)] if open_task else _word(f"{path}.loss", label.loss or default_loss(task))
    undecided = open_task and not (label.metrics or resolved.metrics)
    metrics = (
        BY_CLASSES if undecided else [metric_label(metric) for metric in metrics_of(label, task, resolved.metrics)]
    )
    yield f"{path}.metrics", metrics


def _series(series: Series | None) -> Iterator[Setting]:
    """How points are made, where there are any."""
    if series is None:
        return
    yield from _nested("timeseries", series.words.model_dump(mode="json", by_alias=True) | _in_seconds(series.words))
    for block, columns in (("features", series.columns), ("labels", series.labels)):
        for column in columns:
            path = f"{block}.{step(column.name)}"
            if column.resampling is not None:
                yield from _word(f"{path}.resampling", column.resampling)
            if column.fill is not None:
                yield f"{path}.fill", column.fill
    for label in series.labels:
        yield from _words(f"labels.{step(label.name)}.label_tuning", label.tunings)


def _in_seconds(words: TimeSeries) -> dict[str, Plain]:
    return {key: value for key, value in words.to_nested().items() if key.endswith("_in_secs")}


def _split(split: SplitConfig) -> Iterator[Setting]:
    dumped = split.model_dump(mode="json", exclude={"where", "seed"}, exclude_none=True)
    yield from _nested("split", {key: value for key, value in dumped.items() if value != {}})
    yield "split.where", list(split.where)
    yield "split.seed", split.seed


def _trainer(trainer: TrainerConfig) -> Iterator[Setting]:
    for name, value in trainer:
        if name in trainer.words and trainer.words[name].many:
            for number, word in enumerate(value):
                yield from _word(f"trainer.{name}[{number}]", word)
        else:
            yield from _value(f"trainer.{name}", value)


def _words(path: str, words: Sequence[Word]) -> Iterator[Setting]:
    if len(words) == 1:
        yield from _word(path, words[0])
        return
    for number, word in enumerate(words):
        yield from _word(f"{path}[{number}]", word)


def _word(path: str, word: Word) -> Iterator[Setting]:
    yield path, word.name
    for name, value in word:
        if value is not None or name not in word.unsaid:
            yield from _value(f"{path}.{type(word).model_fields[name].alias or name}", value)


def _value(path: str, value: object) -> Iterator[Setting]:
    if isinstance(value, Word):
        yield from _word(path, value)
    elif isinstance(value, BaseModel):
        yield from _nested(path, value.model_dump(mode="json"))
    else:
        yield from _nested(path, value)


def _nested(path: str, value: object) -> Iterator[Setting]:
    if isinstance(value, Mapping):
        for key, within in value.items():
            yield from _nested(f"{path}.{step(str(key))}", within)
    else:
        yield path, list(value) if isinstance(value, tuple) else value
