"""Artifacts: folders named by fingerprint that appear only when complete, and are built once however many ask."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.digests import file_digest
from cengine.errors import StoreError
from cengine.store.disk import disk_errors
from cengine.store.permissions import file_mode, make_file, make_folder, restrict
from cengine.store.wholeness import refuse_damaged

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from cengine.store.records import Records
    from cengine.store.remote import Remote

# 1: no digests. 2: `files` with the size and SHA-256 of each.
FORMAT_VERSION = 2
LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Artifact:
    """A complete folder: `seconds` is what building it took, `num_bytes` what it holds.

    `files` are size and SHA-256 of each file by its path in the folder, None where an older version wrote it.
    """

    folder: Path
    seconds: float
    num_bytes: int
    details: dict[str, Any]
    files: dict[str, dict[str, Any]] | None


class Artifacts:
    """The artifacts under `root`, one folder a stage and fingerprint.

    With a `remote`, `root` holds this machine's copies: what is complete is shared, what others have shared is fetched. With `records`
    that other machines see, one of them builds and the others wait. Artifacts under `below` are found too and never changed.
    """

    def __init__(
        self, root: Path, remote: Remote | None = None, records: Records | None = None, below: Path | None = None
    ) -> None:
        self.root = root
        self.below = below
        self._whole: set[Path] = set()
        self.remote = remote
        self.records = records

    def folder(self, stage: str, fingerprint: str) -> Path:
        """Where the artifact is, or would be."""
        own, *others = (
            root / stage / fingerprint[:2] / fingerprint for root in (self.root, self.below) if root is not None
        )
        return others[0] if others and not own.exists() and others[0].exists() else own

    def find(self, stage: str, fingerprint: str, *, whole: bool = True) -> Artifact | None:
        """The complete artifact, None where there is none; one that is shared is fetched.

        Raises StoreError for one whose files are not what was written, as far as a glance shows, unless `whole` is false.
        """
        found = self._stored(stage, fingerprint)
        if found is None and self.remote is not None and self.remote.has(stage, fingerprint):
            with self._locked(stage, fingerprint):
                if self._stored(stage, fingerprint) is None:
                    self._fetched(stage, fingerprint)
            found = self._stored(stage, fingerprint)
        if whole and found is not None and found.folder not in self._whole:
            refuse_damaged(stage, found.folder, found.files or {})
            self._whole.add(found.folder)
        return found

    def _stored(self, stage: str, fingerprint: str) -> Artifact | None:
        folder = self.folder(stage, fingerprint)
        try:
            data = json.loads((folder / "artifact.json").read_text())
            version = data["format_version"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"the stored {stage} cannot be read: {error}", f"remove the folder {folder} and run again"
            ) from None
        if version > FORMAT_VERSION:
            raise StoreError("the project folder was written by a newer cengine", "upgrade cengine")
        return Artifact(folder, data["seconds"], data["num_bytes"], data["details"], data.get("files"))

    def touch(self, stage: str, fingerprint: str) -> None:
        """Says that the artifact was used just now: by the time of its marker, which costs one call of the system."""
        with contextlib.suppress(OSError):  # gone, or another user's: it is only for choosing what goes first
            os.utime(self.folder(stage, fingerprint) / "artifact.json")

    @contextlib.contextmanager
    def in_use(self, stage: str, fingerprint: str) -> Iterator[None]:
        """Within the block no other process prunes the artifact; the right ends with the process, however it ends."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # gone, or a file system without locks: the records protect it still
                descriptor = os.open(self.folder(stage, fingerprint) / "artifact.json", os.O_RDONLY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    def work_folder(self, stage: str, fingerprint: str) -> Path:
        """A folder for what an unfinished stage wants to find again (checkpoints); it goes when the stage completes."""
        return self.root / ".work" / f"{stage}-{fingerprint}"

    @contextlib.contextmanager
    def building(
        self, stage: str, fingerprint: str, waiting: Callable[[], None] | None = None
    ) -> Iterator[Building | None]:
        """The right to build: a draft to fill, or None where the artifact is complete, perhaps by now.

        A second process that wants the same artifact waits until the first is through (`waiting` is called once).
        Whatever ends the block early leaves nothing behind.
        """
        with self._locked(stage, fingerprint, waiting):
            if self._found(stage, fingerprint):
                yield None
                return
            with self._leased(stage, fingerprint, waiting):
                if self.remote is not None and self._found(
                    stage, fingerprint
                ):  # another machine has built it meanwhile
                    yield None
                    return
                with disk_errors():
                    building = Building(self._draft(stage, fingerprint))
                try:
                    yield building
                    with disk_errors():
                        self._complete(building, stage, fingerprint)
                finally:
                    shutil.rmtree(building.folder, ignore_errors=True)
                shutil.rmtree(self.work_folder(stage, fingerprint), ignore_errors=True)
                self._share(stage, fingerprint)

    def _found(self, stage: str, fingerprint: str) -> bool:
        """Whether the artifact is complete, here or where it is shared; the lock is ours."""
        if self._stored(stage, fingerprint) is None and not self._fetched(stage, fingerprint):
            return False
        self.touch(stage, fingerprint)
        # Of a process that was killed after completing it.
        shutil.rmtree(self.work_folder(stage, fingerprint), ignore_errors=True)
        self._share(stage, fingerprint)  # where the run that built it could not
        return True

    @contextlib.contextmanager
    def _locked(self, stage: str, fingerprint: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Keeps other processes of this machine out of the block; the system frees the lock of one that was killed."""
        from filelock import Timeout

        with disk_errors():
            lock = self._lock(stage, fingerprint)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waiting is not None:
                    waiting()
                lock.acquire(poll_interval=LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def _leased(
        self, stage: str, fingerprint: str, waiting: Callable[[], None] | None
    ) -> contextlib.AbstractContextManager[None]:
        """Keeps other machines out of the block, as far as they share what is built in it."""
        if self.remote is None or self.records is None:
            return contextlib.nullcontext()
        from cengine.store.leases import lease

        return lease(self.records, f"{stage}-{fingerprint}", waiting)

    def _share(self, stage: str, fingerprint: str) -> None:
        if self.remote is not None:
            self.remote.share(stage, fingerprint, self.folder(stage, fingerprint))

    def _fetched(self, stage: str, fingerprint: str) -> bool:
        """Whether the artifact was there to be copied from where it is shared; it appears when it is complete. The lock is ours."""
        if self.remote is None or not self.remote.has(stage, fingerprint):
            return False
        with disk_errors():
            draft = self._draft(stage, fingerprint)
            try:
                self.remote.fetch(stage, fingerprint, draft)
                for file in draft.rglob("*"):
                    if file.is_file():
                        _flush(file)
                self._appear(draft, stage, fingerprint)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return True

    def _draft(self, stage: str, fingerprint: str) -> Path:
        """An empty folder; what is in it is of a process that was killed, for the lock is ours."""
        draft = self.root / ".work" / f"draft-{stage}-{fingerprint}"
        if draft.is_symlink():
            draft.unlink()
        shutil.rmtree(draft, ignore_errors=True)
        return make_folder(draft)

    def _complete(self, building: Building, stage: str, fingerprint: str) -> None:
        seconds = time.monotonic() - building.started
        files: dict[str, dict[str, Any]] = {}
        for file in sorted(building.folder.rglob("*")):
            if file.is_file():
                _flush(file)
                name = file.relative_to(building.folder).as_posix()
                files[name] = {"num_bytes": file.stat().st_size, "sha256": file_digest(file)}
        record = {
            "format_version": FORMAT_VERSION,
            "stage": stage,
            "fingerprint": fingerprint,
            "seconds": seconds,
            "num_bytes": sum(file["num_bytes"] for file in files.values()),
            "files": files,
            "details": building.details,
        }
        marker = building.folder / "artifact.json"
        marker.write_text(json.dumps(record))
        _flush(marker)
        self._appear(building.folder, stage, fingerprint)

    def _appear(self, draft: Path, stage: str, fingerprint: str) -> None:
        restrict(draft)
        target = self.folder(stage, fingerprint)
        make_folder(target.parent)
        draft.rename(target)
        _flush(target.parent)
        self._removed(stage, fingerprint).unlink(missing_ok=True)

    def remove(self, stage: str, fingerprint: str) -> None:
        """Removes this machine's copy of an artifact, and remembers that it was meant to go; no error where there is none."""
        folder = self.folder(stage, fingerprint)
        self._remember_removal(stage, fingerprint)
        if folder.exists():
            # Renamed first, so that no one finds it half-removed.
            doomed = self.root / ".work" / f"removed-{uuid.uuid4().hex}"
            with disk_errors():
                make_folder(doomed.parent)
                folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        self._remember_removal(stage, fingerprint)  # again: a full disk has room for it now

    def remove_unless(self, stage: str, fingerprint: str, needed: Callable[[], bool]) -> bool:
        """Removes an artifact that nobody builds or uses, and says whether it did.

        `needed` is asked while nobody can begin to use it, for a run takes its stages under the same lock.
        """
        with self.idle(stage, fingerprint) as idle:
            if not idle or needed():
                return False
            self.remove(stage, fingerprint)
            return True

    @contextlib.contextmanager
    def idle(self, stage: str, fingerprint: str) -> Iterator[bool]:
        """Whether no process builds or uses the artifact; within the block none begins to."""
        from filelock import Timeout

        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._lock(stage, fingerprint).acquire(timeout=0))
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    descriptor = os.open(self.folder(stage, fingerprint) / "artifact.json", os.O_RDONLY)
                    stack.callback(os.close, descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (Timeout, BlockingIOError):
                yield False
            else:
                yield True

    def _remember_removal(self, stage: str, fingerprint: str) -> None:
        note = self._removed(stage, fingerprint)
        with contextlib.suppress(OSError):
            make_file(make_folder(note.parent) / note.name)

    def was_removed(self, stage: str, fingerprint: str) -> bool:
        """Whether somebody removed the artifact on purpose, and it has not been built again."""
        return self._removed(stage, fingerprint).exists()

    def _removed(self, stage: str, fingerprint: str) -> Path:
        return self.root / ".removed" / f"{stage}-{fingerprint}"

    def _lock(self, stage: str, fingerprint: str) -> BaseFileLock:
        from filelock import FileLock

        locks = make_folder(self.root / ".locks")
        return FileLock(make_file(locks / f"{stage}-{fingerprint}.lock"), mode=file_mode(locks))

    def remove_shared(self, stage: str, fingerprint: str) -> None:
        """Removes an artifact for all who share it; no error where there is none, or where nothing is shared."""
        if self.remote is not None:
            self.remote.remove(stage, fingerprint)


class Building:
    """An artifact being built: files go into `folder`, what is to be remembered beside them into `details`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.details: dict[str, Any] = {}
        self.started = time.monotonic()


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
