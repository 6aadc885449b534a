"""What the project folder holds, who uses it, and what may go: least recently used first, never what somebody needs."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cengine.errors import StoreError
from cengine.store.artifacts import Artifacts
from cengine.store.lifecycle import ACTIVE, settle
from cengine.store.project import Project


@dataclass(frozen=True)
class Entry:
    """An artifact, or what an unfinished stage keeps to go on from.

    `used_at` is when it was last used, in seconds since 1970; `seconds` what building it took, None where it is not known.
    `runs` are those whose result it is a part of, as `1:2`; `datasources` those whose table it is. `needed` says who
    builds or needs it just now.
    """

    stage: str
    fingerprint: str
    num_bytes: int
    used_at: float
    seconds: float | None
    unfinished: bool = False
    runs: tuple[str, ...] = ()
    datasources: tuple[str, ...] = ()
    needed: str | None = None

    @property
    def kind(self) -> str:
        """How lists call it."""
        return f"{self.stage}, unfinished" if self.unfinished else self.stage


@dataclass
class Uses:
    """What the records say of artifacts, by fingerprint (of snapshots: content): runs, runs that go on, live datasources."""

    runs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    active: dict[str, str] = field(default_factory=dict)
    datasources: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def uses_of(project: Project) -> Uses:
    """The uses of all artifacts; runs whose process is gone are settled first and need nothing."""
    records, uses = project.store, Uses()  # of all workspaces
    runs = settle(records, records.runs.all())
    snapshots = {row.id: row for row in records.snapshots.all()}
    for run in runs:
        parts = [stage["fingerprint"] for stage in run.stages] + [snapshots[run.snapshot_id].content]
        for part in parts:
            uses.runs[part].append(run.key)
            if run.status in ACTIVE:
                uses.active[part] = f"run {run.key} needs it"
    names = {row.id: row.name for row in records.datasources.all()}
    for row in snapshots.values():
        if row.datasource_id in names and names[row.datasource_id] not in uses.datasources[row.content]:
            uses.datasources[row.content].append(names[row.datasource_id])
    return uses


def entries(project: Project) -> list[Entry]:
    """All artifacts and unfinished stages."""
    uses = uses_of(project)
    found = [_entry(project.artifacts, uses, stage, fingerprint) for stage, fingerprint in stored(project.artifacts)]
    found += [_unfinished(project.artifacts, uses, folder) for folder in work_folders(project.artifacts)]
    return [entry for entry in found if entry is not None]


def stored(artifacts: Artifacts) -> list[tuple[str, str]]:
    """Stage and fingerprint of every folder where an artifact should be."""
    roots = [root for root in (artifacts.root, artifacts.below) if root is not None]
    return sorted(
        {
            (folder.parents[1].name, folder.name)
            for root in roots
            for folder in root.glob("[!.]*/??/*")
            if folder.is_dir()
        }
    )


def work_folders(artifacts: Artifacts) -> list[Path]:
    """The folders in which unfinished stages keep what they go on from."""
    return [
        folder
        for folder in sorted((artifacts.root / ".work").glob("*-*"))
        if not folder.name.startswith(("draft-", "removed-"))
    ]


def leftovers(artifacts: Artifacts) -> list[Path]:
    """Half-built and half-removed folders of processes that are gone; what is being built or removed now is none."""
    work = artifacts.root / ".work"
    found = sorted(work.glob("removed-*"))
    for draft in sorted(work.glob("draft-*")):
        stage, fingerprint = split_name(draft.name.removeprefix("draft-"))
        with artifacts.idle(stage, fingerprint) as idle:
            if idle and draft.exists():
                found.append(draft)
    for folder in work_folders(artifacts):
        stage, fingerprint = split_name(folder.name)
        if (artifacts.folder(stage, fingerprint) / "artifact.json").exists():
            found.append(folder)
    return found


def clear(artifacts: Artifacts, leftover: Path) -> bool:
    """Removes what a killed process has left, and says whether it is gone; a process may have taken it up just now."""
    with contextlib.ExitStack() as stack:
        if not leftover.name.startswith("removed-"):
            idle = stack.enter_context(artifacts.idle(*split_name(leftover.name.removeprefix("draft-"))))
            if not idle:
                return False
        shutil.rmtree(leftover, ignore_errors=True)
        return not leftover.exists()


def split_name(name: str) -> tuple[str, str]:
    """Stage and fingerprint of a work folder's name."""
    stage, _, fingerprint = name.rpartition("-")
    return stage, fingerprint


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder; links are not followed, files that vanish meanwhile count nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - a thousand files in no time
    return total


def beside(project: Project) -> dict[str, int]:
    """The bytes of all that is no artifact: records, reports, logs, scratch space, what killed processes left."""
    folder = project.folder
    return {
        "records": sum(file.stat().st_size for file in folder.glob("records.db*")),
        "reports": folder_bytes(project.reports),
        "logs": folder_bytes(folder / "logs"),
        "scratch": folder_bytes(folder / "scratch"),
        "page parts": folder_bytes(project.cache),
        "left by killed processes": sum(folder_bytes(path) for path in leftovers(project.artifacts)),
    }


def _entry(artifacts: Artifacts, uses: Uses, stage: str, fingerprint: str) -> Entry | None:
    folder = artifacts.folder(stage, fingerprint)
    try:
        artifact = artifacts.find(stage, fingerprint, whole=False)
    except StoreError:
        artifact = None  # torn: `verify` names it, here it has a size
    marker = folder / "artifact.json"
    used = _modified(marker if marker.exists() else folder)
    if used is None:
        return None  # removed just now
    parent = artifact.details.get("parent", "") if artifact else ""
    runs = uses.runs.get(fingerprint) or uses.runs.get(parent, [])
    return Entry(
        stage,
        fingerprint,
        folder_bytes(folder),
        used,
        artifact.seconds if artifact else None,
        runs=tuple(runs),
        datasources=tuple(uses.datasources.get(fingerprint, [])),
        needed=_needed(artifacts, uses, stage, fingerprint),
    )


