"""Row identities and seeded orders, in integer arithmetic that gives the same on every engine.

A row's identity is a 62-bit number made of the content of its cells, so that it does not depend on file names, the
order of rows, threads or engine. Rows of equal content are told apart by their occurrence number (see `sources`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from fractions import Fraction

from sqlglot import exp

from cengine.expressions.build import as_number, bigint, double
from cengine.expressions.build import column as quoted
from cengine.names import free_name
from cengine.tables import ROW_ID, Column

PRIME = 2**31 - 1
MASK = 2**31 - 1
HALF = 2**31
# The sum of this many products, each of a number up to 2**31 and a coefficient below 2**27, is below 2**63; a longer sum is slow to plan.
MAX_ADDED = 24


def text_hash(expression: exp.Expr, first_digit: int = 1) -> exp.Expr:
    """A number in [0, 2**28) from a text: seven hexadecimal digits of its MD5."""
    digits = exp.Substring(this=exp.MD5(this=expression), start=exp.convert(first_digit), length=exp.convert(7))
    return exp.cast(exp.DPipe(this=exp.Literal.string("0x"), expression=digits, safe=False), "bigint")


def hashed_text(expression: exp.Expr) -> exp.Expr | None:
    """The text whose `text_hash` an expression is, None if it is something else."""
    joined = expression.this if isinstance(expression, exp.Cast) else None
    digits = joined.expression if isinstance(joined, exp.DPipe) else None
    if not isinstance(digits, exp.Substring) or digits != exp.Substring(
        this=digits.this, start=exp.convert(1), length=exp.convert(7)
    ):
        return None
    return digits.this.this if isinstance(digits.this, exp.MD5) else None


def content_sums(columns: Sequence[Column]) -> tuple[exp.Expr, exp.Expr]:
    """Two numbers in [0, 2**31) from the cells of a row, for `content_hash`.

    Null cells add nothing, so that a new, empty column changes nothing. Each is a linear hash with coefficients drawn
    from the columns' names (universal: Carter and Wegman 1979), so that the order of the columns does not matter.
    Coefficients below 2**27 let 24 products be added before one modulo.
    """
    texts = [column for column in columns if column.kind == "string"]
    others = [column for column in columns if column.kind != "string"]
    numbers = [
        (part_label(column.name, part), value)
        for column in others
        for part, value in enumerate(cell_numbers(column, quoted(column.name)))
    ]
    numbers += [(text_label(part), value) for part, value in enumerate(_text_numbers(texts))] if texts else []
    numbers = numbers or [("no columns", bigint(0))]
    first, second = (_linear_hash(half, numbers) for half in ("high", "low"))
    return first, second


def content_hash(first: exp.Expr, second: exp.Expr) -> exp.Expr:
    """A BIGINT in [0, 2**62) from the two sums: the halves mixed, since linear hashes of regular data are regular."""
    return exp.Paren(this=mix(first)) * bigint(HALF) + exp.Paren(this=mix(second))


def mix(value: exp.Expr) -> exp.Expr:
    """A bijection of [0, 2**31) whose output bits each depend on all input bits.

    Alternating xor-shifts and multiplications by odd numbers, as in MurmurHash3's finalizer (Appleby 2011), with
    products kept below 2**62.
    """
    value = _xor_shift(value, 15)
    value = low_bits(value * bigint(0x2C1B3C6D))
    value = _xor_shift(value, 12)
    value = low_bits(value * bigint(0x297A2D39))
    return _xor_shift(value, 15)


def seeded_key(row_id: exp.Expr, purpose: str, seed: int) -> exp.Expr:
    """A bijection of row identities: ordering by it is a shuffle of the rows, another one for each purpose and seed.

    One Feistel round: the high half is xor-ed with a seeded function of the low half. Identities are already
    uniform, so one round suffices; as a bijection it makes no ties.
    """
    low = low_bits(row_id)
    multiplier, offset = _draw(f"{purpose}:{seed}:multiplier", 2**31), _draw(f"{purpose}:{seed}:offset", 2**31)
    round_value = exp.Paren(this=exp.Paren(this=low * bigint(multiplier) + bigint(offset)) % bigint(PRIME))
    high = exp.Paren(this=exp.BitwiseXor(this=high_bits(row_id), expression=round_value))
    return exp.Paren(this=high * bigint(HALF) + low.copy())


def drawn(purpose: str, num_wanted: int, num_rows: int) -> exp.Expr:
    """A condition that about `num_wanted` of `num_rows` rows fulfil, the same ones each time."""
    share = Fraction(num_wanted, num_rows)
    return exp.LT(this=seeded_key(quoted(ROW_ID), purpose, 0), expression=bigint(int(share * 2**62)))


def told_apart(rows: exp.Expr, names: Sequence[str], content: str, occurrence: str, identity: str) -> exp.Select:
    """The columns `names` of the rows, and their identities: of rows of equal content the first keeps the content hash.

    The others get a hash of content and occurrence (from 0). Each step is a query of its own, since one expression would
    repeat the content hundreds of times.
    """
    low, high = (free_name(stem, [*names, content, occurrence]) for stem in ("_low", "_high"))
    kept = [quoted(name) for name in dict.fromkeys([*names, content, occurrence])]
    lower = low_bits(low_bits(quoted(content)) + quoted(occurrence) * bigint(0x3C6EF372))
    rows = exp.select(*kept, lower.as_(low, quoted=True)).from_(rows).subquery("lower")
    higher = exp.BitwiseXor(this=high_bits(quoted(content)), expression=exp.Paren(this=mix(quoted(low))))
    rows = exp.select(*kept, quoted(low), higher.as_(high, quoted=True)).from_(rows).subquery("higher")
    later = content_hash(quoted(high), quoted(low))
    own = exp.Case().when(exp.EQ(this=quoted(occurrence), expression=bigint(0)), quoted(content)).else_(later)
    return exp.select(*[quoted(name) for name in names], own.as_(identity, quoted=True)).from_(rows)


def _linear_hash(half: str, numbers: list[tuple[str, exp.Expr]]) -> exp.Expr:
    # Numbers are written alike in both halves, so that an engine works them out once.
    terms: list[exp.Expr] = [
        exp.Mul(this=present(value.copy()), expression=bigint(coefficient(half, label))) for label, value in numbers
    ]
    return remainder(terms, MAX_ADDED)


def part_label(name: str, part: int) -> str:
    """What the coefficient of a number of a column's cell is drawn from."""
    return f"{name}:{part}"


