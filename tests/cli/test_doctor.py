"""`cengine doctor`: it answers whatever is broken, and names what mends it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import YAML, Terminal, table_text

from cengine.store.lifecycle import RUNNING
from cengine.store.processes import identity_of
from cengine.store.records import now


def findings(terminal: Terminal, code: int | None = 0) -> dict[str, list[dict]]:
    """What it says, by name."""
    found: dict[str, list[dict]] = {}
    for finding in terminal("doctor", "--json", code=code).json["findings"]:
        found.setdefault(finding["name"], []).append(finding)
    return found


def test_a_folder_without_a_project_stays_so(terminal) -> None:
    terminal.folder.mkdir()
    found = findings(terminal)
    assert "none yet" in found["project"][0]["text"]
    assert list(terminal.folder.iterdir()) == []
    assert {"python", "versions", "cores", "memory", "disk", "clock", "libraries", "devices"} <= found.keys()
    assert "keras" in found["libraries"][0]["text"]
    assert (
        "cpu" in found["devices"][0]["text"]
        or "gpu" in found["devices"][0]["text"]
        or "cuda" in found["devices"][0]["text"]
    )


def test_a_project_at_work(terminal) -> None:
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    terminal("pipeline", "run", "mine", "-y")
    told = terminal("doctor").out
    assert "1 recorded, 0 go on" in told
    assert "sqlite" in told
    assert "no problems" in told
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    lost = identity_of(child.pid)
    child.wait()
    terminal.project.records.runs.update(1, status=RUNNING, process=lost, heartbeat_at=now(), ended_at=None)
    found = findings(terminal)
    assert ("warning", "cengine pipeline resume 1:1") in [(f["state"], f["mend"]) for f in found["runs"]]
    terminal.project.records.runs.update(1, heartbeat_at="2100-01-01T00:00:00+00:00")
    assert "in the future" in findings(terminal)["clock"][-1]["text"]
    terminal.project.folder.chmod(0o755)
    assert findings(terminal)["project"][0]["mend"].startswith("chmod 700 ")


@pytest.mark.parametrize("damage", ["records", "newer", "settings", "a file"])
def test_a_broken_project_is_a_problem(terminal, damage) -> None:
    terminal("workspace", "create", "first")  # a command that writes makes the project
    folder = terminal.project.folder
    terminal.project.records.engine.dispose()
    if damage == "records":
        for file in folder.glob("records.db*"):
            file.write_bytes(b"no database at all" * 500)
    elif damage == "newer":
        with sqlite3.connect(folder / "records.db") as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
    elif damage == "settings":
        (folder / "settings.yaml").write_text("prices: {cpu_hours: 1}\n")
    else:
        shutil.rmtree(folder)
        folder.write_text("a file")
    found = findings(terminal, code=1)
    (problem,) = [finding for same in found.values() for finding in same if finding["state"] == "problem"]
    words = {
        "records": "is damaged",
        "newer": "newer cengine",
        "settings": "prices.cpu_hours",
        "a file": "is no folder",
    }
    assert words[damage] in problem["text"]


def test_a_broken_installation_is_named(tmp_path) -> None:
    """A library that does not import, one that kills its process, and one that is not what it seems."""
    for name, text in {
        "keras": "raise ImportError('no such symbol: PyFoo')",
        "pyarrow": "import os; os.abort()",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
        environment = {
            **os.environ,
            "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
            "CENGINE_PROJECT": str(tmp_path / "p"),
        }
        command = [sys.executable, "-m", "cengine.cli.main", "doctor"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert f"{name} does not work" in done.stdout
        assert f"-m pip install --force-reinstall --no-deps {name}" in done.stdout
        assert "1 problem" in done.stdout
        shutil.rmtree(tmp_path / name)


def test_a_requirement_that_is_not_met_is_named(tmp_path) -> None:
    """Installed beside: metadata of a cengine that wants what there is not."""
    info = tmp_path / "cengine_ml-9.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: cengine-ml\nVersion: 9.0\nRequires-Dist: click>=900\nRequires-Dist: no-such-thing>=1\n"
        "Provides-Extra: moon\nRequires-Dist: no-moon>=2; extra == 'moon'\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
        "CENGINE_PROJECT": str(tmp_path / "p"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "cengine.cli.main", "doctor"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert "no-such-thing is not installed" in done.stdout
    assert "pip install 'no-such-thing>=1'" in done.stdout
    assert "which is not >=900" in done.stdout
    assert "pip install 'cengine-ml[moon]'" in done.stdout
    assert "2 problems, 1 warning" in done.stdout


def test_it_is_light() -> None:
    heavy = "('keras', 'jax', 'duckdb', 'pyarrow', 'sqlalchemy')"
    code = f"import sys, cengine.cli.doctor, cengine.doctor.health; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path.home()).stdout == "[]\n"
    )
