"""Bodies of requests: read whole, within the limits of size, time and what all of them together may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cengine.serving.refusals import Refused

# Bodies that are held at the same time, in the size of the largest.
MAX_HELD = 4
# One that is too large is read on for so many times its limit, so that the client gets to read why it is refused.
READ_ON = 4
SECONDS = 60.0

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Gone(Exception):
    """The client went away before its request was complete."""


class Bodies:
    """Reads bodies of at most `max_bytes`; `held` is how many bytes of them are in use."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.held = max_bytes, 0

    async def read(self, receive: Receive) -> bytes:
        """A body, which is held until it is let go. Raises Refused above a limit, Gone where the client went away."""
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        body: bytes = message["body"]
        if not message["more_body"] and len(body) <= self.max_bytes:
            self.held += len(body)
            return body
        return await self._longer(receive, message)

    def let_go(self, body: bytes) -> None:
        """It is no longer held."""
        self.held -= len(body)

    async def _longer(self, receive: Receive, message: dict[str, Any]) -> bytes:
        parts: list[bytes] = []
        size = held = 0
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    size += len(message["body"])
                    if size <= self.max_bytes:
                        held += self._hold(len(message["body"]))
                        parts.append(message["body"])
                    if not message["more_body"] or size > READ_ON * self.max_bytes:
                        break
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Gone
        except TimeoutError:
            self.held -= held
            raise Refused(408, "slow_body", f"the body did not come within {SECONDS:.0f} s", headers=[CLOSE]) from None
        except BaseException:
            self.held -= held
            raise
        if size > self.max_bytes:
            self.held -= held
            raise Refused(
                413,
                "too_large",
                f"the body is larger than {self.max_bytes:,} bytes: send the rows in parts",
                headers=[CLOSE],
            )
        return b"".join(parts)

    def _hold(self, size: int) -> int:
        if self.held + size > MAX_HELD * self.max_bytes:
            raise Refused(
                503,
                "queue_full",
                "too many large requests at once: try again later",
                headers=[(b"retry-after", b"1"), CLOSE],
            )
        self.held += size
        return size


CLOSE = (b"connection", b"close")
