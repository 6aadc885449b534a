"""A project: the folder `.cengine` that holds records and artifacts, found like a git repository is.

CENGINE_STORE and CENGINE_ARTIFACTS name a database and a place for artifacts that are shared with others; the folder then keeps what is
this machine's: copies of artifacts, checkpoints, logs, pages. CENGINE_WORKSPACE names the workspace.
"""

from __future__ import annotations

import atexit
import getpass
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cengine.errors import StoreError
from cengine.store.artifacts import Artifacts
from cengine.store.disk import disk_error, disk_errors
from cengine.store.permissions import make_file, make_folder
from cengine.store.processes import process_exists
from cengine.store.records import Records
from cengine.store.schema import DEFAULT_WORKSPACE

FOLDER_NAME = ".cengine"
RECORDS = "records.db"
ACTIVE_WORKSPACE = "active_workspace"


@dataclass(frozen=True)
class Project:
    """The state under `folder`; only its user may read it.

    `aside` is for a project that can only be looked at, or is not there: a folder of this process that takes what looking writes.
    """

    folder: Path
    aside: Path | None = None

    @cached_property
    def store(self) -> Records:
        """The database, seen from all workspaces."""
        return Records(os.environ.get("CENGINE_STORE") or (self.aside or self.folder) / RECORDS).everywhere()

    @cached_property
    def records(self) -> Records:
        """The database, seen from the workspace that CENGINE_WORKSPACE names, else from the active one."""
        return self.store.seen_from(self.workspace)

    @property
    def workspace(self) -> str:
        """The name of that workspace."""
        return (
            os.environ.get("CENGINE_WORKSPACE")
            or self.store.setting(ACTIVE_WORKSPACE + self._whose)
            or DEFAULT_WORKSPACE
        )

    @cached_property
    def artifacts(self) -> Artifacts:
        """The folders of finished stages and snapshots."""
        place, root = os.environ.get("CENGINE_ARTIFACTS"), self.folder / "artifacts"
        if self.aside is not None:
            return Artifacts(self.aside / "artifacts", below=root)
        if not place:
            return Artifacts(root)
        from cengine.store.places import open_place
        from cengine.store.remote import Remote

        return Artifacts(root, Remote(open_place(place)), self.store if self.store.database.shared else None)

    def own_setting(self, key: str) -> Any:
        """A setting of this workspace, and of this user and folder where the database is shared; None where it is not set."""
        return self.records.setting(self._own(key))

    def set_own_setting(self, key: str, value: object) -> None:
        """Sets such a setting."""
        self.records.set_setting(self._own(key), value)

    def set_active_workspace(self, name: str) -> None:
        """Makes a workspace the one that commands mean when none is named. Raises StoreError where there is none of this name."""
        found = self.store.workspaces.find(name).name
        self.store.set_setting(ACTIVE_WORKSPACE + self._whose, found)

    def _own(self, key: str) -> str:
        return f"{key}/{self.records.workspace_id}{self._whose}"

    @property
    def _whose(self) -> str:
        """What tells apart the users of a shared database and their folders; nothing where the database is the folder's own."""
        if not self.store.database.shared:
            return ""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a user without a name, as in some containers
            user = str(os.getuid())
        return f"/{user}@{socket.gethostname()}{self.folder}"

    @property
    def table_folders(self) -> tuple[Path, ...]:
        """Where engines read and write tables. The records are elsewhere: no query reaches them."""
        roots = [root for root in (self.folder, self.aside) if root is not None]
        return tuple(root / name for root in roots for name in ("artifacts", "scratch"))

    @property
    def cache(self) -> Path:
        """What can be made again at any time, and is kept because making it takes seconds."""
        return (self.aside or self.folder) / "cache"

    @property
    def reports(self) -> Path:
        """Pages and notebooks, a folder for each run; they outlive the process."""
        return (
            self.folder / "reports"
            if self.aside is None
            else Path(tempfile.gettempdir()) / f"cengine-reports-{os.getuid()}-{os.getpid()}"
        )

    @cached_property
    def scratch(self) -> Path:
        """Where engines of this process put what does not fit into memory; it goes with the process, however that ends."""
        with disk_errors():
            folder = make_folder((self.aside or self.folder) / "scratch") / str(os.getpid())
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder


def open_project(path: str | Path | None = None) -> Project:
    """The project in `path`, or of CENGINE_PROJECT, or of this folder or the nearest one above; else a new one here.

    Raises StoreError where the folder cannot be written.
    """
    folder = _find(path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            make_file(ignore).write_text("*\n")
    except OSError as error:
        raise disk_error(error) from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"cannot write to {folder}", "choose another folder with --project, or mend its permissions")
    _clear_scratch(folder / "scratch")
    return Project(folder)


def look_at_project(path: str | Path | None = None) -> Project:
    """The project for a command that only looks: one that is not there, or on a disk that can only be read, is left as it is.

    What looking makes, statistics for one, is then made in a folder that goes with the process. Raises StoreError if the folder's
    permissions forbid to write: others may be at work in it, whose records cannot be read without taking part.
    """
    folder = _find(path)
    if folder.is_dir() and not os.statvfs(folder).f_flag & os.ST_RDONLY:
        return open_project(path)
    aside = Path(tempfile.mkdtemp(prefix="cengine-"))
    atexit.register(shutil.rmtree, aside, ignore_errors=True)
    with disk_errors():
        for file in folder.glob(f"{RECORDS}*"):  # with what SQLite keeps beside it: a copy can be upgraded, too
            if file.is_file():
                shutil.copy(file, aside / file.name)
                (aside / file.name).chmod(0o600)
    return Project(folder, aside)


def project_folder(path: str | Path | None = None) -> Path:
    """The folder that `open_project` opens, whether it is there or not."""
    return _find(path)


def _clear_scratch(scratch: Path) -> None:
    """Removes what engines of processes that were killed have left; nobody else would."""
    for folder in scratch.glob("*"):
        if folder.name.isdigit() and not process_exists(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)


def _find(path: str | Path | None) -> Path:
    given = path or os.environ.get("CENGINE_PROJECT")
    if given:
        folder = Path(given).expanduser().resolve()  # without `..`: its name is looked at
        return folder if folder.name == FOLDER_NAME else folder / FOLDER_NAME
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FOLDER_NAME).is_dir():
            return folder / FOLDER_NAME
    return here / FOLDER_NAME
