"""Ctrl-C and the signals of a system that ends a process: they become a wish, which cannot get lost.

Python drops what is raised inside a callback of another library, such as JAX's hook in the garbage collector, and
some libraries make an error of their own of it. See `stopping.py`. The traceback that Python prints of what it drops
is kept from the terminal for a wish, since nothing is lost.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cengine import stopping
from cengine.stopping import Reason, Stopped, Wish

if TYPE_CHECKING:
    from types import FrameType

# By name, since not every system has all of them.
REASONS = {"SIGINT": Reason.INTERRUPTED, "SIGTERM": Reason.TERMINATED, "SIGHUP": Reason.HUNG_UP}
# Ignored by whoever does not ask for it: by it other threads bring the main thread to look at the wish.
WAKING = "SIGURG"


@contextmanager
def remembered() -> Iterator[Wish]:
    """Signals become the current wish for the block; where somebody else handles one, or it is ignored, it stays so."""
    with stopping.expected() as wish:
        if threading.current_thread() is not threading.main_thread():
            yield wish
            return
        handlers = {number: signal.getsignal(number) for number in _wanted()}

        def heard(number: int, frame: FrameType | None) -> None:
            _hear(wish, signal.Signals(number).name)

        for number in handlers:
            signal.signal(number, heard)
        wish.woken_by(_wake)
        told = sys.unraisablehook
        sys.unraisablehook = lambda dropped: None if isinstance(dropped.exc_value, Stopped) else told(dropped)
        try:
            yield wish
        finally:
            sys.unraisablehook = told
            for number, handler in handlers.items():
                signal.signal(number, handler)


def raise_if_pressed() -> None:
    """Raises Stopped where a wish to end came and was dropped."""
    stopping.current().raise_if_due()


def _hear(wish: Wish, name: str) -> None:
    if name == "SIGINT":
        wish.press()
    elif name in REASONS:
        wish.express(REASONS[name])
    wish.raise_if_due()


def _wanted() -> Iterator[signal.Signals]:
    for name in (*REASONS, WAKING):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            yield number


def _wake() -> None:
    number, thread = getattr(signal, WAKING, None), threading.main_thread().ident
    if number is not None and thread is not None:
        signal.pthread_kill(thread, number)
