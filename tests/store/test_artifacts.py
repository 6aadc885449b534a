"""Artifacts: folders that appear when complete, are built once, and leave nothing where building failed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from cengine.errors import StoreError
from cengine.store.artifacts import FORMAT_VERSION, Artifacts

KEY = "ab" + "0" * 62


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(tmp_path / "artifacts")


def build(artifacts, text: str = "hello") -> None:
    with artifacts.building("Fit", KEY) as building:
        (building.folder / "sub").mkdir()
        (building.folder / "sub" / "data.txt").write_text(text)
        building.details["note"] = "ü"


def leftovers(artifacts) -> list:
    return list((artifacts.root / ".work").glob("*"))


def test_it_appears_complete(artifacts) -> None:
    assert artifacts.find("Fit", KEY) is None
    with artifacts.building("Fit", KEY) as building:
        (building.folder / "data.txt").write_text("hello")
        assert artifacts.find("Fit", KEY) is None
        assert not artifacts.folder("Fit", KEY).exists()
    found = artifacts.find("Fit", KEY)
    assert (found.folder / "data.txt").read_text() == "hello"
    assert found.num_bytes == 5
    assert found.seconds >= 0
    assert leftovers(artifacts) == []


def test_what_is_there_is_not_built_again(artifacts) -> None:
    build(artifacts)
    with artifacts.building("Fit", KEY) as building:
        assert building is None
    assert artifacts.find("Fit", KEY).details == {"note": "ü"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_the_block_leaves_nothing(artifacts, error) -> None:
    with pytest.raises(error), artifacts.building("Fit", KEY) as building:
        (building.folder / "half").write_text("x")
        raise error
    assert artifacts.find("Fit", KEY) is None
    assert leftovers(artifacts) == []
    build(artifacts)
    assert artifacts.find("Fit", KEY) is not None


def test_what_an_unfinished_stage_keeps_goes_when_it_is_complete(artifacts) -> None:
    kept = artifacts.work_folder("Fit", KEY)
    kept.mkdir(parents=True)
    (kept / "checkpoint").write_text("x")
    with pytest.raises(ValueError), artifacts.building("Fit", KEY):
        raise ValueError
    assert (kept / "checkpoint").exists()
    build(artifacts)
    assert leftovers(artifacts) == []


def test_a_second_builder_waits_and_takes_it(artifacts) -> None:
    began, waited, found = threading.Event(), threading.Event(), []

    def first() -> None:
        with artifacts.building("Fit", KEY) as building:
            began.set()
            assert waited.wait(20)
            (building.folder / "data.txt").write_text("first")

    def second() -> None:
        began.wait(20)
        with artifacts.building("Fit", KEY, waited.set) as building:
            found.append(building)

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [None]
    assert (artifacts.folder("Fit", KEY) / "data.txt").read_text() == "first"


def test_different_artifacts_do_not_wait(artifacts) -> None:
    with (
        artifacts.building("Fit", KEY),
        artifacts.building("Fit", "cd" + "0" * 62, lambda: pytest.fail("it waited")) as other,
    ):
        assert other is not None


def test_a_killed_builder_blocks_nobody_and_its_draft_goes(artifacts) -> None:
    code = f"""
import pathlib, time
from cengine.store.artifacts import Artifacts
with Artifacts(pathlib.Path({str(artifacts.root)!r})).building("Fit", {KEY!r}) as building:
    (building.folder / "half.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait()
    assert len(leftovers(artifacts)) == 1
    began = time.monotonic()
    build(artifacts)
    assert time.monotonic() - began < 10
    assert leftovers(artifacts) == []
    assert not (artifacts.folder("Fit", KEY) / "half.txt").exists()


@pytest.mark.parametrize("text", ["", "{", '{"format_version": 1', "[]", "\x00"])
def test_a_torn_marker_is_named(artifacts, text) -> None:
    build(artifacts)
    (artifacts.folder("Fit", KEY) / "artifact.json").write_text(text)
    with pytest.raises(StoreError, match="the stored Fit cannot be read") as caught:
        artifacts.find("Fit", KEY)
    assert str(artifacts.folder("Fit", KEY)) in str(caught.value)


def test_a_newer_format_is_refused(artifacts) -> None:
    build(artifacts)
    marker = artifacts.folder("Fit", KEY) / "artifact.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "format_version": FORMAT_VERSION + 1}))
    with pytest.raises(StoreError, match="newer cengine"):
        artifacts.find("Fit", KEY)


def test_removing(artifacts) -> None:
    artifacts.remove("Fit", KEY)
    build(artifacts)
    artifacts.remove("Fit", KEY)
    assert artifacts.find("Fit", KEY) is None
    assert leftovers(artifacts) == []
