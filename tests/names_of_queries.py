"""Every name that our queries give to a column or a table, read from the source: a new one is found as soon as it is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import cengine

FOLDERS = ("preprocess", "evaluation", "pipeline", "engines", "expressions")
# Calls whose texts are names in queries.
NAMING = {
    "as_",
    "subquery",
    "alias_",
    "column",
    "to_table",
    "register",
    "new_name",
    "load_pairs",
    "free",
    "select",
    "query",
    "parquet",
}
KEYWORDS = (
    "count",
    "sum",
    "group",
    "order",
    "select",
    "from",
    "where",
    "end",
    "split",
    "mae",
    "value",
    "error",
    "bool",
)
_WORD = re.compile(r"\b(?=[a-z_])[A-Za-z0-9_]+")


def names_of_queries() -> list[str]:
    """The names, each once, and words of SQL itself."""
    root = Path(cengine.__file__).parent
    found = dict.fromkeys(KEYWORDS)
    for file in sorted(file for folder in FOLDERS for file in (root / folder).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        explained = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) not in explained:
                found |= dict.fromkeys(_names(node))
    return sorted({name.lower() for name in found})


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and _called(node.func) in NAMING:
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            for text in _texts(argument):
                yield from _WORD.findall(text)
        yield from (keyword.arg for keyword in node.keywords if keyword.arg)
    for text in _text(node):
        if re.search(r"\b(AS|SELECT)\b", text):
            yield from _WORD.findall(text)
        if re.fullmatch(r"_[a-z0-9_]+", text):
            yield text


def _called(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts in an expression."""
    yield from _text(node)
    if not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def _text(node: ast.AST) -> Iterator[str]:
    """The text that a node is; what is filled into it is 0, the first of the numbers that stand in names."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
