"""Ranges of a table read at the same time and handed on in their order, within bounded memory."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# Reads the range of a number.
ReadRange = Callable[[int], "Generator[pa.RecordBatch, None, None]"]


def edges(low: int, high: int, num_ranges: int) -> list[tuple[int | None, int | None]]:
    """Ranges [from, to) of equal width that cover low..high and all beyond: the first and the last have no end."""
    width = high - low + 1
    inner = sorted({low + width * number // num_ranges for number in range(1, num_ranges)} - {low})
    return list(zip([None, *inner], [*inner, None], strict=True))


def in_order(num_ranges: int, readers: Sequence[ReadRange], limit_bytes: int) -> Iterator[pa.RecordBatch]:
    """The batches of range 0, 1, 2, ...; each reader reads one range at a time in a thread of its own.

    What has been read and not handed on stays below about `limit_bytes`. An error of a reader is raised here; when the
    iterator is closed the threads end after the batch they are at.
    """
    state = _Shared(num_ranges, limit_bytes // max(1, len(readers)), len(readers))
    threads = [
        threading.Thread(target=state.work, args=(reader,), name=f"range-reader-{i}", daemon=True)
        for i, reader in enumerate(readers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield from state.batches()
    finally:
        state.stop()
        for thread in threads:
            thread.join()


class _Shared:
    """What the readers and the one who takes their batches know together."""

    def __init__(self, num_ranges: int, limit_bytes: int, num_ahead: int) -> None:
        self.num_ranges = num_ranges
        self.limit_bytes = limit_bytes
        self.num_ahead = num_ahead
        self.changed = threading.Condition()
        self.waiting: list[deque[pa.RecordBatch]] = [deque() for _ in range(num_ranges)]
        self.waiting_bytes = [0] * num_ranges
        self.complete = [False] * num_ranges
        self.next_to_read = self.next_to_give = 0
        self.failure: BaseException | None = None
        self.stopped = False

    def work(self, read: ReadRange) -> None:
        """Reads one range after the other until there are no more."""
        try:
            while (number := self._claim()) is not None:
                with contextlib.closing(read(number)) as batches:
                    for batch in batches:
                        if not self._put(number, batch):
                            return
                with self.changed:
                    self.complete[number] = True
                    self.changed.notify_all()
        except BaseException as error:  # handed over to the one who waits
            with self.changed:
                self.failure = self.failure or error
                self.changed.notify_all()

    def _claim(self) -> int | None:
        with self.changed:
            # Not far ahead: what is read early has to be held.
            self.changed.wait_for(lambda: self._over() or self.next_to_read < self.next_to_give + self.num_ahead)
            if self._over():
                return None
            self.next_to_read += 1
            return self.next_to_read - 1

    def _over(self) -> bool:
        return self.stopped or self.failure is not None or self.next_to_read >= self.num_ranges

    def _put(self, number: int, batch: pa.RecordBatch) -> bool:
        with self.changed:
            self.changed.wait_for(
                lambda: self.stopped or self.failure is not None or self.waiting_bytes[number] < self.limit_bytes
            )
            if self.stopped or self.failure is not None:
                return False
            self.waiting[number].append(batch)
            self.waiting_bytes[number] += batch.nbytes
            self.changed.notify_all()
            return True

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All batches in the order of the ranges."""
        for number in range(self.num_ranges):
            while (batch := self._take(number)) is not None:
                yield batch

    def _take(self, number: int) -> pa.RecordBatch | None:
        with self.changed:
            self.next_to_give = number
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.waiting[number] or self.complete[number] or self.failure is not None)
            if self.failure is not None:
                raise self.failure
            if not self.waiting[number]:
                return None
            batch = self.waiting[number].popleft()
            self.waiting_bytes[number] -= batch.nbytes
            self.changed.notify_all()
            return batch

    def stop(self) -> None:
        """Lets the readers end."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
