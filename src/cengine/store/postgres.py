"""Records in PostgreSQL: shared by several people and machines. The server may be restarted while a run goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar, final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, insert

from cengine.connections.addresses import keyring_password
from cengine.connections.patience import patiently
from cengine.connections.postgres import Why, trouble_of
from cengine.errors import StoreError
from cengine.extras import install_command
from cengine.store.database import Database

T = TypeVar("T")
CONNECT_SECONDS = 10
IDLE_SECONDS = 60
# Any numbers, as long as they are the same everywhere: the locks of migrations, and of those that take turns.
MIGRATION_LOCK, TURNS_LOCK = 0x63656E67, 0x63656E68


@final
class Postgres(Database):
    """The database of a `postgresql://` address."""

    def __init__(self, address: str) -> None:
        url = _parsed(address)
        self.name = masked(url)
        self.shared = True
        settings = {"connect_timeout": CONNECT_SECONDS, "application_name": "cengine", "keepalives_idle": 30}
        self.engine = sa.create_engine(
            _with_password(url),
            pool_pre_ping=True,
            pool_size=2,
            max_overflow=8,
            hide_parameters=True,
            connect_args={**settings, **_ended_when_cut_off(url)},
        )
        self._reached = False
        self._prepare()

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        def once() -> T:
            with self.engine.begin() as connection:
                return work(connection)

        return self._patiently(once)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        # Transactions whose end is unknown, with what the work gave: the server went away when it was told to commit.
        unknown: list[tuple[int, T]] = []

        def once() -> T:
            if unknown:
                number, result = unknown[-1]
                if self._has_committed(number):
                    return result
                unknown.clear()
            with self.engine.connect() as connection, connection.begin() as transaction:
                result = work(connection)
                number = connection.execute(sa.text("SELECT txid_current()")).scalar_one()
                unknown.append((number, result))
                transaction.commit()
            return result

        return self._patiently(once)

    def take_turns(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TURNS_LOCK)))

    def insert(self, table: sa.Table) -> Insert:
        return insert(table)

    def clock(self) -> sa.ColumnElement[float]:
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float)

    def _prepare(self) -> None:
        """Creates or upgrades the database; a newer one than this version knows is refused."""
        from cengine.store.migrate import is_current, upgrade

        def upgraded(connection: sa.Connection) -> None:
            # Whoever comes second waits here, and finds it done.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            if not is_current(connection):
                upgrade(connection)

        if not self.read(is_current):
            self.write(upgraded)

    def _has_committed(self, number: int) -> bool:
        """What became of a transaction. Raises as a server that is away does while it is still being ended."""
        with self.engine.connect() as connection:
            while True:
                status = connection.execute(sa.text("SELECT txid_status(:number)"), {"number": number}).scalar()
                if status != "in progress":
                    return bool(status == "committed")
                time.sleep(0.1)

    def _patiently(self, once: Callable[[], T]) -> T:
        """What `once` gives, tried again while the server is away."""
        try:
            result = patiently(once, self._passing, self.name, reached=self._reached)
        except sa.exc.IntegrityError:
            raise
        except sa.exc.DBAPIError as error:
            raise self._translated(error) from None
        self._reached = True
        return result

    def _passing(self, error: Exception) -> str | None:
        """Why the same may well succeed a little later, None where it will not."""
        if not isinstance(error, sa.exc.DBAPIError):
            return None
        trouble = trouble_of(error)
        # A host that nobody knows was most likely misspelt, unless it answered before.
        return trouble.told if trouble.passing and (self._reached or "resolve host" not in trouble.told) else None

    def _translated(self, error: sa.exc.DBAPIError) -> StoreError:
        trouble = trouble_of(error)
        match trouble.why:
            case Why.FORBIDDEN:
                allowed = "its owner can allow it: GRANT ALL ON SCHEMA public TO ..."
                return StoreError(f"the records in {self.name} may not be used: {trouble.told}", allowed)
            case Why.DISK_FULL:
                return StoreError(f"the disk of {self.name} is full", "make room there and run the command again")
            case Why.PASSWORD:
                given = "the password comes from CENGINE_STORE, PGPASSWORD, a keyring or ~/.pgpass, in this order"
                return StoreError(f"{self.name} refuses us: {trouble.told}", given)
            case Why.NO_DATABASE:
                return StoreError(f"{self.name}: {trouble.told}", f"make it: createdb {self.engine.url.database}")
            case Why.AWAY:
                running = "CENGINE_STORE names it; is it running, and can this machine reach it?"
                return StoreError(f"{self.name} does not answer: {trouble.told}", running)
        return StoreError(f"the records in {self.name} cannot be used: {trouble.told}")


def masked(url: sa.URL) -> str:
    """The address without its password."""
    return url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def _parsed(address: str) -> sa.URL:
    """The address for psycopg. Raises StoreError, and shows nothing of it, for it may hold a password."""
    try:
        url = sa.make_url(address).set(drivername="postgresql+psycopg")
    except (sa.exc.ArgumentError, ValueError):
        raise StoreError(
            "CENGINE_STORE cannot be read",
            "write postgresql://USER@HOST:PORT/DATABASE; in a password, write / as %2F and @ as %40",
        ) from None
    if not url.host and "host" not in url.query and not os.environ.get("PGHOST"):
        raise StoreError("CENGINE_STORE names no server", "write postgresql://USER@HOST/DATABASE")
    _expect_psycopg()
    return url


def _expect_psycopg() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise StoreError(
            "records in PostgreSQL need psycopg, which is not installed", install_command("postgres")
        ) from None


def _with_password(url: sa.URL) -> sa.URL:
    """The address with the keyring's password where nothing else gives one; what is still missing libpq looks up in ~/.pgpass."""
    if url.password or "password" in url.query or os.environ.get("PGPASSWORD"):
        return url
    return url.set(password=keyring_password(masked(url)))


def _ended_when_cut_off(url: sa.URL) -> dict[str, str]:
    """The setting by which the server ends a transaction whose client it does not hear any more, instead of keeping its locks for hours."""
    return {} if "options" in url.query else {"options": f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s"}
