"""What `verify` finds: bytes that a disk has changed, files that are gone, records without artifacts, what killed processes left."""

from __future__ import annotations

import json
import shutil
import sqlite3

import numpy as np
import pytest

from cengine.digests import file_digest
from cengine.learners.checkpoints import Checkpoint, write_checkpoint
from cengine.store.project import Project, open_project
from cengine.store.records import now
from cengine.store.verify import repair, total_bytes, verify

KEY = "ab" + "0" * 62
CONTENT = "cd" + "0" * 62


@pytest.fixture
def project(tmp_path) -> Project:
    """A datasource with its snapshot, and a run whose Split is stored."""
    project = open_project(tmp_path)
    with project.artifacts.building("Split", KEY) as building:
        (building.folder / "sub").mkdir()
        (building.folder / "sub" / "data").write_bytes(b"x" * 10_000)
        (building.folder / "empty").touch()
    with project.artifacts.building("snapshot", CONTENT) as building:
        (building.folder / "part-0.parquet").write_bytes(b"y" * 500)
    records = project.records
    datasource = records.datasources.insert(name="trips", type="csv", options={}, created_at=now())
    records.snapshots.insert_numbered(
        datasource_id=datasource,
        content=CONTENT,
        num_rows=1,
        num_columns=1,
        num_bytes=500,
        num_rejected=0,
        created_at=now(),
    )
    records.pipelines.insert(name="p", config_name="c", config_text="", datasource_id=datasource, created_at=now())
    stages = [
        {"name": "Split", "fingerprint": KEY, "reused": False, "seconds": 1.0, "saved_seconds": 0.0},
        {"name": "Fit", "fingerprint": KEY, "reused": False, "seconds": None, "saved_seconds": None},
    ]
    records.runs.insert_numbered(
        pipeline_id=1,
        snapshot_id=1,
        status="Failed",
        completion_ratio=0.0,
        compute_cost=0.0,
        training_cost=0.0,
        started_at=now(),
        process_id=1,
        stages=stages,
    )
    return project


def folder(project: Project, stage: str = "Split"):
    return project.artifacts.folder(stage, KEY if stage != "snapshot" else CONTENT)


def findings(project: Project) -> list[str]:
    return [finding.what for finding in verify(project).findings]


