"""`cengine cache`: what is told, what goes, what is found wrong, and that a run builds again what went."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from terminal import YAML, Terminal, table_text

STAGES = ("Split", "Fit", "Transform", "Yardsticks", "Train", "Evaluate")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Terminal:
    """A terminal after a run."""
    folder = tmp_path_factory.mktemp("finished")
    terminal = Terminal(folder / "project", folder)
    terminal("datasource", "create", "csv", "--name", "table", "--path", terminal.write("table.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "mine")
    terminal("pipeline", "run", "mine", "-y")
    return terminal


@pytest.fixture
def copy(finished, tmp_path) -> Terminal:
    """A terminal on a copy of that project."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Terminal(tmp_path / "copy", finished.files)


def stored(terminal: Terminal, stage: str):
    return next((terminal.project.folder / "artifacts" / stage).glob("??/*"), None)


def test_list(finished) -> None:
    found = finished("cache", "list", "--json").json
    assert {entry["stage"] for entry in found["artifacts"]} >= {*STAGES, "snapshot"}
    sizes = [entry["bytes"] for entry in found["artifacts"]]
    assert sizes == sorted(sizes, reverse=True)
    assert all(entry["runs"] == ["1:1"] for entry in found["artifacts"])
    assert found["total_bytes"] == sum(found["totals"].values()) + sum(found["beside"].values()) > sum(sizes)
    used = [entry["used_at"] for entry in finished("cache", "list", "--sort", "used", "--json").json["artifacts"]]
    assert used == sorted(used)
    rows = finished("cache", "list").rows("Kind | Fingerprint | Size | Last used | Took | Used by | In use")
    assert [row[5] for row in rows if row[0] == "snapshot"] == ["table, 1:1"]


def test_what_is_looked_at_was_used(copy) -> None:
    for entry in ("Split", "Evaluate"):
        os.utime(stored(copy, entry) / "artifact.json", (0, 0))
    copy("pipeline", "evaluate", "mine", "--no-open")
    assert all(time.time() - (stored(copy, stage) / "artifact.json").stat().st_mtime < 3600 for stage in STAGES)


def test_a_dry_run_removes_nothing(copy) -> None:
    told = copy("cache", "prune", "--all", "--dry-run").out
    assert "runs that can be looked at again only after they were run again: 1:1" in told
    assert "only --snapshots lets it go" in told
    assert "building them again takes about" in told
    assert all(stored(copy, stage) for stage in STAGES)


def test_what_went_is_built_again_and_comes_to_the_same(copy) -> None:
    before = copy("pipeline", "evaluate", "mine", "--json").json
    assert "removed" in copy("cache", "prune", "--all", "-y").out
    assert not any(stored(copy, stage) for stage in STAGES)
    assert stored(copy, "snapshot")
    assert "is gone" in copy("pipeline", "evaluate", "mine", code=7).err
    assert "nothing is wrong" in copy("cache", "verify").out
    copy("pipeline", "run", "mine", "-y")
    assert copy("pipeline", "evaluate", "mine", "--json").json["metrics"] == before["metrics"]


def test_the_least_recently_used_goes_until_the_size_is_kept(copy) -> None:
    os.utime(stored(copy, "Fit") / "artifact.json", (0, 0))
    total = sum(copy("cache", "list", "--json").json["totals"].values())
    found = copy("cache", "prune", "--max-size", f"{total - 1}", "-y", "--json").json
    assert [entry["stage"] for entry in found["going"]] == ["Fit"]
    assert found["removed"] == 1
    assert stored(copy, "Fit") is None
    assert "still" in copy("cache", "prune", "--max-size", "1KB", "-y").out


def test_unused_for(copy) -> None:
    old = time.time() - 40 * 86400
    os.utime(stored(copy, "Train") / "artifact.json", (old, old))
    assert [e["stage"] for e in copy("cache", "prune", "--unused-for", "30d", "-y", "--json").json["going"]] == [
        "Train"
    ]
    assert "nothing is to go" in copy("cache", "prune", "--unused-for", "30d", "-y").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say what is to go: --max-size 10GB, --unused-for 30d or --all"),
        (("--max-size", "much"), "'much' is not a size such as 4GB"),
        (("--max-size", "-1GB"), "is not a size such as 4GB"),
        (("--unused-for", "30"), "'30' is not a time such as 30d"),
        (("--unused-for", "soon"), "'soon' is not a time such as 30d"),
    ],
)
def test_wrong_words(copy, words, told) -> None:
    assert told in copy("cache", "prune", *words, code=2).err
    assert all(stored(copy, stage) for stage in STAGES)


def test_without_a_terminal_nothing_goes_unasked(copy) -> None:
    answer = copy.start("cache", "prune", "--all").answer()
    assert answer.code == 1
    assert "add -y to remove without asking" in answer.err
    assert all(stored(copy, stage) for stage in STAGES)


def test_damage_is_found_and_mended(copy) -> None:
    weights = stored(copy, "Train") / "model.keras"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    told = copy("cache", "verify", code=7).out
    assert "model.keras holds other bytes than were written" in told
    assert "1 wrong" in told
    found = copy("cache", "verify", "--json", code=7).json
    assert (found["wrong"], found["findings"][0]["stage"]) == (1, "Train")
    assert "mended: Train" in copy("cache", "verify", "--repair").out
    assert "nothing is wrong" in copy("cache", "verify").out
    again = copy("pipeline", "run", "mine", "-y").err
    assert "Split: stored already" in again
    assert "Train: done in" in again
    assert "nothing is wrong" in copy("cache", "verify").out


def test_a_size_in_the_settings_is_kept_after_a_run(copy) -> None:
    """Of two pipelines' results only the newer's stay; the table stays too."""
    (copy.project.folder / "settings.yaml").write_text("cache_max_size: 1KB\n")
    first = stored(copy, "Train")
    copy("pipeline", "run", "mine", "-y")  # everything is reused: nothing goes
    assert first.exists()
    copy("pipeline", "push", copy.write("other.yaml", YAML.replace("units: 4", "units: 5")), "other")
    copy("pipeline", "run", "other", "-y")
    assert not first.exists()
    assert copy("pipeline", "evaluate", "other", "--json").json["metrics"]
    assert "to keep within cache_max_size" in copy("pipeline", "logs", "other").out
    assert "nothing is wrong" in copy("cache", "verify").out
    (copy.project.folder / "settings.yaml").write_text("cache_max_size: plenty\n")
    error = copy("pipeline", "run", "other", "-y", code=7).err
    assert "cache_max_size: 'plenty' is not a size such as 4GB" in error
