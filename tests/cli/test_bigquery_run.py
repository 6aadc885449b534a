"""Runs on a table that stays in BigQuery: the same answer as here, few bytes, one state, money that is told before it is spent."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from terminal import YAML as SMALL
from terminal import Terminal, table_text

from cengine.inspection.run import find_run
from cengine.tables import ROW_ID

PLACE = ("--project", "bigquery-public-data", "--dataset", "new_york", "--table", "trips", "--table_type", "public")
STAGES = ["Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate"]
pytestmark = pytest.mark.heavy

YAML = """\
features:
  minutes: {}
  station: {}
  rider: {transform: [{method: one_hot_encode}]}
  age: {filling: {method: mean}, transform: [{method: bucketize, parameters: {num_buckets: 4}}]}
  member: {}
labels:
  fare: {loss: mse, metrics: [mae]}
split:
  categorize_by: station
  index_ratio: {train: 0.8, eval: 0.2}
  where: ["minutes > 1"]
trainer:
  type: regression
  layers: [{type: dense, units: 8}]
  train_batch_size: 64
  train_steps: 60
  save_checkpoints_steps: 30
evaluator:
  station: {}
  weekday: {}
"""


def trips(num_rows=3000):
    random = np.random.default_rng(11)
    minutes = np.round(random.gamma(3, 5, num_rows), 2)
    stations = np.array(["Grove St", "Hamilton Park", "JC's", "é"], object)
    ages = random.integers(17, 70, num_rows)
    return pa.table(
        {
            "minutes": minutes,
            "station": pa.array(stations[random.choice(4, num_rows, p=[0.6, 0.25, 0.1, 0.05])].tolist()),
            "rider": pa.array(np.array(["Subscriber", "Customer"], object)[random.integers(0, 2, num_rows)].tolist()),
            "age": pa.array([None if i % 20 == 0 else int(age) for i, age in enumerate(ages)], pa.int64()),
            "member": pa.array([bool(i % 3) for i in range(num_rows)]),
            "weekday": pa.array((random.integers(0, 7, num_rows)).tolist()),
            "note": pa.array([f"what nobody needs, number {i}, with many words to carry" for i in range(num_rows)]),
            "fare": pa.array([None if i % 50 == 0 else round(2 + 0.4 * float(m), 2) for i, m in enumerate(minutes)]),
        }
    )


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("google.cloud.bigquery")
    from bigquery_server import BigQueryServer

    with BigQueryServer() as opened, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGQUERY_EMULATOR_HOST", opened.endpoint)
        patch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", opened.storage_endpoint)
        patch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
        opened.put("bigquery-public-data.new_york.trips", trips())
        yield opened
        assert opened.broken == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("warehouse")


@pytest.fixture(scope="module")
def run_there(server, folder):
    """A terminal after the post's commands on a table of BigQuery, what each answered, and what they cost."""
    terminal = Terminal(folder / "there", folder)
    path = terminal.write("trips.yaml", YAML)
    answers = {"create": terminal("datasource", "create", "bq", "--name", "trips", *PLACE)}
    terminal("pipeline", "push", path, "fares")
    answers["explain"] = terminal("pipeline", "run", 1, "--explain", "--json")
    before = (server.wire.total, server.scanned_bytes, len(server.queries), len(server.storage.offsets))
    answers["run"] = terminal("pipeline", "run", 1, "-y")
    after = (server.wire.total, server.scanned_bytes, len(server.queries), len(server.storage.offsets))
    spent = dict(
        zip(
            ("received", "scanned", "queries", "streams"),
            (b - a for a, b in zip(before, after, strict=True)),
            strict=True,
        )
    )
    return terminal, answers, spent


@pytest.fixture(scope="module")
def run_here(folder):
    """The same on the same rows in a CSV. They stand in the order of their identities, as those of a warehouse are trained on."""
    first = Terminal(folder / "first", folder)
    pacsv.write_csv(trips(), folder / "any-order.csv")
    first("datasource", "create", "csv", "--name", "trips", "--path", folder / "any-order.csv")
    (part,) = first.project.folder.glob("artifacts/snapshot/*/*/part-*.parquet")
    rows = pq.read_table(part).sort_by(ROW_ID).drop_columns([ROW_ID])
    pacsv.write_csv(rows, folder / "trips.csv")
    terminal = Terminal(folder / "here", folder)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", folder / "trips.csv")
    terminal("pipeline", "push", terminal.write("trips.yaml", YAML), "fares")
    terminal("pipeline", "run", 1, "-y")
    return terminal


