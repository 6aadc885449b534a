"""`cengine workspace`: the same names twice, in one store."""

from __future__ import annotations

import os

import pytest
from terminal import YAML, table_text


@pytest.fixture
def two(terminal):
    """A datasource `t` in the default workspace, and a workspace `team`, which is active."""
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    assert "workspace 2 (team) is made, and active" in terminal("workspace", "create", "team").out
    return terminal


def test_the_same_names_in_two_workspaces(two) -> None:
    assert two("datasource", "list", "--json").json == []
    assert "there are no datasources yet" in two("pipeline", "push", two.write("c.yaml", YAML), "mine", code=7).err
    two("datasource", "create", "csv", "--name", "t", "--path", two.write("u.csv", table_text(500)))
    two("pipeline", "push", two.files / "c.yaml", "mine")
    assert two("--workspace", "default", "pipeline", "list", "--json").json == []
    two("--workspace", "default", "pipeline", "push", two.files / "c.yaml", "mine")
    assert [row["id"] for row in two("pipeline", "list", "--json").json] == [1]
    assert [row["id"] for row in two("--workspace", "default", "pipeline", "list", "--json").json] == [2]
    error = two("pipeline", "status", "--pipeline_id", 2, code=7).err
    assert "the workspace 'default' has one: --workspace default" in error
    assert [row["rows"] for row in two("datasource", "list", "--json").json] == [500]


def test_each_has_an_active_datasource(two) -> None:
    two("datasource", "create", "csv", "--name", "a", "--path", two.files / "t.csv")
    two("datasource", "create", "csv", "--name", "b", "--path", two.files / "t.csv")
    two("datasource", "set", "a")
    assert [row["name"] for row in two("datasource", "list", "--json").json if row["active"]] == ["a"]
    two("workspace", "set", "default")
    assert [row["name"] for row in two("datasource", "list", "--json").json if row["active"]] == ["t"]
    two("workspace", "set", 2)
    assert [row["name"] for row in two("datasource", "list", "--json").json if row["active"]] == ["a"]


def test_list_and_show(two) -> None:
    rows = two("workspace", "list").rows("Selection | ID | Name | Datasources | Pipelines | Runs | Created (UTC)")
    assert [row[:6] for row in rows] == [["", "1", "default", "1", "0", "0"], ["*", "2", "team", "0", "0", "0"]]
    shown = two("workspace", "show", "default").out
    assert "workspace 1 (default): 1 datasources, 0 pipelines, 0 runs" in shown
    assert str(two.project.folder / "records.db") in shown
    assert two("workspace", "show", "--json").json["name"] == "team"
    assert [row["active"] for row in two("--workspace", "default", "workspace", "list", "--json").json] == [True, False]


def test_what_is_deleted_in_one_stays_in_the_other(two) -> None:
    """The two share a snapshot, for the content is the same."""
    two("datasource", "create", "csv", "--name", "mine", "--path", two.files / "t.csv")
    assert "0 GB freed" in two("datasource", "delete", "mine", "-y").out
    two("--workspace", "default", "datasource", "peek", "t")
    two("--workspace", "default", "datasource", "delete", "t", "-y")
    assert list((two.project.folder / "artifacts" / "snapshot").glob("*/*")) == []


def test_named_by_the_environment(two, monkeypatch) -> None:
    monkeypatch.setenv("CENGINE_WORKSPACE", "default")
    assert [row["name"] for row in two("datasource", "list", "--json").json] == ["t"]
    assert "CENGINE_WORKSPACE=default goes before it" in two("workspace", "set", "team").err
    assert two("--workspace", "team", "datasource", "list", "--json").json == []
    assert os.environ["CENGINE_WORKSPACE"] == "default"
    monkeypatch.setenv("CENGINE_WORKSPACE", "new")
    assert "known workspaces: 1 (default), 2 (team)" in two("datasource", "list", code=7).err
    two("workspace", "create", "new")
    assert two("datasource", "list", "--json").json == []


@pytest.mark.parametrize("name", ["default", "7", "", "a\tb"])
def test_names_that_cannot_be(two, name) -> None:
    assert two("workspace", "create", name, code=7).err
    assert len(two("workspace", "list", "--json").json) == 2


def test_one_that_is_not_there(two) -> None:
    for words in (
        ("workspace", "set", "taem"),
        ("workspace", "show", "taem"),
        ("--workspace", "taem", "datasource", "list"),
    ):
        assert "did you mean 'team'?" in two(*words, code=7).err
    assert two("workspace", "show", "--json").json["name"] == "team"


def test_a_detached_run_stays_in_its_workspace(two) -> None:
    two("datasource", "create", "csv", "--name", "t", "--path", two.files / "t.csv")
    two("pipeline", "push", two.write("c.yaml", YAML), "mine")
    two("workspace", "set", "default")
    two("--workspace", "team", "pipeline", "run", "mine", "-y", "--detach")
    two("--workspace", "team", "pipeline", "attach", "mine")
    assert two("--workspace", "team", "pipeline", "status", "--json").json[0]["status"] == "Succeeded"
    assert two("pipeline", "status", "--json").json == []
