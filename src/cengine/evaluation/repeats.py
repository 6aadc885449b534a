"""Evaluated rows that stand among the train rows too: a model that remembers them looks better than it is.

Rows are compared by hashes of 62 bits of their features and of their labels. One query counts, all rows of a table of at most
COUNTED_ROWS, and of a larger one those whose features' hash is small: a group of equal rows is counted whole or not at all. Which groups
those are depends on the engine, which has a hash of its own; what is counted of them is an estimate, and said to be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, TypedDict

from sqlglot import exp

from cengine.config.resolve import Resolved
from cengine.config.schema import OUT_OF_FOLD
from cengine.engines.engine import Engine
from cengine.engines.table import EMBEDDED
from cengine.expressions.build import bigint, column
from cengine.expressions.keys import content_hash, content_sums
from cengine.expressions.queries import query
from cengine.preprocess.source import Rows
from cengine.preprocess.split import FoldedSplit, Split

COUNTED_ROWS = 2**19
ID_RANGE = 2**62
# A smaller share of repeated rows changes no metric that is worth a word.
LEAST_SHARE = 0.02
# With so many rows to each combination of features equal rows are the rule, and no sign of copies.
MOST_ROWS_PER_COMBINATION = 2.0
# Nor where most rows with the same features have another label: copies have the same.
LEAST_ALIKE = 0.5


class Repeated(TypedDict):
    """How many of `num_rows` evaluated rows of a split have a train row with the same features, and with the same label too.

    `counted` rows were looked at; where these are not all, the numbers are estimates. `usual` says that features have so
    few combinations, or their labels differ so often, that equal rows are no sign of copies. The sentence is None where too few rows are repeated for a word.
    """

    split: str
    num_rows: int
    counted: int
    alike: int
    same_features: int
    usual: bool
    sentence: str | None


def repeated_rows(engine: Engine, rows: Rows, split: Split, resolved: Resolved) -> list[Repeated]:
    """For each evaluated split the rows that stand among the train rows too; of folds those that stand in another fold, all together."""
    dealt = split.dealt if isinstance(split, FoldedSplit) else None
    labels = list(dict.fromkeys(label.name for label in resolved.labels))
    features = [name for name in dict.fromkeys(f.name for f in resolved.features) if name not in labels]
    (found,) = engine.fetch_rows(_counting(engine, rows, dealt or split, features, labels, of_folds=dealt is not None))
    total = sum(split.report.rows.values())
    # Sums of counts are decimals on some engines, and null of no rows.
    seen, combinations = (int(found[name] or 0) for name in ("rows_seen", "combinations"))
    usual = seen > MOST_ROWS_PER_COMBINATION * max(1, combinations)
    if dealt is not None:
        numbers = range(len(dealt.names))
        sums = {
            f"{what}_0": sum(int(found[f"{what}_{n}"] or 0) for n in numbers) for what in ("counted", "alike", "own")
        }
        return [
            _repeated(
                OUT_OF_FOLD,
                total,
                sums,
                0,
                usual=usual,
                whole=total <= COUNTED_ROWS,
                among="another fold",
                labels=labels,
            )
        ]
    return [
        _repeated(name, split.report.rows[name], found, number, usual=usual, whole=total <= COUNTED_ROWS, labels=labels)
        for number, name in enumerate(split.names)
        if number
    ]


def _counting(
    engine: Engine, rows: Rows, split: Split, features: Sequence[str], labels: Sequence[str], *, of_folds: bool
) -> exp.Select:
    """One row: of each split the rows that were looked at, those that are alike, and those with the same features.

    Labels are hashed of those rows alone that are looked at: hashing is what takes the time.
    """
    assigned = split.assigned(engine, rows, [*features, *labels]).subquery("assigned", copy=False)
    kept = [column(rows.split_column), *map(column, labels)]
    own = rows.free("_own")
    by_features = _hashed(engine, rows, assigned, features, kept, own)
    largest = bigint(_largest(sum(split.report.rows.values())))
    hashed = exp.select("*").from_(by_features.subquery("hashed", copy=False), copy=False)
    small = hashed.where(exp.LTE(this=column(own), expression=largest), copy=False).subquery("small", copy=False)
    numbered = [column(rows.split_column).as_("number", quoted=True), column(own).as_("own", quoted=True)]
    text = _text_of_folds(len(split.names)) if of_folds else _text(len(split.names))
    return query(text, keyed=_hashed(engine, rows, small, labels, numbered, "label"))


def _hashed(
    engine: Engine, rows: Rows, item: exp.Expr, names: Sequence[str], kept: Sequence[exp.Expr], name: str
) -> exp.Select:
    """The columns `kept` of an item of FROM, and beside them a hash of the columns `names`, a BIGINT in [0, 2**62)."""
    if engine.name == EMBEDDED:  # its own hash takes a tenth of the time
        own_hash = exp.Anonymous(this="hash", expressions=[column(one) for one in names] or [bigint(0)])
        narrow = exp.cast(exp.BitwiseRightShift(this=own_hash, expression=exp.convert(2)), "bigint")
        return exp.select(*[one.copy() for one in kept], narrow.as_(name, quoted=True), copy=False).from_(
            item, copy=False
        )
    first, second = (rows.free(stem) for stem in ("_first", "_second"))
    terms = zip((first, second), content_sums([rows.schema[one] for one in names]), strict=True)
    outputs = [term.as_(alias, quoted=True, copy=False) for alias, term in terms]
    summed = exp.select(*[one.copy() for one in kept], *outputs, copy=False).from_(item, copy=False)
    own = [column(one.alias_or_name) for one in kept]
    return exp.select(*own, content_hash(column(first), column(second)).as_(name, quoted=True)).from_(
        summed.subquery("summed", copy=False), copy=False
    )


def _largest(num_rows: int) -> int:
    """The largest hash of features that is looked at."""
    return int(min(Fraction(1), Fraction(COUNTED_ROWS, max(1, num_rows))) * ID_RANGE)


def _text(num_splits: int) -> str:
    numbers = range(1, num_splits)
    each = ", ".join(f"SUM(CASE WHEN number = {i} THEN 1 ELSE 0 END) AS n{i}" for i in numbers)
    totals = ", ".join(
        f"SUM(n{i}) AS counted_{i}, SUM(CASE WHEN trained > 0 THEN n{i} ELSE 0 END) AS alike_{i}, "
        f"SUM(CASE WHEN trained_own > 0 THEN n{i} ELSE 0 END) AS own_{i}"
        for i in numbers
    )
    return f"""
        WITH grouped AS (
            SELECT own, label, COUNT(*) AS n, SUM(CASE WHEN number = 0 THEN 1 ELSE 0 END) AS trained, {each}
            FROM keyed GROUP BY own, label
        ),
        beside AS (
            SELECT *, SUM(trained) OVER (PARTITION BY own) AS trained_own, ROW_NUMBER() OVER (PARTITION BY own ORDER BY label) AS place
            FROM grouped
        )
        SELECT {totals}, SUM(n) AS rows_seen, SUM(CASE WHEN place = 1 THEN 1 ELSE 0 END) AS combinations FROM beside
    """


def _text_of_folds(num_folds: int) -> str:
    """The same where each fold's train rows are those of all other folds."""
    numbers = range(num_folds)
    each = ", ".join(f"SUM(CASE WHEN number = {i} THEN 1 ELSE 0 END) AS n{i}" for i in numbers)
    beside = ", ".join(f"SUM(n{i}) OVER (PARTITION BY own) AS own{i}" for i in numbers)
    totals = ", ".join(
        f"SUM(n{i}) AS counted_{i}, SUM(CASE WHEN n > n{i} THEN n{i} ELSE 0 END) AS alike_{i}, "
        f"SUM(CASE WHEN all_own > own{i} THEN n{i} ELSE 0 END) AS own_{i}"
        for i in numbers
    )
    return f"""
        WITH grouped AS (SELECT own, label, COUNT(*) AS n, {each} FROM keyed GROUP BY own, label),
        beside AS (
            SELECT *, SUM(n) OVER (PARTITION BY own) AS all_own, {beside},
                   ROW_NUMBER() OVER (PARTITION BY own ORDER BY label) AS place
            FROM grouped
        )
        SELECT {totals}, SUM(n) AS rows_seen, SUM(CASE WHEN place = 1 THEN 1 ELSE 0 END) AS combinations FROM beside
    """


