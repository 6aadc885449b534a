"""The database of a test: a test that takes `address` or `records` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cengine.store.records import Records


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Where a new database is: a path, or an address of the server."""
    if request.param == "sqlite":
        yield tmp_path / "records.db"
        return
    server = request.getfixturevalue("postgres")
    made = server.new_database()
    yield made
    server.drop_database(made)


@pytest.fixture
def records(address: Path | str) -> Iterator[Records]:
    """New records."""
    opened = Records(address)
    yield opened
    opened.engine.dispose()
