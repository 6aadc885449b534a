"""The sign of life of a run: every few seconds into the records, from a thread of its own; it also hears a wish to end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cengine.errors import StoreError
from cengine.stopping import Reason, Wish
from cengine.store.lifecycle import ACTIVE, HEARTBEAT_SECONDS, INTERRUPTED, RUNNING, enter
from cengine.store.processes import own_identity
from cengine.store.records import Records, now


class Heartbeat:
    """Beats for the block. Where somebody cancels the run, or another process has it by now, that is wished.

    `values` are written with each beat.
    """

    def __init__(self, records: Records, run_id: int, wish: Wish, values: Callable[[], dict[str, Any]] = dict) -> None:
        self.records = records
        self.run_id = run_id
        self._wish = wish
        self._values = values
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            try:
                reason = self._once()
            except StoreError:
                continue  # a full disk or a database that restarts; the next beat may come through
            if reason is not None and not self._over.is_set():
                self._wish.express(reason)
                return

    def _once(self) -> Reason | None:
        row = self.records.runs.get(self.run_id)
        if row.process != own_identity():
            return Reason.TAKEN_OVER
        if row.status == INTERRUPTED:
            # Somebody took this process for dead: it was halted for long, or cut off from the records.
            enter(self.records, self.run_id, RUNNING, ended_at=None, message=None, heartbeat_at=now())
        elif row.status not in ACTIVE:
            return Reason.CANCELLED
        self.records.update_run(self.run_id, ACTIVE, heartbeat_at=now(), **self._values())
        return Reason.CANCELLED if row.cancelled_at is not None else None
