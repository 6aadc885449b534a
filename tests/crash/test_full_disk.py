"""A disk that fills up, a real one of little size: one clear message, the record says Failed, and with room the run ends as it should."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from disturbed import RESUME, RUN, YAML, Outcome, assert_whole, copied, registered
from terminal import Terminal, Typed

from cengine.engines.duckdb import DuckDB
from cengine.errors import StoreError

pytestmark = pytest.mark.heavy
WIDE = (
    YAML.replace("units: 48", "units: 384")
    .replace("train_steps: 6000", "train_steps: 600")
    .replace("steps: 500", "steps: 100")
)
AMPLE_BYTES = 200 * 2**20

# What is waited for, and the room that is left from then on. Some stages write less than what the last page of a file still holds.
MOMENTS = {
    "before it begins": (None, 0),
    "in Split": ("Split: ", 0),
    "in Fit": ("Fit: ", 0),
    "in Transform": ("Transform: ", 0),
    "in Transform, a part of the rows fits": ("Transform: ", 60_000),
    "in Train": ("Train: ", 0),
    "in Train, a part of the first checkpoint fits": ("Train: ", 300_000),
    "in Train, one checkpoint fits": ("Train: ", 1_500_000),
    "after the first checkpoint": ("checkpoint", 0),
    "after the first checkpoint, a part of the next fits": ("checkpoint", 400_000),
    "in Evaluate": ("Evaluate: ", 0),
    "in Evaluate, the raw predictions fit": ("Evaluate: ", 60_000),
}
USUAL = ("in Transform", "after the first checkpoint, a part of the next fits")


class Disk:
    """A file system in memory, at `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={AMPLE_BYTES}", "tmpfs", str(place)]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode:
            pytest.skip(f"a file system of little size cannot be mounted here: {found.stderr.strip()}")

    def leave(self, room_bytes: int) -> None:
        """From now on nothing more than this fits."""
        while not self.resize(self.used_bytes() + room_bytes):
            pass  # more was written in between

    def make_room(self) -> None:
        assert self.resize(AMPLE_BYTES)

    def resize(self, size: int) -> bool:
        """Whether the disk has this size now; it cannot be made smaller than what it holds."""
        return (
            subprocess.run(["mount", "-o", f"remount,size={size}", str(self.place)], capture_output=True).returncode
            == 0
        )

    def used_bytes(self) -> int:
        found = os.statvfs(self.place)
        return (found.f_blocks - found.f_bfree) * found.f_frsize


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system of little size")
    disk = Disk(tmp_path / "disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk.place)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Terminal, Outcome]:
    folder = tmp_path_factory.mktemp("undisturbed")
    ready = registered(folder, 6000, WIDE)
    done = copied(ready, folder / "done")
    done(*RUN)
    return ready, Outcome.of(done)


def await_moment(typed: Typed, terminal: Terminal, moment: str) -> None:
    if moment == "checkpoint":
        typed.waits_for(
            lambda: list((terminal.project.folder / "artifacts" / ".work").glob("Train-*/checkpoints/step-*.npz"))
        )
    else:
        typed.says(moment)


@pytest.mark.parametrize(
    "where", [name if name in USUAL else pytest.param(name, marks=pytest.mark.heavy) for name in MOMENTS]
)
def test_a_disk_that_fills_up(undisturbed, disk, where) -> None:
    ready, expected = undisturbed
    moment, room = MOMENTS[where]
    terminal = copied(ready, disk.place / "project")
    if moment is None:
        disk.leave(room)
    typed = terminal.start(*RUN)
    if moment is not None:
        await_moment(typed, terminal, moment)
        disk.leave(room)
    answer = typed.answer()
    assert answer.code == 7, answer
    assert answer.err.count("the disk is full") == 1, answer.err
    assert "sorry" not in answer.err
    assert "Traceback" not in answer.err
    assert not [name for name in terminal.leftovers() if "draft" in name]

    disk.make_room()
    runs = terminal("pipeline", "runs", "mine", "--json").json
    assert [(run["status"], run["message"]) for run in runs] in ([], [("Failed", "error: the disk is full")])
    assert runs or moment is None
    terminal(*(RESUME if runs else RUN))
    Outcome.of(terminal).assert_equal(expected)
    assert_whole(terminal)


def test_pruning_makes_room_on_a_full_disk(undisturbed, disk) -> None:
    ready, expected = undisturbed
    terminal = copied(ready, disk.place / "project")
    terminal(*RUN)
    disk.leave(0)
    assert "removed" in terminal.start("cache", "prune", "--all", "-y").answer().out
    disk.make_room()
    assert "nothing is wrong" in terminal("cache", "verify").out
    terminal(*RUN)
    Outcome.of(terminal).assert_equal(expected)


def test_what_does_not_fit_into_memory_and_not_on_the_disk_either(disk) -> None:
    assert disk.resize(20 * 2**20)
    with (
        DuckDB(disk.place / "scratch", memory_bytes=64 * 2**20, threads=2) as engine,
        pytest.raises(StoreError, match="the disk is full") as caught,
    ):
        engine.write(
            "SELECT md5(range::VARCHAR) AS text FROM range(6000000) ORDER BY text", disk.place / "sorted.parquet"
        )
    assert isinstance(caught.value.__cause__, duckdb.Error)
    shutil.rmtree(disk.place / "scratch", ignore_errors=True)
