"""What datasources and pipelines may be called."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from cengine.errors import StoreError


def check_name(name: str, refused: str = "") -> None:
    """Raises StoreError for what cannot be the name of a datasource or pipeline; `refused` are characters that mean something there."""
    if not name.strip() or name.isdigit():
        raise StoreError(f"'{name}' cannot be a name: it must not be empty or a number, which would be read as an id")
    if wrong := next((c for c in name if c in refused or not c.isprintable()), None):
        what = "a colon" if wrong == ":" else f"the character {wrong!a}"
        raise StoreError(
            f"{ascii(name) if not name.isprintable() else repr(name)} cannot be a name: it must not hold {what}",
            "choose a name of letters, digits and signs that can be seen",
        )


def numbered(name: str) -> Iterator[str]:
    """The name, then `name-2`, `name-3`, ...: for what is named by itself, where the name may be taken."""
    yield name
    for number in itertools.count(2):
        yield f"{name}-{number}"
