"""YAML text with positions: a tree of nodes that knows where in the file each key and value stands.

ruamel.yaml reads YAML 1.2 (`no` is a word, `1e-3` a number) and knows the line and column of each token. Its tree of
tokens is turned into ours here, not into Python objects, so that no tag can construct anything, a key is its text
as it is written (`1.50`, `null`, `2018-06-01`), and a date keeps its time zone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cengine.errors import ConfigError, Location, Problem
from cengine.plain import Plain

if TYPE_CHECKING:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError

# A node of ruamel's, whose class leaves open all that is read of it; and an error, of which the class with a position is one.
Token: TypeAlias = Any
ReadingError: TypeAlias = Any
MAX_FILE_BYTES = 4 * 2**20
# An alias may stand for a large part of the file any number of times; a few lines could else mean billions of nodes.
MAX_NODES = 200_000
# A configuration needs ten levels at most.
MAX_DEPTH = 50


@dataclass(frozen=True)
class Mark:
    """Where a token begins, counted from 0, and its length in characters."""

    line: int
    column: int
    length: int = 1


@dataclass
class Node:
    """A scalar, list or mapping of the YAML; `mark` is where it stands, `keys` where each key stands."""

    value: Plain
    mark: Mark
    keys: dict[str, Mark] = field(default_factory=dict)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def plain(self) -> Plain:
        """The same as dicts, lists and scalars, positions dropped."""
        if self.is_mapping:
            return {key: node.plain() for key, node in self.value.items()}
        if self.is_list:
            return [node.plain() for node in self.value]
        return self.value

    def has(self, path: tuple[str | int, ...]) -> bool:
        """Whether the keys of `path` stand there."""
        node = self
        for part in path:
            if not node.is_mapping or part not in node.value:
                return False
            node = node.value[part]
        return True

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
            raise ConfigError(
                [Problem(f"'{path}' is larger than {MAX_FILE_BYTES // 2**20} MB; is it a configuration?")]
            )
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
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = _reader()
    try:
        tokens = reader.compose(StringIO(text))
    except MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, text, name)]) from None
    except YAMLError as error:
        raise ConfigError([_unreadable(error, text, name)]) from None
    root = None if tokens is None else _Builder(name, text, reader.constructor).node(tokens)
    if root is None or root.value is None:
        raise ConfigError(
            [Problem(f"'{name}' is empty", None, ("`cengine pipeline template` writes one to begin with",))]
        )
    if not root.is_mapping:
        raise ConfigError(
            [
                Problem(
                    "a configuration is a mapping of blocks (features, labels, ...)", _location(name, text, root.mark)
                )
            ]
        )
    return Document(name, text, root)


def _reader() -> YAML:
    """A YAML reader that stops at MAX_DEPTH: Python's own limit would end deeper files, and their parsing takes minutes."""
    from ruamel.yaml import YAML

    reader = YAML(typ="safe", pure=True)
    reader.max_depth = MAX_DEPTH
    reader.composer.warn_double_anchors = False  # the later one counts, as YAML says
    return reader


_TAG = "tag:yaml.org,2002:"
# A date and a lone `=` or `<<` are their text.
_TEXTS = ("str", "timestamp", "value", "merge")


