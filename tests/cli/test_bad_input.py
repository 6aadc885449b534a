"""Bad input: one clear message, an exit code other than 0, nothing lost or half-written."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from terminal import YAML, table_text

BUG = "sorry, this is a bug"


@pytest.fixture
def table(terminal):
    """A registered table of 400 rows: x, word, y."""
    path = terminal.write("table.csv", table_text())
    terminal("datasource", "create", "csv", "--name", "table", "--path", path)
    return terminal


def refused(terminal, *words, says: tuple[str, ...]):
    """The command fails with these words, and leaves no trace."""
    answer = terminal(*words, code=None)
    assert answer.code not in (0, 70), answer
    for text in says:
        assert text in answer.err, answer.err
    assert BUG not in answer.err
    assert terminal.leftovers() == []
    return answer


# YAML

BAD_YAML = {
    "tabs": (lambda y: y.replace("  x: {}", "\tx: {}"), ("tab", "bad.yaml:2:1", "spaces")),
    "duplicate key": (lambda y: y.replace("  x: {}", "  x: {}\n  x: {}"), ("bad.yaml:3:3", "'x'", "twice")),
    "misspelt block": (lambda y: y.replace("features:", "featurs:"), ("featurs", "did you mean 'features'?", "bad.yaml:1:1")),
    "misspelt key": (lambda y: y.replace("train_steps", "train_step"), ("train_step", "did you mean 'train_steps'?", "bad.yaml:13:3")),
    "misspelt loss": (lambda y: y.replace("mse", "msee"), ("unknown loss 'msee'", "did you mean 'mse'?", "bad.yaml:5:")),
    "misspelt metric": (lambda y: y.replace("[mae]", "[maee]"), ("unknown metric 'maee'", "did you mean 'mae'?")),
    "misspelt layer": (lambda y: y.replace("type: dense", "type: dens"), ("unknown layer 'dens'", "did you mean 'dense'?")),
    "misspelt column": (lambda y: y.replace("  word: {}\nlabels", "  wrod: {}\nlabels"), ("'wrod'", "did you mean 'word'?", "bad.yaml:3:3")),
    "text label under mse": (lambda y: y.replace("  y: {loss", "  word: {loss").replace("  word: {}\nlabels", "labels"),
                             ("label 'word' is a string", "loss 'mse' needs a number", "classification")),
    "where that is no expression": (lambda y: y.replace("split:", "split:\n  where: ['x >>> 1 (']"), ("bad.yaml:7:", "not an SQL expression")),
    "where that is a statement": (lambda y: y.replace("split:", "split:\n  where: ['DROP TABLE rows']"), ("bad.yaml:7:", "statement")),
    "where that hides a statement": (lambda y: y.replace("split:", "split:\n  where: ['x > 1; DELETE FROM rows']"), ("more than one statement",)),
    "where with a query": (lambda y: y.replace("split:", "split:\n  where: ['x > (SELECT 1)']"), ("bad.yaml:7:", "not allowed")),
    "where that reads a file": (lambda y: y.replace("split:", "split:\n  where: [\"read_text('/etc/passwd') = x\"]"), ("READ_TEXT", "not allowed")),
    "where over an unknown column": (lambda y: y.replace("split:", "split:\n  where: ['xx > 1']"), ("'xx'", "did you mean 'x'?")),
    "where that compares kinds": (lambda y: y.replace("split:", "split:\n  where: ['word']"), ("filter cannot be used",)),
    "shares above one": (lambda y: y.replace("eval: 0.2", "eval: 0.3"), ("bad.yaml:8:",)),
    "no other split": (lambda y: y.replace(", eval: 0.2", ""), ("bad.yaml",)),
    "not YAML": (lambda y: "{[", ("bad.yaml",)),
    "empty": (lambda y: "", ("empty",)),
    "a list": (lambda y: "- 1\n", ("mapping",)),
    "bytes": (lambda y: b"\xff\xfe\x00", ("not a text file",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_YAML)
def test_bad_yaml(table, case) -> None:
    change, says = BAD_YAML[case]
    path = table.write("bad.yaml", change(YAML))
    refused(table, "pipeline", "push", path, "mine", says=says)
    refused(table, "pipeline", "validate", path, says=says)
    assert table("pipeline", "list", "--json").json == []


def test_all_errors_at_once_in_the_files_order(table) -> None:
    path = table.write(
        "bad.yaml", YAML.replace("mse", "msee").replace("dense", "dens").replace("x: {}", "x: {filling: minn}")
    )
    err = refused(table, "pipeline", "push", path, "mine", says=("'msee'", "'dens'", "'minn'")).err
    assert err.index("'minn'") < err.index("'msee'") < err.index("'dens'")


def test_missing_yaml_names_those_there_are(table) -> None:
    table.write("good.yaml", YAML)
    refused(table, "pipeline", "push", table.files / "god.yaml", "mine", says=("there is no file", "good.yaml"))


def test_label_that_is_all_null(terminal) -> None:
    text = "\n".join(f"{line},NULL" if i else f"{line},empty" for i, line in enumerate(table_text(50).splitlines()))
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", text))
    path = terminal.write("c.yaml", YAML.replace("  y: {loss", "  empty: {loss"))
    refused(terminal, "pipeline", "push", path, "mine", says=("label 'empty'", "null"))


def test_split_that_is_empty(table) -> None:
    """Where shares leave a split without a row the run fails, says which, and the rest stays as it was."""
    path = table.write("c.yaml", YAML.replace("split:", "split:\n  where: ['x > 1e9']"))
    table("pipeline", "push", path, "mine")
    refused(table, "pipeline", "run", 1, "-y", says=("no row passes `where`",))
    named = YAML.replace("index_ratio: {train: 0.8, eval: 0.2}", "categories: {train: [a, b], eval: [zebra]}")
    table("pipeline", "push", table.write("n.yaml", named), "named")
    refused(table, "pipeline", "run", "named", "-y", says=("not in column 'word': zebra",))
    whole = YAML.replace(
        "index_ratio: {train: 0.8, eval: 0.2}", "category_ratio: {train: 0.8, eval: 0.2}\n  where: word = 'a'"
    )
    table("pipeline", "push", table.write("w.yaml", whole), "whole")
    refused(table, "pipeline", "run", "whole", "-y", says=("split 'eval' has no rows", "train: 134"))
    status = table("pipeline", "status", "--json").json
    assert [row["status"] for row in status] == ["Failed"] * 3
    refused(table, "pipeline", "evaluate", 1, says=("no results", "failed"))


def test_loss_that_is_not_a_number(table) -> None:
    path = table.write(
        "c.yaml", YAML.replace("train_steps: 20", "train_steps: 200\n  optimizer: {type: sgd, learning_rate: 1e30}")
    )
    table("pipeline", "push", path, "mine")
    answer = table("pipeline", "run", 1, "-y", code=6)
    assert "not a number any more at step" in answer.err
    assert "learning_rate" in answer.err
    assert not list((table.project.folder / "artifacts").glob("Train/*/*"))


# Files


def csv(text: str):
    return lambda terminal: ("csv", terminal.write("t.csv", text))


def ragged(terminal):
    lines = table_text(60).splitlines()
    lines[30] = "1.0,a"
    lines[40] = "1.0,a,2.0,3.0"
    return "csv", terminal.write("t.csv", "\n".join(lines) + "\n")


def mistyped(terminal):
    """A word among numbers, beyond the rows that types are found from."""
    lines = table_text(60_000).splitlines()
    lines[50_000] = "many,a,2.0"
    return "csv", terminal.write("t.csv", "\n".join(lines) + "\n")


def truncated_gzip(terminal):
    packed = gzip.compress(table_text(5_000).encode())
    return "csv", terminal.write("t.csv.gz", packed[: len(packed) // 2])


def damaged_gzip(terminal):
    packed = bytearray(gzip.compress(table_text(5_000).encode()))
    packed[len(packed) // 2] ^= 0xFF
    return "csv", terminal.write("t.csv.gz", bytes(packed))


def parquet_bytes(terminal) -> bytes:
    path = terminal.files / "whole.parquet"
    pq.write_table(pa.table({"x": range(10_000)}), path)
    return path.read_bytes()


def different_columns(terminal):
    terminal.write("many/a.csv", "x,y\n1,2\n")
    terminal.write("many/b.csv", "x,z\n1,2\n")
    return "csv", terminal.files / "many"


BAD_FILES = {
    "missing": (lambda t: ("csv", t.files / "no.csv"), ("there is no file", "no.csv")),
    "missing glob": (lambda t: ("csv", t.files / "no*.csv"), ("there is no file", "no*.csv")),
    "missing folder": (lambda t: ("csv", t.files / "nowhere" / "a.csv"), ("there is no folder",)),
    "folder without": (lambda t: ("csv", t.write("empty/readme.md", "x").parent), ("holds no csv files", ".csv")),
    "empty": (csv(""), ("'", "is empty")),
    "header only": (csv("x,y\n"), ("holds no rows",)),
    "ragged rows": (ragged, ("2 of 60 rows", "t.csv:31:", "t.csv:41:", "mend the rows")),
    "truncated gzip": (truncated_gzip, ("t.csv.gz", "truncated or damaged")),
    "damaged gzip": (damaged_gzip, ("t.csv.gz", "truncated or damaged")),
    "truncated Parquet": (lambda t: ("parquet", t.write("t.parquet", parquet_bytes(t)[:-100])), ("t.parquet",)),
    "Parquet header only": (lambda t: ("parquet", t.write("t.parquet", b"PAR1")), ("t.parquet",)),
    "csv that is Parquet": (
        lambda t: ("csv", t.write("t.csv", parquet_bytes(t))),
        ("is a Parquet file", "create parquet"),
    ),
    "csv that is gzip": (lambda t: ("csv", t.write("t.csv", gzip.compress(b"x,y\n1,2\n"))), ("is gzip", ".gz")),
    "gz that is none": (lambda t: ("csv", t.write("t.csv.gz", table_text())), ("not gzip",)),
    "zst that is none": (lambda t: ("csv", t.write("t.csv.zst", table_text())), ("not zstd",)),
    "parquet that is CSV": (lambda t: ("parquet", t.write("t.parquet", table_text())), ("not a Parquet file",)),
    "json that is none": (lambda t: ("json", t.write("t.json", table_text())), ("t.json",)),
    "json that ends early": (lambda t: ("json", t.write("t.json", '{"x": 1}\n{"x": ')), ("t.json",)),
    "different columns": (different_columns, ("different columns", "b.csv", "z")),
    "binary": (lambda t: ("csv", t.write("t.csv", bytes(range(256)) * 40)), ("t.csv",)),
    "a picture": (lambda t: ("csv", t.write("t.csv", b"\x89PNG\r\n\x1a\n" + bytes(100))), ("picture",)),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file(terminal, case) -> None:
    make, says = BAD_FILES[case]
    kind, path = make(terminal)
    refused(terminal, "datasource", "create", kind, "--name", "bad", "--path", path, says=says)
    assert terminal("datasource", "list", "--json").json == []
    assert not list((terminal.project.folder / "artifacts").glob("snapshot/*/*"))


def test_a_word_among_numbers_makes_texts_of_them_and_is_told(terminal) -> None:
    kind, path = mistyped(terminal)
    answer = terminal("datasource", "create", kind, "--name", "t", "--path", path, "--allow-rejects")
    assert "60,000 rows read" in answer.out
    assert "x: string, because of 1 cell, first `many` at line 50,001" in answer.err


def test_leaving_rows_out_is_proposed_only_where_they_are_few(terminal) -> None:
    for num_rows, proposed in ((90, False), (300, True)):
        path = terminal.write("t.csv", table_text(num_rows) + "oops\n")
        answer = terminal("datasource", "create", "csv", "--name", "t", "--path", path, code=4)
        assert ("--allow-rejects" in answer.err) is proposed


def test_rejected_rows_are_counted_where_allowed(terminal) -> None:
    kind, path = ragged(terminal)
    found = terminal("datasource", "create", kind, "--name", "r", "--path", path, "--allow_rejects", "--json").json
    assert (found["rows"], found["rejected"]) == (58, 2)


def test_rejected_rows_of_several_files_are_told_by_file(terminal) -> None:
    for number in range(3):
        lines = table_text(30, 30 * number).splitlines()
        lines[10 + number] = "1.0,a"
        terminal.write(f"many/{number}.csv", "\n".join(lines) + "\n")
    says = ("3 of 90 rows", "many/0.csv:11:", "many/1.csv:12:", "many/2.csv:13:")
    refused(terminal, "datasource", "create", "csv", "--name", "t", "--path", terminal.files / "many", says=says)


def test_failed_commit_keeps_the_old_snapshot(table) -> None:
    before = table("datasource", "show", "table", "--json").json
    table.write("table.csv", table_text(100) + "oops\n")
    refused(table, "datasource", "commit", "table", says=("1 of 101 rows", "table.csv:102:"))
    assert table("datasource", "show", "table", "--json").json == before


# The machine


def test_project_that_cannot_be_made(terminal) -> None:
    """Below a file there is no folder to be; the same for a place that the system does not let be written."""
    file = terminal.write("file", "x")
    for place in (file / "project", "/proc/cengine"):
        answer = terminal("--project", place, "datasource", "create", "csv", "--name", "t", "--path", "t.csv", code=7)
        assert str(place) in answer.err
        assert BUG not in answer.err


@contextlib.contextmanager
def mounted(target, *words):
    target.mkdir(exist_ok=True)
    result = subprocess.run(["mount", *map(str, words), str(target)], capture_output=True, check=False, text=True)
    if result.returncode:
        pytest.skip(f"mounting is not allowed here: {result.stderr.strip()}")
    try:
        yield target
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


def test_project_that_is_read_only(table) -> None:
    """It can be looked at; what would write says that it cannot."""
    path = table.write("c.yaml", YAML)
    with mounted(table.folder, "--bind", table.folder):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(table.folder)], check=True)
        assert "table" in table("datasource", "list").out
        answer = table("pipeline", "push", path, "p", code=7)
        assert "cannot write to" in answer.err
        assert str(table.folder) in answer.err


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 12 MB."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=12m", "tmpfs") as folder:
        yield folder


def fill(folder, leave: int) -> None:
    """Leaves so many bytes on the disk."""
    room = os.statvfs(folder)
    with (folder / "filler").open("wb") as stream:
        stream.write(bytes(room.f_bavail * room.f_frsize - leave))


@pytest.mark.parametrize("leave", [0, 200_000, 1_000_000])
def test_disk_that_is_full_while_registering(terminal, small_disk, leave) -> None:
    path = terminal.write("t.csv", table_text(200_000))
    fill(small_disk, leave)
    answer = terminal("--project", small_disk, "datasource", "create", "csv", "--name", "t", "--path", path, code=7)
    assert "the disk is full" in answer.err
    (small_disk / "filler").unlink()
    terminal("--project", small_disk, "datasource", "create", "csv", "--name", "t", "--path", path)
    assert not list(small_disk.glob(".cengine/artifacts/.work/*"))


@pytest.mark.parametrize("leave", [16_000, 200_000, 400_000])
def test_disk_that_is_full_while_running(terminal, small_disk, leave) -> None:
    path = terminal.write("t.csv", table_text(100_000))
    terminal("--project", small_disk, "datasource", "create", "csv", "--name", "t", "--path", path)
    terminal("--project", small_disk, "pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    fill(small_disk, leave)
    answer = terminal("--project", small_disk, "pipeline", "run", "mine", "-y", code=7)
    assert "the disk is full" in answer.err
    (small_disk / "filler").unlink()
    terminal("--project", small_disk, "pipeline", "run", "mine", "-y")
    assert terminal("--project", small_disk, "pipeline", "status", "--json").json[0]["status"] == "Succeeded"


# Words that mean nothing


def test_unknown_id_tells_what_there_is(table) -> None:
    table("pipeline", "push", table.write("c.yaml", YAML), "mine")
    for command in ("run", "evaluate", "pull"):
        refused(table, "pipeline", command, 7, says=("there is no pipeline '7'", "1 (mine)"))
    refused(table, "pipeline", "status", "--pipeline_id", 7, says=("there is no pipeline '7'", "1 (mine)"))
    refused(table, "pipeline", "run", "mien", says=("did you mean 'mine'?",))
    for command in ("show", "peek", "set", "commit", "delete"):
        refused(
            table,
            "datasource",
            command,
            "tabel",
            says=("there is no datasource 'tabel'", "1 (table)", "did you mean 'table'?"),
        )
    refused(table, "pipeline", "run", 1, "--datasource", 9, says=("there is no datasource '9'",))
    refused(table, "pipeline", "evaluate", "mine:4", says=("run 4", "never run"))
    refused(table, "pipeline", "evaluate", "mine:x", says=("not the number of a run",))


def test_nothing_there_yet(terminal) -> None:
    path = terminal.write("c.yaml", YAML)
    refused(terminal, "pipeline", "push", path, "mine", says=("there are no datasources yet", "datasource create"))
    refused(terminal, "pipeline", "run", 1, says=("there are no pipelines yet",))
    refused(terminal, "datasource", "show", says=("there are no datasources yet",))


def test_names_that_are_taken_or_cannot_be(table) -> None:
    path = table.files / "table.csv"
    refused(
        table,
        "datasource",
        "create",
        "csv",
        "--name",
        "table",
        "--path",
        path,
        says=("datasource named 'table' already", "commit"),
    )
    for name in ("12", ""):
        refused(table, "datasource", "create", "csv", "--name", name, "--path", path, says=("cannot be a name",))
        refused(table, "pipeline", "push", table.write("c.yaml", YAML), name, says=("cannot be a name",))
    table("pipeline", "push", table.write("c.yaml", YAML), "mine")
    again = table("pipeline", "push", table.write("c.yaml", YAML), "mine")
    assert "there already, unchanged" in again.out
    other = table.write("d.yaml", YAML.replace("units: 4", "units: 5"))
    refused(table, "pipeline", "push", other, "mine", says=("pipeline named 'mine' already (id 1)",))


def test_words_that_no_command_has(terminal) -> None:
    assert "No such command" in terminal("pipeline", "pus", code=2).err
    assert "No such option" in terminal("datasource", "list", "--jsn", code=2).err
    assert "is not a size" in terminal("pipeline", "run", 1, "--memory", "lots", code=2).err
    assert "too little" in terminal("pipeline", "run", 1, "--memory", "5MB", code=2).err


def test_a_damaged_database_is_named(table) -> None:
    database = table.project.folder / "records.db"
    for beside in ("records.db-wal", "records.db-shm"):
        (table.project.folder / beside).unlink(missing_ok=True)
    database.write_bytes(b"not a database at all, but long enough to be looked at" * 50)
    answer = table("datasource", "list", code=7)
    assert "records.db is damaged" in answer.err


def test_an_answer_is_needed_without_a_terminal(table) -> None:
    table("pipeline", "push", table.write("c.yaml", YAML), "mine")
    answer = table.start("pipeline", "run", "mine").answer()
    assert answer.code == 1
    assert "add -y" in answer.err
    assert table("pipeline", "list", "--json").json[0]["runs"] == 0


def test_filter_on_one_value_json_is_still_json(table) -> None:
    """Warnings go to the error stream."""
    path = table.write("c.yaml", YAML.replace("save_checkpoints_steps: 10", "save_checkpoints_steps: 100"))
    answer = table("pipeline", "push", path, "mine", "--json")
    assert json.loads(answer.out)["id"] == 1
    assert "warning" in answer.err


def test_predictions_without_their_rows_are_not_left_out_in_silence(table) -> None:
    table("pipeline", "push", table.write("c.yaml", YAML), "mine")
    table("pipeline", "run", "mine", "-y")
    artifacts = table.project.folder / "artifacts"
    (snapshot,) = artifacts.glob("snapshot/*/*/*.parquet")
    snapshot.chmod(0o600)
    pq.write_table(pq.read_table(snapshot).slice(200), snapshot)
    # As if the rows had been lost before they were written: of a file that has changed since, its size would tell first.
    record = snapshot.parent / "artifact.json"
    record.chmod(0o600)
    told = json.loads(record.read_text())
    told["files"].pop(snapshot.name)
    record.write_text(json.dumps(told))
    for folder in artifacts.glob("Evaluate/*/*"):
        shutil.rmtree(folder)
    refused(table, "pipeline", "run", "mine", "-y", says=("are found in the snapshot", "cengine cache verify"))
