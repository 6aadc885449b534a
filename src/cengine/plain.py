"""Plain data: what stands in a cell of a table, and what YAML and JSON hold."""

from __future__ import annotations

from typing import Any, TypeAlias

# A bool, int, float, str, date, time or None. Which of them it is follows from the column's kind, which type checkers do not see.
Cell: TypeAlias = Any
# A scalar, or lists and dicts of plain data: what somebody wrote, before it is checked.
Plain: TypeAlias = Any
