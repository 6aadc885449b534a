"""YAML text with positions: a tree of nodes that knows where in the file each key and value stands.

ruamel.yaml's round-trip loader follows YAML 1.2 (`no` is a word, `1e-3` a number), refuses duplicate keys, and
keeps line and column. No tag can construct an object.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from cengine.errors import ConfigError, Location, Problem

MAX_FILE_BYTES = 4 * 2**20
# An alias may stand for a large part of the file any number of times; a few lines could else mean billions of nodes.
MAX_NODES = 200_000


@dataclass(frozen=True)
class Mark:
    """Where a token begins, counted from 0, and its length in characters."""

    line: int
    column: int
    length: int = 1


@dataclass
class Node:
    """A scalar, list or mapping of the YAML; `mark` is where it stands, `keys` where each key stands."""

    value: Any
    mark: Mark
    keys: dict[str, Mark] = field(default_factory=dict)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def plain(self) -> Any:
        """The same as dicts, lists and scalars, positions dropped."""
        if self.is_mapping:
            return {key: node.plain() for key, node in self.value.items()}
        if self.is_list:
            return [node.plain() for node in self.value]
        return self.value

    def find(self, path: tuple[str | int, ...], *, key: bool = False) -> Mark:
        """The mark of the deepest node that `path` reaches; with `key`, of the last key rather than its value."""
        node, mark = self, self.mark
        for part in path:
            if node.is_mapping and part in node.value:
                mark = node.keys.get(str(part), node.mark)
                node = node.value[part]
                if not key:
                    mark = node.mark
            elif node.is_list and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.mark
            else:
                break
        return mark


@dataclass(frozen=True)
class Document:
    """A YAML file: its name as shown in messages, its text, and the tree."""

    name: str
    text: str
    root: Node

    def locate(self, mark: Mark) -> Location:
        """The place of `mark` as shown to a person."""
        return _location(self.name, self.text, mark)


def read_document(path: Path) -> Document:
    """The document in the file `path`. Raises ConfigError where it cannot be read or is not YAML."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError([Problem(f"'{path}' is larger than {MAX_FILE_BYTES // 2**20} MB; is it a configuration?")])
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        siblings = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        notes = (f"files there: {', '.join(siblings[:8])}",) if siblings else ()
        raise ConfigError([Problem(f"there is no file '{path}'", None, notes)]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(f"'{path}' is not a text file (UTF-8)")]) from None
    except OSError as error:
        raise ConfigError([Problem(f"cannot read '{path}': {error.strerror}")]) from None
    return parse_document(text, str(path))


