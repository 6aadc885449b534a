"""Errors of the file system, told as ours."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from cengine.errors import StoreError


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
            f"cannot write to {error.filename}: {error.strerror}",
            "choose another folder with --project, or mend its permissions",
        )
    return StoreError(f"{error.strerror or error}: {error.filename}")
