"""At the edges of the system: disks that can only be read, links, limits on memory, secrets in addresses, damaged files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import COMMAND, YAML, Terminal, table_text

SECRET = "hush-hush-4711"


@pytest.fixture
def run_once(terminal: Terminal) -> Terminal:
    """A project with a finished run."""
    terminal("datasource", "create", "csv", "--name", "table", "--path", terminal.write("table.csv", table_text()))
    terminal("pipeline", "push", terminal.write("config.yaml", YAML), "first")
    terminal("pipeline", "run", "first", "--yes")
    return terminal


# Disks that can only be read


@contextlib.contextmanager
def only_readable(folder: Path) -> Iterator[None]:
    """For the block the folder is mounted so that it can only be read, as a disk of a backup is."""
    bind = ["mount", "--bind", str(folder), str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(bind, capture_output=True).returncode != 0:
        pytest.skip("mounting needs root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


READING = [
    ("datasource", "list"), ("datasource", "show", "table"), ("datasource", "peek", "table"), ("datasource", "statistics", "table"),
    ("pipeline", "list"), ("pipeline", "status"), ("pipeline", "runs", "first"), ("pipeline", "logs", "first"), ("pipeline", "pull", "first"),
    ("pipeline", "statistics", "first"), ("pipeline", "slice", "first", "word"), ("pipeline", "template"), ("cache", "list"),
    ("cache", "verify"), ("workspace", "show"), ("doctor",),
]  # fmt: skip


def test_a_project_on_a_disk_that_can_only_be_read_can_be_looked_at(run_once) -> None:
    before = {words: run_once(*words, code=None) for words in READING}
    shutil.rmtree(run_once.project.folder / "artifacts" / "describe")  # statistics are made again, elsewhere
    kept = sorted(path for path in run_once.folder.rglob("*") if ".locks" not in path.parts)
    with only_readable(run_once.folder):
        for words in READING:
            answer = run_once(*words, code=None)
            if words[0] == "doctor":  # says that nothing can be written
                assert "traceback" not in answer.out.lower()
                continue
            assert answer.code == before[words].code, answer.err
            if words[1] not in ("peek", "verify", "statistics", "status", "runs") and words[0] != "cache":
                assert answer.out == before[words].out
        shown = run_once("pipeline", "evaluate", "first", "--no-open")
        page = next(line for line in shown.out.splitlines() if line.startswith("page:")).split()[1]
        assert (Path.cwd() / page).read_text().startswith("<!doctype html>")
        for words in (
            ("pipeline", "run", "first"),
            ("datasource", "set", "table"),
            ("datasource", "delete", "table", "--yes"),
        ):
            answer = run_once(*words, code=7)
            assert "cannot write" in answer.err
    assert sorted(path for path in run_once.folder.rglob("*") if ".locks" not in path.parts) == kept


def test_a_reading_command_makes_no_project(terminal, tmp_path) -> None:
    for words in (
        ("datasource", "list"),
        ("pipeline", "list"),
        ("pipeline", "status"),
        ("cache", "list"),
        ("workspace", "list"),
    ):
        terminal(*words)
    assert "there are no datasources yet" in terminal("datasource", "show", code=7).err
    assert "there are no pipelines yet" in terminal("pipeline", "evaluate", "1", code=7).err
    assert not terminal.folder.exists()


# Links


def test_a_report_replaces_a_link_and_not_what_it_points_to(run_once) -> None:
    precious = run_once.write("precious.txt", "mine")
    elsewhere = run_once.files / "elsewhere"
    elsewhere.mkdir()
    run_once("pipeline", "evaluate", "first", "--no-open")
    reports = run_once.project.reports / "run-1-1"
    for name in ("report.html", "report.ipynb", "summary.json"):
        (reports / name).unlink()
        (reports / name).symlink_to(precious)
    run_once("pipeline", "evaluate", "first", "--no-open")
    assert precious.read_text() == "mine"
    assert not (reports / "report.html").is_symlink()
    shutil.rmtree(reports)
    reports.symlink_to(elsewhere)
    answer = run_once("pipeline", "evaluate", "first", "--no-open", code=7)
    assert "is a link" in answer.err
    assert list(elsewhere.iterdir()) == []


def test_what_is_removed_is_the_link(run_once) -> None:
    elsewhere = run_once.files / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.txt").write_text("mine")
    artifacts = run_once.project.folder / "artifacts"
    fit = next((artifacts / "Fit").glob("*/*"))
    shutil.move(fit, elsewhere / "fit")
    fit.symlink_to(elsewhere / "fit")
    (artifacts / ".work").mkdir(exist_ok=True)
    (artifacts / ".work" / "draft-Fit-0").symlink_to(elsewhere)
    run_once("cache", "prune", "--all", "--yes")
    run_once("cache", "verify", "--repair", code=None)
    assert (elsewhere / "precious.txt").read_text() == "mine"
    assert (elsewhere / "fit" / "statistics.json").exists()


# Damaged files


SMALL = [
    ("Split", "split.json"),
    ("Fit", "statistics.json"),
    ("Evaluate", "results.json"),
    ("Transform", "encoded.parquet"),
]


@pytest.mark.parametrize(("stage", "name"), SMALL)
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_artifact_is_named_with_what_mends_it(run_once, stage, name, damage) -> None:
    file = next((run_once.project.folder / "artifacts" / stage).glob(f"*/*/{name}"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.unlink()
    if damage != "gone":
        file.write_bytes(data if damage == "flipped" else data[:-1])
    answer = run_once("pipeline", "run", "first", "--yes", code=7)
    assert f"the stored {stage} is damaged: {name}" in answer.err
    assert "cengine cache verify --repair" in answer.err
    run_once("cache", "verify", "--repair")
    assert "succeeded" in run_once("pipeline", "run", "first", "--yes").out


# Limits on memory


def limited(terminal: Terminal, kilobytes: int, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a shell that `ulimit -v` has limited."""
    command = ["bash", "-c", f'ulimit -v {kilobytes}; exec "$@"', "limited", *COMMAND, *words]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "CENGINE_PROJECT": str(terminal.folder)}
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to ulimit -v")
@pytest.mark.parametrize("kilobytes", [400_000, 550_000, 700_000, 1_500_000, 3_000_000])
def test_a_limit_of_the_system_is_told_as_that(terminal, kilobytes) -> None:
    terminal("datasource", "create", "csv", "--name", "table", "--path", terminal.write("table.csv", table_text()))
    terminal("pipeline", "push", terminal.write("config.yaml", YAML), "first")
    ended = limited(terminal, kilobytes, "pipeline", "run", "first", "--yes")
    assert ended.returncode in (1, 5, 6), ended
    assert f"its limit is {kilobytes * 1024 / 1e9:.1f} GB (ulimit -v)" in ended.stderr
    assert "bug" not in ended.stderr


