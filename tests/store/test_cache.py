"""What may go, in which order, and what stays: least recently used first, never what somebody needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cengine.store.cache import Entry, beside, choose, entries, keep_within, leftovers, remove
from cengine.store.lifecycle import INTERRUPTED, enter
from cengine.store.processes import identity_of, own_identity
from cengine.store.project import Project, open_project
from cengine.store.records import now

DAY = 86400
STAGES = ("Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate")


@pytest.fixture
def project(tmp_path) -> Project:
    """A project with a datasource, whose snapshot is stored, and a pipeline."""
    project = open_project(tmp_path)
    datasource = project.records.datasources.insert(name="trips", type="csv", options={}, created_at=now())
    build(project, "snapshot", "a", 1000)
    project.records.snapshots.insert_numbered(
        datasource_id=datasource,
        content=key("a"),
        num_rows=1,
        num_columns=1,
        num_bytes=1000,
        num_rejected=0,
        created_at=now(),
    )
    project.records.pipelines.insert(
        name="p", config_name="c", config_text="", datasource_id=datasource, created_at=now()
    )
    return project


def key(letter: str) -> str:
    return letter * 64


def build(project: Project, stage: str, letter: str, num_bytes: int, used_days_ago: float = 0, **details) -> None:
    with project.artifacts.building(stage, key(letter)) as building:
        (building.folder / "data").write_bytes(b"x" * num_bytes)
        building.details.update(details)
    marker = project.artifacts.folder(stage, key(letter)) / "artifact.json"
    os.utime(marker, (time.time() - used_days_ago * DAY,) * 2)


def record(project: Project, status: str, letters: dict[str, str], process: str | None = None) -> int:
    stages = [
        {"name": s, "fingerprint": key(x), "reused": False, "seconds": 1.0, "saved_seconds": 0.0}
        for s, x in letters.items()
    ]
    row = project.records.runs.insert_numbered(
        pipeline_id=1,
        snapshot_id=1,
        status=status,
        completion_ratio=0.0,
        compute_cost=0.0,
        training_cost=0.0,
        started_at=now(),
        process_id=os.getpid(),
        process=process or own_identity(),
        heartbeat_at=now(),
        stages=stages,
    )
    return int(row.id)


def names(found) -> list[str]:
    return [f"{entry.stage}-{entry.fingerprint[0]}" for entry in found]


def pruned(project: Project, **how) -> list[str]:
    return names(entry for entry, gone in remove(project, choose(entries(project), **how)) if gone)


def test_entries_say_who_uses_them(project) -> None:
    build(project, "Split", "b", 10)
    build(project, "evidence", "c", 10, parent=key("e"))
    build(project, "Evaluate", "e", 10)
    record(project, "Succeeded", {"Split": "b", "Evaluate": "e"})
    record(project, "Succeeded", {"Split": "b"})
    found = {f"{entry.stage}": entry for entry in entries(project)}
    assert found["Split"].runs == ("1:1", "1:2")
    assert found["Evaluate"].runs == found["evidence"].runs == ("1:1",)
    assert found["snapshot"].datasources == ("trips",)
    assert found["snapshot"].num_bytes > 1000
    assert {entry.needed for entry in found.values()} == {None}


def test_what_was_used_last_goes_last(project) -> None:
    for letter, days in (("b", 3), ("c", 9), ("d", 1)):
        build(project, "Split", letter, 100_000, days)
    assert pruned(project, max_bytes=250_000) == ["Split-c"]
    with project.artifacts.building("Split", key("b")) as building:  # a run reuses it
        assert building is None
    assert pruned(project, max_bytes=150_000) == ["Split-d"]
    assert pruned(project, max_bytes=150_000) == []


def test_what_was_not_used_for_long_goes(project) -> None:
    build(project, "Split", "b", 10, 40)
    build(project, "Fit", "c", 10, 20)
    assert pruned(project, unused_seconds=30 * DAY) == ["Split-b"]


def test_tables_of_datasources_stay_unless_they_are_named(project) -> None:
    build(project, "snapshot", "f", 10)  # of a Python program, or of a datasource that was forgotten
    choice = choose(entries(project), everything=True)
    assert names(choice.going) == ["snapshot-f"]
    assert [why for _, why in choice.spared] == ["the table of datasource trips: only --snapshots lets it go"]
    assert sorted(pruned(project, everything=True, snapshots=True)) == ["snapshot-a", "snapshot-f"]


def test_what_a_run_that_goes_on_needs_stays(project) -> None:
    build(project, "Split", "b", 10)
    build(project, "Fit", "c", 10)
    run = record(project, "Running", {"Split": "b"})
    choice = choose(entries(project), everything=True, snapshots=True)
    assert names(choice.going) == ["Fit-c"]
    assert {why for _, why in choice.spared} == {"run 1:1 needs it"}
    enter(project.records, run, INTERRUPTED)
    assert sorted(pruned(project, everything=True, snapshots=True)) == ["Fit-c", "Split-b", "snapshot-a"]


def test_a_run_whose_process_is_gone_needs_nothing(project) -> None:
    build(project, "Split", "b", 10)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record(project, "Running", {"Split": "b"}, identity_of(child.pid))
    assert pruned(project, everything=True) == []
    child.communicate(b"\n")
    assert pruned(project, everything=True) == ["Split-b"]


def test_what_another_process_uses_or_builds_stays_until_it_ends(project) -> None:
    build(project, "Split", "b", 10)
    code = f"""