def _unfinished(artifacts: Artifacts, uses: Uses, folder: Path) -> Entry | None:
    stage, fingerprint = split_name(folder.name)
    times = [_modified(path) for path in (folder, *folder.rglob("*"))]
    used = max((time for time in times if time is not None), default=None)
    if used is None:
        return None
    return Entry(
        stage,
        fingerprint,
        folder_bytes(folder),
        used,
        None,
        unfinished=True,
        runs=tuple(uses.runs.get(fingerprint, [])),
        needed=_needed(artifacts, uses, stage, fingerprint),
    )


def _needed(artifacts: Artifacts, uses: Uses, stage: str, fingerprint: str) -> str | None:
    if fingerprint in uses.active:
        return uses.active[fingerprint]
    with artifacts.idle(stage, fingerprint) as idle:
        return None if idle else "a process builds or uses it"


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


# What may go


@dataclass(frozen=True)
class Choice:
    """What is to go, and what stays that a limit would have taken, with the reason."""

    going: tuple[Entry, ...]
    spared: tuple[tuple[Entry, str], ...]
    total_bytes: int
    max_bytes: int | None

    @property
    def freed_bytes(self) -> int:
        """What is freed."""
        return sum(entry.num_bytes for entry in self.going)

    @property
    def missing_bytes(self) -> int:
        """By how much the limit is still exceeded; 0 where it is kept, or there is none."""
        return 0 if self.max_bytes is None else max(0, self.total_bytes - self.freed_bytes - self.max_bytes)

    @property
    def build_seconds(self) -> float:
        """What building all of it again would take."""
        return sum(entry.seconds or 0.0 for entry in self.going)

    @property
    def runs(self) -> list[str]:
        """The runs that can be looked at again only after they were run again."""
        keys = {key for entry in self.going if not entry.unfinished for key in entry.runs}
        return sorted(keys, key=lambda key: tuple(map(int, key.split(":"))))


def choose(
    found: Sequence[Entry],
    *,
    max_bytes: int | None = None,
    unused_seconds: float | None = None,
    everything: bool = False,
    snapshots: bool = False,
    now: float | None = None,
) -> Choice:
    """What goes: everything, what was not used for so long, and then the least recently used until the size is kept."""
    moment = time.time() if now is None else now
    order = sorted(found, key=lambda entry: entry.used_at)
    reasons = {id(entry): _reason_to_stay(entry, snapshots) for entry in order}
    wanted = [
        entry
        for entry in order
        if everything or (unused_seconds is not None and moment - entry.used_at >= unused_seconds)
    ]
    total = sum(entry.num_bytes for entry in found)
    going = [entry for entry in wanted if reasons[id(entry)] is None]
    if max_bytes is not None:
        left = total - sum(entry.num_bytes for entry in going)
        for entry in order:
            if left > max_bytes and entry not in wanted:
                wanted.append(entry)
                if reasons[id(entry)] is None:
                    going.append(entry)
                    left -= entry.num_bytes
    spared = tuple((entry, reason) for entry in wanted if (reason := reasons[id(entry)]) is not None)
    return Choice(tuple(going), spared, total, max_bytes)


def _reason_to_stay(entry: Entry, snapshots: bool) -> str | None:
    if entry.needed is not None:
        return entry.needed
    if entry.datasources and not snapshots:
        return f"the table of datasource {', '.join(entry.datasources)}: only --snapshots lets it go"
    return None


def remove(project: Project, choice: Choice) -> Iterator[tuple[Entry, bool]]:
    """Removes what was chosen, one after the other, and says of each whether it went; what somebody needs by now stays.

    With it goes what killed processes have left.
    """
    for entry in choice.going:
        yield entry, _remove(project, entry)
    for folder in leftovers(project.artifacts):
        clear(project.artifacts, folder)


def _remove(project: Project, entry: Entry) -> bool:
    def needed() -> bool:
        return entry.fingerprint in uses_of(project).active

    artifacts = project.artifacts
    if not entry.unfinished:
        return artifacts.remove_unless(entry.stage, entry.fingerprint, needed)
    with artifacts.idle(entry.stage, entry.fingerprint) as idle:
        if not idle or needed():
            return False
        shutil.rmtree(artifacts.work_folder(entry.stage, entry.fingerprint), ignore_errors=True)
        return True


def keep_within(project: Project, max_bytes: int, spared: Sequence[str]) -> list[Entry]:
    """Removes the least recently used until the artifacts fit; those of the `spared` fingerprints stay. Gives what went."""
    found = entries(project)
    kept = sum(entry.num_bytes for entry in found if entry.fingerprint in spared)
    choice = choose([entry for entry in found if entry.fingerprint not in spared], max_bytes=max(0, max_bytes - kept))
    return [entry for entry, gone in remove(project, choice) if gone]


def to_json(entry: Entry) -> dict[str, Any]:
    """Plain data."""
    return {
        "stage": entry.stage,
        "fingerprint": entry.fingerprint,
        "unfinished": entry.unfinished,
        "bytes": entry.num_bytes,
        "used_at": entry.used_at,
        "seconds": entry.seconds,
        "runs": list(entry.runs),
        "datasources": list(entry.datasources),
        "needed": entry.needed,
    }