def parse_document(text: str, name: str = "<config>") -> Document:
    """The document of a YAML text. Raises ConfigError with the place of the first error of the syntax."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        loaded = YAML(typ="rt").load(StringIO(text))
    except MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, text, name)]) from None
    except (YAMLError, ValueError) as error:
        raise ConfigError([Problem(f"'{name}' is not YAML: {error}")]) from None
    if loaded is None:
        raise ConfigError([Problem(f"'{name}' is empty", None, ("`cengine pipeline template` writes one to begin with",))])
    builder = _Builder(name, text)
    root = builder.node(loaded, Mark(0, 0))
    if not root.is_mapping:
        raise ConfigError([Problem("a configuration is a mapping of blocks (features, labels, ...)", _location(name, text, root.mark))])
    return Document(name, text, root)


class _Builder:
    """Turns ruamel's tree into nodes; counts them, so that aliases cannot blow up memory."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.lines = text.splitlines()
        self.num_nodes = 0

    def node(self, value: Any, mark: Mark) -> Node:
        self.num_nodes += 1
        if self.num_nodes > MAX_NODES:
            raise ConfigError([Problem(f"'{self.name}' has more than {MAX_NODES:,} values once its aliases are expanded")])
        if isinstance(value, dict | list) and getattr(getattr(value, "tag", None), "value", None) is not None:
            raise self._special(mark)
        if isinstance(value, dict):
            keys, children = {}, {}
            for key, child in value.items():
                name = str(key)
                keys[name] = self._key_mark(value, key, name, mark)
                if name in children:  # 1 and "1" are two keys to YAML
                    raise ConfigError([Problem(f"the key '{name}' is given twice", _location(self.name, self.text, keys[name]))])
                children[name] = self.node(child, keys[name] if child is None else self._value_mark(value, key, child, mark))
            return Node(children, mark, keys)
        if isinstance(value, list):
            return Node([self.node(child, self._item_mark(value, i, child, mark)) for i, child in enumerate(value)], mark)
        return Node(self._scalar(value, mark), mark)

    def _key_mark(self, mapping: Any, key: Any, name: str, fallback: Mark) -> Mark:
        try:
            line, column = mapping.lc.key(key)
        except (KeyError, TypeError, AttributeError):  # merged in by `<<`: it has no place of its own
            return fallback
        return Mark(line, column, len(name))

    def _value_mark(self, mapping: Any, key: Any, child: Any, fallback: Mark) -> Mark:
        try:
            line, column = mapping.lc.value(key)
        except (KeyError, TypeError, AttributeError):
            return fallback
        return Mark(line, column, self._token_length(line, column, child))

    def _item_mark(self, sequence: Any, index: int, child: Any, fallback: Mark) -> Mark:
        try:
            line, column = sequence.lc.item(index)
        except (KeyError, TypeError, AttributeError):
            return fallback
        return Mark(line, column, self._token_length(line, column, child))

    def _token_length(self, line: int, column: int, child: Any) -> int:
        if isinstance(child, dict | list):
            return 1
        rest = self.lines[line][column:] if line < len(self.lines) else ""
        quote = rest[:1]
        if quote in ("'", '"') and quote in rest[1:]:
            return rest.index(quote, 1) + 1
        for end in (",", "}", "]", " #", ": "):
            rest = rest.split(end)[0]
        return max(1, len(rest.rstrip()))

    def _scalar(self, value: Any, mark: Mark) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if type(value).__name__ == "ScalarBoolean":
            return bool(value)
        for kind in (int, float, str):
            if isinstance(value, kind):
                return kind(value)
        if isinstance(value, datetime.date):
            return value.isoformat(sep=" ") if isinstance(value, datetime.datetime) else value.isoformat()
        raise self._special(mark)

    def _special(self, mark: Mark) -> ConfigError:
        return ConfigError([Problem("tags and special YAML types are not allowed here", _location(self.name, self.text, mark))])


def _location(name: str, text: str, mark: Mark) -> Location:
    lines = text.splitlines()
    line_text = lines[mark.line].rstrip() if mark.line < len(lines) else ""
    return Location(name, mark.line + 1, mark.column + 1, mark.length, line_text.replace("\t", " "))


def _indenting_tab(text: str) -> Mark | None:
    for number, line in enumerate(text.splitlines()):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent and line.strip() and not line.strip().startswith("#"):
            return Mark(number, indent.index("\t"))
    return None


def _syntax_problem(error: Any, text: str, name: str) -> Problem:
    tab = _indenting_tab(text)
    if tab is not None:
        return Problem("a tab is used to indent; YAML allows only spaces", _location(name, text, tab), ("replace each tab by two spaces",))
    mark = error.problem_mark or error.context_mark
    place = _location(name, text, Mark(mark.line, mark.column)) if mark else None
    first_line = str(error.problem or error).strip().splitlines()[0]
    if "duplicate key" in first_line:
        key = first_line.split('"')[1] if '"' in first_line else "?"
        earlier = [n + 1 for n in _lines_with_key(text, key) if mark and n < mark.line]
        notes = (f"it also stands on line {earlier[-1]}; keep one of the two",) if earlier else ("keep one of the two",)
        return Problem(f"the key '{key}' is given twice", place, notes)
    return Problem(f"this is not YAML: {first_line}", place)


def _lines_with_key(text: str, key: str) -> Iterator[int]:
    for number, line in enumerate(text.splitlines()):
        if line.strip().strip("-{ ").strip("'\"").startswith((f"{key}:", f"{key}'", f'{key}"')):
            yield number
