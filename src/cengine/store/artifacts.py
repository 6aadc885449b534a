"""Artifacts: folders named by fingerprint that appear only when complete, and are built once however many ask."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.errors import StoreError
from cengine.store.permissions import file_mode, make_file, make_folder, restrict

if TYPE_CHECKING:
    from cengine.store.records import Records
    from cengine.store.remote import Remote

FORMAT_VERSION = 1
LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Artifact:
    """A complete folder: `seconds` is what building it took, `num_bytes` what it holds."""

    folder: Path
    seconds: float
    num_bytes: int
    details: dict[str, Any]


class Artifacts:
    """The artifacts under `root`, one folder a stage and fingerprint.

    With a `remote`, `root` holds this machine's copies: what is complete is shared, what others have shared is fetched. With `records`
    that other machines see, one of them builds and the others wait.
    """

    def __init__(self, root: Path, remote: Remote | None = None, records: Records | None = None) -> None:
        self.root = root
        self.remote = remote
        self.records = records

    def folder(self, stage: str, fingerprint: str) -> Path:
        """Where the artifact is, or would be."""
        return self.root / stage / fingerprint[:2] / fingerprint

    def find(self, stage: str, fingerprint: str) -> Artifact | None:
        """The complete artifact, None where there is none; one that is shared is fetched."""
        found = self._stored(stage, fingerprint)
        if found is None and self.remote is not None and self.remote.has(stage, fingerprint):
            self._fetch(self.remote, stage, fingerprint)
            found = self._stored(stage, fingerprint)
        return found

    def _stored(self, stage: str, fingerprint: str) -> Artifact | None:
        folder = self.folder(stage, fingerprint)
        try:
            data = json.loads((folder / "artifact.json").read_text())
            version = data["format_version"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(f"the stored {stage} cannot be read: {error}", f"remove the folder {folder} and run again") from None
        if version > FORMAT_VERSION:
            raise StoreError("the project folder was written by a newer cengine", "upgrade cengine")
        return Artifact(folder, data["seconds"], data["num_bytes"], data["details"])

    def work_folder(self, stage: str, fingerprint: str) -> Path:
        """A folder for what an unfinished stage wants to find again (checkpoints); it goes when the stage completes."""
        return self.root / ".work" / f"{stage}-{fingerprint}"

    @contextlib.contextmanager
    def building(self, stage: str, fingerprint: str, waiting: Callable[[], None] | None = None) -> Iterator[Building | None]:
        """The right to build: a draft to fill, or None where the artifact is complete, perhaps by now.

        A second process that wants the same artifact waits until the first is through (`waiting` is called once).
        Whatever ends the block early leaves nothing behind.
        """
        with self._locked(f"{stage}-{fingerprint}", waiting):
            if self.find(stage, fingerprint) is not None:
                self._share(stage, fingerprint)  # where the run that built it could not
                yield None
                return
            with self._leased(f"{stage}-{fingerprint}", waiting):
                if self.remote is not None and self.find(stage, fingerprint) is not None:
                    yield None
                    return
                with disk_errors():
                    draft = self.root / ".work" / f"draft-{stage}-{fingerprint}"
                    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed: the lock is ours
                    make_folder(draft)
                building = Building(draft)
                try:
                    yield building
                    with disk_errors():
                        self._complete(building, stage, fingerprint)
                finally:
                    shutil.rmtree(draft, ignore_errors=True)
                shutil.rmtree(self.work_folder(stage, fingerprint), ignore_errors=True)
                self._share(stage, fingerprint)

    @contextlib.contextmanager
    def _locked(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Keeps other processes of this machine out of the block; the system frees the lock of one that was killed."""
        from filelock import FileLock, Timeout

        with disk_errors():
            locks = make_folder(self.root / ".locks")
            lock = FileLock(make_file(locks / f"{name}.lock"), mode=file_mode(locks))
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

    def _leased(self, name: str, waiting: Callable[[], None] | None) -> contextlib.AbstractContextManager[None]:
        """Keeps other machines out of the block, as far as they share what is built in it."""
        if self.remote is None or self.records is None:
            return contextlib.nullcontext()
        from cengine.store.leases import lease

        return lease(self.records, name, waiting)

    def _share(self, stage: str, fingerprint: str) -> None:
        if self.remote is not None:
            self.remote.share(stage, fingerprint, self.folder(stage, fingerprint))

    def _fetch(self, remote: Remote, stage: str, fingerprint: str) -> None:
        """Copies a shared artifact here; it appears when it is complete."""
        with self._locked(f"fetch-{stage}-{fingerprint}"), disk_errors():
            if self._stored(stage, fingerprint) is not None:
                return
            draft = self.root / ".work" / f"fetched-{stage}-{fingerprint}"
            shutil.rmtree(draft, ignore_errors=True)
            try:
                remote.fetch(stage, fingerprint, make_folder(draft))
                for file in draft.rglob("*"):
                    if file.is_file():
                        _flush(file)
                self._appear(draft, stage, fingerprint)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _complete(self, building: Building, stage: str, fingerprint: str) -> None:
        files = [file for file in building.folder.rglob("*") if file.is_file()]
        for file in files:
            _flush(file)
        record = {
            "format_version": FORMAT_VERSION,
            "stage": stage,
            "fingerprint": fingerprint,
            "seconds": time.monotonic() - building.started,
            "num_bytes": sum(file.stat().st_size for file in files),
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

    def remove(self, stage: str, fingerprint: str) -> None:
        """Removes this machine's copy of an artifact; no error where there is none."""
        folder = self.folder(stage, fingerprint)
        if folder.exists():
            # Renamed first, so that no one finds it half-removed.
            doomed = self.root / ".work" / f"removed-{uuid.uuid4().hex}"
            make_folder(doomed.parent)
            folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

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


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """The file system's errors of a block as ours."""
    try:
        yield
    except OSError as error:
        raise disk_error(error) from error


def disk_error(error: OSError) -> StoreError:
    """An error of the file system as one of ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError("the disk is full", "nothing half-written is kept; make room and run the command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(
            f"cannot write to {error.filename}: {error.strerror}", "choose another folder with --project, or mend its permissions"
        )
    return StoreError(f"{error.strerror or error}: {error.filename}")


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
