"""Numbers and values as a person reads them; the scripts of the page write them the same way."""
# ruff: noqa: RUF001  the page writes a true minus, dashes and a cross

from __future__ import annotations

import datetime
import json
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from cengine.preprocess.describe import ColumnStatistics

DIGITS = 6
MISSING = "–"
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def number(value: float | None) -> str:
    """A number with 6 significant digits and separators of thousands: 33,319,019, 7.26, 0.0881; whole numbers in full."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return _minus(f"{int(value):,}")
    if not 1e-4 <= abs(value) < 1e15:
        return _minus(f"{value:.{DIGITS - 2}g}")
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def fixed(value: float | None, decimals: int) -> str:
    """A number with so many decimals, for columns in which the points stand under each other."""
    if value is None or not math.isfinite(value):
        return MISSING
    # What rounds to nothing has no sign.
    return _minus(f"{round(value, decimals) or 0.0:,.{decimals}f}") if abs(value) < 1e15 else number(value)


def decimals_of(values: Sequence[float | None]) -> int:
    """The decimals with which the middle one of some values has five significant digits, four where it is below 1."""
    sizes = sorted(abs(value) for value in values if value is not None and math.isfinite(value) and value)
    if not sizes:
        return 0
    power = math.floor(math.log10(sizes[len(sizes) // 2]))
    return min(8, max(0, (4 if power >= 0 else 3) - power))


def percent(share: float | None, decimals: int = 1) -> str:
    """A share as per cent: 0.088 -> 8.8 %."""
    if share is None or not math.isfinite(share):
        return MISSING
    return _minus(f"{100 * share:,.{decimals}f} %")


def signed(value: float | None, decimals: int) -> str:
    """A difference with its sign, a true minus."""
    if value is None:
        return MISSING
    return ("+" if value > 0 else "−" if value < 0 else "") + fixed(abs(value), decimals)


def probability(value: float | None) -> str:
    """A p-value: 0.031, or `< 0.0001`."""
    if value is None:
        return MISSING
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 47.5 s, 3 min 20 s, 1 h 14 min."""
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(text: str | None) -> str:
    """An ISO time without its fractions: 2020-05-04 10:20:00."""
    return text.replace("T", " ").split(".")[0].split("+")[0].removesuffix("Z") if text else MISSING


def at(value: float | str | None, column: ColumnStatistics | None) -> str:
    """A number of a column's histogram or statistics; times are told as seconds since 1970 and shown as times."""
    histogram = column.get("histogram") if column else None
    is_time = histogram is not None and histogram.get("is_time", False)
    if value is None or isinstance(value, str):
        return (moment(value) if is_time else value) or MISSING
    if is_time:
        told = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=value)
        return told.isoformat(sep=" ", timespec="minutes")
    return number(value)


def unit(name: str, label: str) -> str:
    """The unit of a metric: `in birth_year`, or what it is in itself (%, nats)."""
    return {"label": f"in {label}", "label squared": f"in {label} squared"}.get(name, name)


def setting(value: object) -> str:
    """A setting as YAML writes it on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def cell(value: object) -> str | Markup:
    """A value of a column as text: null muted, booleans in lower case, the empty text in sight, years without separators."""
    if value is None:
        return Markup('<span class="null">null</span>')
    if value == "":
        return Markup('<span class="null">(empty)</span>')
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    return Markup("<bdi>{}</bdi>").format(value) if isinstance(value, str) else str(value)


def reading(value: object) -> str:
    """A cell within a sentence: numbers that are not whole with four digits, null and the empty text in words."""
    if value is None or value == "":
        return "null" if value is None else "(empty)"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value if value.is_integer() and abs(value) < 1e15 else float(f'{value:.4g}'):.15g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def run_name(pipeline: str, key: str) -> str:
    """How a sentence calls a run. A name that is written from right to left cannot turn the rest of the sentence round."""
    name = _DIRECTIONS.sub("", pipeline)
    if any(unicodedata.bidirectional(character) in ("R", "AL") for character in name):
        name = f"\u2068{name}\u2069"
    return f"{name} {key}"


def _minus(text: str) -> str:
    """The number with a minus as wide as a plus; that of an exponent stays."""
    return f"−{text[1:]}" if text.startswith("-") else text


FILTERS: dict[str, Callable[..., str | int | Markup]] = {
    "number": number,
    "fixed": fixed,
    "decimals_of": decimals_of,
    "percent": percent,
    "signed": signed,
    "probability": probability,
    "at": at,
    "setting": setting,
    "unit": unit,
    "duration": duration,
    "moment": moment,
    "cell": cell,
    "reading": reading,
}
