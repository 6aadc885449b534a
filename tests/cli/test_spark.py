"""Runs on Spark's workers: the results of this machine, a worker that is lost, and what is said where there can be no workers."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from servers import free_port
from spark_cluster import spark_cluster
from terminal import COMMAND, YAML, Terminal

NUM_ROWS = 30_000
MASTER = "local-cluster[2,1,1024]"


def table_text(num_rows=NUM_ROWS):
    """Numbers, words and times, with nulls, and rows that are equal."""
    made = random.Random(3)
    words = ["Grove St", "Hamilton Park", 'JC\'s "best"', "é", ""]
    rows = ["x,word,y,t"]
    for i in range(num_rows):
        x = "" if made.random() < 0.05 else f"{made.gauss(5, 2):.3f}"
        word = made.choices(words, [50, 30, 10, 8, 2])[0].replace('"', '""')
        rows.append(f'{x},"{word}",{made.gauss(1978, 10):.1f},2018-0{i % 9 + 1}-11 12:{i % 60:02d}:00')
    rows += rows[1:200]
    return "\n".join(rows) + "\n"


WORDS = """\
features:
  x: {transform: [quantile_normal]}
  word: {}
  t: {transform: [calendar]}
"""
PIPELINE = WORDS + YAML.split("\n", 3)[3]


@pytest.fixture
def pushed(terminal, tmp_path):
    """Two projects with the same pipeline: one for Spark, one for this machine."""
    here = Terminal(tmp_path / "here", tmp_path)
    path = terminal.write("t.csv", table_text())
    for one in (terminal, here):
        one("datasource", "create", "csv", "--name", "t", "--path", path)
        one("pipeline", "push", one.write("p.yaml", PIPELINE), "p")
    return terminal, here


def stage_folders(terminal):
    stages = terminal.project.records.runs.all()[-1].stages
    return {
        s["name"]: (s["fingerprint"], terminal.project.artifacts.find(s["name"], s["fingerprint"]).folder)
        for s in stages
    }


def assert_the_same(one, other):
    """The same fingerprints, split, encoded rows and metrics."""
    mine, theirs = stage_folders(one), stage_folders(other)
    assert {name: known for name, (known, _) in mine.items()} == {name: known for name, (known, _) in theirs.items()}
    for stage, file in (("Split", "cuts.parquet"), ("Transform", "encoded.parquet")):
        tables = [pq.read_table(folders[stage][1] / file) for folders in (mine, theirs)]
        assert [(f.name, f.type) for f in tables[0].schema] == [(f.name, f.type) for f in tables[1].schema]
        assert all(one.equals(other) for one, other in zip(*(table.columns for table in tables), strict=True)), file
    assert (mine["Split"][1] / "split.json").read_text() == (theirs["Split"][1] / "split.json").read_text()
    metrics = [terminal("pipeline", "evaluate", "p", "--json").json["metrics"] for terminal in (one, other)]
    assert metrics[0] == metrics[1]


@pytest.mark.spark
@pytest.mark.heavy
def test_a_run_on_workers_is_the_run_of_this_machine(pushed) -> None:
    spark, here = pushed
    told = spark(
        "pipeline", "run", "p", "-y", "--engine", "spark", "--master", MASTER, "--workers", 2, "--cpus_per_worker", 1
    ).out
    assert f"split, statistics and encoding on spark, at {MASTER}, 2 workers, 1 CPUs each" in told
    here("pipeline", "run", "p", "-y")
    assert_the_same(spark, here)
    # What an engine has made, another takes up again: no worker is started for it, were there any.
    again = spark("pipeline", "run", "p", "-y", "--engine", "spark", "--master", f"spark://127.0.0.1:{free_port()}").out
    assert again.count("stored") >= 6
    assert spark.leftovers() == []


@pytest.mark.spark
@pytest.mark.heavy
def test_a_lost_worker_does_not_fail_the_run(pushed) -> None:
    spark, here = pushed
    with spark_cluster(num_workers=2) as cluster:
        settings = f"engine: {{name: spark, master: '{cluster.master}', workers: 2, cpus_per_worker: 1}}\n"
        (spark.project.folder / "settings.yaml").write_text(settings)
        environment = {**os.environ, "CENGINE_PROJECT": str(spark.folder)}
        run = subprocess.Popen(
            [*COMMAND, "pipeline", "run", "p", "-y"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        cluster.wait(lambda state: any(app["cores"] == 2 for app in state["activeapps"]))
        os.kill(cluster.workers[0].pid, signal.SIGKILL)
        cluster.workers[0].wait()
        out = run.communicate(timeout=600)[0].decode()
        assert run.returncode == 0, out + cluster.logs()
        assert cluster.state()["aliveworkers"] == 1
    here("pipeline", "run", "p", "-y")
    assert_the_same(spark, here)


@pytest.mark.spark
@pytest.mark.heavy
def test_workers_without_enough_memory_are_told_of(pushed) -> None:
    spark, _ = pushed
    with spark_cluster(num_workers=1, worker_megabytes=600) as cluster:
        settings = f"engine: {{name: spark, master: '{cluster.master}', options: {{spark.executor.memory: 900m, worker_seconds: 4}}}}\n"
        (spark.project.folder / "settings.yaml").write_text(settings)
        told = spark("pipeline", "run", "p", "-y", code=None)
    assert told.code != 0
    assert (
        f"no worker of {cluster.master} has taken the job within 4 seconds; each must have 900m of memory" in told.err
    )
    assert "spark.executor.memory" in told.err
    assert spark.leftovers() == []


def refused(terminal, *words, says, environment=None, python="from cengine.cli.main import main; main()"):
    """A run in a process of its own ends with one message and leaves nothing half-done."""
    full = {**os.environ, "CENGINE_PROJECT": str(terminal.folder), **(environment or {})}
    command = [sys.executable, "-c", python, "pipeline", "run", "p", "-y", *words]
    done = subprocess.run(command, env=full, capture_output=True, text=True, timeout=300)
    assert done.returncode not in (0, 70), done.stdout + done.stderr
    assert done.stderr.count("error:") == 1, done.stderr
    for text in says:
        assert text in done.stderr, done.stderr
    assert terminal.leftovers() == []


@pytest.fixture
def small(terminal):
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text(300)))
    terminal("pipeline", "push", terminal.write("p.yaml", PIPELINE), "p")
    return terminal


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--engine", "sprak"), ("unknown engine 'sprak'", "did you mean 'spark'?")),
        (("--engine", "postgres"), ("the engine 'postgres' reads the tables of its own place, not files",)),
        (("--workers", "4"), ("--workers is for engines with workers", "add --engine spark")),
    ],
)
def test_an_engine_that_does_not_fit_is_refused_before_anything_runs(words, says, small) -> None:
    told = small("pipeline", "run", "p", "-y", *words, code=None)
    assert told.code not in (0, 70)
    for text in says:
        assert text in told.err
    assert small.project.records.runs.all() == []


@pytest.mark.spark
def test_without_a_master_that_answers_it_says_so(small) -> None:
    port = free_port()
    refused(
        small,
        "--engine",
        "spark",
        "--master",
        f"spark://127.0.0.1:{port}",
        says=(f"no master of Spark answers at spark://127.0.0.1:{port}", "is it up?"),
    )
    refused(
        small,
        "--engine",
        "spark",
        "--master",
        "mesos://x",
        says=("'mesos://x' is not a master of Spark", "spark://HOST:7077"),
    )
    refused(
        small,
        "--engine",
        "spark",
        "--master",
        "yarn",
        says=("HADOOP_CONF_DIR, which is not set",),
        environment={"HADOOP_CONF_DIR": "", "YARN_CONF_DIR": ""},
    )


def test_without_java_it_says_what_to_install(small, tmp_path) -> None:
    environment = {"PATH": str(tmp_path), "JAVA_HOME": ""}
    refused(
        small,
        "--engine",
        "spark",
        says=("Spark needs Java 17 or newer, and there is none here", "openjdk-17"),
        environment=environment,
    )
    refused(small, "--engine", "spark", says=(f"JAVA_HOME is {tmp_path}",), environment={"JAVA_HOME": str(tmp_path)})


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java")
def test_without_pyspark_it_says_the_command(small) -> None:
    python = "import sys; sys.modules['pyspark'] = None; from cengine.cli.main import main; main()"
    refused(
        small,
        "--engine",
        "spark",
        says=("PySpark, which is not installed", "pip install 'cengine-ml[spark]'"),
        python=python,
    )
