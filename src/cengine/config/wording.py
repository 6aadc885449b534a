"""How words are spelled in a YAML, and what messages call things of it."""

from __future__ import annotations

from collections.abc import Mapping

from cengine.config.source import Node
from cengine.transforms import FILLINGS, Filling
from cengine.transforms.fill import SERIES_FILLINGS


def fillings_for(node: Node) -> Mapping[str, type[Filling]]:
    """The table of the filling's word: those that need an order of rows are in one of their own."""
    named = node.value.get("method", node.value.get("type")) if node.is_mapping else node
    return SERIES_FILLINGS if named is not None and named.value in tuple(SERIES_FILLINGS) else FILLINGS


def name_key(what: str) -> str:
    """The key under which the name of a word stands."""
    return "method" if what in ("filling", "transform", "encoding", "resampling", "label_tuning") else "type"


def spellings(node: Node, key: str, what: str) -> tuple[str, ...]:
    """How a word with parameters is written, by the example of `{dense: 8}` where one may be meant."""
    names = list(node.value) if node.is_mapping else []
    name = names[0] if len(names) == 1 else "NAME"
    parameters = "parameters: {...}" if key == "method" else "PARAMETER: VALUE"
    return (f"write {name}, or with parameters {{{key}: {name}, {parameters}}}",)


def article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def shown(node: Node) -> str:
    if node.is_mapping:
        return "a mapping"
    if node.value is None:
        return "nothing"
    return "a list" if node.is_list else repr(node.value)
