"""A project: the folder `.cengine` that holds records and artifacts, found like a git repository is."""

from __future__ import annotations

import atexit
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cengine.errors import StoreError
from cengine.store.artifacts import Artifacts, disk_error
from cengine.store.processes import process_exists
from cengine.store.records import Records

FOLDER_NAME = ".cengine"


@dataclass(frozen=True)
class Project:
    """The state under `folder`; only its user may read it."""

    folder: Path

    @cached_property
    def records(self) -> Records:
        """The database."""
        return Records(self.folder / "records.db")

    @cached_property
    def artifacts(self) -> Artifacts:
        """The folders of finished stages and snapshots."""
        return Artifacts(self.folder / "artifacts")

    @property
    def cache(self) -> Path:
        """What can be made again at any time, and is kept because making it takes seconds."""
        return self.folder / "cache"

    @property
    def reports(self) -> Path:
        """Pages and notebooks, a folder for each run."""
        return self.folder / "reports"

    @cached_property
    def scratch(self) -> Path:
        """Where engines of this process put what does not fit into memory; it goes with the process, however that ends."""
        folder = self.folder / "scratch" / str(os.getpid())
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
            ignore.write_text("*\n")
    except OSError as error:
        raise disk_error(error) from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"cannot write to {folder}", "choose another folder with --project, or mend its permissions")
    _clear_scratch(folder / "scratch")
    return Project(folder)


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
