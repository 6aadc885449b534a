"""Brings a database to the newest version; Alembic is imported only when there is something to do."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from cengine.errors import StoreError

HEAD = "0004"  # the newest migration; a test compares it with the migrations' own head


def is_current(connection: sa.Connection) -> bool:
    """Whether the database is of this version. Raises StoreError where it is of a newer one."""
    known = sa.inspect(connection).has_table("alembic_version")
    version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() if known else None
    if version is not None and version > HEAD:
        raise StoreError(
            f"the project's records are of a newer cengine (version {version}, this one knows {HEAD})",
            "upgrade cengine",
        )
    return version == HEAD


def upgrade(connection: sa.Connection, target: str = "head") -> None:
    """Runs the migrations that the database has not seen. The caller has a transaction open, and keeps others away."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