class _Builder:
    """Turns ruamel's tree of tokens into nodes; counts them, so that aliases cannot blow up memory."""

    def __init__(self, name: str, text: str, constructor: SafeConstructor) -> None:
        self.name = name
        self.text = text
        self.constructor = constructor
        self.num_nodes = 0
        self.inside: list[Token] = []

    def node(self, token: Token) -> Node:
        self.num_nodes += 1
        mark = _mark_of(token)
        if self.num_nodes > MAX_NODES:
            raise self._error(f"'{self.name}' has more than {MAX_NODES:,} values once its aliases are expanded", mark)
        if len(self.inside) > MAX_DEPTH:
            raise self._error(f"values are nested more than {MAX_DEPTH} levels deep once aliases are expanded", mark)
        if any(outer is token for outer in self.inside):  # an alias to what it stands in
            return Node(None, mark)
        self.inside.append(token)
        match token.id, token.tag:
            case "mapping", "tag:yaml.org,2002:map":
                found = self._mapping(token, mark)
            case "sequence", "tag:yaml.org,2002:seq":
                found = Node([self.node(child) for child in token.value], mark)
            case "scalar", _:
                found = Node(self._scalar(token, mark), mark)
            case _:
                raise self._special(mark)
        self.inside.pop()
        return found

    def _mapping(self, token: Token, mark: Mark) -> Node:
        keys: dict[str, Mark] = {}
        children: dict[str, Node] = {}
        merged: list[Node] = []
        for key, child in token.value:
            place = _mark_of(key)
            if key.id == "scalar" and key.tag == f"{_TAG}merge":
                merged += self._merged(child)
                continue
            name = self._key(key, place)
            if name in children:
                note = f"it also stands on line {keys[name].line + 1}; keep one of the two"
                raise self._error(f"the key '{name}' is given twice", place, note)
            keys[name], children[name] = place, self.node(child)
            if children[name].value is None:
                children[name] = Node(None, place)
        for other in merged:  # what is merged in gives way to what stands here, and has no place of its own
            for name, found in other.value.items():
                if name not in children:
                    keys[name], children[name] = mark, found
        return Node(children, mark, keys)

    def _merged(self, token: Token) -> list[Node]:
        """The mappings that `<<` takes in, the first before the others."""
        tokens = token.value if token.id == "sequence" else [token]
        found = [self.node(one) for one in tokens]
        for node in found:
            if not node.is_mapping:
                raise self._error("`<<` takes in a mapping, such as `<<: *name`", node.mark)
        return found

    def _key(self, token: Token, mark: Mark) -> str:
        if token.id != "scalar":
            raise self._error("a key is a name, found a list or a mapping", mark)
        if not token.tag.startswith(_TAG) or token.tag.removeprefix(_TAG) in ("binary", "set", "omap"):
            raise self._special(mark)
        return self._text(token.value, mark)

    def _scalar(self, token: Token, mark: Mark) -> Plain:
        tag = token.tag.removeprefix(_TAG)
        if tag in _TEXTS:
            return self._text(token.value, mark)
        construct = {
            "null": lambda token: None,
            "bool": self.constructor.construct_yaml_bool,
            "int": self.constructor.construct_yaml_int,
            "float": self.constructor.construct_yaml_float,
        }.get(tag)
        if construct is None:
            raise self._special(mark)
        try:
            return construct(token)
        except (ValueError, LookupError):
            raise self._unreadable(token.value, tag, mark) from None

    def _unreadable(self, text: str, tag: str, mark: Mark) -> ConfigError:
        shown = text if len(text) <= 20 else f"{text[:20]}..."
        told = f"'{shown}' cannot be read as {_NAMES[tag]}"
        return self._error(told, mark, "write it in quotes if it is a text")

    def _text(self, text: str, mark: Mark) -> str:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self._error(
                "the text holds an escape that stands for no character",
                mark,
                "\\ud800 to \\udfff are halves of characters",
            )
        return text

    def _special(self, mark: Mark) -> ConfigError:
        return self._error("tags and special YAML types are not allowed here", mark)

    def _error(self, message: str, mark: Mark, *notes: str) -> ConfigError:
        return ConfigError([Problem(message, _location(self.name, self.text, mark), notes)])


_NAMES = {"bool": "true or false", "int": "a whole number", "float": "a number"}


def _mark_of(token: Token) -> Mark:
    start, end = token.start_mark, token.end_mark
    within = token.id == "scalar" and end.line == start.line
    return Mark(start.line, start.column, max(1, end.column - start.column) if within else 1)


@functools.lru_cache(maxsize=4)
def _lines(text: str) -> list[str]:
    return text.splitlines()


def _location(name: str, text: str, mark: Mark) -> Location:
    lines = _lines(text)
    line_text = lines[mark.line].rstrip() if mark.line < len(lines) else ""
    return Location(name, mark.line + 1, mark.column + 1, mark.length, line_text.replace("\t", " "))


def _indenting_tab(text: str) -> Mark | None:
    for number, line in enumerate(text.splitlines()):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent and line.strip() and not line.strip().startswith("#"):
            return Mark(number, indent.index("\t"))
    return None


def _syntax_problem(error: MarkedYAMLError, text: str, name: str) -> Problem:
    from ruamel.yaml.composer import MaxDepthExceededError

    tab = _indenting_tab(text)
    if tab is not None:
        return Problem(
            "a tab is used to indent; YAML allows only spaces",
            _location(name, text, tab),
            ("replace each tab by two spaces",),
        )
    mark = error.problem_mark or error.context_mark
    place = _location(name, text, Mark(mark.line, mark.column)) if mark else None
    if isinstance(error, MaxDepthExceededError):
        return Problem(f"values are nested more than {MAX_DEPTH} levels deep", place)
    first_line = str(error.problem or error).strip().splitlines()[0]
    return Problem(f"this is not YAML: {first_line}", place)


def _unreadable(error: ReadingError, text: str, name: str) -> Problem:
    """The problem of a character that YAML does not allow; other errors have marks."""
    position = getattr(error, "position", None)
    if position is None:
        return Problem(f"'{name}' is not YAML: {error}")
    before = text[:position].split("\n")
    mark = Mark(len(before) - 1, len(before[-1]))
    return Problem(f"YAML does not allow the character U+{error.character:04X}", _location(name, text, mark))
