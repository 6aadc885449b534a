"""Whether what is stored is what was written: digests, records against artifacts, what killed processes have left."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from cengine.digests import file_digest
from cengine.errors import StoreError
from cengine.store.artifacts import Artifact, Artifacts
from cengine.store.cache import clear, leftovers, split_name, stored, work_folders
from cengine.store.project import Project
from cengine.store.wholeness import SNAPSHOT, flaw, mend

# Told the bytes read since it was last told, from several threads.
Report = Callable[[int], None]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be. What is `wrong` loses results; the rest is only in the way.

    `stage` and `fingerprint` name the artifact to be removed by a repair, `folder` a folder; neither: it cannot be repaired here.
    """

    what: str
    mend: str
    wrong: bool = True
    stage: str | None = None
    fingerprint: str | None = None
    folder: Path | None = None


@dataclass
class Verification:
    """What was looked at, and what was found."""

    num_artifacts: int = 0
    num_files: int = 0
    num_bytes: int = 0
    num_without_digests: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def wrong(self) -> list[Finding]:
        """What loses results."""
        return [finding for finding in self.findings if finding.wrong]


def total_bytes(project: Project) -> int:
    """How many bytes `verify` will read."""
    total = 0
    for stage, fingerprint in stored(project.artifacts):
        try:
            artifact = project.artifacts.find(stage, fingerprint, whole=False)
        except StoreError:
            continue
        total += sum(file["num_bytes"] for file in (artifact.files or {}).values()) if artifact else 0
    return total


def verify(project: Project, report: Report = lambda num_bytes: None) -> Verification:
    """Looks at everything; changes nothing."""
    result = Verification()
    findings = _damaged_records(project)
    known = not findings
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as readers:
        for stage, fingerprint in stored(project.artifacts):
            findings += _damage(project.artifacts, stage, fingerprint, result, readers, report)
    if known:
        findings += _missing(project)
    findings += _left(project.artifacts)
    result.findings = tuple(findings)
    return result


def _damaged_records(project: Project) -> list[Finding]:
    try:
        engine = project.records.engine
        if engine.dialect.name != "sqlite":
            return []  # a server looks after itself
        with engine.connect() as connection:
            told = [str(row[0]) for row in connection.execute(sa.text("PRAGMA integrity_check"))]
            torn = connection.execute(sa.text("PRAGMA foreign_key_check")).fetchall()
    except (StoreError, sa.exc.DatabaseError) as error:
        told, torn = [error.problems[0].message if isinstance(error, StoreError) else str(error.orig)], []
    found = [] if told == ["ok"] else [f"the records are damaged: {'; '.join(told[:3])}"]
    found += [f"{len(torn)} rows of the records point to rows that are not there"] if torn else []
    return [Finding(what, "put back a copy of records.db; artifacts are found again by the next run") for what in found]


# Artifacts


def _damage(
    artifacts: Artifacts,
    stage: str,
    fingerprint: str,
    result: Verification,
    readers: ThreadPoolExecutor,
    report: Report,
) -> list[Finding]:
    """What is wrong with one artifact, in one finding."""
    try:
        artifact = artifacts.find(stage, fingerprint, whole=False)
        reason = _misplaced(artifact, stage, fingerprint) if artifact else "its artifact.json is not there"
    except StoreError as error:
        artifact, reason = None, error.problems[0].message
    if artifact is not None:
        result.num_artifacts += 1
        result.num_without_digests += artifact.files is None
        reasons = [reason] if reason else []
        files = artifact.files or {}
        looked = [readers.submit(flaw, artifact.folder / name, name, known, report) for name, known in files.items()]
        reasons += [wrong for future in looked if (wrong := future.result())]
        result.num_files += len(files)
        result.num_bytes += sum(file["num_bytes"] for file in files.values())
        reason = "; ".join(reasons[:3])
    if not reason or not artifacts.folder(stage, fingerprint).exists():  # removed meanwhile by somebody
        return []
    return [
        Finding(f"{stage} {fingerprint[:12]} is damaged: {reason}", mend(stage), stage=stage, fingerprint=fingerprint)
    ]


