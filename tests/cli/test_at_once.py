"""Several commands at once on one project: each result is built once, nothing is lost, all succeed."""

from __future__ import annotations

import pytest
from terminal import YAML, table_text


@pytest.fixture
def table(terminal):
    path = terminal.write("table.csv", table_text(2_000))
    terminal("datasource", "create", "csv", "--name", "table", "--path", path)
    return terminal


def answers(processes):
    found = [process.answer() for process in processes]
    for answer in found:
        assert answer.code == 0, answer.err
    return found


def test_two_runs_of_one_pipeline(table) -> None:
    """The second waits for what the first is building, and takes it."""
    text = YAML.replace("train_steps: 20", "train_steps: 3000").replace(
        "checkpoints_steps: 10", "checkpoints_steps: 500"
    )
    table("pipeline", "push", table.write("c.yaml", text), "mine")
    first = table.start("pipeline", "run", "mine", "-y", "--json")
    first.says("Split")
    second = table.start("pipeline", "run", "mine", "-y", "--json")
    one, other = answers([first, second])
    assert one.json["metrics"] == other.json["metrics"]
    assert {one.json["run"], other.json["run"]} == {1, 2}
    assert "stored already" in other.err
    for stage in ("Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate"):
        assert len(list((table.project.folder / "artifacts" / stage).glob("*/*"))) == 1
        assert sum(f"{stage}: done in" in answer.err for answer in (one, other)) <= 1
    assert "another run is building it" in one.err + other.err
    assert table("pipeline", "list", "--json").json[0]["runs"] == 2
    assert table.leftovers() == []


def test_two_datasources_on_a_new_project(terminal) -> None:
    """The two race for the records too: both want to make the database."""
    paths = [terminal.write(f"{name}.csv", table_text(500, start)) for name, start in (("a", 0), ("b", 7))]
    created = [
        terminal.start("datasource", "create", "csv", "--name", path.stem, "--path", path, "--json") for path in paths
    ]
    found = answers(created)
    assert {answer.json["id"] for answer in found} == {1, 2}
    listed = terminal("datasource", "list", "--json").json
    assert {row["name"] for row in listed} == {"a", "b"}
    assert sum(row["active"] for row in listed) == 1


def test_two_datasources_of_one_name(terminal) -> None:
    path = terminal.write("a.csv", table_text(500))
    created = [terminal.start("datasource", "create", "csv", "--name", "same", "--path", path) for _ in range(2)]
    found = sorted((process.answer() for process in created), key=lambda answer: answer.code)
    assert [answer.code for answer in found] == [0, 7]
    assert "named 'same' already" in found[1].err
    assert len(terminal("datasource", "list", "--json").json) == 1


def test_ten_pushes(table) -> None:
    paths = [table.write(f"{i}.yaml", YAML.replace("units: 4", f"units: {4 + i}")) for i in range(10)]
    found = answers([table.start("pipeline", "push", path, f"p{path.stem}", "--json") for path in paths])
    assert sorted(answer.json["id"] for answer in found) == list(range(1, 11))
    assert {row["name"] for row in table("pipeline", "list", "--json").json} == {f"p{i}" for i in range(10)}


def test_one_push_ten_times(table) -> None:
    """The same text under the same name is one pipeline, however many ask."""
    path = table.write("c.yaml", YAML)
    found = answers([table.start("pipeline", "push", path, "mine", "--json") for _ in range(10)])
    assert {answer.json["id"] for answer in found} == {1}
