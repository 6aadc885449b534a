"""Text headers as SQL names: `birth year` becomes `birth_year`."""

from __future__ import annotations

import re

from cengine.tables import ROW_ID


def sql_names(headers: list[str]) -> list[str]:
    """A lower-case name of letters, digits and _ for each header, all different."""
    names: list[str] = []
    for header in headers:
        name = re.sub(r"\W+", "_", header.strip()).strip("_").lower() or "column"
        name = f"_{name}" if name[0].isdigit() else name
        unique, number = name, 2
        while unique in names or unique == ROW_ID:
            unique, number = f"{name}_{number}", number + 1
        names.append(unique)
    return names
