"""The sign of life of a run: every few seconds into the records, from a thread of its own; it also hears a wish to end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cengine.errors import StoreError
from cengine.store.lifecycle import HEARTBEAT_SECONDS
from cengine.store.records import Records, now


class Heartbeat:
    """Beats for the block. `stop` is called once when somebody cancels the run; `cancelled` then says so."""

    def __init__(self, records: Records, run_id: int, stop: Callable[[], None]) -> None:
        self.records = records
        self.run_id = run_id
        self.cancelled = False
        self._stop = stop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS if not self.cancelled else None):
            try:
                self.records.update("runs", self.run_id, heartbeat_at=now())
                asked = self.records.get("runs", self.run_id)["cancelled_at"] is not None
            except StoreError:
                continue  # a full disk or a database that restarts; the next beat may come through
            if asked and not self._over.is_set():
                self.cancelled = True
                self._stop()