def flip(file, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_what_is_whole_has_no_findings(project) -> None:
    read = []
    result = verify(project, read.append)
    assert (result.findings, result.num_artifacts, result.num_files, result.num_bytes) == ((), 2, 3, 10_500)
    assert sum(read) == total_bytes(project) == 10_500


def test_the_marker_names_size_and_digest_of_each_file(project) -> None:
    files = project.artifacts.find("Split", KEY).files
    assert files == {
        "empty": {"num_bytes": 0, "sha256": file_digest(folder(project) / "empty")},
        "sub/data": {"num_bytes": 10_000, "sha256": file_digest(folder(project) / "sub" / "data")},
    }


DAMAGE = {
    "one bit": (lambda path: flip(path / "sub" / "data", 5000), "sub/data holds other bytes than were written"),
    "shorter": (lambda path: (path / "sub" / "data").write_bytes(b"x" * 9_999), "sub/data has 9,999 bytes, not 10,000"),
    "a file gone": (lambda path: (path / "empty").unlink(), "empty is not there"),
    "all files gone": (lambda path: shutil.rmtree(path / "sub"), "sub/data is not there"),
    "the marker gone": (lambda path: (path / "artifact.json").unlink(), "its artifact.json is not there"),
    "the marker torn": (lambda path: (path / "artifact.json").write_text('{"format_version": 2, "sec'), "the stored Split cannot be read"),
    "another's marker": (lambda path: (path / "artifact.json").write_text((path / "artifact.json").read_text().replace('"Split"', '"Fit"')),
                         "it is Fit ab0000000000, in another one's place"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_and_mended_by_removal(project, name) -> None:
    damage, words = DAMAGE[name]
    damage(folder(project))
    (finding,) = verify(project).findings
    assert finding.wrong
    assert finding.what.startswith("Split ab0000000000 is damaged: ")
    assert words in finding.what
    assert repair(project, finding, snapshots=False)
    assert not folder(project).exists()
    assert findings(project) == []
    with project.artifacts.building("Split", KEY) as building:
        assert building is not None
        (building.folder / "data").write_text("new")
    assert findings(project) == []


def test_a_damaged_table_is_removed_only_where_that_is_asked_for(project) -> None:
    flip(folder(project, "snapshot") / "part-0.parquet", 3)
    (finding,) = verify(project).findings
    assert "datasource commit" in finding.mend
    assert not repair(project, finding, snapshots=False)
    assert folder(project, "snapshot").exists()
    assert repair(project, finding, snapshots=True)
    assert findings(project) == []


def test_what_is_in_use_is_not_repaired(project) -> None:
    flip(folder(project) / "sub" / "data", 5)
    (finding,) = verify(project).findings
    with project.artifacts.in_use("Split", KEY):
        assert not repair(project, finding, snapshots=False)
    assert repair(project, finding, snapshots=False)


def test_a_result_that_nobody_removed_is_missed(project) -> None:
    shutil.rmtree(folder(project))
    shutil.rmtree(folder(project, "snapshot"))
    split, table = verify(project).findings
    assert split.what == "Split ab0000000000 of run 1:1 is not there, and nobody removed it"
    assert table.what == "the table of datasource 'trips' (snapshot 1) is not there, and nobody removed it"
    assert split.wrong and table.wrong
    assert repair(project, split, snapshots=False)
    assert not repair(project, table, snapshots=False)
    assert repair(project, table, snapshots=True)
    assert findings(project) == []


def test_a_result_that_was_removed_is_not_missed_until_it_was_built_again(project) -> None:
    project.artifacts.remove("Split", KEY)
    assert findings(project) == []
    with project.artifacts.building("Split", KEY) as building:
        (building.folder / "data").write_text("new")
    shutil.rmtree(folder(project))
    assert len(findings(project)) == 1


def test_an_artifact_of_the_first_format_has_no_digests(project) -> None:
    marker = folder(project) / "artifact.json"
    data = json.loads(marker.read_text())
    del data["files"]
    marker.write_text(json.dumps({**data, "format_version": 1}))
    artifact = project.artifacts.find("Split", KEY)
    assert artifact.files is None
    assert artifact.seconds == data["seconds"]
    result = verify(project)
    assert (result.findings, result.num_without_digests, result.num_files) == ((), 1, 1)


def test_what_is_added_beside_is_no_damage(project) -> None:
    (folder(project, "snapshot") / "profile.json").write_text("[]")
    assert findings(project) == []


def test_leftovers_are_told_and_removed(project) -> None:
    work = project.artifacts.root / ".work"
    for name in (f"draft-Fit-{KEY}", "removed-123", f"Split-{KEY}"):
        (work / name).mkdir(parents=True)
        (work / name / "half").write_text("x")
    result = verify(project)
    assert len(result.findings) == 3
    assert result.wrong == []
    with project.artifacts.building("Fit", KEY):  # it is being built by now
        (draft,) = [finding for finding in result.findings if "draft" in finding.what]
        assert not repair(project, draft, snapshots=False)
        assert len(verify(project).findings) == 2
    assert all(repair(project, finding, snapshots=False) for finding in result.findings)
    assert list(work.iterdir()) == []
    assert findings(project) == []


def test_a_torn_checkpoint_is_told(project) -> None:
    checkpoints = project.artifacts.work_folder("Train", KEY) / "checkpoints"
    for step in (10, 20):
        write_checkpoint(checkpoints, Checkpoint(step, [np.arange(100.0)]))
    assert findings(project) == []
    newest = checkpoints / "step-000000000020.npz"
    newest.write_bytes(newest.read_bytes()[:-50])
    (finding,) = verify(project).findings
    assert "the checkpoint step-000000000020 is torn" in finding.what
    assert not finding.wrong
    (checkpoints / "step-000000000030.sha256").write_text("of a checkpoint that was never put in its place")
    assert len(findings(project)) == 1


def test_damaged_records_are_told(project) -> None:
    project.records.engine.dispose()
    path = project.folder / "records.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096):  # all pages but the first two
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    result = verify(Project(project.folder))
    assert "damaged" in result.wrong[0].what
    assert "put back a copy" in result.wrong[0].mend


def test_rows_that_point_nowhere_are_told(project) -> None:
    with sqlite3.connect(project.folder / "records.db") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE runs SET pipeline_id = 99")
    connection.close()
    assert "1 rows of the records point to rows that are not there" in findings(project)
