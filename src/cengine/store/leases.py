"""Locks that other machines see: rows in the records that are renewed while they are held, and may be taken when they are not."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from cengine.errors import StoreError
from cengine.store.processes import is_alive, own_identity
from cengine.store.records import Records
from cengine.store.schema import locks

LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0
POLL_SECONDS = 0.5

log = logging.getLogger("cengine")


@contextlib.contextmanager
def lease(records: Records, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock for the block, having waited for whoever held it (`waiting` is called once).

    A holder that is gone, or has not renewed it for LEASE_SECONDS, is no holder. So two may believe that they hold it, where one
    was stopped or cut off for so long: what they do under it must be right then too, only not needed twice.
    """
    token = uuid.uuid4().hex
    _wait_for(records, name, token, waiting)
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(records, name, token, over), name=f"lease {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(StoreError):  # a database that is away: the lease runs out by itself
            records.database.write(lambda connection: connection.execute(locks.delete().where(locks.c.token == token)))


def _wait_for(records: Records, name: str, token: str, waiting: Callable[[], None] | None) -> None:
    while not _taken(records, name, token):
        if waiting is not None:
            waiting()
            waiting = None
        time.sleep(POLL_SECONDS)


def _taken(records: Records, name: str, token: str) -> bool:
    """Whether the lock is ours now."""
    holder = sa.select(locks.c.owner, locks.c.token).where(locks.c.name == name)
    held = records.database.read(lambda connection: connection.execute(holder).first())
    ends = records.database.clock() + LEASE_SECONDS
    ours = {"owner": own_identity(), "token": token, "expires_at": ends}
    if held is None:
        insert = (
            records.database.insert(locks).values(name=name, **ours).on_conflict_do_nothing().returning(locks.c.name)
        )
        return records.database.write(lambda connection: connection.execute(insert).first() is not None)
    free = locks.c.expires_at < records.database.clock()
    if is_alive(held.owner) is False:
        free = sa.or_(free, locks.c.token == held.token)
    change = locks.update().where(locks.c.name == name, free).values(**ours)
    return bool(records.database.write(lambda connection: connection.execute(change).rowcount == 1))


def _renew(records: Records, name: str, token: str, over: threading.Event) -> None:
    change = locks.update().where(locks.c.token == token).values(expires_at=records.database.clock() + LEASE_SECONDS)
    while not over.wait(RENEW_SECONDS):
        try:
            if not records.database.write(lambda connection: connection.execute(change).rowcount == 1):
                log.warning(
                    "%s was taken over by another process: this one was not heard of for %g s", name, LEASE_SECONDS
                )
                return
        except StoreError:
            continue  # the next time may come through
