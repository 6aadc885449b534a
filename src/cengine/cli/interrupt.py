"""Ctrl-C that does not get lost.

Python drops what is raised inside a callback of another library, such as JAX's hook in the garbage collector. So
Ctrl-C is remembered besides, and raised again at the next sign of progress.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_pressed = threading.Event()


@contextmanager
def remembered() -> Iterator[None]:
    """Remembers Ctrl-C for the block; where somebody else handles it, or it is ignored, it stays so."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    _pressed.clear()
    signal.signal(signal.SIGINT, _press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def raise_if_pressed() -> None:
    """Raises KeyboardInterrupt where Ctrl-C came and was dropped; in other threads it would only end them."""
    if _pressed.is_set() and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def _press(signal_number: int, frame: Any) -> None:
    _pressed.set()
    raise KeyboardInterrupt
