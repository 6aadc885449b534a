"""How a run tells what it is doing; the terminal draws it, the Python API stays silent."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Progress(ABC):
    """Told by `execute` as stages begin, go on and end."""

    @abstractmethod
    def begin(self, stage: str, total: int, unit: str) -> None:
        """A stage starts; it counts to `total` in `unit` (rows or steps)."""

    @abstractmethod
    def advance(self, done: float, note: str = "") -> None:
        """The stage has come to `done`."""

    @abstractmethod
    def end(self, stage: str, seconds: float) -> None:
        """The stage is complete."""

    @abstractmethod
    def reuse(self, stage: str, saved_seconds: float) -> None:
        """The stage was stored already."""

    @abstractmethod
    def wait(self, stage: str) -> None:
        """Another run is building the same stage."""


class Silent(Progress):
    """Says nothing."""

    def begin(self, stage: str, total: int, unit: str) -> None:
        pass

    def advance(self, done: float, note: str = "") -> None:
        pass

    def end(self, stage: str, seconds: float) -> None:
        pass

    def reuse(self, stage: str, saved_seconds: float) -> None:
        pass

    def wait(self, stage: str) -> None:
        pass
