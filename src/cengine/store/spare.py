"""Room that is kept on the disk while runs go on, so that even a full one can be told how a run ended."""

from __future__ import annotations

from pathlib import Path

from cengine.store.disk import disk_errors
from cengine.store.permissions import make_file
from cengine.store.records import Records

# A run's end needs a few pages of SQLite's log, and the log's index.
SPARE_BYTES = 2**18


def keep_spare(records: Records) -> None:
    """Sees to it that there is spare room beside the records. Raises StoreError where the disk has not even that."""
    file = _file(records)
    if file is None or (file.exists() and file.stat().st_size == SPARE_BYTES):
        return
    with disk_errors():
        try:
            make_file(file).write_bytes(bytes(SPARE_BYTES))
        except OSError:
            file.unlink(missing_ok=True)
            raise


def give_spare(records: Records) -> bool:
    """Frees the spare room, and says whether there was any."""
    file = _file(records)
    try:
        if file is not None:
            file.unlink()
            return True
    except OSError:
        pass  # another process has given it just now
    return False


def _file(records: Records) -> Path | None:
    """Beside a database in a file; a server has room of its own."""
    url = records.engine.url
    return Path(url.database).with_name("spare") if url.get_backend_name() == "sqlite" and url.database else None
