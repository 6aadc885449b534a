"""Texts for a terminal: a header, a cell or a name can hold characters that move the cursor, rewrite what is on the screen or answer for the user."""

from __future__ import annotations

import re
import sys

# Control characters but for the tab and the end of a line, halves of surrogate pairs, and what turns the direction of writing around.
UNSAFE = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
REPLACEMENT = "\ufffd"


def safe(text: str) -> str:
    """The text with nothing in it that a terminal obeys; tabs and ends of lines stay."""
    return UNSAFE.sub(REPLACEMENT, text)


def say(text: str, *, err: bool = False) -> None:
    """Prints a line, whatever is in it, at once: for a process that has no other packages than it needs."""
    print(safe(text), file=sys.stderr if err else sys.stdout, flush=True)