def _misplaced(artifact: Artifact, stage: str, fingerprint: str) -> str:
    told = json.loads((artifact.folder / "artifact.json").read_text())
    if (told["stage"], told["fingerprint"]) != (stage, fingerprint):
        return f"it is {told['stage']} {told['fingerprint'][:12]}, in another one's place"
    return ""


# Records against artifacts


def _missing(project: Project) -> list[Finding]:
    """What the records speak of that is neither stored nor was removed on purpose."""
    if project.store.database.shared and project.artifacts.remote is None:
        return []  # each machine has what it built itself
    wanted: dict[tuple[str, str], list[str]] = defaultdict(list)
    for run in project.records.runs.all():
        for stage in run.stages:
            if stage["seconds"] is not None:  # it was complete
                wanted[stage["name"], stage["fingerprint"]].append(run.key)
    findings = []
    for (name, fingerprint), keys in wanted.items():
        if _gone(project.artifacts, name, fingerprint):
            runs = (
                f"run {keys[0]}"
                if len(keys) == 1
                else f"runs {', '.join(keys[:5])}" + (", ..." if len(keys) > 5 else "")
            )
            what = f"{name} {fingerprint[:12]} of {runs} is not there, and nobody removed it"
            mend = f"run it again: cengine pipeline run {keys[-1].split(':')[0]}; --repair takes it as gone"
            findings.append(Finding(what, mend, stage=name, fingerprint=fingerprint))
    names = {row.id: row.name for row in project.store.datasources.all()}
    for row in project.records.snapshots.all():
        if row.datasource_id in names and _gone(project.artifacts, SNAPSHOT, row.content):
            what = f"the table of datasource '{names[row.datasource_id]}' (snapshot {row.number}) is not there, and nobody removed it"
            mend = f"read the files again: cengine datasource commit {row.datasource_id}; --repair --snapshots takes it as gone"
            findings.append(Finding(what, mend, stage=SNAPSHOT, fingerprint=row.content))
    return findings


def _gone(artifacts: Artifacts, stage: str, fingerprint: str) -> bool:
    if artifacts.folder(stage, fingerprint).exists() or artifacts.was_removed(stage, fingerprint):
        return False
    return artifacts.remote is None or not artifacts.remote.has(stage, fingerprint)


# What is in the way


def _left(artifacts: Artifacts) -> list[Finding]:
    found = leftovers(artifacts)
    findings = [
        Finding(
            f"{folder.name[:40]} was left by a process that was killed",
            "it goes when the stage is built again, or with --repair",
            wrong=False,
            folder=folder,
        )
        for folder in found
    ]
    for folder in work_folders(artifacts):
        if folder not in found:
            findings += _torn_checkpoints(artifacts, folder)
    return findings


def _torn_checkpoints(artifacts: Artifacts, folder: Path) -> Iterator[Finding]:
    """Checkpoints that are not what their digest says; nothing is said of a training that goes on."""
    with artifacts.idle(*split_name(folder.name)) as idle:
        for sidecar in sorted(folder.rglob("*.sha256")) if idle else ():
            file = sidecar.with_suffix(".npz")
            if file.exists() and file_digest(file) != sidecar.read_text(errors="replace"):
                what = f"{folder.name[:18]}: the checkpoint {file.stem} is torn; training goes on from the one before"
                yield Finding(what, "nothing needs to be done", wrong=False)


# Repair


def repair(project: Project, finding: Finding, *, snapshots: bool) -> bool:
    """Removes what is damaged or in the way, and says whether the finding is mended; what a process uses stays."""
    if finding.folder is not None:
        return clear(project.artifacts, finding.folder)
    if finding.stage is None or finding.fingerprint is None or (finding.stage == SNAPSHOT and not snapshots):
        return False
    return project.artifacts.remove_unless(finding.stage, finding.fingerprint, lambda: False)
