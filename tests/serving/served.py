"""A server in a process of its own, and a client of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

COMMAND = (sys.executable, "-m", "cengine.cli.main", "serve")
ALONE = (sys.executable, "-m", "cengine.serving")
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


class Server:
    """`cengine serve` with these words, on a free port, ready when this returns."""

    def __init__(self, *words: object, command: tuple[str, ...] = COMMAND, **environment: str) -> None:
        self.process = subprocess.Popen(
            # A shell that runs the tests behind nohup lets them ignore SIGHUP; the server is to hear it.
            ["env", "--default-signal=INT,HUP", *command, *map(str, words), "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self.said: list[str] = []
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        first = self.says("serving ")
        self.url = first.split(" at ")[1].strip()
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.said.append(line)
                self._heard.notify_all()
        self.process.wait()
        with self._heard:
            self._heard.notify_all()

    def says(self, text: str) -> str:
        """Waits for a line with this text, and gives it."""
        with self._heard:
            found = self._heard.wait_for(
                lambda: next((line for line in self.said if text in line), None) or self.process.poll() is not None,
                PATIENCE_SECONDS,
            )
        assert isinstance(found, str), f"it never said {text!r} but {''.join(self.said)}"
        return found

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request on a connection of its own; `content_type` is the header Content-Type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            told = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, told)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        """GET."""
        return self("GET", path, **headers)

    def post(self, path: str, data: object, **headers: str) -> Reply:
        """POST of JSON."""
        return self("POST", path, json.dumps(data).encode(), **{"content_type": "application/json", **headers})

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by name and labels."""
        lines = [line for line in self.get("/metrics").body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def signal(self, number: signal.Signals) -> None:
        """A signal to the process."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(PATIENCE_SECONDS)
        return code
