"""Which database an address means."""

from __future__ import annotations

from pathlib import Path

from cengine.errors import StoreError
from cengine.store.database import Database


def open_database(address: str | Path) -> Database:
    """The database of a file's path or a `postgresql://` address, upgraded to this version.

    Raises StoreError where it cannot be used.
    """
    if isinstance(address, Path):
        from cengine.store.sqlite import Sqlite

        return Sqlite(address)
    scheme = address.partition(":")[0]
    if scheme not in ("postgresql", "postgres"):
        raise StoreError(
            f"CENGINE_STORE begins with '{scheme}', which is no place for records"
            if ":" in address
            else "CENGINE_STORE is no address",
            "write postgresql://USER@HOST/DATABASE, or leave it out for a file in the project's folder",
        )
    from cengine.store.postgres import Postgres

    return Postgres(address)
