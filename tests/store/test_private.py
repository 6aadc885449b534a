"""Whatever the umask: what the store holds is its user's, and the group's where the folder was opened to the group."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import YAML, table_text

from cengine.store.permissions import make_file, make_folder, restrict


@pytest.fixture(params=[0, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    paths = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in paths}


@pytest.mark.parametrize("umask", [0], indirect=True)
def test_everything_that_commands_write(terminal, umask) -> None:
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    code = f"import os, sys; os.umask({umask}); sys.argv[0] = 'cengine'; from cengine.cli.main import main; main()"
    words = ["--project", str(terminal.folder), "pipeline", "run", "mine", "-y", "--detach"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    terminal("pipeline", "attach", "mine")
    terminal("pipeline", "run", "mine", "-y")
    terminal("datasource", "show", "t")
    terminal("datasource", "statistics", "t")
    terminal("pipeline", "evaluate", "mine", "--no-open")
    terminal("pipeline", "statistics", "mine", "--page", "--no-open")
    found = modes(terminal.project.folder)
    assert {".", "records.db", "logs/run-1.log", "logs/run-2.log", "reports/run-1-2/report.html"} <= set(found)
    assert len(found) > 60
    terminal("cache", "prune", "--all", "-y")
    found |= modes(terminal.project.folder)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


def test_a_running_database_and_its_log(tmp_path, umask) -> None:
    from cengine.store.project import open_project

    project = open_project(tmp_path)
    project.records.set_setting("a", 1)
    found = modes(project.folder)
    assert {"records.db", "records.db-wal", "records.db-shm"} <= set(found)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


def test_a_folder_opened_to_the_group_is_followed_and_nobody_else_gets_in(tmp_path, umask) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o2777)
    make_file(make_folder(folder / "a" / "b") / "c.txt").write_text("x")
    assert modes(folder) == {".": 0o2777, "a": 0o2770, "a/b": 0o2770, "a/b/c.txt": 0o660}


def test_what_others_wrote_is_restricted(tmp_path, umask) -> None:
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    (folder / "a").mkdir()
    (folder / "a" / "b.txt").write_text("x")
    (tmp_path / "beside.txt").write_text("x")
    (folder / "a" / "link").symlink_to(tmp_path / "beside.txt")
    before = (tmp_path / "beside.txt").stat().st_mode
    restrict(folder / "a")
    assert modes(folder) == {".": 0o700, "a": 0o700, "a/b.txt": 0o600}
    assert (tmp_path / "beside.txt").stat().st_mode == before
