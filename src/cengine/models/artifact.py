"""The folder of a model: `model.json`, `certificate.json` and the learner's own files. Nothing in it is pickled.

model.json          version; what enters and what is predicted, with words and statistics; the learner; where it comes from
certificate.json    metrics with their intervals beside a constant's, verdicts, rows; what the features held in the train rows
learner/            the learner's own files
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cengine.errors import StoreError
from cengine.extras import DISTRIBUTION
from cengine.learners.learner import BESIDE
from cengine.models.signature import Signature

VERSION = 1
MODEL, CERTIFICATE, LEARNER = "model.json", "certificate.json", "learner"
# What was installed when the model was made, for those who look for a difference.
_PACKAGES = ("keras", "jax", "numpy", "duckdb", "sqlglot")


@dataclass(frozen=True)
class Parts:
    """What a model consists of: its signature, the folder with the learner's files, how good it was, and the stages that it is from."""

    signature: Signature
    learner_folder: Path
    certificate: Callable[[], dict[str, Any]]
    """Worked out when it is asked for: to describe the train rows of a large table takes seconds."""
    fingerprints: dict[str, str]


def write_parts(parts: Parts, folder: Path) -> Path:
    """Writes the model's folder, which must not exist yet. Raises StoreError where it does, or where the disk does not take it."""
    if folder.exists():
        raise StoreError(f"{folder} exists already", "name another folder, or remove it")
    draft = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        shutil.copytree(parts.learner_folder, draft / LEARNER, ignore=shutil.ignore_patterns(*BESIDE))
        write_json(
            draft / MODEL,
            {
                "version": VERSION,
                **parts.signature.to_json(),
                "fingerprints": parts.fingerprints,
                "versions": _versions(),
            },
        )
        write_json(draft / CERTIFICATE, parts.certificate())
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StoreError(f"the model cannot be written to {folder}: {error.strerror or error}") from error
    return folder


def read_parts(folder: Path) -> Parts:
    """What `write_parts` wrote. Raises StoreError where there is no model, or where it is damaged or of a later version."""
    data = _read(folder / MODEL)
    if data.get("version") != VERSION:
        raise StoreError(
            f"the model in {folder} is of version {data.get('version')}, this cengine reads version {VERSION}",
            "upgrade cengine",
        )
    try:
        signature = Signature.from_json(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{folder / MODEL} is damaged: {type(error).__name__}: {error}") from error
    certificate = _read(folder / CERTIFICATE)
    return Parts(signature, folder / LEARNER, lambda: certificate, data.get("fingerprints", {}))


def _versions() -> dict[str, str]:
    found = {"cengine": metadata.version(DISTRIBUTION), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_json(file: Path, data: Mapping[str, Any]) -> None:
    """Writes plain data, with null for what is not defined, which JSON has no number for."""
    plain = json.loads(json.dumps(data, ensure_ascii=False, default=str), parse_constant=lambda name: None)
    file.write_text(json.dumps(plain, ensure_ascii=False, indent=1), encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"there is no model in {file.parent}: it has no {file.name}") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise StoreError(f"{file} is damaged: it holds no mapping")
    return found
