"""Live bars, one a stage; plain lines where the output is not a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from cengine.cli.interrupt import raise_if_pressed
from cengine.cli.output import console, echo, short_duration
from cengine.stages.progress import Progress
from cengine.terminal import safe

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import Task, TaskID
    from rich.status import Status
    from rich.text import Text


# Of more stages, such as those of folds, the bars that are done become lines above the others, so that the one at work is in sight.
MOST_BARS = 8


class Bars(Progress):
    """Draws what a run does on the error stream: counted rows or steps, rate, time left."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self._bars: RichProgress | None = None
        self._task: TaskID
        self._done: list[tuple[TaskID, str]] = []
        self._total = 0
        if self.live:
            self._bars = _bars()

    def __enter__(self) -> Bars:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def begin(self, stage: str, total: int, unit: str) -> None:
        raise_if_pressed()
        self._total = total
        if self._bars is not None:
            if len(self._done) >= MOST_BARS:
                oldest, line = self._done.pop(0)
                self._bars.remove_task(oldest)
                self.say(line)
            self._task = self._bars.add_task(stage, total=total, unit=unit, note="", began=time.monotonic())
        else:
            echo(f"{stage}: {total:,} {unit}", err=True)

    def advance(self, done: float, note: str = "") -> None:
        raise_if_pressed()
        if self._bars is not None:
            self._bars.update(self._task, completed=min(done, self._total), note=safe(note))

    def end(self, stage: str, seconds: float) -> None:
        raise_if_pressed()
        if self._bars is not None:
            self._bars.update(self._task, completed=self._total, note=f"done in {short_duration(seconds)}")
            self._bars.stop_task(self._task)
            self._done.append((self._task, f"{stage}: done in {short_duration(seconds)}"))
        else:
            echo(f"{stage}: done in {short_duration(seconds)}", err=True)

    def reuse(self, stage: str, saved_seconds: float) -> None:
        self.say(f"{stage}: stored already, {short_duration(saved_seconds)} saved")

    def wait(self, stage: str) -> None:
        self.say(f"{stage}: another run is building it; waiting for that one")

    def say(self, text: str) -> None:
        """A line above the bars."""
        if self._bars is not None:
            self._bars.console.print(safe(text), markup=False, highlight=False)
        else:
            echo(text, err=True)


class IngestBar:
    """The bar of work on one table: hashing and reading it, or writing it."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = _ingest_bars() if sys.stderr.isatty() else None
        self._task: TaskID

    def __enter__(self) -> IngestBar:
        if self._bars is not None:
            self._bars.start()
            self._task = self._bars.add_task("hash", total=1.0, note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def report(self, phase: str, share: float, rows: int) -> None:
        """Shows how far a phase is."""
        raise_if_pressed()
        if self._bars is not None:
            names = {"hash": "Fingerprint", "read": "Read", "write": "Write"}
            self._bars.update(
                self._task, description=names[phase], completed=share, note=f"{rows:,} rows" if rows else ""
            )


class Busy:
    """A line that says what is being done for as long as it takes; nothing where the output is not a terminal."""

    def __init__(self) -> None:
        self._status: Status | None = None
        if sys.stderr.isatty():
            self._status = console().status("")

    def __enter__(self) -> Busy:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, what: str) -> None:
        """Changes the line."""
        raise_if_pressed()
        if self._status is not None:
            self._status.update(safe(what))


def _bars() -> RichProgress:
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class Rate(ProgressColumn):
        """Rows or steps a second since the stage began."""

        def render(self, task: Task) -> Text:
            seconds = (task.stop_time or task.get_time()) - task.start_time if task.start_time is not None else 0
            rate = task.completed / seconds if seconds > 0 else 0.0
            shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
            return Text(f"{shown} {task.fields['unit']}/s" if task.completed else "")

    return RichProgress(
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.completed:,.0f}/{task.total:,} {task.fields[unit]}"),
        Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
        console=console(),
    )


def _ingest_bars() -> RichProgress:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description:<11}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=console(),
    )
