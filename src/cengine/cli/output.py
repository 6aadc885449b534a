"""The one door to the terminal, and what goes through it: tables as the post prints them, JSON, sizes and times.

A header, a cell or a name can hold characters that move the cursor, rewrite what is on the screen or answer for the user. So nothing in
`cli/` prints by itself (a test looks): text goes through `echo`, questions through `confirm` and `ask`, bars through `console`.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cengine.terminal import REPLACEMENT, UNSAFE, safe

if TYPE_CHECKING:
    from rich.console import Console


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Prints a text, whatever names and values are in it."""
    click.echo(safe(str(text)), err=err, nl=nl)


def confirm(question: str, **options: Any) -> bool:
    """The answer to a question of yes or no; see `click.confirm`."""
    return click.confirm(safe(question), **options)


def ask(question: str, **options: Any) -> Any:
    """The answer to a question; see `click.prompt`."""
    return click.prompt(safe(question), **options)


def console(*, err: bool = True) -> Console:
    """A console for bars and views that change. What is given to them has to be `safe`: they send codes of their own."""
    from rich.console import Console

    return Console(stderr=err, markup=False, highlight=False)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints `table_text`."""
    echo(table_text(headers, rows))


def table_text(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with numbers to the right and text to the left, never cut."""
    headers, texts = [cell(header) for header in headers], [[cell(value) for value in row] for row in rows]
    numeric = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(headers))]
    widths = [
        max(_width(header), *(_width(row[i]) for row in texts)) if texts else _width(header)
        for i, header in enumerate(headers)
    ]

    def line(values: Sequence[str]) -> str:
        padded = [_pad(value, widths[i], right=numeric[i]) for i, value in enumerate(values)]
        return (" " + " | ".join(padded)).rstrip()

    rule = "-" + "-+-".join("-" * width for width in widths) + "-"
    return "\n".join([line(headers), rule, *(line(row) for row in texts)])


def print_json(data: object) -> None:
    """JSON, NaN as null; what a terminal would obey is escaped, so that it is still the same text to whoever reads the JSON."""
    text = json.dumps(_clean(data), ensure_ascii=False, indent=2, default=str)
    click.echo(UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text))


def cell(value: object) -> str:
    """A value as a table shows it; control characters cannot reach the terminal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.6g}"
    return safe(str(value)).translate(_ONE_LINE)


_ONE_LINE = str.maketrans(dict.fromkeys("\r\n\t", REPLACEMENT))


UNDEFINED = "-"


def defined(value: float | None) -> float:
    """A number for a table, NaN where there is none: it is shown as `-`, and to the right like the others."""
    return math.nan if value is None else value


def percent(share: float | None) -> str:
    """A share for a table: 8.8 %, `-` where it is not defined."""
    return UNDEFINED if share is None or not math.isfinite(share) else f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None) -> str:
    """An interval for a table, `-` where it cannot be told."""
    return (
        UNDEFINED if low is None or high is None or math.isnan(low) or math.isnan(high) else f"{low:.5g} to {high:.5g}"
    )


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as the post prints them: 0:14:21.187081."""
    return str(datetime.timedelta(seconds=seconds))


def short_duration(seconds: float) -> str:
    """A time for a sentence: 0.8 s, 41 s, 3 min 20 s."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def megabytes(num_bytes: int) -> float:
    """Millions of bytes, one decimal for small tables."""
    size = num_bytes / 1e6
    return round(size) if size >= 10 else round(size, 1)


def tell(text: str) -> None:
    """Writes a line on the error stream: what a person should know of the way to the result."""
    echo(text, err=True)


def data_size(num_bytes: int) -> str:
    """A size in the unit that fits it: `0.9 kB`, `3.4 MB`, `37.5 GB`."""
    size, unit = next(
        (size, unit) for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if num_bytes >= size or unit == "kB"
    )
    return f"{num_bytes / size:,.1f} {unit}"


def gigabytes(num_bytes: int) -> str:
    """Billions of bytes for a sentence."""
    return f"{num_bytes / 1e9:.1f} GB"


def short_bytes(num_bytes: int) -> str:
    """A size for a table or a sentence: 812 B, 3.4 KB, 120 MB, 1.2 GB."""
    size = float(num_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 99.5 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def short_age(seconds: float) -> str:
    """How long ago something was: 40 s, 12 min, 5 h, 3 days ago."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 * length if unit == "days" else length):
            return f"{seconds // length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def warn(texts: Sequence[str]) -> None:
    """Warnings, on the error stream so that JSON stays JSON."""
    for text in texts:
        echo(text, err=True)


def _width(text: str) -> int:
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int, *, right: bool) -> str:
    fill = " " * (width - _width(text))
    return fill + text if right else text + fill


def _clean(data: object) -> object:
    if isinstance(data, dict):
        return {str(key): _clean(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_clean(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data
