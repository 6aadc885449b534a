"""The main job: the post's six commands on the real trips, and what is reused afterwards."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path

import pytest
from terminal import Terminal

SHARED = Path(__file__).parents[3] / "shared"
TRIPS = SHARED / "data" / "citibike"
POST = SHARED / "post" / "citibike.yaml"
STAGES = ["Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate"]
NUM_ROWS, NUM_STATIONS = 250_912, 51

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not TRIPS.is_dir(), reason=f"the real trips are not here: {TRIPS}"),
]


@pytest.fixture(scope="module")
def config() -> str:
    """The post's YAML, for two passes over these trips."""
    text = POST.read_text()
    for long, short in (
        ("train_steps: 230000", "train_steps: 1764"),
        ("save_checkpoints_steps: 15000", "save_checkpoints_steps: 441"),
    ):
        assert long in text
        text = text.replace(long, short)
    return text


@pytest.fixture(scope="module")
def run_once(tmp_path_factory, config):
    """A terminal after the post's commands, with what each answered."""
    folder = tmp_path_factory.mktemp("trips")
    terminal = Terminal(folder / "project", folder)
    path = terminal.write("citibike.yaml", config)
    answers = {
        "create": terminal(
            "datasource", "create", "csv", "--name", "citibike_trips", "--path", f"{TRIPS}/JC-2018*.csv.gz"
        ),
        "sources": terminal("datasource", "list"),
        "push": terminal("pipeline", "push", path, "nyc_citibike_experiment"),
        "run": terminal("pipeline", "run", 1, "-y"),
        "status": terminal("pipeline", "status", "--pipeline_id", 1),
        "evaluate": terminal("pipeline", "evaluate", 1, "--all"),
    }
    return terminal, answers


def metrics(terminal, key=1):
    (row,) = terminal("pipeline", "evaluate", key, "--json").json["metrics"]
    return row


def states(terminal, key) -> list[str]:
    """`stored` or `to run` for each stage."""
    return [
        row[1]
        for row in terminal("pipeline", "run", key, "--explain").rows(
            "Stage | State | Size | Time | 4 of 5 times | Memory | Saves"
        )
    ]


def test_the_table_is_registered_as_in_the_post(run_once) -> None:
    _, answers = run_once
    assert "->" not in answers["create"].out
    assert f"{NUM_ROWS:,} rows read, 15 columns" in answers["create"].out
    ((selection, number, name, rows, columns, size),) = answers["sources"].rows(
        "Selection | ID | Name | Rows | Cols | Size (MB)"
    )
    assert (selection, number, name, rows, columns) == ("*", "1", "citibike_trips", str(NUM_ROWS), "15")
    assert 1 < float(size) < 100


def test_push_proposes_resources_and_warns(run_once) -> None:
    _, answers = run_once
    assert "pipeline 1 (nyc_citibike_experiment) registered" in answers["push"].out
    assert re.search(r"proposed: 1 worker with \d+ cpus_per_worker, [\d.]+ GB memory", answers["push"].out)
    assert "'start station id' looks like an identifier" in answers["push"].err


def test_the_status_has_the_posts_columns(run_once) -> None:
    _, answers = run_once
    header = "ID | Name | Pipeline Status | Completion | Compute Cost (€) | Training Cost (€) | Total Cost (€) | Execution Time"
    ((number, name, state, done, *costs, seconds),) = answers["status"].rows(header)
    assert (number, name, state, done) == ("1", "nyc_citibike_experiment", "Succeeded", "100%")
    assert costs == ["0", "0", "0"]
    assert re.fullmatch(r"\d:\d\d:\d\d\.\d{6}", seconds)


def test_the_model_is_better_than_the_median(run_once) -> None:
    terminal, answers = run_once
    row = metrics(terminal)
    assert row["metric"] == "mae"
    assert row["model"] <= 7.6
    assert 7.8 <= row["constant"] <= 8.0
    assert row["constant_is"] == "train median 1983"
    sentence = r"The model of birth year has mae 7\.\d+: .* a linear model \(7\.\d+\).* always saying 1983 \(train median, 7\.\d+\)\."
    assert re.search(sentence, answers["run"].out)
    assert re.search(sentence, answers["evaluate"].out)


def test_every_row_is_in_a_split_and_every_evaluated_row_in_a_slice(run_once) -> None:
    terminal, answers = run_once
    found = re.search(
        rf"split: train ([\d,]+), eval ([\d,]+) rows in {NUM_STATIONS} groups of start station name", answers["run"].out
    )
    train, evaluated = (int(number.replace(",", "")) for number in found.groups())
    assert NUM_ROWS - 100 < train + evaluated <= NUM_ROWS
    assert abs(evaluated - 0.1 * (train + evaluated)) < NUM_STATIONS
    result = terminal("pipeline", "evaluate", 1, "--json").json
    assert [s["columns"] for s in result["slices"]] == [["gender"], ["start station name"], ["birth year"]]
    for group in result["slices"]:
        assert sum(row["num_rows"] for row in group["rows"]) == evaluated == result["metrics"][0]["num_rows"]
        weighted = sum(row["num_rows"] * row["mae"] for row in group["rows"]) / evaluated
        assert weighted == pytest.approx(result["metrics"][0]["model"], rel=1e-9)
    shown = answers["evaluate"].rows("gender | rows | mae | 95 % | constant")
    assert {row[0] for row in shown} == {"0", "1", "2"}
    assert sum(int(row[1]) for row in shown) == evaluated


