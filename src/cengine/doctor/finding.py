"""What an examination says of one thing."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"
MAX_SKEW_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """One line: `state` is ok, warning or problem; `mend` is the command, or what to do."""

    name: str
    state: str
    text: str
    mend: str = ""
