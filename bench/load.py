"""A load generator: one thread, some connections that stay open, each with one request at a time, for some seconds.

    python bench/load.py http://127.0.0.1:8000/predict BODY.json --connections 16 --seconds 3

Every answer is read whole; a request that was sent and not answered counts as lost. A connection that a server closed with an
answer is opened again; where it accepts no more, it is left.
"""

from __future__ import annotations

import argparse
import collections
import json
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

Check = Callable[[int, int, bytes], bool]


@dataclass
class Result:
    """What came of it: seconds of each answered request, statuses, and what went wrong."""

    latencies: list[float] = field(default_factory=list)
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    seconds: float = 0.0
    lost: int = 0
    wrong: int = 0
    refused: int = 0

    def told(self) -> dict[str, float]:
        """Answers a second, and quantiles in milliseconds."""
        ordered = sorted(self.latencies)
        at = [
            ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3 if ordered else 0.0 for share in (0.5, 0.99)
        ]
        return {"requests_per_s": len(ordered) / self.seconds, "p50_ms": at[0], "p99_ms": at[1]}


class _Connection:
    """One connection; `place` is the number of the request that it waits for, or None."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.socket: socket.socket | None = None
        self.buffer = b""
        self.place: int | None = None
        self.began = 0.0

    def open(self) -> None:
        self.socket = socket.create_connection(self.address, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(10)
        self.buffer = b""

    def send(self, place: int, request: bytes) -> None:
        assert self.socket is not None
        self.place, self.began = place, time.perf_counter()
        self.socket.sendall(request)

    def answer(self) -> tuple[int, bytes, bool] | None:
        """Status, body, and whether the server closes now; None where it is not whole yet. Raises ConnectionError at its end."""
        assert self.socket is not None
        came = self.socket.recv(262_144)
        if not came:
            raise ConnectionResetError
        self.buffer += came
        head, blank, body = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return None
        lowered = head.lower()
        length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return None
        self.buffer = body[length:]
        return int(head[9:12]), body[:length], b"connection: close" in lowered


def request(url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a POST of JSON."""
    parts = urlsplit(url)
    told = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"POST {parts.path} HTTP/1.1\r\n{head}\r\n".encode() + body


def load(
    url: str, requests: Sequence[bytes], *, connections: int, seconds: float, check: Check | None = None
) -> Result:
    """Sends the requests in turn for so long, or until the server accepts no more. `check(place, status, body)` says whether it is right."""
    parts = urlsplit(url)
    result, turn = Result(), 0
    selector = selectors.DefaultSelector()
    began = time.perf_counter()
    end = began + seconds
    for _ in range(connections):
        one = _Connection((parts.hostname or "127.0.0.1", parts.port or 80))
        if _opened(one, selector, result):
            turn = _next(one, requests, turn, result, selector)
    while selector.get_map() and time.perf_counter() < end + 5:
        for key, _ in selector.select(timeout=0.5):
            one = key.data
            try:
                found = one.answer()
            except OSError:
                result.lost += 1
                _closed(one, selector)
                found = None
                if time.perf_counter() < end and _opened(one, selector, result):
                    turn = _next(one, requests, turn, result, selector)
                continue
            if found is None:
                continue
            status, body, closes = found
            now = time.perf_counter()
            result.latencies.append(now - one.began)
            result.statuses[status] += 1
            if check is not None and not check(one.place, status, body):
                result.wrong += 1
            if closes or now > end:
                _closed(one, selector)
            if now <= end and (not closes or _opened(one, selector, result)):
                turn = _next(one, requests, turn, result, selector)
    result.lost += len(selector.get_map() or ())
    result.seconds = time.perf_counter() - began
    return result


def _opened(one: _Connection, selector: selectors.BaseSelector, result: Result) -> bool:
    try:
        one.open()
    except OSError:
        result.refused += 1
        return False
    assert one.socket is not None
    selector.register(one.socket, selectors.EVENT_READ, one)
    return True


def _closed(one: _Connection, selector: selectors.BaseSelector) -> None:
    assert one.socket is not None
    selector.unregister(one.socket)
    one.socket.close()


def _next(
    one: _Connection, requests: Sequence[bytes], turn: int, result: Result, selector: selectors.BaseSelector
) -> int:
    """Sends the next request; gives the turn after it."""
    place = turn % len(requests)
    try:
        one.send(place, requests[place])
    except OSError:
        result.lost += 1
        _closed(one, selector)
    return turn + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path, help="JSON, or a JSON list of bodies with --each")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    text = given.bodies.read_text()
    bodies = [json.dumps(one).encode() for one in json.loads(text)] if given.each else [text.encode()]
    found = load(
        given.url, [request(given.url, body) for body in bodies], connections=given.connections, seconds=given.seconds
    )
    print(
        json.dumps({**found.told(), "statuses": found.statuses, "lost": found.lost, "answered": len(found.latencies)})
    )


if __name__ == "__main__":
    main()
