"""Texts: positions begin at 1, patterns are written out, letters change case one for one."""

from __future__ import annotations

from sqlglot import exp

from cengine.expressions.build import bigint
from cengine.expressions.meanings.casts import to_text
from cengine.expressions.meanings.meant import (
    BOOLEAN,
    NULL,
    TEXT,
    WHOLE,
    Meanings,
    Meant,
    Read,
    as_whole,
    choose,
    expect_only,
    minus,
    operand,
    plus,
    refuse,
    whole_of,
)
from cengine.expressions.meanings.patterns import NotAPattern, escaped_for_like, like_pattern, same_everywhere

_ESCAPE = exp.Literal.string("\\")
# What TRIM takes off if it is not said: the spaces of Unicode, no tabs and line feeds.
SPACES = " \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"


def _text(meant: Meant, node: exp.Expr) -> Meant:
    if meant.kind == NULL:
        return Meant(exp.cast(exp.null(), "text"), TEXT)
    if meant.kind != TEXT:
        raise refuse(node, f"{meant.called} stands where a text is needed", "use CAST(... AS VARCHAR)")
    return meant


def _written(meant: Meant, node: exp.Expr, what: str) -> str:
    if not (meant.literal and meant.kind == TEXT):
        raise refuse(node, f"the {what} is not written as a text in quotes")
    return meant.tree.name


# Patterns


def _like(node: exp.Expr, read: Read) -> Meant:
    return _liked(node, node, None, read)