def artifact(terminal: Terminal, stage: str) -> Path:
    (found,) = [path for path in (terminal.project.folder / "artifacts" / stage).glob("*/*") if path.is_dir()]
    return found


def encoded(terminal: Terminal) -> pa.Table:
    return pq.read_table(artifact(terminal, "Transform") / "encoded.parquet")


def test_the_split_is_the_same_there_as_here(run_there, run_here) -> None:
    there, here = encoded(run_there[0]), encoded(run_here)
    assert there[ROW_ID].to_pylist() == here[ROW_ID].to_pylist()
    assert there["_split"].to_pylist() == here["_split"].to_pylist()
    assert there.num_rows > 2500
    cuts = [pq.read_table(artifact(terminal, "Split") / "cuts.parquet") for terminal in (run_there[0], run_here)]
    assert cuts[0].to_pylist() == cuts[1].to_pylist()


def test_the_statistics_are_the_same_there_as_here(run_there, run_here) -> None:
    there, here = (
        json.loads((artifact(terminal, "Fit") / "statistics.json").read_text()) for terminal in (run_there[0], run_here)
    )
    assert there == here


def test_the_encoded_rows_are_the_same_to_the_last_bit_but_one(run_there, run_here) -> None:
    there, here = encoded(run_there[0]), encoded(run_here)
    assert [(known.name, known.type) for known in there.schema] == [(known.name, known.type) for known in here.schema]
    for name in here.column_names:
        assert np.allclose(there[name].to_pandas(), here[name].to_pandas(), rtol=3e-7, atol=1e-7, equal_nan=True), name


def test_the_metrics_are_the_same_there_as_here(run_there, run_here) -> None:
    there, here = (terminal("pipeline", "evaluate", 1, "--json").json for terminal in (run_there[0], run_here))
    assert there["metrics"][0]["num_rows"] == here["metrics"][0]["num_rows"]
    for name in ("model", "constant"):
        assert there["metrics"][0][name] == pytest.approx(here["metrics"][0][name], rel=1e-4)
    for one, other in zip(there["slices"], here["slices"], strict=True):
        assert one["columns"] == other["columns"]
        assert [(row[one["columns"][0]], row["num_rows"]) for row in one["rows"]] == [
            (row[one["columns"][0]], row["num_rows"]) for row in other["rows"]
        ]


def test_what_it_scans_is_told_before(run_there, server) -> None:
    _, answers, spent = run_there
    scan = answers["explain"].json["scan"]
    table = server.tables.found["bigquery-public-data", "new_york", "trips"].versions[0]
    assert scan["query_bytes"] == table.num_bytes
    assert scan["num_bytes"] == scan["num_queries"] * table.num_bytes
    assert spent["scanned"] <= scan["num_bytes"] <= spent["scanned"] * 1.2
    assert re.search(r"BigQuery will scan about [\d.]+ [kM]B in \d+ queries of [\d.]+ [kM]B", answers["run"].out)


def test_only_what_is_needed_comes_here(run_there, server) -> None:
    """No text of the table and no column that the YAML does not name is ever in a result."""
    texts = [job.text for job in server.queries]
    outermost = [text.partition(" FROM ")[0] for text in texts]
    assert not any("note" in text for text in outermost)
    assert set(server.statements) == {"SELECT"}
    assert server.calls["tabledata.list"] == 0


def test_all_queries_read_one_state(run_there, server) -> None:
    _, _, spent = run_there
    run = [job.text for job in server.queries][-spent["queries"] :]
    times = {time for text in run for time in re.findall(r"FOR SYSTEM_TIME AS OF CAST\('([^']+)'", text)}
    assert len(times) == 1
    of_table = [text for text in run if "citibike" in text or "`trips`" in text or ".trips" in text]
    assert all("FOR SYSTEM_TIME AS OF" in text for text in of_table)
    assert len(of_table) > 5


def test_a_run_of_which_all_is_stored_asks_nothing(run_there, server) -> None:
    terminal, _, _ = run_there
    before = dict(server.calls)
    again = terminal("pipeline", "run", "fares", "-y")
    for stage in STAGES:
        assert f"{stage}: stored already" in again.err
    assert "will scan" not in again.out
    assert dict(server.calls) == before


def test_another_feature_moves_no_row(run_there, server) -> None:
    terminal, _, _ = run_there
    text = YAML.replace("  member: {}\n", "  member: {}\n  weekday: {}\n").replace("train_steps: 60", "train_steps: 4")
    terminal("pipeline", "push", terminal.write("more.yaml", text), "more")
    stages = terminal("pipeline", "run", "more", "--explain", "--json").json["stages"]
    states = ["stored" if stage["stored"] else "to run" for stage in stages]
    assert states == ["stored", "to run", "to run", "to run", "to run", "to run"]


