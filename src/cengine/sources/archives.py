"""Bytes of a file that is packed: gzip of several members with zeros behind the last, zstd, a zip archive of one table."""

from __future__ import annotations

import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cengine.errors import SourceError

# What a chunk unpacks to is held: up to a thousand times as much.
_SMALL_CHUNK_BYTES = 2**16
# More zeros than these at the end cannot be those of a member: an empty block, its digest and its length.
_MOST_ZEROS = 9


@contextlib.contextmanager
def unpacked(file: Path, suffixes: tuple[str, ...] = ()) -> Iterator[IO[bytes]]:
    """The bytes of a file as its name says it is packed. `suffixes` tell which file of an archive is the table.

    Raises SourceError for an archive that is not one table, and for a file that is damaged.
    """
    try:
        if file.name.lower().endswith(".zip"):
            with zipfile.ZipFile(file) as archive, archive.open(_member(archive, file, suffixes)) as stream:
                yield stream
        elif file.suffix == ".gz":
            with gzip.open(file, "rb") as stream:
                yield stream  # type: ignore[misc]
        elif file.suffix == ".zst":
            import pyarrow as pa

            with pa.CompressedInputStream(pa.OSFile(str(file)), "zstd") as stream:
                yield stream
        else:
            with file.open("rb") as stream:
                yield stream
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise SourceError(
            f"'{file}' is truncated or damaged: {str(error).rstrip('.').lower()}", "fetch or write it again"
        ) from None


def member_of(file: Path, suffixes: tuple[str, ...]) -> str:
    """The name of the one table in a zip archive. Raises SourceError where there is none, several, or a password."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _member(archive, file, suffixes).filename
    except (zipfile.BadZipFile, EOFError) as error:
        raise SourceError(
            f"'{file}' is truncated or damaged: {str(error).rstrip('.').lower()}", "fetch or write it again"
        ) from None


def _member(archive: zipfile.ZipFile, file: Path, suffixes: tuple[str, ...]) -> zipfile.ZipInfo:
    inside = [info for info in archive.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    tables = [info for info in inside if info.filename.lower().endswith(suffixes)] or (
        inside if len(inside) == 1 else []
    )
    if len(tables) != 1:
        shown = ", ".join(info.filename for info in (tables or inside)[:8]) or "nothing"
        more = len(tables or inside) - 8
        what = f"{len(tables)} tables" if tables else "no table"
        raise SourceError(
            f"'{file}' holds {what}: {shown}{f' and {more} more' if more > 0 else ''}",
            "unpack it and name the file, or a folder whose files are one table",
        )
    (table,) = tables
    if table.flag_bits & 1:
        raise SourceError(f"'{file}' is locked with a password", "unpack it and name the file in it")
    if table.filename.lower().endswith((".gz", ".zst", ".zip")):
        raise SourceError(
            f"'{file}' holds '{table.filename}', which is packed again", "unpack it and name the file in it"
        )
    return table


def _is_hidden(name: str) -> bool:
    """Whether a file in an archive is what a system put there beside the table."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def is_padded(file: Path) -> bool:
    """Whether zeros stand behind the last member of a gzip file, which gzip(1) takes for padding."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 4096))
        tail = stream.read()
        zeros = len(tail) - len(tail.rstrip(b"\0"))
        if zeros == 0 or zeros > _MOST_ZEROS:
            return zeros > 0
        stream.seek(0)
        return _has_padding(stream)


def _has_padding(stream: IO[bytes]) -> bool:
    """Whether anything but another member stands behind a member of a gzip stream; one that is damaged has none."""
    member = zlib.decompressobj(wbits=31)
    chunk = stream.read(_SMALL_CHUNK_BYTES)
    with contextlib.suppress(zlib.error):
        while chunk:
            member.decompress(chunk)
            chunk = member.unused_data or stream.read(_SMALL_CHUNK_BYTES)
            if member.eof and chunk:
                if not chunk.startswith(b"\x1f"):
                    return True
                member = zlib.decompressobj(wbits=31)
    return False
