"""A Python program and the terminal on one project: each sees what the other did, and goes on with it."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest
from terminal import YAML, Terminal, table_text

import cengine


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> Terminal:
    folder = tmp_path_factory.mktemp("both")
    return Terminal(folder, folder)


@pytest.fixture(scope="module")
def ran(typed) -> cengine.Run:
    """A run that Python made."""
    path = typed.write("trips.csv", table_text())
    project = cengine.open_project(typed.folder)
    table = cengine.register(project, "csv", path=str(path))
    return cengine.execute(
        cengine.plan(project, cengine.load_config(typed.write("model.yaml", YAML)), table, threads=1)
    )


def test_the_terminal_lists_what_python_registered(typed, ran) -> None:
    (listed,) = typed("datasource", "list", "--json").json
    assert (listed["name"], listed["rows"], listed["active"]) == ("trips", 400, True)
    assert "nothing has changed" in typed("datasource", "commit", "trips").out


def test_the_terminal_knows_the_run(typed, ran) -> None:
    (pipeline,) = typed("pipeline", "list", "--json").json
    assert pipeline["name"] == "model"
    (run,) = typed("pipeline", "runs", "model", "--json").json
    assert (run["run"], run["status"]) == (1, "Succeeded")
    assert ran.record.options["threads"] == 1
    told = typed("pipeline", "evaluate", ran.key).out
    assert ran.results.verdicts[0]["sentence"] in told
    assert "attempt 1" in typed("pipeline", "logs", ran.key).out


def test_both_are_one_class(typed, ran) -> None:
    found = cengine.find_run(ran.project, ran.key)
    assert type(found) is type(ran) is cengine.Run is cengine.FinishedRun
    assert found.stages == ran.stages
    assert found.folders == ran.folders
    assert found.predictions() == ran.predictions()
    assert ran.name == "model, run 1"
    assert ran.summary["run"]["key"] == ran.key


def test_a_run_has_its_own_yaml(typed, ran) -> None:
    assert ran.config.document.text == ran.record.config_text != ran.pipeline.config_text == YAML
    assert [column.filling.name for column in ran.config.config.features.values()] == ["max", "custom"]
    pulled = typed("pipeline", "pull", ran.key).out
    assert cengine.parse_config(pulled).config == ran.config.config
    assert "filling" not in typed("pipeline", "pull", "model").out
    plan = cengine.plan(ran.project, cengine.parse_config(pulled), ran.snapshot)
    assert [stage.fingerprint for stage in plan.stages] == [stage.fingerprint for stage in ran.stages]


def test_a_run_of_an_older_version_is_read_by_its_pipeline(typed, ran) -> None:
    kept = ran.record.config_text
    ran.project.records.runs.update(ran.record.id, config_text=None)
    try:
        older = cengine.find_run(ran.project, ran.key)
        assert older.config.document.text == YAML
        assert older.resolved == ran.resolved
        assert typed("pipeline", "pull", ran.key).out == typed("pipeline", "pull", "model").out
        assert typed("pipeline", "slice", ran.key, "word", "--json").json
    finally:
        ran.project.records.runs.update(ran.record.id, config_text=kept)


def test_the_terminal_runs_it_again_and_python_finds_that(typed, ran) -> None:
    assert "400 rows" in typed("pipeline", "run", "model", "-y").out
    assert [stage.reused for stage in cengine.find_run(ran.project, "model").stages] == [True] * 6
    assert cengine.find_run(ran.project, "model").key == f"{ran.pipeline.id}:2"


def test_python_goes_on_with_what_the_terminal_made(terminal) -> None:
    path = terminal.write("t.csv", table_text())
    terminal("datasource", "create", "csv", "--name", "mine", "--path", path)
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "first")
    project = cengine.open_project(terminal.folder)
    table = cengine.register(project, "csv", path=str(path))
    run = cengine.execute(cengine.plan(project, cengine.load_config(terminal.files / "c.yaml"), table))
    assert (run.name, run.datasource_name) == ("first, run 1", "mine")
    assert len(terminal("datasource", "list", "--json").json) == len(terminal("pipeline", "list", "--json").json) == 1


def test_what_has_no_name_is_named_by_itself(tmp_path) -> None:
    project = cengine.open_project(tmp_path)
    for name in ("a/t.csv", "b/t.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(table_text(len(name) + 40))
    first = cengine.register(project, "csv", path=str(tmp_path / "a/t.csv"))
    cengine.register(project, "csv", path=str(tmp_path / "b/t.csv"))
    assert cengine.register(project, "csv", path=str(tmp_path / "a/t.csv")).content == first.content
    cengine.register(project, pa.table({"x": [1.0, 2.0]}))
    cengine.register(project, pa.table({"x": [1.0, 3.0]}))
    assert [row.name for row in project.records.datasources.all()] == ["t", "t-2", "frame"]
    assert [row.datasource_id for row in project.records.snapshots.all()] == [1, 2, 3, 3]


def test_another_configuration_is_another_pipeline(ran) -> None:
    before = len(ran.project.records.pipelines.all())
    table, other = ran.snapshot, cengine.parse_config(YAML + "\n# another text\n", "model.yaml")
    again = cengine.execute(cengine.plan(ran.project, other, table))
    assert again.pipeline.name == "model-2"
    assert cengine.execute(cengine.plan(ran.project, other, table)).key == f"{again.pipeline.id}:2"
    named = cengine.execute(cengine.plan(ran.project, other, table), name="named")
    assert named.pipeline.name == "named"
    with pytest.raises(cengine.StoreError, match="already"):
        cengine.execute(cengine.plan(ran.project, ran.config, table), name="named")
    assert len(ran.project.records.pipelines.all()) == before + 2


def test_a_run_that_fails_is_recorded_as_failed(terminal) -> None:
    project = cengine.open_project(terminal.folder)
    table = cengine.register(project, "csv", path=str(terminal.write("t.csv", table_text())))
    plan = cengine.plan(
        project, cengine.parse_config(YAML.replace("y: {loss: mse", "y: {transform: log, loss: mse"), "p.yaml"), table
    )
    table.files[0].unlink()
    with pytest.raises(Exception) as caught:
        cengine.execute(plan)
    (run,) = terminal("pipeline", "runs", "p", "--json").json
    assert run["status"] == "Failed"
    assert str(caught.value).splitlines()[0][:20] in run["message"]


def test_a_plan_whose_datasource_was_deleted_is_refused(terminal) -> None:
    project = cengine.open_project(terminal.folder)
    table = cengine.register(project, "csv", path=str(terminal.write("t.csv", table_text())))
    plan = cengine.plan(project, cengine.parse_config(YAML), table)
    terminal("datasource", "delete", "t", "--yes")
    with pytest.raises(cengine.StoreError, match="no datasource of the project any more"):
        cengine.execute(plan)


def test_programs_that_register_the_same_at_once_make_one_datasource(tmp_path) -> None:
    (tmp_path / "t.csv").write_text(table_text())
    errors: list[BaseException] = []

    def register() -> None:
        try:
            cengine.register(cengine.open_project(tmp_path), "csv", path=str(tmp_path / "t.csv"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=register) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [row.name for row in cengine.open_project(tmp_path).records.datasources.all()] == ["t"]
