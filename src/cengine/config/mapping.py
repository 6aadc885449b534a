"""A configuration that a Python program holds as a dict: the YAML that says the same, and places in it as paths of keys."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from cengine.config.source import Document, Mark, Node, parse_document
from cengine.errors import ConfigError, Location, Problem
from cengine.plain import Plain

NAME = "<dict>"
MAX_DEPTH = 50
# What stands in YAML without quotes and is itself; words that mean true, false or null somewhere are quoted.
_PLAIN = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_NOT_PLAIN = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))


@dataclass(frozen=True)
class KeyPath(Location):
    """A place in a dict."""

    path: str = ""

    def __str__(self) -> str:
        return self.path or "the whole configuration"


@dataclass(frozen=True)
class MappingDocument(Document):
    """The document of a dict; `paths` has the path of keys of each place in its text."""

    paths: dict[tuple[int, int, int], str] = field(default_factory=dict)

    def locate(self, mark: Mark) -> Location:
        """The path of keys that leads to `mark`."""
        path = self.paths.get((mark.line, mark.column, mark.length))
        if path is None:
            path = next(
                (
                    found
                    for (line, column, _), found in self.paths.items()
                    if (line, column) == (mark.line, mark.column)
                ),
                "",
            )
        return KeyPath(self.name, mark.line + 1, mark.column + 1, path=path)


def mapping_document(data: Mapping[Plain, Plain], name: str = NAME) -> MappingDocument:
    """The document that says what a dict says. Raises ConfigError for what no YAML can hold, with its path of keys."""
    if not data:
        raise ConfigError(
            [
                Problem(
                    "the configuration is an empty dict",
                    None,
                    ("`cengine pipeline template` writes one to begin with",),
                )
            ]
        )
    text = mapping_text(data)
    document = parse_document(text, name)
    paths = dict(_paths(document.root, ""))
    return MappingDocument(name, text, document.root, {(0, 0, 1): "", **paths})


def mapping_text(data: Mapping[Plain, Plain]) -> str:
    """The YAML that says what a dict says, a line for each key. Raises ConfigError for what no YAML can hold."""
    return "\n".join(_lines(data, 0, "")) + "\n"


def _paths(node: Node, path: str) -> Iterator[tuple[tuple[int, int, int], str]]:
    """Where each key and value stands, with its path."""
    children = node.value.items() if node.is_mapping else enumerate(node.value) if node.is_list else ()
    for key, child in children:
        inner = _below(path, key)
        for mark in (child.mark, *((node.keys[str(key)],) if node.is_mapping else ())):
            yield (mark.line, mark.column, mark.length), inner
        yield from _paths(child, inner)


def _below(path: str, key: object) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    name = str(key) if _PLAIN.fullmatch(str(key)) and "." not in str(key) else f"[{str(key)!r}]"
    return f"{path}.{name}" if path and not name.startswith("[") else f"{path}{name}"


def _lines(value: Plain, indent: int, path: str) -> Iterator[str]:
    """The lines of a mapping or a list that is not empty."""
    if indent > 2 * MAX_DEPTH:
        raise ConfigError(
            [Problem(f"more than {MAX_DEPTH} dicts and lists lie within one another", _place(path[:80] + "..."))]
        )
    blank = " " * indent
    if isinstance(value, Mapping):
        for key, child in value.items():
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise ConfigError([Problem(f"a key must be a text, found {key!r}", _place(path))])
            if _is_nested(child):
                yield f"{blank}{_word(str(key))}:"
                yield from _lines(child, indent + 2, _below(path, str(key)))
            else:
                yield f"{blank}{_word(str(key))}: {_scalar(child, _below(path, str(key)))}"
        return
    for number, child in enumerate(value):
        inner = _below(path, number)
        if _is_nested(child):
            first, *rest = _lines(child, indent + 2, inner)
            yield f"{blank}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{blank}- {_scalar(child, inner)}"


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple) and len(value) > 0


def _scalar(value: Plain, path: str) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if not isinstance(value, str) and callable(getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        value = value.item()  # a number of NumPy
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError([Problem(f"{value} is no number that a configuration can hold", _place(path))])
        return repr(float(value))
    if isinstance(value, str | PurePath):
        return _word(str(value))
    if isinstance(value, datetime.date):
        return _word(value.isoformat(sep=" ") if isinstance(value, datetime.datetime) else value.isoformat())
    raise ConfigError(
        [
            Problem(
                f"a {type(value).__name__} cannot stand in a configuration",
                _place(path),
                ("expected dicts, lists, texts, numbers, True, False, None",),
            )
        ]
    )


def _word(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN:
        return text
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text) + '"'


def _place(path: str) -> Location:
    return KeyPath(NAME, 1, 1, path=path)