def text_label(part: int) -> str:
    """What the coefficient of a number of all texts is drawn from."""
    return f"texts:{part}"


def coefficient(half: str, label: str) -> int:
    """A number below 2**27 by which one number of a row is multiplied."""
    return _draw(f"{half}:{label}", 2**27)


def present(value: exp.Expr) -> exp.Expr:
    """The number plus one, 0 where there is none."""
    return exp.Coalesce(this=exp.Add(this=value, expression=bigint(1)), expressions=[bigint(0)])


def added(terms: list[exp.Expr]) -> exp.Expr:
    """The sum of terms, without parentheses: Spark's parser needs seconds for a new pattern of nested ones."""
    return functools.reduce(lambda total, term: exp.Add(this=total, expression=term), terms)


def remainder(terms: list[exp.Expr], most: int) -> exp.Expr:
    """The sum of the terms modulo PRIME; at most so many are added before a modulo."""
    while True:
        parts = (added(terms[start : start + most]) for start in range(0, len(terms), most))
        terms = [exp.Paren(this=exp.Mod(this=exp.Paren(this=part), expression=bigint(PRIME))) for part in parts]
        if len(terms) == 1:
            return terms[0]


def cell_numbers(column: Column, cell: exp.Expr) -> list[exp.Expr]:
    """Numbers in [0, 2**31) that stand for a cell of the column; two or three for wide types."""
    if column.kind == "boolean":
        return [as_number(cell, "boolean")]
    if column.kind == "integer":
        narrow = column.sql_type.upper() in ("TINYINT", "SMALLINT", "UTINYINT", "USMALLINT")
        value = exp.cast(cell, "bigint")
        return [low_bits(value)] if narrow else [low_bits(value), high_bits(value)]
    if column.kind == "float":
        return _numbers_of_double(exp.cast(cell, "double"))
    if column.kind == "timestamp":
        micros = exp.Anonymous(this="epoch_us", expressions=[exp.cast(cell, "timestamp")])
        return [low_bits(micros), high_bits(micros)]
    raise AssertionError(f"{column.kind} has no numbers")


