"""What a server is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cengine.errors import CengineError

HOST, PORT = "127.0.0.1", 8000
MAX_ROWS, MAX_BYTES, QUEUE, DRAIN = 100_000, 32 * 2**20, 200_000, 30.0
MIN_TOKEN = 16


@dataclass(frozen=True)
class Settings:
    """`max_rows` and `max_bytes` are limits of a request, `queue` that of rows that wait, `drain` the seconds for which an end waits."""

    host: str = HOST
    port: int = PORT
    token: str | None = None
    max_rows: int = MAX_ROWS
    max_bytes: int = MAX_BYTES
    queue: int = QUEUE
    drain: float = DRAIN
    log_requests: Path | None = None
    is_open: bool = False

    def check(self) -> None:
        """Raises CengineError for what does not go together."""
        if not _is_loopback(self.host) and self.token is None and not self.is_open:
            raise CengineError(
                f"whoever reaches {self.host} could ask the model, and load it anew",
                "name a file with a secret of at least 16 characters: --token-file FILE",
                "or leave --host out, so that only this machine reaches it",
                "or say --open, where something else keeps strangers out",
            )
        for option, value in (("max-rows", self.max_rows), ("max-bytes", self.max_bytes), ("drain", self.drain)):
            if not value > 0:
                raise CengineError(f"--{option} {value} lets no request through: it is to be above 0")
        if not 0 <= self.port < 2**16:
            raise CengineError(f"--port {self.port} is no port", "take 0 to 65535; 0 finds a free one")
        if self.queue < self.max_rows:
            raise CengineError(
                f"--queue {self.queue} is less than the {self.max_rows} rows that one request may have",
                f"take --queue {self.max_rows}, or a smaller --max-rows",
            )


def read_token(file: Path) -> str:
    """The token of a file, without the blanks around it. Raises CengineError for none, or one that is easily guessed."""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CengineError(f"the token cannot be read from {file}: {told}") from error
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise CengineError(
            f"the token in {file} is not of at least {MIN_TOKEN} printable ASCII characters without blanks",
            "make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
