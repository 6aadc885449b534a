"""The project folder: where it is found, who may read it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from cengine.errors import StoreError
from cengine.store.project import open_project


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working folder of our own, and no project named by the environment."""
    monkeypatch.delenv("CENGINE_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_new_one_here(tmp_path) -> None:
    assert open_project().folder == tmp_path / ".cengine"
    assert (tmp_path / ".cengine" / ".gitignore").read_text() == "*\n"


def test_the_nearest_one_above(tmp_path, monkeypatch) -> None:
    open_project()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert open_project().folder == tmp_path / ".cengine"
    open_project(tmp_path / "a")
    assert open_project().folder == tmp_path / "a" / ".cengine"


def test_named_by_the_environment_or_by_path(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CENGINE_PROJECT", str(tmp_path / "named"))
    assert open_project().folder == tmp_path / "named" / ".cengine"
    assert open_project(tmp_path / "given").folder == tmp_path / "given" / ".cengine"
    assert open_project(tmp_path / "given" / ".cengine").folder == tmp_path / "given" / ".cengine"


def test_only_its_user_may_read_it(tmp_path) -> None:
    before = os.umask(0)
    try:
        folder = open_project().folder
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_in_the_way(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        open_project(tmp_path / "file")


def test_scratch_of_dead_processes_is_cleared_that_of_living_ones_is_not(tmp_path) -> None:
    folder = open_project().folder
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (str(dead.pid), str(os.getpid()), "notes"):
        (folder / "scratch" / name).mkdir(parents=True)
        (folder / "scratch" / name / "spilled.tmp").write_text("x")
    open_project()
    assert sorted(path.name for path in (folder / "scratch").iterdir()) == sorted([str(os.getpid()), "notes"])
