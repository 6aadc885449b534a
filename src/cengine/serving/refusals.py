"""Requests that are not answered as asked: the status, one text that says what is wrong, and the cells that are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MAX_LISTED = 10
MAX_SHOWN = 80


class Refused(Exception):
    """`kind` is what the metrics count it as; `details` name cells as {"row", "column", "value", "problem"}, rows counted from 1."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        details: Sequence[dict[str, Any]] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message
        self.details, self.headers = list(details), list(headers)

    def body(self) -> dict[str, Any]:
        """What is answered, as the inference protocol has errors: `{"error": text}`; the cells beside it."""
        return {"error": self.message, **({"details": self.details} if self.details else {})}


class Misfits:
    """Collects what does not fit, so that one answer names all of it."""

    def __init__(self) -> None:
        self._found: list[tuple[str, dict[str, Any]]] = []
        self._kind = ""
        self._more = 0

    def add(self, kind: str, problem: str, **place: Any) -> None:
        """One thing: `place` has the keys row, column, value as far as they are known."""
        self._kind = self._kind or kind
        if len(self._found) == MAX_LISTED:
            self._more += 1
            return
        self._found.append((problem, {**place, "problem": problem}))

    @property
    def are_many(self) -> bool:
        """Whether no more would be listed."""
        return len(self._found) == MAX_LISTED

    def refuse(self) -> None:
        """Raises Refused, if there was anything."""
        if not self._found:
            return
        told = [_placed(problem, place) for problem, place in self._found]
        if self._more:
            told.append(f"and {self._more} more")
        raise Refused(422, self._kind, "; ".join(told), [place for _, place in self._found])


def shown(value: object) -> str:
    """A value in a message: as JSON has it, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = _CONTAINERS.get(type(value)) or repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


_CONTAINERS: dict[type, str] = {list: "a list", dict: "an object"}


def _placed(problem: str, place: dict[str, Any]) -> str:
    where = [f"column '{place['column']}'"] if "column" in place else []
    where += [f"row {place['row']}"] if "row" in place else []
    return f"{', '.join(where)}: {problem}" if where else problem
