"""Windows of points: gathered as they are asked for, and never another point than its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cengine.learners.examples import CODES, NUMBERS, TrainRows, joined
from cengine.learners.windows import Frame, WindowExamples
from cengine.names import HORIZON_STEP, POINT
from cengine.networks.encodings import Linear, OneHot
from cengine.preprocess.apply import Input
from cengine.tables import ROW_ID

INPUTS = [Input("past y", None, Linear(), {}), Input("x", None, Linear(), {}), Input("word", 5, OneHot(), {})]
LENGTH, HORIZON = 4, 2
FRAME = Frame(LENGTH, HORIZON)


def written(folder, num_points: int = 40, frame: Frame = FRAME) -> WindowExamples:
    """Points whose cells say where they are, and a window at every third of them; every fourth window is of eval."""
    place = np.arange(num_points)
    pq.write_table(
        pa.table({
            "past y": pa.array(place, pa.float32()),
            "x": pa.array(place + 1000, pa.float32()),
            "label: y": pa.array(place + 2000, pa.float32()),
            "word": pa.array(place % 5, pa.int32()),
        }),
        folder / "encoded.parquet",
        row_group_size=7,
    )  # fmt: skip
    first = np.arange(0, num_points - frame.num_points + 1, 3)
    split = (np.arange(len(first)) % 4 == 3).astype(np.int16)
    pq.write_table(pa.table({"first": first, "split": split}), folder / "windows.parquet")
    return WindowExamples(
        folder / "encoded.parquet", folder / "windows.parquet", INPUTS, ["y"], ["train", "eval"], frame
    )


def test_a_window_has_its_own_points(tmp_path) -> None:
    examples = written(tmp_path)
    batch = examples.load("train")
    first = np.array([0, 3, 6, 12, 15, 18, 24, 27, 30])
    assert examples.num_rows("train") == len(batch) == 9
    assert np.array_equal(batch.inputs[NUMBERS][..., 0], first[:, None] + np.arange(LENGTH))
    assert np.array_equal(batch.inputs[NUMBERS][..., 1], first[:, None] + np.arange(LENGTH) + 1000)
    assert np.array_equal(batch.inputs[CODES][..., 0], (first[:, None] + np.arange(LENGTH)) % 5)
    assert np.array_equal(batch.labels["y"], (first[:, None] + LENGTH + np.arange(HORIZON) + 2000).ravel())


def test_without_a_horizon_the_label_is_that_of_the_last_point(tmp_path) -> None:
    batch = written(tmp_path, frame=Frame(LENGTH)).load("eval")
    assert batch.inputs[NUMBERS].shape == (len(batch), LENGTH, 2)
    assert np.array_equal(batch.labels["y"], batch.inputs[NUMBERS][:, -1, 0] + 2000)
    assert np.array_equal(batch.last_point.inputs[NUMBERS][:, 0], batch.inputs[NUMBERS][:, -1, 0])
    assert np.array_equal(batch.last_point.labels["y"], batch.labels["y"])


def test_what_is_known_ahead_enters_and_nothing_else_does(tmp_path) -> None:
    batch = written(tmp_path, frame=Frame(LENGTH, HORIZON, (1,), ())).load("train")
    ahead = batch.inputs["ahead_numbers"]
    assert ahead.shape == (len(batch), HORIZON, 1)
    assert np.array_equal(ahead[..., 0].ravel(), batch.labels["y"] - 1000)
    assert batch.inputs["ahead_codes"].shape == (len(batch), HORIZON, 0)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 8), min_size=1, max_size=12), cut=st.integers(0, 12))
def test_lazy_windows_are_what_gathered_ones_are(tmp_path_factory, rows, cut) -> None:
    examples = written(tmp_path_factory.mktemp("windows"))
    lazy = examples.load("train")
    gathered = examples.batch(lazy.arrays)
    chosen = np.array(rows)
    for one, other in (
        (lazy.take(chosen), gathered.take(chosen)),
        (joined([lazy.take(chosen), lazy]), joined([gathered.take(chosen), gathered])),
        (lazy.part(min(cut, 8), 9), gathered.part(min(cut, 8), 9)),
    ):
        assert len(one) == len(other)
        for name in one.inputs:
            assert np.array_equal(one.inputs[name], other.inputs[name])
        assert np.array_equal(one.labels["y"], other.labels["y"])


def test_predictions_know_their_points(tmp_path) -> None:
    examples = written(tmp_path)
    beside = examples.beside("eval", [0])
    first = np.array([9, 21, 33])
    assert np.array_equal(beside[POINT], (first[:, None] + LENGTH + np.arange(HORIZON)).ravel())
    assert beside[HORIZON_STEP].tolist() == [1, 2] * 3
    identities = examples.column(ROW_ID, "eval", [0])
    assert len(set(identities.tolist()) | set(examples.column(ROW_ID, "train", [0]).tolist())) == 2 * 12
    assert np.array_equal(identities // HORIZON, np.repeat(first + LENGTH, HORIZON))


def test_passes_take_every_window_once_and_go_on_at_any_step(tmp_path) -> None:
    examples = written(tmp_path)
    rows = TrainRows(examples, seed=3, memory_bytes=10_000)
    (whole,) = rows.chunks(0, [6], 3)
    (rest,) = rows.chunks(2, [4], 3)
    assert np.array_equal(whole.labels["y"][2 * 3 * HORIZON :], rest.labels["y"])
    first_pass = whole.labels["y"][: 9 * HORIZON : HORIZON]
    assert sorted(first_pass) == sorted(examples.load("train").labels["y"][::HORIZON])


def test_a_window_that_no_table_can_hold_is_not_read(tmp_path) -> None:
    examples = written(tmp_path, num_points=12)
    with pytest.raises(ValueError, match="not in list"):
        examples.load("test")


def test_a_feature_is_exchanged_for_that_of_whole_windows(tmp_path) -> None:
    batch = written(tmp_path).load("train")
    donors = np.array([3, 0, 1])
    found = batch.take(np.array([0, 1, 2])).with_cells(batch, donors, {"floats": [1], "codes": []})
    assert np.array_equal(found.inputs[NUMBERS][..., 1], batch.inputs[NUMBERS][donors, :, 1])
    assert np.array_equal(found.inputs[NUMBERS][..., 0], batch.inputs[NUMBERS][:3, :, 0])
    assert np.array_equal(found.labels["y"], batch.labels["y"][: 3 * HORIZON])
