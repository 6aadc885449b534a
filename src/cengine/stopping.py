"""The wish that the work ends: who has it, and who asks for it.

Ctrl-C, SIGTERM, `cancel` and limits all express a wish. Where work can be left at any point it is raised there, as
`Stopped`; where it cannot (the training loop, which first writes a checkpoint) it is held, and asked for between
two calls. What is raised inside a callback of another library may get lost there, or come out as that library's
error. So the wish is kept, and raised again at the next sign of progress.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum

EXIT_INTERRUPTED, EXIT_TERMINATED, EXIT_HUNG_UP = 130, 143, 129
# Some programs send a signal to the process and to its group: what comes that soon after is the same Ctrl-C.
SAME_PRESS_SECONDS = 0.2


class Reason(Enum):
    """Why the work is to end: what a person reads, and the exit code."""

    INTERRUPTED = ("interrupted", EXIT_INTERRUPTED)
    TERMINATED = ("terminated (SIGTERM)", EXIT_TERMINATED)
    HUNG_UP = ("interrupted, its terminal was closed (SIGHUP)", EXIT_HUNG_UP)
    CANCELLED = ("cancelled", EXIT_INTERRUPTED)
    TAKEN_OVER = ("interrupted, another process has taken the run up", EXIT_INTERRUPTED)
    OUT_OF_TIME = ("out of time", 0)
    OUT_OF_MONEY = ("out of money", 0)

    def __init__(self, sentence: str, exit_code: int) -> None:
        self.sentence = sentence
        self.exit_code = exit_code

    @property
    def is_limit(self) -> bool:
        """Whether it is a limit that was given before: training ends early then, and what it reached is used."""
        return self in LIMITS


LIMITS = (Reason.OUT_OF_TIME, Reason.OUT_OF_MONEY)


class Stopped(KeyboardInterrupt):
    """The work ends here, for this reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


class Wish:
    """A wish that may be expressed by anybody; the thread that made this object is the one that is to end."""

    def __init__(self) -> None:
        self.reason: Reason | None = None
        # Whether it was raised somewhere: any error that comes out of there is its doing.
        self.was_raised = False
        self._wake: Callable[[], None] = lambda: None
        self._held: frozenset[Reason] = frozenset()
        self._pressed_at: float | None = None
        self._urgent = False
        self._worker = threading.get_ident()

    def express(self, reason: Reason) -> None:
        """From now on the work is to end. Of several reasons the first counts, a limit less than any other."""
        if self.reason is None or (self.reason.is_limit and not reason.is_limit):
            self.reason = reason
            if threading.get_ident() != self._worker:
                self._wake()

    def press(self) -> None:
        """Ctrl-C: the first is a wish, the second is raised wherever the work is."""
        now = time.monotonic()
        self._urgent = self._pressed_at is not None and now - self._pressed_at > SAME_PRESS_SECONDS
        self._pressed_at = self._pressed_at or now
        self.express(Reason.INTERRUPTED)

    def woken_by(self, wake: Callable[[], None]) -> None:
        """`wake` brings the working thread to ask, also out of a long call; it is called from others."""
        self._wake = wake

    def raise_if_due(self) -> None:
        """Raises Stopped where the wish was expressed and is not held; in other threads it would only end them."""
        if self.reason is None or threading.get_ident() != self._worker:
            return
        if self._urgent or self.reason not in self._held:
            self.was_raised = True
            raise Stopped(self.reason)

    @contextlib.contextmanager
    def held(self, *reasons: Reason) -> Iterator[None]:
        """For the block, wishes of these reasons are not raised: the block asks for `reason` and ends by itself."""
        before = self._held
        self._held = before | frozenset(reasons)
        try:
            yield
        finally:
            self._held = before


_expected: Wish | None = None


def current() -> Wish:
    """The wish that signals express at present; one that nobody expresses where no command listens."""
    return _expected or Wish()


@contextlib.contextmanager
def expected() -> Iterator[Wish]:
    """For the block, a new wish is the current one."""
    global _expected
    before, _expected = _expected, Wish()
    try:
        yield _expected
    finally:
        _expected = before
