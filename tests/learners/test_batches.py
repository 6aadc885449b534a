"""Batches: every row once a pass, another order each pass, and a position that is the step alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from encoded import columns_of, write

from cengine.learners.examples import TrainRows

NUM_ROWS, GROUP_ROWS = 1_003, 100
ALL_FIT, FEW_FIT = 2**26, 16 * 250  # bytes: rows take 16


@pytest.fixture
def file(tmp_path):
    """Rows whose label is their number; a third are of split 1."""
    split = np.arange(NUM_ROWS) % 3 == 2
    return write(tmp_path / "encoded.parquet", {"y": np.arange(NUM_ROWS)}, columns_of(NUM_ROWS), split, GROUP_ROWS)


def numbers(batch):
    return batch.labels["y"].astype(int)


def stream(file, memory_bytes, seed=0, first_step=0, num_steps=400, batch_rows=7, length=1):
    rows = TrainRows(file, seed, memory_bytes)
    return np.concatenate(
        [numbers(chunk) for chunk in rows.chunks(first_step, itertools.repeat(length, num_steps), batch_rows)]
    )


memories = pytest.mark.parametrize("memory_bytes", [ALL_FIT, FEW_FIT], ids=["all fit", "windows"])


@memories
def test_every_train_row_exactly_once_a_pass(file, memory_bytes) -> None:
    train = np.flatnonzero(np.arange(NUM_ROWS) % 3 != 2)
    rows = stream(file, memory_bytes)
    passes = [rows[n * len(train) : (n + 1) * len(train)] for n in range(3)]
    for one in passes:
        assert sorted(one) == train.tolist()
    assert not np.array_equal(passes[0], passes[1])
    assert not np.array_equal(passes[1], passes[2])


@memories
def test_order_is_the_seeds_alone(file, memory_bytes) -> None:
    np.testing.assert_array_equal(stream(file, memory_bytes, seed=4), stream(file, memory_bytes, seed=4))
    assert not np.array_equal(stream(file, memory_bytes, seed=4), stream(file, memory_bytes, seed=5))


@memories
@pytest.mark.parametrize("first_step", [1, 95, 96, 191, 300])
def test_from_any_step_on_it_is_the_tail(file, memory_bytes, first_step) -> None:
    whole = stream(file, memory_bytes)
    tail = stream(file, memory_bytes, first_step=first_step, num_steps=400 - first_step)
    np.testing.assert_array_equal(tail, whole[7 * first_step :])


@memories
def test_chunk_length_changes_nothing(file, memory_bytes) -> None:
    np.testing.assert_array_equal(stream(file, memory_bytes, num_steps=20, length=20), stream(file, memory_bytes))


def test_a_batch_longer_than_the_table(file) -> None:
    rows = stream(file, ALL_FIT, num_steps=2, batch_rows=1_000)
    assert len(rows) == 2_000
    assert np.bincount(rows, minlength=NUM_ROWS).max() == 3


def test_order_is_well_mixed(file) -> None:
    """Neighbours of the file are no neighbours any more."""
    order = stream(file, ALL_FIT, num_steps=90)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.15


def test_rows_keep_their_cells_together(file) -> None:
    columns = columns_of(NUM_ROWS)
    rows = TrainRows(file, 0, ALL_FIT)
    (chunk,) = rows.chunks(3, [5], 16)
    assert chunk.inputs["numbers"].dtype == chunk.labels["y"].dtype == np.float32
    assert chunk.inputs["codes"].dtype == np.int32
    np.testing.assert_array_equal(chunk.inputs["numbers"][:, 0], columns["a"][numbers(chunk)])
    np.testing.assert_array_equal(chunk.inputs["numbers"][:, 1], columns["b"][numbers(chunk)])
    np.testing.assert_array_equal(chunk.inputs["codes"][:, 0], columns["c"][numbers(chunk)])


@memories
def test_sample_is_of_train_rows_without_repetition(file, memory_bytes) -> None:
    rows = TrainRows(file, 0, memory_bytes)
    one, same = rows.sample(100), TrainRows(file, 0, memory_bytes).sample(100)
    np.testing.assert_array_equal(one.inputs["numbers"], same.inputs["numbers"])
    np.testing.assert_array_equal(numbers(one), numbers(same))
    assert len(set(numbers(one))) == 100
    assert (numbers(one) % 3 != 2).all()
    assert len(rows.sample(10**6)) <= rows.num_rows


def test_windows_hold_no_more_than_they_may(file) -> None:
    rows = TrainRows(file, 0, FEW_FIT)
    assert not rows.fits
    for number in range(5):
        windows = rows._windows(number)
        assert sorted(itertools.chain(*windows)) == list(range(len(rows.counts)))
        assert max(sum(rows.counts[g] for g in window) for window in windows) <= 250


def test_loading_a_split_keeps_the_files_order(file) -> None:
    evaluated = file.load("eval")
    np.testing.assert_array_equal(numbers(evaluated), np.arange(2, NUM_ROWS, 3))
    np.testing.assert_array_equal(
        file.column("_row_id", "eval", range(len(file.group_rows))), np.arange(2, NUM_ROWS, 3)
    )
