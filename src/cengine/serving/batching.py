"""Requests that wait are predicted together.

There is no timer: an idle server answers at once, and what arrives during a run makes up the next one. A batch counts rows, not
requests. Many rows are predicted beside, in a thread, so that single rows need not wait for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cengine.serving.refusals import Refused
from cengine.serving.rows import Given
from cengine.serving.session import Outputs, Session, joined

# Of so many rows a run still takes only a few milliseconds, for which nothing else happens.
BATCH_ROWS = 1024


class Line:
    """How many rows wait, over all models."""

    def __init__(self, limit: int) -> None:
        self.limit, self.rows = limit, 0

    def enter(self, num_rows: int) -> None:
        """Raises Refused where so many rows wait that no more may. An empty line takes any request."""
        if self.rows and self.rows + num_rows > self.limit:
            raise Refused(
                503,
                "queue_full",
                f"{self.rows:,} rows wait, the limit is {self.limit:,}: try again later",
                headers=[(b"retry-after", b"1")],
            )
        self.rows += num_rows

    def leave(self, num_rows: int) -> None:
        """They wait no more."""
        self.rows -= num_rows


class Batcher:
    """Predictions of one session. `ran` is called after each run with its rows and outputs."""

    def __init__(
        self, session: Session, line: Line, beside: ThreadPoolExecutor, ran: Callable[[Given, Outputs], None]
    ) -> None:
        self._session, self._line, self._beside, self._ran = session, line, beside, ran
        self._waiting: deque[tuple[Given, asyncio.Future[Outputs]]] = deque()
        self._is_due = False

    async def predict(self, given: Given) -> Outputs:
        """The outputs for these rows alone. Raises Refused where too many wait."""
        self._line.enter(given.num_rows)
        try:
            loop = asyncio.get_running_loop()
            if given.are_arrays or given.num_rows > BATCH_ROWS:
                found = await loop.run_in_executor(self._beside, self._session.predict, given)
                self._ran(given, found)
                return found
            future: asyncio.Future[Outputs] = loop.create_future()
            self._waiting.append((given, future))
            if not self._is_due:
                self._is_due = True
                # One turn of the loop later: whose bytes the system has by then belongs to the same batch.
                loop.call_soon(loop.call_soon, self._run)
            return await future
        finally:
            self._line.leave(given.num_rows)

    def _run(self) -> None:
        """Predicts the first of those that wait, together, and comes back for the others."""
        batch: list[tuple[Given, asyncio.Future[Outputs]]] = []
        rows = 0
        while self._waiting and (not batch or rows + self._waiting[0][0].num_rows <= BATCH_ROWS):
            batch.append(self._waiting.popleft())
            rows += batch[-1][0].num_rows
        self._is_due = bool(self._waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._run)
        try:
            given = joined([one for one, _ in batch])
            found = self._session.predict(given)
            self._ran(given, found)
        except Exception as error:  # of any kind: each request that waits needs an answer
            self._one_by_one(batch, error)
            return
        _hand_out(batch, found)

    def _one_by_one(self, batch: list[tuple[Given, asyncio.Future[Outputs]]], error: Exception) -> None:
        """What went wrong is the matter of one request, not of those that happened to come with it."""
        for given, future in batch:
            if future.done():
                continue
            try:
                if len(batch) == 1:
                    raise error
                found = self._session.predict(given)
                self._ran(given, found)
                future.set_result(found)
            except Exception as own:  # it is raised where the request waits
                future.set_exception(own)


def _hand_out(batch: list[tuple[Given, asyncio.Future[Outputs]]], found: Outputs) -> None:
    start = 0
    for given, future in batch:
        stop = start + given.num_rows
        if not future.done():
            future.set_result(found if len(batch) == 1 else {name: rows[start:stop] for name, rows in found.items()})
        start = stop
