"""What columns are called: as in their file, and found by whatever a YAML or a filter writes for them."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property

from cengine.errors import near_miss

MAX_LISTED = 20
# What marks a column of the user's whose own name stands for something else in a table of ours.
ASIDE = "column: "
# Where rows are windows of points: the place of the point that a prediction is of, and how many steps ahead of the window's last it is.
POINT, HORIZON_STEP = "_point", "horizon_step"
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(name: str) -> str:
    """The name as SQL engines compare it: DuckDB does not tell `Age` from `age`, but tells `Ä` from `ä`."""
    return name.translate(_ASCII_LOWER)


def former_name(name: str) -> str:
    """What version 0.1 called a column of a file: in lower case, of letters, digits and _ (`birth_year` for `Birth Year`)."""
    former = re.sub(r"\W+", "_", name.strip()).strip("_").lower() or "column"
    return f"_{former}" if former[0].isdigit() else former


def in_filter(name: str) -> str:
    """The name of a column as a filter writes it."""
    return name if name.isidentifier() else '"' + name.replace('"', '""') + '"'


def quantile_name(share: float) -> str:
    """What the prediction of this quantile is called: `quantile_0.05`."""
    return f"quantile_{share:.12g}"


def told_apart(headers: Sequence[str], reserved: Collection[str] = ()) -> list[str]:
    """A name for each header: the header itself wherever an engine can tell it from all others, else with a number behind it.

    Empty headers become `column`. `reserved` names are given to none.
    """
    seen = {fold(name) for name in reserved}
    # A header keeps its name even if a column before it could do with that one.
    taken = seen | {fold(header) for header in headers if header.strip()}
    names = []
    for header in headers:
        name, number = header, 1
        if not header.strip() or fold(header) in seen:
            stem = header if header.strip() else "column"
            name = stem
            while fold(name) in taken:
                number += 1
                name = f"{stem}_{number}"
            taken.add(fold(name))
        seen.add(fold(name))
        names.append(name)
    return names


def names_over(headers: Sequence[Sequence[str]], reserved: Collection[str] = ()) -> list[list[str]]:
    """Names for the headers of each part of a table: one spelling where parts spell a column in several ways.

    The spelling that most parts have is taken, of equally frequent ones the first in the alphabet, so that the order of
    parts changes nothing. A header that no other part has keeps its name.
    """
    apart = [told_apart(own, reserved) for own in headers]
    if all(names == apart[0] for names in apart):
        return apart
    known = Names(apart[0])
    matched = [[known.like(name) or name for name in names] for names in apart]
    # Two columns of a part that stand for one of the first are told apart by that part's own names.
    matched = [found if len(set(found)) == len(found) else own for found, own in zip(matched, apart, strict=True)]
    spellings: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for found, own in zip(matched, apart, strict=True):
        for name, spelled in zip(found, own, strict=True):
            spellings[name][spelled] += 1
    chosen = {name: min(counts, key=lambda spelled: (-counts[spelled], spelled)) for name, counts in spellings.items()}
    if len({fold(name) for name in chosen.values()}) < len(chosen):
        chosen = {name: name for name in chosen}
    return [[chosen[name] for name in found] for found in matched]


def free_name(stem: str, taken: Iterable[str]) -> str:
    """The name, with as many _ before it as it takes that none of `taken` is like it: for columns that queries add to a user's."""
    folded = {fold(name) for name in taken}
    while fold(stem) in folded:
        stem = f"_{stem}"
    return stem


def free_stem(stem: str, taken: Iterable[str]) -> str:
    """The beginning of names, with as many _ before it as it takes that none of `taken` begins so."""
    folded = [fold(name) for name in taken]
    while any(name.startswith(fold(stem)) for name in folded):
        stem = f"_{stem}"
    return stem


def set_aside(name: str, is_ours: Callable[[str], bool]) -> str:
    """The name under which a user's column stands beside columns of ours; no two columns get the same one."""
    return f"{ASIDE}{name}" if is_ours(name) or name.startswith(ASIDE) else name


class Names:
    """The names of a table's columns, to be found by what somebody wrote for one of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._exact = frozenset(self.names)

    def candidates(self, written: str) -> tuple[str, ...]:
        """The columns that may be meant: of that name; else of that name but for case; else called so by version 0.1.

        None where there is no such column, several where it takes more to tell them apart.
        """
        if written in self._exact:
            return (written,)
        return self._caseless.get(_caseless(written)) or self._former.get(_caseless(written)) or ()

    def find(self, written: str) -> str | None:
        """The column that is meant, None where none or more than one may be."""
        return _only(self.candidates(written))

    def like(self, name: str) -> str | None:
        """The column that another table's column of this name stands for: as `find`, and of the same former spelling."""
        return self.find(name) or _only(self._former.get(former_name(name), ()))

    def fault(self, written: str, *, listing: bool = True) -> tuple[str, ...]:
        """What is wrong with a name that `find` does not find, then notes that help: the columns (`listing`), the nearest of them."""
        several = self.candidates(written)
        if several:
            quoted = ", ".join(f"'{name}'" for name in several)
            return (
                f"'{written}' may be any of the columns {quoted}",
                "write the name as the table has it, case and blanks included",
            )
        shown = ", ".join(self.names[:MAX_LISTED]) + (", ..." if len(self.names) > MAX_LISTED else "")
        listed = (f"its columns: {shown}",) if listing else ()
        return (f"there is no column '{written}' in the datasource", *listed, *near_miss(written, self.names))

    @cached_property
    def _caseless(self) -> dict[str, tuple[str, ...]]:
        return _grouped(self.names, _caseless)

    @cached_property
    def _former(self) -> dict[str, tuple[str, ...]]:
        return _grouped(self.names, former_name)


def _caseless(name: str) -> str:
    """The name without case, and whatever way its accents are encoded."""
    return unicodedata.normalize("NFC", name).casefold()


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for name in names:
        groups[key(name)] = (*groups.get(key(name), ()), name)
    return groups


def _only(found: tuple[str, ...]) -> str | None:
    return found[0] if len(found) == 1 else None
