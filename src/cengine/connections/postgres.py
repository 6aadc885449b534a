"""PostgreSQL, whichever driver speaks to it: what its errors mean, which of them pass, and the keyring's password where it asks for one."""

from __future__ import annotations

import enum
from dataclasses import dataclass

# A conflict with another transaction, too many connections, a server that starts or stops.
_PASSING_STATES = ("40001", "40P01", "53300", "57P01", "57P02", "57P03")
# libpq's words, which come without a code: of a connection that cannot be made or broke, ...
_AWAY = ("server closed", "no connection", "connection to", "terminating connection", "refused", "could not translate", "timeout expired",
         "SSL connection", "could not receive")  # fmt: skip
# ... and of what does not go away by waiting.
_LASTING = ("does not exist", "no pg_hba.conf entry", "permission denied", "SSL", "invalid")


class Why(enum.Enum):
    """What kind of trouble PostgreSQL makes."""

    PASSWORD = enum.auto()
    FORBIDDEN = enum.auto()
    NO_DATABASE = enum.auto()
    DISK_FULL = enum.auto()
    AWAY = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True)
class ServerTrouble:
    """An error of a driver: `told` are the server's or libpq's words in one line, since what follows may quote rows.

    `passing` where the same may well succeed a little later.
    """

    why: Why
    told: str
    passing: bool


def trouble_of(error: Exception) -> ServerTrouble:
    """What an error of psycopg, ADBC or SQLAlchemy means."""
    driver = getattr(error, "orig", None) or error
    state, text = getattr(driver, "sqlstate", None) or "", str(driver)
    cut_off = bool(getattr(error, "connection_invalidated", False))
    told = _told(driver, state)
    why = _why(driver, state, text, told, cut_off)
    lasting = not cut_off and (state or any(word in text for word in _LASTING))
    return ServerTrouble(why, told, state in _PASSING_STATES or (why is Why.AWAY and not lasting))


def wants_password(error: Exception) -> bool:
    """Whether the server asks for a password, or for another one."""
    return trouble_of(error).why is Why.PASSWORD


def _why(driver: Exception, state: str, text: str, told: str, cut_off: bool) -> Why:
    if state in ("28P01", "28000") or "authentication failed" in text or "no password supplied" in text:
        return Why.PASSWORD
    if state in ("42501", "53100"):
        return Why.FORBIDDEN if state == "42501" else Why.DISK_FULL
    if state == "3D000" or (not state and "database" in told and "does not exist" in told):
        return Why.NO_DATABASE
    broken = any(word in text for word in _AWAY) or any(
        kind.__name__ == "OperationalError" for kind in type(driver).__mro__
    )
    return (
        Why.AWAY if cut_off or state[:2] in ("08", "53") or state[:3] == "57P" or (not state and broken) else Why.OTHER
    )


def _told(driver: Exception, state: str) -> str:
    text = next((line.strip() for line in str(driver).splitlines() if line.strip()), type(driver).__name__)
    for mark in ("ERROR:", "FATAL:"):
        if mark in text:
            return _plain(text.partition(mark)[2])
    return _plain(text if state and state[:2] != "08" else text.rpartition(" failed: ")[2])


def _plain(text: str) -> str:
    return text.partition(" SQLSTATE")[0].strip().rstrip(".")
