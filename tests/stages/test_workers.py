"""What a run of a size is proposed, and where the choice of an engine comes from."""

from __future__ import annotations

import os

import pytest

from cengine.config.read import parse_config
from cengine.config.resolve import resolve
from cengine.errors import CengineError, StoreError
from cengine.pipeline.plan import proposed_resources
from cengine.stages.workers import PATIENCE_SECONDS, SECONDS_PER_CELL, SPARK_TIMES, workers_of
from cengine.store.project import open_project
from cengine.store.settings import read_settings
from cengine.tables import Column, TableSchema

YAML = """
features: {a: {}, b: {}, c: {}, d: {}}
labels: {y: {}}
trainer: {type: regression}
split: {ratio: {train: 0.9, eval: 0.1}}
"""


def proposed(num_rows):
    schema = TableSchema(tuple(Column(name, "DOUBLE", "float") for name in "abcdy"), num_rows)
    return proposed_resources(resolve(parse_config(YAML).config, schema), schema)


def test_what_this_machine_gets_through_is_one_worker() -> None:
    cpus = os.cpu_count() or 1
    assert (proposed(1000).workers, proposed(1000).cpus_per_worker) == (1, min(cpus, 2))
    assert (proposed(33_000_000).workers, proposed(33_000_000).cpus_per_worker) == (1, cpus)


@pytest.mark.parametrize("factor", [1.5, 20, 400])
def test_more_is_proposed_as_many_workers_as_take_as_long(factor) -> None:
    num_rows = int(factor * PATIENCE_SECONDS * (os.cpu_count() or 1) / (5 * SECONDS_PER_CELL))
    found = proposed(num_rows)
    cores = found.workers * found.cpus_per_worker
    needed = num_rows * 5 * SECONDS_PER_CELL * SPARK_TIMES / PATIENCE_SECONDS
    assert found.workers >= 2
    assert found.cpus_per_worker <= 16
    assert needed <= cores < 2 * needed + found.workers + 2


@pytest.fixture
def project(tmp_path):
    return open_project(tmp_path)


def test_what_is_typed_goes_before_the_settings(project) -> None:
    (project.folder / "settings.yaml").write_text(
        "engine: {name: spark, master: yarn, workers: 3, options: {spark.executor.memory: 2g}}\n"
    )
    assert str(workers_of(project, {}, None)) == "spark, at yarn, 3 workers"
    given = workers_of(project, {"workers": 5, "cpus_per_worker": 4}, None)
    assert str(given) == "spark, at yarn, 5 workers, 4 CPUs each"
    assert given.options == {"spark.executor.memory": "2g"}
    assert workers_of(project, {"name": "duckdb"}, None).name == "duckdb"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("engine: {nam: spark}", "engine.nam: extra inputs are not permitted"),
        ("engine: {name: spark, workers: 0}", "engine.workers: input should be greater than or equal to 1"),
        ("engine: spark", "engine: input should be a valid dictionary"),
    ],
)
def test_settings_that_are_wrong_are_named(text, says, project) -> None:
    (project.folder / "settings.yaml").write_text(text)
    with pytest.raises(StoreError) as caught:
        read_settings(project.folder)
    assert says in str(caught.value)
    assert "known keys: name, master, workers, cpus_per_worker, options" in str(caught.value)


@pytest.mark.parametrize("name", ["sprak", "postgres", "bigquery"])
def test_engines_that_cannot_be_chosen(name, project) -> None:
    with pytest.raises(CengineError):
        workers_of(project, {"name": name}, None)
