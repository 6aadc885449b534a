"""Checkpoints: what is read is what was written, and a torn one is passed over."""

from __future__ import annotations

import numpy as np
import pytest

from cengine.training.checkpoints import Checkpoint, read_newest, write_checkpoint


def checkpoint(step: int) -> Checkpoint:
    arrays = [np.full((3, 2), step, np.float32), np.array(step, np.int64), np.zeros((0,), np.float32)]
    return Checkpoint(step, arrays, [{"step": step, "eval": {"loss": 0.5}}], step, 0.5, arrays[:1])


def test_what_is_written_is_read(tmp_path) -> None:
    write_checkpoint(tmp_path, checkpoint(7))
    found = read_newest(tmp_path)
    assert (found.step, found.history, found.best_step, found.best_loss) == (7, [{"step": 7, "eval": {"loss": 0.5}}], 7, 0.5)
    for array, expected in zip(found.arrays, checkpoint(7).arrays, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    assert len(found.best_arrays) == 1


def test_none_where_there_is_none(tmp_path) -> None:
    assert read_newest(tmp_path / "nowhere") is None


def test_only_the_newest_two_are_kept(tmp_path) -> None:
    for step in (9, 10, 11, 100):
        write_checkpoint(tmp_path, checkpoint(step))
    assert read_newest(tmp_path).step == 100
    assert len(list(tmp_path.iterdir())) == 4  # two files each


TEARS = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-40]),
    "empty": lambda file: file.write_bytes(b""),
    "one byte": lambda file: file.write_bytes(file.read_bytes()[:200] + b"!" + file.read_bytes()[201:]),
    "no digest": lambda file: file.with_suffix(".sha256").unlink(),
    "another digest": lambda file: file.with_suffix(".sha256").write_text("0" * 64),
}


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_one_is_passed_over(tmp_path, tear) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    write_checkpoint(tmp_path, checkpoint(2))
    TEARS[tear](tmp_path / "step-000000000002.npz")
    assert read_newest(tmp_path).step == 1


def test_half_a_file_of_a_killed_process_is_no_checkpoint(tmp_path) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    (tmp_path / "step-000000000002.partial").write_bytes(b"PK")
    (tmp_path / "step-000000000002.sha256").write_text("0" * 64)
    assert read_newest(tmp_path).step == 1
