"""How rows are dealt to folds, by hypothesis against dealing them one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cengine.preprocess.folds import dealt, fold_sizes


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(2, 20))
def test_as_cards_are_dealt(sizes, num_folds) -> None:
    expected = np.zeros((len(sizes), num_folds), np.int64)
    card = 0
    for group, size in enumerate(sizes):
        for _ in range(size):
            expected[group, card % num_folds] += 1
            card += 1
    assert dealt(np.array(sizes), num_folds).tolist() == expected.tolist()


@given(st.integers(0, 10**9), st.integers(2, 20))
def test_folds_differ_by_one_at_most(num, num_folds) -> None:
    found = fold_sizes(num, num_folds)
    assert found.sum() == num
    assert np.ptp(found) <= 1
    assert dealt(np.array([num]), num_folds)[0].tolist() == found.tolist()