def test_predictions_are_sliced_by_columns_that_were_not_brought_here(run_there, server) -> None:
    terminal, _, _ = run_there
    before = len(server.queries)
    found = terminal("pipeline", "slice", 1, "station where note LIKE '%number 1%'", "--json").json
    assert {row["station"] for row in found["labels"][0]["slices"]} == {"Grove St", "Hamilton Park", "JC's", "é"}
    assert 0 < found["num_rows"] < found["num_evaluated"]
    assert len(server.queries) > before
    asked = len(server.queries)
    terminal("pipeline", "slice", 1, "station where note LIKE '%number 2%'")
    assert len(server.queries) == asked  # they were kept


def test_the_columns_are_described_by_split(run_there) -> None:
    terminal, _, _ = run_there
    found = {column["name"]: column for column in terminal("pipeline", "statistics", 1, "--json").json["columns"]}
    splits = found["station"]["splits"]
    assert sum(split["num_rows"] for split in splits.values()) > 2500
    assert splits["train"]["num_distinct"] == 4
    assert found["minutes"]["splits"]["eval"]["minimum"] > 1


# Money

TINY = "tiny"
TINY_YAML = SMALL.replace("train_steps: 20", "train_steps: 4")


def tiny(num_rows: int) -> pa.Table:
    """A table of three columns, so that its queries are short."""
    return pacsv.read_csv(io.BytesIO(table_text(num_rows).encode()))


@pytest.fixture(scope="module")
def identities(tmp_path_factory) -> set[int]:
    """Those of the rows of `tiny(300)`, as they are made here."""
    folder = tmp_path_factory.mktemp("tiny")
    terminal = Terminal(folder / "project", folder)
    terminal("datasource", "create", "csv", "--name", "tiny", "--path", terminal.write("tiny.csv", table_text(300)))
    (part,) = terminal.project.folder.glob("artifacts/snapshot/*/*/part-*.parquet")
    return set(pq.read_table(part)[ROW_ID].to_pylist())


@pytest.fixture
def fresh(server, tmp_path):
    """A terminal with the table registered and the pipeline pushed, nothing run."""
    server.put(f"bigquery-public-data.new_york.{TINY}", tiny(300))
    terminal = Terminal(tmp_path / "project", tmp_path)
    terminal("datasource", "create", "bq", "--name", "tiny", *PLACE[:-3], TINY, *PLACE[-2:])
    terminal("pipeline", "push", terminal.write("tiny.yaml", TINY_YAML), "fares")
    yield terminal
    server.before_query = None


def test_a_run_that_would_scan_too_much_is_not_begun(fresh, server) -> None:
    version = server.tables.found["bigquery-public-data", "new_york", TINY].versions[-1]
    known = dict(version.column_bytes)
    version.column_bytes["word"] = 4_689_000_000
    (fresh.project.folder / "settings.yaml").write_text("prices: {gb_scanned: 0.006, currency: EUR}\n")
    try:
        before = server.scanned_bytes
        told = fresh("pipeline", "run", 1, "--explain").out
        assert re.search(r"BigQuery will scan about \d\d\.\d GB in \d+ queries of 4\.7 GB, € 0\.\d\d", told)
        answer = fresh("pipeline", "run", 1, "-y", "--max-gb-scanned", 20, code=5)
        assert re.search(
            r"this run would scan about \d\d\.\d\d GB in \d+ queries, more than --max-gb-scanned 20", answer.err
        )
        assert server.scanned_bytes == before
        assert fresh("pipeline", "list", "--json").json[0]["runs"] == 0
    finally:
        version.column_bytes.update(known)


def test_the_bound_holds_where_the_estimate_was_too_low(fresh, server) -> None:
    """BigQuery bills 10 MiB for the smallest query, which the bound counts and the estimate does not."""
    answer = fresh("pipeline", "run", 1, "-y", "--max-gb-scanned", 0.03, code=5)
    assert "the bound of 0.03 GB scanned is reached" in answer.err
    assert "finished stages are kept; give more with --max-gb-scanned" in answer.err
    assert fresh("pipeline", "status", "--json").json[0]["status"] == "Failed"
    assert fresh.leftovers() == []