def _numbers_of_double(number: exp.Expr) -> list[exp.Expr]:
    in_range = is_whole_in_range(number)
    whole, fraction = parts_of_double(number)
    integer = exp.Case().when(in_range, whole)
    return [low_bits(integer), high_bits(integer), exp.Case().when(in_range.copy(), fraction).else_(bigint(MASK))]


def is_whole_in_range(number: exp.Expr) -> exp.Expr:
    """Whether a DOUBLE is a number below 2**61: beyond, it has no fraction and would not fit, and all such share one value.

    NaN is asked for by itself: a file's statistics leave it out, and an engine that trusts them drops the comparison.
    """
    is_number = exp.EQ(this=exp.Sub(this=number.copy(), expression=number.copy()), expression=double(0.0))
    return exp.and_(is_number, exp.LT(this=exp.Abs(this=number.copy()), expression=double(2.0**61)))


def parts_of_double(number: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    """The whole number below a DOUBLE, and the first 31 binary digits of the rest, as BIGINTs."""
    whole = exp.Floor(this=number.copy())
    rest = exp.Paren(this=exp.Sub(this=number.copy(), expression=whole.copy()))
    return exp.cast(whole, "bigint"), exp.cast(exp.Floor(this=exp.Mul(this=rest, expression=double(2.0**31))), "bigint")


def _text_numbers(columns: Sequence[Column]) -> list[exp.Expr]:
    """Two numbers in [0, 2**28) that stand for all texts of a row: one MD5 costs far less than one a column.

    Each text comes with a mark made of its column's name, in the order of the names; null texts are passed over, and
    a row of nothing else has no numbers. (Engines disagree on whether CONCAT_WS of a null is null.)
    """
    marked: list[exp.Expr] = []
    for column in sorted(columns, key=lambda c: c.name):
        text = exp.DPipe(
            this=exp.Literal.string(mark_of(column.name)), expression=exp.cast(quoted(column.name), "text"), safe=False
        )
        marked.append(exp.Coalesce(this=text, expressions=[exp.Literal.string("")]))
    # A chain of || would be as deep as the table is wide.
    joined = exp.Nullif(this=exp.Anonymous(this="CONCAT", expressions=marked), expression=exp.Literal.string(""))
    return [text_hash(joined), text_hash(joined.copy(), first_digit=8)]


def mark_of(name: str) -> str:
    """What stands before a text, so that texts that change their columns are told apart."""
    return f"\x1f{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def low_bits(value: exp.Expr) -> exp.Expr:
    """The lower 31 bits of a BIGINT."""
    return exp.Paren(this=exp.BitwiseAnd(this=exp.Paren(this=value.copy()), expression=bigint(MASK)))


def high_bits(value: exp.Expr) -> exp.Expr:
    """The 31 bits above the lower ones."""
    shifted = exp.Paren(this=exp.BitwiseRightShift(this=exp.Paren(this=value.copy()), expression=bigint(31)))
    return exp.Paren(this=exp.BitwiseAnd(this=shifted, expression=bigint(MASK)))


def _xor_shift(value: exp.Expr, bits: int) -> exp.Expr:
    value = exp.Paren(this=value.copy())
    shifted = exp.Paren(this=exp.BitwiseRightShift(this=value.copy(), expression=bigint(bits)))
    return exp.Paren(this=exp.BitwiseXor(this=value, expression=shifted))


def _draw(text: str, below: int) -> int:
    """An odd number in [1, below) that depends on the text alone."""
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return digest % (below // 2) * 2 + 1