def test_a_second_run_finds_all_stored(run_once) -> None:
    terminal, _ = run_once
    before = metrics(terminal)
    again = terminal("pipeline", "run", "nyc_citibike_experiment", "-y")
    for stage in STAGES:
        assert re.search(rf"{stage}: stored already, [\d.]+ s saved", again.err)
    assert re.search(r"succeeded in .*, [\d.]+ s saved by what was stored", again.out)
    assert metrics(terminal) == before
    assert terminal("pipeline", "evaluate", "1:1", "--json").json["metrics"] == [before]


def test_another_trainer_reuses_what_stands_before_it(run_once, config) -> None:
    terminal, _ = run_once
    path = terminal.write(
        "trainer.yaml", config.replace("units: 64", "units: 8").replace("train_steps: 1764", "train_steps: 50")
    )
    terminal("pipeline", "push", path, "trainer")
    assert states(terminal, "trainer") == ["stored", "stored", "stored", "stored", "to run", "to run"]
    again = terminal("pipeline", "run", "trainer", "-y")
    for stage in STAGES[:4]:
        assert f"{stage}: stored already" in again.err
    for stage in STAGES[4:]:
        assert f"{stage}: done in" in again.err


def test_another_evaluator_reuses_the_model(run_once, config) -> None:
    terminal, _ = run_once
    terminal(
        "pipeline",
        "push",
        terminal.write(
            "slices.yaml", config.replace("  gender: {}\n  start_station_name", "  usertype: {}\n  start_station_name")
        ),
        "slices",
    )
    assert states(terminal, "slices") == ["stored", "stored", "stored", "stored", "stored", "to run"]


def test_dropping_a_feature_keeps_the_split(run_once, config) -> None:
    terminal, _ = run_once
    assert "  usertype: {}\n" in config
    terminal("pipeline", "push", terminal.write("fewer.yaml", config.replace("  usertype: {}\n", "")), "fewer")
    assert states(terminal, "fewer") == ["stored", "to run", "to run", "to run", "to run", "to run"]


def test_ids_and_names_both_work(run_once) -> None:
    terminal, _ = run_once
    assert metrics(terminal, 1) == metrics(terminal, "nyc_citibike_experiment")
    by_id, by_name = (terminal("datasource", "show", key).out for key in (1, "citibike_trips"))
    assert by_id == by_name
    assert terminal("pipeline", "pull", 1).out == terminal("pipeline", "pull", "nyc_citibike_experiment").out


def test_what_is_pulled_is_the_same_pipeline(run_once) -> None:
    terminal, _ = run_once
    terminal("pipeline", "pull", 1, "-o", terminal.files / "pulled.yaml")
    terminal("pipeline", "push", terminal.files / "pulled.yaml", "pulled")
    assert states(terminal, "pulled") == ["stored"] * 6


@pytest.fixture
def copied(tmp_path):
    """One month of the trips in a folder of our own."""
    source = TRIPS / "JC-201811-citibike-tripdata.csv.gz"
    target = tmp_path / "data" / "trips.csv"
    target.parent.mkdir()
    target.write_bytes(gzip.decompress(source.read_bytes()))
    return target


def test_files_touched_or_changed(terminal, copied, config) -> None:
    """Touching, copying or renaming a file changes nothing; one byte makes a new snapshot, and all of it runs again."""
    text = config.replace("train_steps: 1764", "train_steps: 20")
    terminal("datasource", "create", "csv", "--name", "trips", "--path", copied.parent)
    terminal("pipeline", "push", terminal.write("c.yaml", text), "trips")
    terminal("pipeline", "run", "trips", "-y")
    os.utime(copied, (1, 1))
    assert "nothing has changed; snapshot 1" in terminal("datasource", "commit").out
    renamed = copied.with_name("other.csv")
    shutil.copy(copied, renamed)
    copied.unlink()
    assert "nothing has changed; snapshot 1" in terminal("datasource", "commit", "trips").out
    assert states(terminal, "trips") == ["stored"] * 6

    data = bytearray(renamed.read_bytes())
    place = data.index(b"\n", data.index(b"\n") + 1) - 1  # the gender of the first trip
    assert data[place] in b"012"
    data[place] = b"012"[(int(chr(data[place])) + 1) % 3]
    renamed.write_bytes(bytes(data))
    assert "snapshot 2 of trips" in terminal("datasource", "commit").out
    assert states(terminal, "trips") == ["to run"] * 6
    assert "stored already" not in terminal("pipeline", "run", "trips", "-y").err
    runs = terminal("pipeline", "list", "--json").json
    assert runs[0]["runs"] == 2


def test_older_headers_and_missing_years_are_read(terminal) -> None:
    """2016-04 has other headers, CRLF and empty birth years; 2017-04 writes NULL."""
    for month, name in (("201604", "old"), ("201704", "null")):
        (path,) = TRIPS.glob(f"JC-{month}*.csv.gz")
        terminal("datasource", "create", "csv", "--name", name, "--path", path)
        columns = {column["name"]: column for column in terminal("datasource", "show", name, "--json").json["columns"]}
        if name == "null":
            assert columns["birth year"]["type"] in ("integer", "float")
            assert columns["birth year"]["nulls"] > 0
        else:
            assert columns["Birth Year"]["nulls"] > 0
            assert columns["Trip Duration"]["type"] == "integer"
