"""Checkpoints: what is read is what was written, and a torn one is passed over."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cengine.learners.checkpoints import Checkpoint, newest_step, read_newest, write_checkpoint


def checkpoint(step: int) -> Checkpoint:
    arrays = [np.full((3, 2), step, np.float32), np.array(step, np.int64), np.zeros((0,), np.float32)]
    return Checkpoint(step, arrays, [{"step": step, "eval": {"loss": 0.5}}], step, 0.5, arrays[:1])


def test_what_is_written_is_read(tmp_path) -> None:
    write_checkpoint(tmp_path, checkpoint(7))
    found = read_newest(tmp_path)
    assert (found.step, found.history, found.best_step, found.best_loss) == (
        7,
        [{"step": 7, "eval": {"loss": 0.5}}],
        7,
        0.5,
    )
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


def test_a_checkpoint_between_two_others_counts_its_losses(tmp_path) -> None:
    one, other = checkpoint(0), checkpoint(0)
    losses = np.random.default_rng(0).normal(size=1_000).astype(np.float32)
    one.add(losses)
    for part in np.array_split(losses, 7):
        other.add(part)
        write_checkpoint(tmp_path, other)
        other = read_newest(tmp_path)
    assert (one.step, one.loss_sum, one.num_losses) == (other.step, other.loss_sum, other.num_losses)
    assert other.take_running_loss() == pytest.approx(losses.mean(), abs=1e-6)
    assert other.num_losses == 0


TEARS = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-40]),
    "empty": lambda file: file.write_bytes(b""),
    "one byte": lambda file: file.write_bytes(file.read_bytes()[:200] + b"!" + file.read_bytes()[201:]),
    "no digest": lambda file: file.with_suffix(".sha256").unlink(),
    "an empty digest": lambda file: file.with_suffix(".sha256").write_text(""),
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
    assert newest_step(tmp_path) == 1
    write_checkpoint(tmp_path, checkpoint(3))
    assert not (tmp_path / "step-000000000002.sha256").exists()


def test_one_that_is_written_over_a_torn_one(tmp_path) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    write_checkpoint(tmp_path, checkpoint(2))
    TEARS["cut"](tmp_path / "step-000000000002.npz")
    write_checkpoint(tmp_path, checkpoint(2))
    assert read_newest(tmp_path).step == 2


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_disk_that_takes_no_more_leaves_the_one_before(tmp_path) -> None:
    """In a process of its own, which may write no file larger than a few kilobytes."""
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from cengine.learners.checkpoints import Checkpoint, write_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
write_checkpoint(Path(sys.argv[1]), Checkpoint(1, [np.zeros(10)]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_checkpoint(Path(sys.argv[1]), Checkpoint(2, [np.zeros(10_000)]))
except OSError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    assert read_newest(tmp_path).step == 1
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".npz", ".sha256"]
