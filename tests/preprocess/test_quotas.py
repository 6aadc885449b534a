"""Exact shares: by hypothesis, against the largest remainder in fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import largest_remainder

from cengine.preprocess.quotas import quotas


@st.composite
def shares(draw):
    """Shares of two to five splits that add up to one, as a YAML could say them."""
    weights = draw(st.lists(st.integers(1, 1000), min_size=2, max_size=5))
    return [Fraction(weight, sum(weights)) for weight in weights]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=20), shares())
@example([0, 1, 2, 3, 7, 10, 11], [Fraction(9, 10), Fraction(1, 10)])
def test_complete_and_off_by_less_than_a_row_but_for_the_two_rules(sizes, ratio) -> None:
    counts = quotas(np.array(sizes), ratio)
    assert counts.sum(axis=1).tolist() == sizes
    assert (counts >= 0).all()
    for size, row in zip(sizes, counts.tolist(), strict=True):
        expected = largest_remainder(size, ratio)
        if size >= len(ratio):
            assert min(row) >= 1
        if 0 < size < len(ratio):
            assert row[0] >= 1
        rules_apply = 0 in expected if size >= len(ratio) else expected[0] == 0
        if not rules_apply:
            assert row == expected
            assert all(abs(count - share * size) < 1 for count, share in zip(row, ratio, strict=True))


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 10**6), shares())
def test_the_rules_move_no_more_rows_than_they_must(size, ratio) -> None:
    (row,) = quotas(np.array([size]), ratio).tolist()
    expected = largest_remainder(size, ratio)
    moved = sum(max(0, got - want) for got, want in zip(row, expected, strict=True))
    assert moved <= expected.count(0)


@pytest.mark.parametrize(
    ("size", "ratio", "expected"),
    [
        (10, ["0.9", "0.1"], [9, 1]),
        (15, ["0.9", "0.1"], [14, 1]),  # equal remainders favour train
        (25, ["0.9", "0.1"], [23, 2]),
        (1, ["0.9", "0.1"], [1, 0]),
        (1, ["0.1", "0.9"], [1, 0]),  # a small group fills train first, whatever the shares
        (2, ["0.99", "0.01"], [1, 1]),  # as many rows as splits: one in each
        (2, ["0.8", "0.1", "0.1"], [2, 0, 0]),
        (3, ["0.8", "0.1", "0.1"], [1, 1, 1]),
        (0, ["0.8", "0.2"], [0, 0]),
        (10**9, ["0.333333333", "0.333333333", "0.333333334"], [333333333, 333333333, 333333334]),
    ],
)
def test_known_quotas(size, ratio, expected) -> None:
    assert quotas(np.array([size]), [Fraction(share) for share in ratio]).tolist() == [expected]


def test_nine_tenths_means_nine_tenths() -> None:
    # 0.9 in binary is a little more: over ten million rows the nearest fraction must not matter.
    assert quotas(np.array([10**7]), [Fraction("0.9"), Fraction("0.1")]).tolist() == [[9 * 10**6, 10**6]]
