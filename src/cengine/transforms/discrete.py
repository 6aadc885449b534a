"""Transforms that give an index: vocabularies, buckets, hashes."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from sqlglot import exp

from cengine.expressions.build import as_double, as_number, bigint, double, step_function
from cengine.expressions.keys import text_hash
from cengine.summaries import Needs, Summary
from cengine.transforms.value import DISCRETE, Lookups, Transform, Value


class ComputeAndApplyVocabulary(Transform):
    """The value's index in the train rows' vocabulary, ordered by frequency, then by value.

    Values outside of it take the indices after the last: one for all, or one of `num_oov_buckets` by hash.
    """

    name = "compute_and_apply_vocabulary"
    accepts = DISCRETE
    gives = "code"
    top_k: int | None = Field(default=None, ge=1, le=2**31 - 1)
    num_oov_buckets: int = Field(default=1, ge=1, le=1_000_000)

    def needs(self) -> Needs:
        return Needs(counts=True, top=self.top_k)

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return {"vocabulary": [value for value, _ in summary.counts]}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        vocabulary = tuple(statistics["vocabulary"])
        unseen: exp.Expr = bigint(len(vocabulary))
        if self.num_oov_buckets > 1:
            hashed = text_hash(exp.cast(value.expression.copy(), "text"))
            unseen = unseen + exp.Paren(this=hashed % bigint(self.num_oov_buckets))
        index = lookups.index_of(value.expression, value.kind, vocabulary)
        code = exp.Coalesce(this=index, expressions=[unseen])
        return (Value(code, "code", len(vocabulary) + self.num_oov_buckets, value.part),)


class OneHotEncode(Transform):
    """One input of the network for each value of the vocabulary (or for each index, after a word that gives one)."""

    name = "one_hot_encode"
    accepts = (*DISCRETE, "code")
    gives = "code"
    top_k: int | None = Field(default=None, ge=1, le=2**31 - 1)

    def needs(self) -> Needs:
        return Needs(counts=True, top=self.top_k)

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return {"vocabulary": [value for value, _ in summary.counts]}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        if value.kind == "code":
            return (Value(value.expression, "code", value.size, value.part, one_hot=True),)
        vocabulary = ComputeAndApplyVocabulary(top_k=self.top_k)
        (coded,) = vocabulary.apply(value, statistics, lookups)
        return (Value(coded.expression, "code", coded.size, value.part, one_hot=True),)


class Bucketize(Transform):
    """The number of the value's bucket; the edges are quantiles of the train rows, so that buckets are equally full."""

    name = "bucketize"
    accepts = ("integer", "float")
    gives = "code"
    num_buckets: int = Field(default=10, ge=2, le=10_000)

    def needs(self) -> Needs:
        return Needs(probabilities=tuple(i / self.num_buckets for i in range(1, self.num_buckets)))

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return {"edges": sorted({float(edge) for edge in summary.quantiles})}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        edges = statistics["edges"]
        codes = [bigint(i) for i in range(len(edges) + 1)]
        code = step_function(as_double(as_number(value.expression, value.kind)), [double(e) for e in edges], codes)
        return (Value(code, "code", len(edges) + 1, value.part),)


class HashStrings(Transform):
    """The value's hash modulo `hash_buckets`: no vocabulary to learn, at the price of collisions."""

    name = "hash_strings"
    accepts = ("integer", "string")
    gives = "code"
    hash_buckets: int = Field(default=1000, ge=2, le=2**24)

    def needs(self) -> Needs:
        return Needs()

    def fit(self, summary: Summary, where: str) -> dict[str, Any]:
        return {}

    def apply(self, value: Value, statistics: dict[str, Any], lookups: Lookups) -> tuple[Value, ...]:
        hashed = text_hash(exp.cast(value.expression, "text"))
        return (Value(exp.Paren(this=hashed % bigint(self.hash_buckets)), "code", self.hash_buckets, value.part),)
