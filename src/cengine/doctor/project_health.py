"""What a project is like: its folder, its records, who works on it, runs that were left."""

from __future__ import annotations

import datetime
import os
import stat
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from cengine.doctor.finding import MAX_SKEW_SECONDS, OK, PROBLEM, WARNING, Finding
from cengine.store.project import Project

NUM_TRIES = 5
SLOW_RECORDS_SECONDS = 0.2
# SQLite's write-ahead log needs memory that processes share, which these do not give.
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "lustre", "gpfs", "ceph")


def project_findings(folder: Path) -> Iterator[Finding]:
    """Findings of the project in `folder`; nothing is made there."""
    if not folder.exists():
        near = next(path for path in folder.parents if path.exists())
        if os.access(near, os.W_OK):
            yield Finding("project", OK, f"none yet; the first command makes {folder}")
        else:
            yield Finding(
                "project",
                PROBLEM,
                f"none yet, and {near} cannot be written to",
                "name another folder: export CENGINE_PROJECT=FOLDER",
            )
        return
    found = _folder(folder)
    yield found
    if found.state == PROBLEM:
        return
    from cengine.store.settings import read_settings

    settings = read_settings(folder)
    yield Finding(
        "settings", OK, f"prices in {settings.prices.currency}, {settings.max_parallel or 'any number of'} runs at once"
    )
    project = Project(folder)
    yield from _records(project)
    yield from _runs(project)


def _folder(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding("project", PROBLEM, f"{folder} is no folder", "name another one: export CENGINE_PROJECT=FOLDER")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "project",
            PROBLEM,
            f"{folder} cannot be written to",
            f"chmod u+rwx {folder}, or name another one with CENGINE_PROJECT",
        )
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return Finding("project", WARNING, f"{folder} can be read by others", f"chmod 700 {folder}")
    return Finding("project", OK, str(folder))


def _records(project: Project) -> Iterator[Finding]:
    """Kind, version, how quickly they answer, whether they can be written."""
    import sqlalchemy as sa

    from cengine.store.records import HEAD

    engine = project.records.engine
    kind = engine.dialect.name
    took = []
    for _ in range(NUM_TRIES):
        began = time.perf_counter()
        with engine.begin() as connection:  # takes the right to write, changes nothing
            connection.execute(sa.text("UPDATE settings SET value = value WHERE key = 'doctor'"))
        took.append(time.perf_counter() - began)
    seconds = statistics.median(took)
    version = ".".join(map(str, engine.dialect.server_version_info or ()))
    text = f"{kind} {version}, schema {HEAD}, writable, answers in {1000 * seconds:.1f} ms"
    system = _file_system(project.folder)
    if kind == "sqlite" and system in NETWORK_FILE_SYSTEMS:
        mend = "keep the records in PostgreSQL: export CENGINE_STORE=postgresql://..., or the project on a local disk"
        yield Finding(
            "records", WARNING, f"SQLite on a network folder ({system}) is not safe for several machines; {text}", mend
        )
    elif seconds > SLOW_RECORDS_SECONDS:
        yield Finding("records", WARNING, f"slow: {text}", "look what else uses this disk or this server")
    else:
        yield Finding("records", OK, text)


def _file_system(folder: Path) -> str:
    """The type of the file system that a folder is on, empty where the system does not tell."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    places = {place.replace("\\040", " "): kind for place, kind in mounts}
    return next(
        (places[str(path)] for path in (folder.resolve(), *folder.resolve().parents) if str(path) in places), ""
    )


def _runs(project: Project) -> Iterator[Finding]:
    """Who works now; whose process is gone; times that have not come yet."""
    from cengine.store.cache import leftovers, split_name
    from cengine.store.lifecycle import ACTIVE, settle

    runs = project.records.runs.all()
    active = settle(project.records, [run for run in runs if run.status in ACTIVE])
    lost = [run.key for run in active if run.status not in ACTIVE]
    going = [run.key for run in active if run.status in ACTIVE]
    artifacts = project.artifacts
    held = []
    for lock in sorted((artifacts.root / ".locks").glob("*.lock")):
        stage, fingerprint = split_name(lock.stem)
        with artifacts.idle(stage, fingerprint) as idle:
            held += [] if idle else [f"{stage} {fingerprint[:8]}"]
    yield Finding("runs", OK, f"{len(runs)} recorded, {len(going)} go on" + (f": {', '.join(going)}" if going else ""))
    if lost:
        yield Finding(
            "runs",
            WARNING,
            f"the process of {', '.join(lost)} is gone; it is Interrupted now",
            f"cengine pipeline resume {lost[-1]}",
        )
    yield Finding("locks", OK, f"being built or used: {', '.join(held)}" if held else "none held")
    left = leftovers(artifacts)
    if left:
        yield Finding(
            "leftovers",
            WARNING,
            f"{len(left)} half-built folders of processes that were killed",
            "cengine cache verify --repair",
        )
    newest = max((run.heartbeat_at or run.started_at for run in runs), default=None)
    ahead = _seconds_ahead(newest)
    if ahead > MAX_SKEW_SECONDS:
        text = f"the records hold times that are {ahead:.0f} s from now in the future: a clock was moved, here or on another machine"
        yield Finding("clock", WARNING, text, "let all machines take their time from one server (NTP)")


def _seconds_ahead(moment: str | None) -> float:
    if moment is None:
        return 0.0
    return (datetime.datetime.fromisoformat(moment) - datetime.datetime.now(datetime.UTC)).total_seconds()