def _escape(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression")
    if not isinstance(node.this, exp.Like | exp.ILike):
        raise refuse(node, "ESCAPE belongs to LIKE")
    return _liked(node.this, node, _written(read(node.expression), node, "escape"), read)


def _liked(like: exp.Expr, node: exp.Expr, escape: str | None, read: Read) -> Meant:
    expect_only(like, "this", "expression", "negate")
    value = _text(read(like.this), node)
    try:
        pattern = like_pattern(_written(read(like.expression), node, "pattern"), escape)
    except NotAPattern as reason:
        raise refuse(node, f"the pattern {reason}") from None
    text = value.tree
    if isinstance(like, exp.ILike):
        text, pattern = exp.Lower(this=text), "".join(map(lower, pattern))
    found = matching(text, pattern)
    return Meant(exp.Not(this=found) if like.args.get("negate") else found, BOOLEAN)


def matching(text: exp.Expr, pattern: str) -> exp.Expr:
    """LIKE with a pattern whose escape is the backslash, which is said where it plays a part."""
    like = exp.Like(this=operand(text), expression=exp.Literal.string(pattern))
    return exp.Escape(this=like, expression=_ESCAPE.copy()) if "\\" in pattern else like


def _regexp(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression", "flag", "full_match")
    value = _text(read(node.this), node)
    options = _written(read(node.args["flag"]), node, "option") if node.args.get("flag") is not None else ""
    if node.args.get("full_match"):
        raise refuse(
            node, "a full match is not asked for alike everywhere", "begin the pattern with ^ and end it with $"
        )
    try:
        pattern = same_everywhere(_written(read(node.expression), node, "pattern"), options)
    except NotAPattern as reason:
        raise refuse(node, f"the pattern {reason}") from None
    return Meant(exp.RegexpLike(this=operand(value.tree), expression=exp.Literal.string(pattern)), BOOLEAN)


def _part(node: exp.Expr, read: Read) -> Meant:
    """Whether a text begins with, ends with or holds another."""
    expect_only(node, "this", "expression")
    text, part = _text(read(node.this), node), _text(read(node.expression), node)
    kind = type(node)
    if part.literal:
        before, after = "" if kind is exp.StartsWith else "%", "" if kind is exp.EndsWith else "%"
        return Meant(matching(text.tree, f"{before}{escaped_for_like(part.tree.name)}{after}"), BOOLEAN)
    whole, piece = operand(text.tree), operand(part.tree)
    if kind is exp.Contains:
        place = exp.StrPosition(this=whole, substr=piece)
        return Meant(exp.GT(this=place, expression=exp.Literal.number(0)), BOOLEAN)
    length, short = _length_of(whole), _length_of(piece)
    if kind is exp.StartsWith:
        return Meant(
            exp.EQ(this=exp.Substring(this=whole, start=exp.Literal.number(1), length=_int(short)), expression=piece),
            BOOLEAN,
        )
    end = exp.Substring(this=whole, start=_int(plus(minus(length, short), bigint(1))))
    same = exp.EQ(this=end, expression=piece)
    return Meant(
        choose(
            (exp.GTE(this=length.copy(), expression=short.copy()), same),
            (exp.LT(this=length, expression=short), exp.false()),
        ),
        BOOLEAN,
    )


# Pieces


def _length_of(text: exp.Expr) -> exp.Expr:
    return exp.cast(exp.Length(this=text.copy()), "bigint")


def _int(number: exp.Expr) -> exp.Expr:
    return exp.cast(number.copy(), "int")


def _length(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    return Meant(_length_of(_text(read(node.this), node).tree), WHOLE)


def _substring(node: exp.Expr, read: Read) -> Meant:
    """Characters from a place on; a negative place counts from the end, and places before the text are counted, too."""
    expect_only(node, "this", "start", "length")
    text, start = _text(read(node.this), node).tree, read(node.args["start"]) if node.args.get("start") else None
    if start is None or start.kind != WHOLE:
        raise refuse(node, "the place to begin at is no whole number")
    count = whole_of(read(node.args["length"])) if node.args.get("length") else None
    if node.args.get("length") is not None and (count is None or count < 0):
        raise refuse(node, "the number of characters is not a whole number from 0 on, written as such")
    place = whole_of(start)
    if place is not None and place > 0:
        length = None if count is None else exp.Literal.number(count)
        return Meant(exp.Substring(this=operand(text), start=exp.Literal.number(place), length=length), TEXT)
    begin = as_whole(start)
    from_end = plus(plus(_length_of(text), bigint(1)), begin)
    begin = choose((exp.LT(this=operand(begin), expression=bigint(0)), from_end), otherwise=begin)
    behind = plus(_length_of(text), bigint(1))
    first = choose(
        (exp.LT(this=operand(begin), expression=bigint(1)), bigint(1)),
        (exp.GT(this=operand(begin), expression=behind), behind),
        otherwise=begin,
    )
    if count is None:
        return Meant(exp.Substring(this=operand(text), start=_int(first)), TEXT)
    taken = minus(plus(begin, bigint(count)), first)
    taken = choose(
        (exp.LT(this=taken, expression=bigint(0)), bigint(0)),
        (exp.GT(this=taken, expression=bigint(count)), bigint(count)),
        otherwise=taken,
    )
    return Meant(exp.Substring(this=operand(text), start=_int(first), length=_int(taken)), TEXT)


def _trim(node: exp.Expr, read: Read) -> Meant:
    """A text without blanks, or other characters, at its ends."""
    expect_only(node, "this", "expression", "position")
    text = _text(read(node.this), node)
    characters = _text(read(node.expression), node).tree if node.args.get("expression") else exp.Literal.string(SPACES)
    if not (isinstance(characters, exp.Literal) and characters.name):
        raise refuse(node, "the characters to take off are not written as a text in quotes")
    position = str(node.args.get("position") or "BOTH").upper()
    return Meant(exp.Trim(this=text.tree, expression=characters, position=position), TEXT)


def _cased(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this")
    return Meant(type(node)(this=_text(read(node.this), node).tree), TEXT)


def lower(character: str) -> str:
    """The small letter of a capital one, where it is one letter."""
    small = "i" if character == "\u0130" else character.lower()
    return small if len(small) == 1 else character


def _joined(node: exp.Expr, read: Read) -> Meant:
    expect_only(node, "this", "expression", "safe")
    return Meant(_strung([to_text(read(side), node) for side in (node.this, node.expression)]), TEXT)


def _concat(node: exp.Expr, read: Read) -> Meant:
    """Texts one after the other; a null adds nothing."""
    expect_only(node, "expressions", "safe", "coalesce")
    parts = [to_text(read(part), node) for part in node.expressions]
    empty = exp.Literal.string("")
    return Meant(
        _strung(
            [
                part if isinstance(part, exp.Literal) else exp.Coalesce(this=part, expressions=[empty.copy()])
                for part in parts
            ]
        ),
        TEXT,
    )


def _strung(parts: list[exp.Expr]) -> exp.Expr:
    found = operand(parts[0])
    for part in parts[1:]:
        found = exp.DPipe(this=found, expression=operand(part), safe=False)
    return exp.Paren(this=found)


MEANINGS: Meanings = {
    exp.Like: _like, exp.ILike: _like, exp.Escape: _escape, exp.RegexpLike: _regexp, exp.StartsWith: _part, exp.EndsWith: _part,
    exp.Contains: _part, exp.Length: _length, exp.Substring: _substring, exp.Trim: _trim, exp.Lower: _cased, exp.Upper: _cased,
    exp.DPipe: _joined, exp.Concat: _concat,
}  # fmt: skip