def test_what_was_scanned_is_part_of_the_cost(fresh, server) -> None:
    (fresh.project.folder / "settings.yaml").write_text("prices: {gb_scanned: 1000, currency: EUR}\n")
    fresh("pipeline", "run", 1, "-y")
    ((*_, compute, _, _, _),) = fresh("pipeline", "status").rows(
        "ID | Name | Pipeline Status | Completion | Compute Cost (€) | Training Cost (€) | Total Cost (€) | Execution Time"
    )
    assert float(compute) >= 80  # ten queries of 10 MiB


# What happens on the way


def assert_rows_of_the_snapshot(terminal: Terminal, identities: set[int]) -> None:
    rows = encoded(terminal)
    evaluated = [found for found in rows[ROW_ID].to_pylist() if found is not None]
    assert rows.num_rows == 300
    assert len(evaluated) == 60
    assert set(evaluated) <= identities


def test_a_table_that_changes_during_the_run_changes_nothing(fresh, server, identities) -> None:
    def change(number: int) -> None:
        server.put(f"bigquery-public-data.new_york.{TINY}", tiny(100 + number))

    server.before_query = change
    fresh("pipeline", "run", 1, "-y")
    assert_rows_of_the_snapshot(fresh, identities)


def test_a_table_that_changed_before_the_run_is_read_as_it_was(fresh, server, identities) -> None:
    server.put(f"bigquery-public-data.new_york.{TINY}", tiny(77))
    answer = fresh("pipeline", "run", 1, "-y")
    assert f"bigquery-public-data.new_york.{TINY} has changed since its snapshot" in answer.err
    assert "the rows of the snapshot are read" in answer.err
    assert_rows_of_the_snapshot(fresh, identities)


def test_what_breaks_on_the_way_is_told_and_mended(fresh, server) -> None:
    server.faults.add("ReadRows", "unavailable", "connection reset", times=2)
    server.faults.add("jobs.insert", "backendError", "come back later", times=1)
    answer = fresh("pipeline", "run", 1, "-y")
    assert answer.err.count("a stream broke at row 0 (connection reset); taking it up again") == 2
    assert "come back later; trying again" in answer.err
    assert "succeeded" in answer.out


@pytest.mark.parametrize(
    ("call", "reason", "said"),
    [
        ("jobs.insert", "quotaExceeded", "a quota of the project bigquery-public-data is used up"),
        ("CreateReadSession", "accessDenied", "roles/bigquery.readSessionUser"),
        ("jobs.insert", "authError", "credentials for BigQuery are expired"),
    ],
)
def test_a_run_that_cannot_go_on_is_kept_and_goes_on_later(fresh, server, call, reason, said) -> None:
    asked = itertools.count()
    add = server.faults.add
    # The dry run and the question for the time pass; the third query of the table does not.
    server.before_query = lambda number: add(call, reason, "told by BigQuery") if next(asked) == 3 else None
    answer = fresh("pipeline", "run", 1, "-y", code=4)
    assert said in answer.err
    server.before_query = None
    assert fresh("pipeline", "status", "--json").json[0]["status"] == "Failed"
    assert "succeeded" in fresh("pipeline", "resume", 1).out


def test_a_filter_that_bigquery_does_not_run_is_told_before_the_run(fresh) -> None:
    """What this machine would do and BigQuery does not is found by the dry run, before anything is paid."""
    text = TINY_YAML.replace("  categorize_by", "  where: [\"x < 5 AND word ILIKE 'A'\"]\n  categorize_by")
    fresh("pipeline", "push", fresh.write("odd.yaml", text), "odd")
    answer = fresh("pipeline", "run", "odd", "-y")
    assert "succeeded" in answer.out  # said in BigQuery's words: LOWER(word) LIKE LOWER('A')


def test_its_rows_are_predicted_where_they_are(run_there, server, folder) -> None:
    """What comes here are encoded columns and the key, once; an interrupted command would take them up."""
    terminal, *_ = run_there
    target = folder / "predicted.parquet"
    words = ("predict", "fares", "--input", "trips", "-o", target)
    assert "name the columns that do: --keep COLUMN" in terminal(*words, code=7).err
    before = server.wire.total
    said = terminal(*words, "--keep", "note").out
    assert "3,000 rows predicted" in said
    assert "age: 150 (5.0 %) cells are missing" in said
    assert server.wire.total - before < 600_000
    found = pq.read_table(target).sort_by("note")
    rows = trips().sort_by("note")
    assert found["note"].to_pylist() == rows["note"].to_pylist()
    expected = find_run(terminal.project, "fares").predict(rows)
    np.testing.assert_allclose(found["prediction"], expected["prediction"], rtol=1e-6)
