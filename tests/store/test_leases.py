"""Locks in the records: one holder, waited for, taken over when it is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from cengine.store import leases
from cengine.store.leases import lease
from cengine.store.processes import own_identity
from cengine.store.records import Records
from cengine.store.schema import locks


def held(records) -> list[str]:
    return records.database.read(lambda connection: list(connection.execute(sa.select(locks.c.name)).scalars()))


def put(records, name: str, owner: str, seconds: float) -> None:
    """A lock of somebody else that ends in so many seconds."""
    values = {"name": name, "owner": owner, "token": "other", "expires_at": records.database.clock() + seconds}
    records.database.write(lambda connection: connection.execute(locks.insert().values(**values)))


def test_the_clock_is_about_right(records) -> None:
    found = records.database.read(lambda connection: connection.execute(sa.select(records.database.clock())).scalar())
    assert abs(found - time.time()) < 60


def test_it_goes_with_the_block(records) -> None:
    with lease(records, "a"):
        assert held(records) == ["a"]
    assert held(records) == []
    with pytest.raises(ValueError), lease(records, "a"):
        raise ValueError
    assert held(records) == []


def test_others_wait_and_one_at_a_time_has_it(address) -> None:
    inside, most, waited, failed = [], [], [], []

    def work() -> None:
        try:
            own = Records(address)
            for _ in range(2):
                with lease(own, "a", lambda: waited.append(1)):
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.02)
                    inside.pop()
            own.engine.dispose()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert most == [1] * 8
    assert waited


def test_different_locks_do_not_wait(records) -> None:
    with lease(records, "a"), lease(records, "b", lambda: pytest.fail("it waited")):
        assert sorted(held(records)) == ["a", "b"]


def test_one_that_was_not_renewed_is_taken(records) -> None:
    put(records, "a", "elsewhere@1/1/1", -1)
    with lease(records, "a", lambda: pytest.fail("it waited")):
        assert held(records) == ["a"]


def test_one_on_another_machine_is_waited_for(records) -> None:
    put(records, "a", "elsewhere@1/1/1", 1.5)
    waited = []
    with lease(records, "a", lambda: waited.append(1)):
        assert waited == [1]


def test_one_of_a_process_of_this_machine_that_was_killed_is_taken_at_once(records) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    machine = own_identity().split("/")[0]
    put(records, "a", f"{machine}/{child.pid}/0", 3600)  # the number is another process's now
    with lease(records, "a", lambda: pytest.fail("it waited")):
        pass
    child.kill()
    child.wait()


def test_it_is_renewed_while_it_is_held_and_not_beyond(records, monkeypatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.2)
    began = threading.Event()
    order = []

    def other() -> None:
        began.wait(20)
        with lease(records, "a"):
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    with lease(records, "a"):
        began.set()
        time.sleep(3.0)  # longer than the lease
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_one_that_was_taken_over_is_not_given_back_by_its_former_holder(records, monkeypatch, caplog) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.1)
    with lease(records, "a"):
        records.database.write(
            lambda connection: connection.execute(locks.update().values(owner="elsewhere@1/1/1", token="other"))
        )
        while "was taken over by another process" not in caplog.text:
            time.sleep(0.05)
    assert held(records) == ["a"]