def _repeated(
    name: str,
    num_rows: int,
    found: dict[str, Any],
    number: int,
    *,
    usual: bool,
    whole: bool,
    labels: Sequence[str],
    among: str = "train",
) -> Repeated:
    counted, alike, own = (int(found[f"{what}_{number}"] or 0) for what in ("counted", "alike", "own"))
    usual = usual or alike < LEAST_ALIKE * own
    scale = num_rows / counted if counted else 0.0
    alike, own = (round(n * scale) for n in (alike, own))
    about = "" if whole else "about "
    sentence = None
    if counted and alike >= LEAST_SHARE * num_rows:
        sentence = f"{about}{alike:,} of {num_rows:,} rows of {name} ({100 * alike / num_rows:.2g} %) stand in {among} too, with the same features"
        sentence += f" and label; {own:,} ({100 * own / num_rows:.2g} %) with the same features. " if labels else ". "
        of_labels = ", or rows with the same ones have other labels" if labels else ""
        sentence += (
            f"The features have few combinations{of_labels}: that is to be expected."
            if usual
            else "A model that remembers rows looks better on them than it is on new ones."
        )
        sentence = sentence[0].upper() + sentence[1:]
    return {
        "split": name,
        "num_rows": num_rows,
        "counted": counted,
        "alike": alike,
        "same_features": own,
        "usual": usual,
        "sentence": sentence,
    }
