"""What is rendered of a filter, read again as the engine will read it: it has to be the filter that was checked.

Where quotes end is another thing in each dialect. So a filter is rendered twice, once as it is and once with harmless words in
place of its texts and names. Read again, both have to be the same tree, with the texts and names in their places.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cengine.expressions.dialects import DUCKDB, said, told_to
from cengine.expressions.filters import NotAFilter, columns_of

# Texts of these characters mean the same in every dialect, whatever quotes stand around them; the parser may look into them.
_HARMLESS = re.compile(r"[A-Za-z0-9_ .:,+%-]*")
# What no filter is made of in any dialect.
_NEVER = (
    exp.Query, exp.Table, exp.Command, exp.DDL, exp.DML, exp.Set, exp.Copy, exp.Attach, exp.Pragma, exp.Semicolon, exp.Alias, exp.Star,
    exp.Window, exp.AggFunc, exp.Parameter, exp.Placeholder, exp.SessionParameter,
)  # fmt: skip
# What holds a free text: it is written in quotes.
_QUOTED = (exp.Literal, exp.Identifier, exp.RawString, exp.ByteString)


def check_reads_back(expression: exp.Expr, dialect: str) -> None:
    """Raises NotAFilter where the engine would read something else than the checked filter in what is rendered of it."""
    _check_reads_back(expression.sql(DUCKDB, identify=True), dialect, _Same(expression))


class _Same:
    """An expression that is as good as any other of the same text, so that each is read back once."""

    def __init__(self, expression: exp.Expr) -> None:
        self.expression = expression

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=512)
def _check_reads_back(text: str, dialect: str, same: _Same) -> None:
    expression = same.expression
    told = told_to(expression, dialect)
    read = _read(told, dialect)
    if any(isinstance(node, _NEVER) for node in read.walk()) or set(columns_of(read)) != set(columns_of(expression)):
        raise _other(dialect)
    if _odd_texts(told) != _odd_texts(read):
        raise _other(dialect)
    masked, words = _masked(told)
    if words and not _is_same(_read(masked, dialect), read, words):
        raise _other(dialect)


def _odd_texts(expression: exp.Expr) -> Counter[str]:
    """How often each text stands in an expression; those that mean the same whatever quotes stand around them are left out."""
    found = [
        node.name
        for node in expression.find_all(exp.Literal, exp.RawString)
        if not isinstance(node, exp.Literal) or node.is_string
    ]
    return Counter(name for name in found if not _HARMLESS.fullmatch(name))


def _read(told: exp.Expr, dialect: str) -> exp.Expr:
    """The tree that the dialect makes of what is said of an expression in its words."""
    try:
        # As a condition stands in a query: what ends it would end the brackets too.
        parsed = sqlglot.parse(f"SELECT ({said(told, dialect)})", dialect=dialect)
    except (SqlglotError, ValueError):
        raise _other(dialect) from None
    query = parsed[0] if len(parsed) == 1 else None
    plain = (
        isinstance(query, exp.Select)
        and len(query.expressions) == 1
        and not any(value for slot, value in query.args.items() if slot not in ("expressions", "kind"))
    )
    if not plain or not isinstance(query.expressions[0], exp.Paren):  # type: ignore[union-attr]
        raise _other(dialect)
    inner = query.expressions[0].this  # type: ignore[union-attr]
    assert isinstance(inner, exp.Expr)
    return inner


def _masked(expression: exp.Expr) -> tuple[exp.Expr, dict[str, str]]:
    """A copy with a harmless word for each text and name that is not harmless, and what each word stands for."""
    copy = expression.copy()
    told = copy.sql(DUCKDB)
    stem = next(stem for number in range(10_000) if (stem := f"x{number}y") not in told)
    words: dict[str, str] = {}
    for node in copy.walk():
        free = (isinstance(node, exp.Literal) and node.is_string) or isinstance(node, exp.Identifier)
        if free and not _HARMLESS.fullmatch(node.name):
            word = f"{stem}{len(words)}z"
            words[word] = node.name
            node.set("this", word)
    return copy, words


def _is_same(one: exp.Expr, other: exp.Expr, words: Mapping[str, str]) -> bool:
    """Whether two trees differ only in that words stand for texts."""
    pairs = [(one, other)]
    while pairs:
        left, right = pairs.pop()
        if type(left) is not type(right):
            return False
        mine, theirs = dict(_slots(left)), dict(_slots(right))
        if mine.keys() != theirs.keys():
            return False
        for place, value in mine.items():
            if isinstance(value, exp.Expr):
                if not isinstance(theirs[place], exp.Expr):
                    return False
                pairs.append((value, theirs[place]))
            elif _filled(value, words) != theirs[place] or (
                _filled(value, words) != value and not isinstance(left, _QUOTED)
            ):
                return False
    return True


def _slots(node: exp.Expr) -> Iterator[tuple[tuple[str, int], Any]]:
    """What stands in a node, by slot and place; what is false or missing says the same."""
    for slot, value in node.args.items():
        for place, item in enumerate(value if isinstance(value, list) else [value]):
            if item is not None and item is not False:
                yield (slot, place), item


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """The value with texts in place of the words that stand for them."""
    if not isinstance(value, str):
        return value
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found.group()], value) if words else value


def _other(dialect: str) -> NotAFilter:
    return NotAFilter(
        f"{dialect} would read something else than what is written",
        "write it more simply, without odd characters in texts and names",
    )
