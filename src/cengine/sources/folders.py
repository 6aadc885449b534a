"""Local files of a table: one file, a glob or a folder, with the columns that hive-partitioned folders carry in their names."""

from __future__ import annotations

import datetime
import glob
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cengine.errors import SourceError

WILDCARD = re.compile(r"[*?[]")
# How Hive and Spark spell a null in a folder's name.
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Listed:
    """A file with the (column, value) pairs of the folders it lies in: `year=2018/month=6/` gives two."""

    file: Path
    partition: tuple[tuple[str, str | None], ...]


def local_files(pattern: str, suffixes: tuple[str, ...], kind: str) -> list[Listed]:
    """The files of a path, sorted by name; those whose names begin with . or _ are not among a folder's.

    Raises SourceError where there is none.
    """
    path = Path(pattern).expanduser()
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and is_one_of(p.name, suffixes))
        if not found:
            raise no_files(pattern, kind, suffixes)
        root = path
    elif path.exists():
        return [Listed(path, ())]
    else:
        found = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207  an absolute pattern
        if not found:
            nearby = sorted(p.name for p in path.parent.glob("*"))[:8] if path.parent.is_dir() else []
            notes = [f"files there: {', '.join(nearby)}"] if nearby else [f"there is no folder '{path.parent}'"]
            raise SourceError(f"there is no file '{pattern}'", *notes)
        root = Path(fixed_folder(str(path)))
    return [Listed(file, partition_of(file.relative_to(root).parent.parts)) for file in found]


def no_files(place: str, kind: str, suffixes: tuple[str, ...]) -> SourceError:
    """The error for a folder without files of the kind."""
    return SourceError(f"the folder '{place}' holds no {kind} files", f"expected names ending in {', '.join(suffixes)}")


def is_one_of(name: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a file of a folder belongs to the table."""
    return not name.startswith((".", "_")) and name.lower().endswith(suffixes)


def fixed_folder(pattern: str) -> str:
    """The folder above a glob's first wildcard."""
    parts = PurePosixPath(pattern).parts
    number = next((i for i, part in enumerate(parts) if WILDCARD.search(part)), len(parts) - 1)
    return str(PurePosixPath(*parts[:number]))


def partition_of(folders: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
    """The columns in the names of folders, outermost first."""
    pairs = (folder.partition("=") for folder in folders)
    return tuple(
        (urllib.parse.unquote(key), None if value == _HIVE_NULL else urllib.parse.unquote(value))
        for key, sign, value in pairs
        if sign and key
    )


def partition_types(partitions: Sequence[tuple[tuple[str, str | None], ...]]) -> dict[str, str]:
    """An SQL type for each column of the partitions that holds the values of all of them as written: whole numbers, days, or texts."""
    values: dict[str, list[str]] = {}
    for partition in partitions:
        for key, value in partition:
            values.setdefault(key, []).extend([] if value is None else [value])
    return {key: _type_of(texts) for key, texts in values.items()}


def _type_of(texts: list[str]) -> str:
    if texts and all(_is_whole(text) for text in texts):
        return "BIGINT"
    return "DATE" if texts and all(_is_day(text) for text in texts) else "VARCHAR"


def _is_whole(text: str) -> bool:
    """Whether a text is how a whole number of 64 bits is written, as in a cell: 007 is a code."""
    return bool(re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text)) and -(2**63) <= int(text) < 2**63


def _is_day(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