# Secrets


@pytest.mark.parametrize(
    ("kind", "option", "address"),
    [
        ("csv", "--path", f"s3://KEY:{SECRET}@bucket/t.csv"), ("parquet", "--path", f"az://box/t.parquet?sv=2024&sig={SECRET}"),
        ("json", "--path", f"gs://bucket/t.json?access_token={SECRET}"), ("csv", "--path", f"https://me:{SECRET}@host/t.csv"),
        ("csv", "--path", f"https://host/t.csv?X-Amz-Signature={SECRET}"), ("delta", "--path", f"s3://KEY:{SECRET}@bucket/table"),
        ("sqlite", "--uri", f"postgresql://me:{SECRET}@host/city"), ("duckdb", "--uri", f"https://me:{SECRET}@host/x.db"),
        ("iceberg", "--path", f"s3://KEY:{SECRET}@bucket/metadata.json"),
    ],
)  # fmt: skip
def test_a_secret_in_an_address_is_neither_shown_nor_kept(terminal, kind, option, address) -> None:
    more = ["--table", "t"] if kind in ("sqlite", "duckdb") else []
    answer = terminal("datasource", "create", kind, "--name", "t", option, address, *more, code=4)
    assert SECRET not in answer.out + answer.err
    assert "***" in answer.err
    assert not any(SECRET.encode() in path.read_bytes() for path in terminal.folder.rglob("*") if path.is_file())


def test_addresses_without_a_secret_are_left_alone() -> None:
    from cengine.connections.addresses import hidden

    for text in (
        "s3://bucket/part-?.csv",
        "abfss://box@account.dfs.core.windows.net/t",
        "postgresql://me@host/city?sslmode=require",
        "a: b@c",
    ):
        assert hidden(text) == text


# Deleting


def test_deleting_names_the_pipelines_that_need_the_table(run_once, monkeypatch) -> None:
    asked = run_once("datasource", "delete", "table", code=None)
    assert "1 pipeline needs it, and cannot be run without it: 1 (first)" in asked.err
    assert [row["name"] for row in json.loads(run_once("datasource", "list", "--json").out)] == ["table"]
