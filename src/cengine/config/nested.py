"""A configuration as plain data in the nested spelling, defaults left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cengine.config.block import Block
from cengine.metrics.metric import Metric
from cengine.words import Word

if TYPE_CHECKING:
    from cengine.config.schema import SplitConfig, TrainerConfig


def word_to_nested(word: Word, key: str = "method") -> str | dict[str, Any]:
    """`{method, parameters}` for words of columns, `{type, ...}` for the others; the bare name without parameters."""
    parameters = {
        name: word_to_nested(getattr(word, name), "type") if isinstance(getattr(word, name), Word) else value
        for name, value in word.parameters().items()
    }
    if not parameters:
        return word.name
    return {key: word.name, "parameters": parameters} if key == "method" else {key: word.name, **parameters}


def column_to_nested(column: Block) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in column:
        if value is None:
            continue
        if key in ("transform", "label_tuning"):
            words = [word_to_nested(word) for word in value]
            nested[key] = words[0] if len(words) == 1 else words
        elif key == "metrics":
            nested[key] = metrics_to_nested(value)
        elif key in ("missing_indicator", "sample_weight", "class_weight"):
            nested[key] = value
        else:
            nested[key] = word_to_nested(value, "type" if key == "loss" else "method")
    return nested


def metrics_to_nested(metrics: tuple[Metric, ...] | None) -> list[str | dict[str, Any]] | None:
    return None if metrics is None else [word_to_nested(metric, "type") for metric in metrics]


def split_to_nested(split: SplitConfig) -> dict[str, Any]:
    dumped = split.model_dump(mode="json", exclude_none=True)
    dumped = {key: value for key, value in dumped.items() if value not in ({}, [])}
    if not dumped["seed"]:
        del dumped["seed"]
    return dumped


def trainer_to_nested(trainer: TrainerConfig) -> dict[str, Any]:
    nested = trainer.model_dump(mode="json", exclude_none=True, exclude=set(trainer.words))
    for key, words in trainer.words.items():
        value = getattr(trainer, key)
        if value is None:
            continue
        nested[key] = [_with_type(word) for word in value] if words.many else word_to_nested(value, "type")
    return nested


def _with_type(word: Word) -> dict[str, Any]:
    nested = word_to_nested(word, "type")
    return {"type": nested} if isinstance(nested, str) else nested


def without_empty(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}
