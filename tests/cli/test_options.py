"""Options and answers that all commands share: _ or -, JSON, ids or names, help."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from terminal import YAML, Terminal, table_text

HEAVY = ("keras", "jax", "duckdb", "sqlglot", "pyarrow", "numpy", "sqlalchemy", "alembic", "rich", "pydantic")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A terminal after a run."""
    folder = tmp_path_factory.mktemp("finished")
    terminal = Terminal(folder / "project", folder)
    terminal("datasource", "create", "csv", "--name", "table", "--path", terminal.write("table.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    terminal("pipeline", "run", "mine", "-y")
    return terminal


PRINT_TABLES = {
    "datasource list": ("datasource", "list"),
    "datasource show": ("datasource", "show", "table"),
    "datasource peek": ("datasource", "peek", "table", "--seed", "1"),
    "pipeline push": ("pipeline", "push", "CONFIG", "mine"),
    "pipeline list": ("pipeline", "list"),
    "pipeline status": ("pipeline", "status"),
    "pipeline evaluate": ("pipeline", "evaluate", "mine"),
    "pipeline run --explain": ("pipeline", "run", "mine", "--explain"),
    "pipeline run": ("pipeline", "run", "mine", "-y"),
}


@pytest.mark.parametrize("name", PRINT_TABLES)
def test_json_is_json_and_the_table_is_none(finished, name) -> None:
    words = [str(finished.files / "c.yaml") if word == "CONFIG" else word for word in PRINT_TABLES[name]]
    assert json.loads(finished(*words, "--json").out)
    with pytest.raises(json.JSONDecodeError):
        json.loads(finished(*words).out)


@pytest.mark.parametrize("option", ["--pipeline_id", "--pipeline-id"])
def test_underscores_and_hyphens_are_the_same(finished, option) -> None:
    assert "Succeeded" in finished("pipeline", "status", option, "mine").out
    assert (
        finished("pipeline", "evaluate", "mine", "--min_count", 1).out
        == finished("pipeline", "evaluate", "mine", "--min-count", 1).out
    )


def test_slices_are_chosen_sorted_and_bounded(finished) -> None:
    rows = finished("pipeline", "evaluate", "mine", "--slice", "word", "--sort", "mae").rows(
        "word | rows | mae | 95 % | constant"
    )
    errors = [float(row[2]) for row in rows]
    assert errors == sorted(errors, reverse=True)
    assert len(rows) == 3
    assert "(1 of 3 slices, the most harmful first)" in finished("pipeline", "evaluate", "mine", "--rows", 1).out
    assert "there are no slices by x" in finished("pipeline", "evaluate", "mine", "--slice", "x", code=7).err
    assert "did you mean 'mae'?" in finished("pipeline", "evaluate", "mine", "--sort", "mea", code=7).err


def test_a_report_that_cannot_be_written_is_said_to_be(finished, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    for command in (("evaluate", "mine"), ("statistics", "mine")):
        answer = finished("pipeline", *command, "--no-open", "--output", tmp_path / "file" / "report", code=7)
        assert answer.err.startswith(("error: Not a directory: ", "error: File exists: "))
        assert str(tmp_path / "file") in answer.err
    assert (tmp_path / "file").read_text() == "in the way"


def test_peek_and_show(finished) -> None:
    one, same = (finished("datasource", "peek", "--rows", 5, "--seed", 3, "--json").json for _ in range(2))
    assert one == same
    assert len(one) == 5
    assert set(one[0]) == {"x", "word", "y"}
    columns = {c["name"]: c for c in finished("datasource", "show", "--json").json["columns"]}
    assert columns["word"] == {
        "name": "word",
        "type": "string",
        "nulls": 0,
        "distinct": 3,
        "min": "a",
        "mean": None,
        "max": "c",
    }
    assert (columns["x"]["type"], columns["x"]["min"], columns["x"]["max"], columns["x"]["distinct"]) == (
        "float",
        0.0,
        10.0,
        101,
    )


def test_several_datasources(terminal) -> None:
    for name, rows in (("one", 100), ("two", 200)):
        terminal(
            "datasource", "create", "csv", "--name", name, "--path", terminal.write(f"{name}.csv", table_text(rows))
        )
    assert [row["active"] for row in terminal("datasource", "list", "--json").json] == [False, True]
    terminal("datasource", "set", 1)
    assert [row["active"] for row in terminal("datasource", "list", "--json").json] == [True, False]
    path = terminal.write("c.yaml", YAML)
    terminal("pipeline", "push", path, "mine")
    assert "on table" not in terminal("pipeline", "run", "mine", "--explain").out
    assert "200 rows" in terminal("pipeline", "run", "mine", "--explain", "--datasource", "two").out
    terminal("pipeline", "run", "mine", "--datasource", "two", "-y")
    assert "gone" in terminal("datasource", "delete", "two", "-y").out
    assert [row["name"] for row in terminal("datasource", "list", "--json").json] == ["one"]
    assert terminal.files.joinpath("two.csv").exists()
    terminal("pipeline", "evaluate", "mine")
    assert terminal("pipeline", "list", "--json").json[0]["datasource"] == "one"


def test_a_pipeline_whose_datasource_is_gone(terminal) -> None:
    terminal("datasource", "create", "csv", "--name", "one", "--path", terminal.write("one.csv", table_text(100)))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    terminal("datasource", "delete", "one", "-y")
    answer = terminal("pipeline", "run", "mine", "-y", code=None)
    assert answer.code not in (0, 70)
    assert "one" in answer.err
    assert terminal("pipeline", "list", "--json").json[0]["name"] == "mine"


def test_one_snapshot_under_two_names_outlives_one_of_them(terminal) -> None:
    path = terminal.write("one.csv", table_text(100))
    for name in ("one", "two"):
        terminal("datasource", "create", "csv", "--name", name, "--path", path)
    terminal("datasource", "delete", "one", "-y")
    assert terminal("datasource", "show", "two", "--json").json["rows"] == 100


def test_template_can_be_pushed_and_run(terminal) -> None:
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "template", "--label", "y", "-o", terminal.files / "t.yaml")
    terminal("pipeline", "push", terminal.files / "t.yaml", "mine")
    assert "exists already" in terminal("pipeline", "template", "-o", terminal.files / "t.yaml", code=7).err
    assert "did you mean 'word'?" in terminal("pipeline", "template", "--label", "wrod", code=4).err
    configured = terminal.start("pipeline", "configure", terminal.files / "configured.yaml").answer()
    assert configured.code == 0
    terminal("pipeline", "validate", terminal.files / "configured.yaml")


def test_answering_no_runs_nothing(terminal) -> None:
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    environment = {**os.environ, "CENGINE_PROJECT": str(terminal.folder)}
    command = [sys.executable, "-m", "cengine.cli.main", "pipeline", "run", "mine"]
    refused = subprocess.run(command, input="n\n", capture_output=True, text=True, env=environment, check=False)
    assert (refused.returncode, "run it? [Y/n]" in refused.stdout, "nothing was run" in refused.stdout) == (
        1,
        True,
        True,
    )
    agreed = subprocess.run(command, input="Y\n", capture_output=True, text=True, env=environment, check=False)
    assert agreed.returncode == 0
    assert terminal("pipeline", "list", "--json").json[0]["runs"] == 1


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cengine.cli.main import run; run(['--help']); run(['datasource', 'create', '--help']);"
        f"run(['pipeline', '--help']); print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_of_which_everything_is_stored_imports_only_what_it_needs(finished) -> None:
    code = (
        "import sys; from cengine.cli.main import run; assert run(['pipeline', 'run', '1', '-y']) == 0;"
        "print([m for m in ('keras', 'jax', 'pandas', 'pyarrow.compute', 'cengine.evaluation.evaluate') if m in sys.modules])"
    )
    environment = {**os.environ, "CENGINE_PROJECT": str(finished.folder)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr.count("stored already") == 6
    assert done.stdout.splitlines()[-1] == "[]"


def test_output_cut_by_the_reader_is_no_error(finished) -> None:
    command = f"{sys.executable} -m cengine.cli.main pipeline list --json | head -c 1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "CENGINE_PROJECT": str(finished.folder)}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_control_characters_do_not_reach_the_terminal(terminal) -> None:
    text = table_text(50).replace("0.0,a", "0.0,\x1b[31mred\x07")
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", text))
    assert "\x1b" not in terminal("datasource", "peek", "--rows", 50).out


def test_the_folder_is_its_users_alone(finished) -> None:
    assert stat.S_IMODE(finished.project.folder.stat().st_mode) == 0o700
