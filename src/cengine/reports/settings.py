"""What differs in the configurations of several runs, and those settings as axes beside each other."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from cengine.reports.formats import number, setting

if TYPE_CHECKING:
    from cengine.config.flatten import FlatSetting

# A setting's last step: a name, a name in quotes, or a place in a list.
_LAST_STEP = re.compile(r'(?:\.\w+|\."(?:[^"\\]|\\.)*"|\[\d+\])$')
# Settings that a whole column brings with it.
_OF_COLUMNS = ("features.", "labels.")
NOT_SET = "not set"
MAX_TICKS = 12
# Numbers that lie closer on an axis would be written over each other; even steps are then.
MIN_GAP = 0.06
# From this ratio of the greatest to the least on, numbers are placed by their logarithm.
LOGARITHMIC_FROM = 30
# Where numbers begin on an axis on which some runs have none.
ABOVE_NOT_SET = 0.15

# Values are what a YAML has.
Settings = Mapping[str, Any]


class Differing(TypedDict):
    """A setting that is not the same in all runs, with its values by run, without those that do not have it."""

    path: str
    values: dict[str, Any]


class Tick(TypedDict):
    """A mark of an axis."""

    position: float
    text: str


class Axis(TypedDict):
    """A setting as an axis: for each run its position from 0 to 1, and what is told there."""

    path: str
    positions: list[float]
    told: list[str]
    ticks: list[Tick]


def differing(runs: Mapping[str, Sequence[FlatSetting]]) -> list[Differing]:
    """The settings that are not the same in all runs.

    A column that some runs only have is one row (`features.x`), and what follows from a word that differs (that
    another word has no such parameter) is none.
    """
    maps = {key: _with_columns(settings) for key, settings in runs.items()}
    rows: dict[str, Differing] = {}
    for path in _ordered(maps.values()):
        values = {key: own[path] for key, own in maps.items() if path in own}
        same = len({json.dumps(value, sort_keys=True) for value in values.values()}) == 1
        if same and (len(values) == len(maps) or _follows(path, values, maps, rows)):
            continue
        rows[path] = {"path": path, "values": values}
    return list(rows.values())


def axes(keys: Sequence[str], rows: Sequence[Differing]) -> list[Axis]:
    """Settings as axes."""
    return [axis(row["path"], [row["values"].get(key, NOT_SET) for key in keys]) for row in rows]


def axis(path: str, values: Sequence[Any]) -> Axis:
    """One axis: numbers are placed by size, other values evenly; NOT_SET lies lowest."""
    numbers = [value for value in values if _is_number(value)]
    others = [value for value in values if not _is_number(value)]
    if len(set(numbers)) > 1 and all(value in (NOT_SET, None) for value in others):
        place, ticks = _scale(numbers, ABOVE_NOT_SET if others else 0.0)
        positions = [place(value) if _is_number(value) else 0.0 for value in values]
        ticks = [*(Tick(position=0.0, text=setting(value)) for value in others[:1]), *ticks]
    else:
        names = sorted({setting(value) for value in values}, key=lambda name: (name != NOT_SET, _natural(name)))
        places = {name: i / (len(names) - 1) if len(names) > 1 else 0.5 for i, name in enumerate(names)}
        positions = [places[setting(value)] for value in values]
        every = max(1, math.ceil(len(names) / MAX_TICKS))
        ticks = [{"position": places[name], "text": name} for name in names[::every]]
    return {"path": path, "positions": positions, "told": [setting(value) for value in values], "ticks": ticks}


def _with_columns(settings: Sequence[FlatSetting]) -> dict[str, Any]:
    """The settings by path, before those of each column one that says that there is the column."""
    found: dict[str, Any] = {}
    for entry in settings:
        path = entry["path"]
        if path.startswith(_OF_COLUMNS) and path.endswith(".kind"):
            found[path.removesuffix(".kind")] = True
        found[path] = entry["value"]
    return found


def _ordered(maps: Iterable[Settings]) -> list[str]:
    """All paths, those that only some runs have where they stand in these."""
    order: list[str] = []
    known: set[str] = set()
    for own in maps:
        previous = None
        for path in own:
            if path not in known:
                order.insert(order.index(previous) + 1 if previous is not None else 0, path)
                known.add(path)
            previous = path
    sections = list(dict.fromkeys(path.split(".")[0] for path in order))
    return sorted(order, key=lambda path: sections.index(path.split(".")[0]))


def _follows(path: str, values: Settings, maps: Mapping[str, Settings], rows: Mapping[str, Differing]) -> bool:
    """Whether a setting that some runs do not have, and that is the same in the others, is told by another row."""
    without = [own for key, own in maps.items() if key not in values]
    parents = _parents(path)
    if any(
        parent in rows and rows[parent]["values"].keys() == values.keys() and parent.startswith(_OF_COLUMNS)
        for parent in parents
    ):
        return True
    (value,) = {json.dumps(value) for value in values.values()}
    tells_nothing = not _is_number(json.loads(value))
    return tells_nothing and any(
        parent in rows and all(own.get(parent) != _any(rows[parent], values) for own in without) for parent in parents
    )


def _parents(path: str) -> list[str]:
    """The paths of what a setting belongs to, the nearest first."""
    parents = []
    while match := _LAST_STEP.search(path):
        path = path[: match.start()]
        parents.append(path)
    return parents


def _any(row: Differing, keys: Settings) -> Any:
    return next((row["values"][key] for key in keys if key in row["values"]), None)


def _scale(numbers: Sequence[float], low: float) -> tuple[Callable[[float], float], list[Tick]]:
    """From a number to its place in [low, 1], and ticks."""
    least, most = min(numbers), max(numbers)
    logarithmic = least > 0 and most / least >= LOGARITHMIC_FROM

    def bent(value: float) -> float:
        return math.log(value) if logarithmic else value

    def place(value: float) -> float:
        return low + (1 - low) * (bent(value) - bent(least)) / (bent(most) - bent(least))

    marks = sorted(set(numbers))
    gaps = [place(above) - place(below) for below, above in itertools.pairwise(marks)]
    if min(gaps) < MIN_GAP:
        bends = [bent(least) + i / 4 * (bent(most) - bent(least)) for i in (1, 2, 3)]
        marks = [least, *(math.exp(bend) if logarithmic else bend for bend in bends), most]
    return place, [{"position": place(mark), "text": _tick(mark)} for mark in marks]


def _tick(value: float) -> str:
    return number(value) if isinstance(value, int) else number(float(f"{value:.4g}"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """An order in which 2 comes before 10."""
    return [
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part) for part in re.split(r"(\d+)", name)
    ]