import pathlib
from cengine.store.artifacts import Artifacts
artifacts = Artifacts(pathlib.Path({str(project.artifacts.root)!r}))
with artifacts.in_use("Split", {key("b")!r}), artifacts.building("Fit", {key("c")!r}) as building:
    artifacts.work_folder("Fit", {key("c")!r}).mkdir()
    print("ready", flush=True)
    input()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    found = entries(project)
    assert {entry.kind: entry.needed for entry in found if entry.stage != "snapshot"} == {
        "Split": "a process builds or uses it",
        "Fit, unfinished": "a process builds or uses it",
    }
    assert leftovers(project.artifacts) == []
    assert pruned(project, everything=True) == []
    process.kill()
    process.wait()
    assert len(leftovers(project.artifacts)) == 1  # its draft
    assert sorted(pruned(project, everything=True)) == ["Fit-c", "Split-b"]
    assert list((project.artifacts.root / ".work").iterdir()) == []


def test_what_is_needed_between_choice_and_removal_stays(project) -> None:
    build(project, "Split", "b", 10)
    build(project, "Fit", "c", 10)
    choice = choose(entries(project), everything=True)
    record(project, "Running", {"Split": "b"})
    assert {entry.stage: gone for entry, gone in remove(project, choice)} == {"Split": False, "Fit": True}
    assert project.artifacts.find("Split", key("b")) is not None


def test_a_limit_that_cannot_be_kept_says_by_how_much(project) -> None:
    build(project, "Split", "b", 5000)
    choice = choose(entries(project), max_bytes=500)
    assert names(choice.going) == ["Split-b"]
    assert 500 < choice.missing_bytes < 1500


def test_runs_and_time_that_go(project) -> None:
    build(project, "Split", "b", 10)
    record(project, "Succeeded", {"Split": "b"})
    choice = choose(entries(project), everything=True)
    assert choice.runs == ["1:1"]
    assert choice.build_seconds == project.artifacts.find("Split", key("b")).seconds


def test_a_limit_after_a_run_spares_what_the_run_made(project) -> None:
    build(project, "Split", "b", 100_000, 9)
    build(project, "Split", "c", 100_000, 5)
    build(project, "Fit", "d", 100_000, 1)
    assert names(keep_within(project, 220_000, [key("b")])) == ["Split-c"]
    assert keep_within(project, 220_000, [key("b")]) == []


def test_a_torn_artifact_is_listed_and_goes(project) -> None:
    build(project, "Split", "b", 10)
    (project.artifacts.folder("Split", key("b")) / "artifact.json").write_text("{")
    assert pruned(project, everything=True) == ["Split-b"]


def test_what_is_beside(project) -> None:
    (project.folder / "logs").mkdir()
    (project.folder / "logs" / "run-1.log").write_bytes(b"x" * 7)
    found = beside(project)
    assert found["logs"] == 7
    assert found["records"] > 0
    assert found["reports"] == 0


def test_a_run_that_comes_while_everything_goes_loses_nothing(project) -> None:
    """Ten builders that want the same results, while another thread removes all the time: whoever holds one finds it whole."""
    stop = threading.Event()
    torn = []

    def use(number: int) -> None:
        for i in range(15):
            stage = STAGES[(number + i) % len(STAGES)]
            with project.artifacts.building(stage, key("9")) as building:
                if building is not None:
                    (building.folder / "data").write_text("whole")
            with project.artifacts.in_use(stage, key("9")):
                found = project.artifacts.find(stage, key("9"))
                if found is not None and (found.folder / "data").read_text() != "whole":
                    torn.append(stage)

    def prune() -> None:
        while not stop.is_set():
            for _ in remove(project, choose(entries(project), everything=True)):
                pass

    users = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    pruner = threading.Thread(target=prune)
    for thread in (*users, pruner):
        thread.start()
    for thread in users:
        thread.join(60)
    stop.set()
    pruner.join(60)
    assert torn == []
    assert [path.name for path in (project.artifacts.root / ".work").iterdir()] == []


made = st.builds(
    Entry,
    st.sampled_from(STAGES),
    st.text("0123456789abcdef", min_size=4, max_size=4),
    st.integers(0, 1000),
    st.floats(0, 1000),
    st.none() | st.floats(0, 10),
    needed=st.none() | st.just("run 1:1 needs it"),
    datasources=st.sampled_from([(), ("trips",)]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no error
@given(
    st.lists(made, max_size=12, unique_by=id),
    st.none() | st.integers(0, 5000),
    st.none() | st.floats(0, 1000),
    st.booleans(),
    st.booleans(),
)
def test_the_choice_keeps_its_word(found, max_bytes, unused_seconds, everything, snapshots) -> None:
    choice = choose(
        found,
        max_bytes=max_bytes,
        unused_seconds=unused_seconds,
        everything=everything,
        snapshots=snapshots,
        now=1000.0,
    )
    going = {id(entry) for entry in choice.going}
    free = [entry for entry in found if entry.needed is None and (snapshots or not entry.datasources)]
    assert all(entry in free for entry in choice.going)
    if everything:
        assert len(going) == len(free)
    if max_bytes is not None:
        rest = sum(entry.num_bytes for entry in found if id(entry) not in going)
        assert rest <= max_bytes or len(going) == len(free)
        assert choice.missing_bytes == max(0, rest - max_bytes)
    if unused_seconds is None and not everything and choice.going:  # nothing more than was asked for
        last = max(choice.going, key=lambda entry: entry.used_at)
        assert max_bytes is not None
        assert choice.total_bytes - choice.freed_bytes + last.num_bytes > max_bytes or last.num_bytes == 0
        assert all(entry.used_at >= last.used_at or id(entry) in going for entry in free)
    json.dumps([entry.runs for entry in choice.going])
