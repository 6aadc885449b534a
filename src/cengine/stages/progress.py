"""How a run tells what it is doing; the terminal draws it, the Python API stays silent."""

from __future__ import annotations

import contextlib
import datetime
import time
from abc import ABC, abstractmethod
from pathlib import Path

from cengine.store.permissions import make_file, make_folder


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

    @abstractmethod
    def say(self, text: str) -> None:
        """Something a person should know happened on the way: a call is tried again. May be told from any thread."""


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

    def say(self, text: str) -> None:
        pass


class Journal(Progress):
    """Writes what happens into a file, a line each, and passes it on."""

    EVERY_SECONDS = 10.0

    def __init__(self, file: Path, progress: Progress) -> None:
        self.file = file
        with contextlib.suppress(OSError):  # what is wrong with the disk is told by who needs it more
            make_file(make_folder(file.parent) / file.name)
        self.progress = progress
        self._stage = ""
        self._next = 0.0

    def write(self, text: str) -> None:
        """Lines of a text, each with the time."""
        now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")[:19]
        try:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.writelines(f"{now} {line}\n" for line in text.splitlines())
        except OSError:
            pass  # a full disk must not end a run for want of a log line

    def begin(self, stage: str, total: int, unit: str) -> None:
        self._stage, self._next = stage, time.monotonic() + self.EVERY_SECONDS
        self.write(f"{stage}: {total:,} {unit}")
        self.progress.begin(stage, total, unit)

    def advance(self, done: float, note: str = "") -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.EVERY_SECONDS
            self.write(f"{self._stage}: {done:,.0f} {note}".rstrip())
        self.progress.advance(done, note)

    def end(self, stage: str, seconds: float) -> None:
        self.write(f"{stage}: done in {seconds:.1f} s")
        self.progress.end(stage, seconds)

    def reuse(self, stage: str, saved_seconds: float) -> None:
        self.write(f"{stage}: stored already, {saved_seconds:.1f} s saved")
        self.progress.reuse(stage, saved_seconds)

    def wait(self, stage: str) -> None:
        self.write(f"{stage}: another run is building it; waiting for that one")
        self.progress.wait(stage)

    def say(self, text: str) -> None:
        self.write(text)
        self.progress.say(text)
