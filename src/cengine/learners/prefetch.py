"""An iterator that a thread runs ahead, so that the next chunk is there when this one is done."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetched(Generic[Item]):
    """An iterator run by a thread, one item ahead; its exceptions come out of `next`."""

    def __init__(self, items: Iterator[Item], idle: bool) -> None:
        self._items = items
        self._queue: queue.Queue[Item | BaseException] = queue.Queue(maxsize=1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prepare-batches", daemon=True)
        self._idle = idle

    def __enter__(self) -> Prefetched[Item]:
        if not self._idle:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if not self._idle:
            self._thread.join()

    def next(self) -> Item:
        """The next item."""
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:
            self._put(error)

    def _put(self, item: Item | BaseException) -> bool:
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
