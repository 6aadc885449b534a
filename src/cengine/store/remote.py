"""Artifacts at a shared place: an artifact is there once its manifest is, which is written last and in one step.

    STAGE/FI/FINGERPRINT/manifest.json     names the upload that is complete, its files, their sizes and digests
    STAGE/FI/FINGERPRINT/UPLOAD/...        the files

Each upload has a folder of its own. So two that upload the same at once do not mix, and one that was cut off is never seen.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from pathlib import Path, PurePosixPath
from typing import Any

from cengine.digests import file_digest
from cengine.errors import StoreError
from cengine.store.permissions import make_folder
from cengine.store.places import Place

FORMAT_VERSION = 1
# An upload that was begun so long ago and is not complete was cut off.
ABANDONED_SECONDS = 7 * 24 * 3600
# Moving less is not worth a word.
TOLD_BYTES = 64 * 2**20

log = logging.getLogger("cengine")


class Remote:
    """The artifacts at a place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def has(self, stage: str, fingerprint: str) -> bool:
        """Whether the complete artifact is there."""
        return self._manifest(stage, fingerprint) is not None

    def fetch(self, stage: str, fingerprint: str, folder: Path) -> None:
        """Fills the folder with the artifact's files. Raises StoreError where one is not what it was."""
        manifest = self._manifest(stage, fingerprint)
        if manifest is None:
            raise StoreError(f"the artifact of {stage} in {self.place.name} was removed just now", "run again")
        self._tell("fetching", stage, sum(entry["num_bytes"] for entry in manifest["files"].values()))
        for name, entry in manifest["files"].items():
            target = folder / name
            make_folder(target.parent)
            self.place.get(f"{_path(stage, fingerprint)}/{manifest['upload']}/{name}", target)
            if _entry(target) != entry:
                raise StoreError(
                    f"{name} of {stage} in {self.place.name} is damaged: its content is not what was written",
                    f"remove {_path(stage, fingerprint)} there and run again",
                )

    def share(self, stage: str, fingerprint: str, folder: Path) -> None:
        """Uploads a complete artifact, unless it is there."""
        if self.has(stage, fingerprint):
            return
        self._clear_abandoned(stage, fingerprint)
        files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
        entries = {name: _entry(file) for name, file in files.items()}
        self._tell("sharing", stage, sum(entry["num_bytes"] for entry in entries.values()))
        upload = f"{int(time.time())}-{uuid.uuid4().hex}"
        for name, file in files.items():
            self.place.put(file, f"{_path(stage, fingerprint)}/{upload}/{name}")
        manifest = {"format_version": FORMAT_VERSION, "upload": upload, "files": entries}
        self.place.write(
            f"{_path(stage, fingerprint)}/manifest.json", json.dumps(manifest, ensure_ascii=False).encode()
        )

    def remove(self, stage: str, fingerprint: str) -> None:
        """Removes an artifact; no error where there is none."""
        self.place.remove(f"{_path(stage, fingerprint)}/manifest.json")  # first, so that nobody finds it half-removed
        self.place.remove(_path(stage, fingerprint))

    def _manifest(self, stage: str, fingerprint: str) -> dict[str, Any] | None:
        text = self.place.read(f"{_path(stage, fingerprint)}/manifest.json")
        if text is None:
            return None
        try:
            found = json.loads(text)
            if found["format_version"] > FORMAT_VERSION:
                newer = f"the artifacts in {self.place.name} were written by a newer cengine"
                raise StoreError(newer, "upgrade cengine")
            safe = all(_is_inside(name) for name in (found["upload"], *found["files"]))
        except (ValueError, TypeError, KeyError):
            safe = False
        if not safe:
            where = f"{_path(stage, fingerprint)}/manifest.json"
            raise StoreError(f"{where} in {self.place.name} cannot be read", "remove it and run again")
        return dict(found)

    def _clear_abandoned(self, stage: str, fingerprint: str) -> None:
        for name in self.place.children(_path(stage, fingerprint)):
            began = name.partition("-")[0]
            if began.isdigit() and int(began) < time.time() - ABANDONED_SECONDS:
                self.place.remove(f"{_path(stage, fingerprint)}/{name}")

    def _tell(self, what: str, stage: str, num_bytes: int) -> None:
        if num_bytes > TOLD_BYTES:
            log.warning("%s %s, %.1f GB, %s", what, stage, num_bytes / 1e9, self.place.name)


def _path(stage: str, fingerprint: str) -> str:
    return f"{stage}/{fingerprint[:2]}/{fingerprint}"


def _is_inside(name: str) -> bool:
    """Whether a name leads nowhere but into its folder: whoever may write to the place must not write elsewhere on our disk."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and "\x00" not in name
    )


def _entry(file: Path) -> dict[str, Any]:
    return {"num_bytes": file.stat().st_size, "sha256": file_digest(file)}
