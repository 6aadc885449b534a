"""Tables in JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cengine.expressions.build import identifier
from cengine.sources.cells import Spelling
from cengine.sources.files import Fetch, FileSource, compression_of, reader

if TYPE_CHECKING:
    from sqlglot import exp

# Every value is looked at, and a key is a column however seldom it appears.
_ALL = {"sample_size": -1, "field_appearance_threshold": 0, "map_inference_threshold": -1}
# Types that the engine gives to values which they may change: decimals of many digits, times of day within days.
_DOUBTFUL = ("DOUBLE", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
# A double is told from its neighbours by so many significant digits; those of a text named `cell`.
KEPT_DIGITS = 17
_DIGITS = "TRIM(REGEXP_REPLACE(REGEXP_REPLACE(cell, '[eE].*', ''), '[-.]', '', 'g'), '0')"


class Json(FileSource):
    """JSON: one object a line, or an array of objects."""

    name = "json"
    title = "JSON"
    suffixes = (".json", ".json.gz", ".json.zst", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
    reads_whole = True

    def expected_kind(self, name: str) -> str | None:
        return compression_of(name)

    def columns(self, file: Path, fetch: Fetch) -> list[tuple[str, str]]:
        """Key and SQL type of each column, as all values of the file show them."""
        found = super().columns(file, fetch)
        doubtful = {key: "JSON" if kind == "DOUBLE" else "VARCHAR" for key, kind in found if kind in _DOUBTFUL}
        proved = self._proved(file, doubtful, fetch) if doubtful else {}
        # Values of several kinds are kept as they are written.
        return [(key, proved.get(key, "VARCHAR" if kind == "JSON" else kind)) for key, kind in found]

    def scan(self, file: Path, types: dict[str, str] | None = None) -> exp.Expr:
        return reader("read_json", file, _packed(file) | (_ALL if types is None else {}), types, key="columns")

    def rejects(self, fetch: Fetch) -> None:
        return None

    def notes(self, file: Path, columns: Sequence[tuple[str, str]], fetch: Fetch) -> tuple[str, ...]:
        """Numbers that the engine's reader has rounded before anything of them can be proved."""
        numbers = [key for key, kind in columns if kind == "DOUBLE"]
        if not numbers:
            return ()
        rows = reader("read_json_objects", file, _packed(file), None).sql("duckdb")
        cells = ", ".join(f"{_number_under(key)} AS c{place}" for place, key in enumerate(numbers))
        found = fetch(f"""
            SELECT name, COUNT(*) AS num, FIRST(cell) AS cell FROM (
                UNPIVOT (SELECT {cells} FROM {rows} WHERE REGEXP_MATCHES(json, '[0-9][0-9.]{{{KEPT_DIGITS},}}'))
                ON COLUMNS(*) INTO NAME name VALUE cell
            ) WHERE LENGTH({_DIGITS}) > {KEPT_DIGITS} GROUP BY name ORDER BY name
        """).to_pylist()
        return tuple(_rounded(numbers[int(row["name"][1:])], row["num"], row["cell"]) for row in found)

    def _proved(self, file: Path, texts: dict[str, str], fetch: Fetch) -> dict[str, str]:
        """A type for each of these columns that changes none of their values."""
        spelling = Spelling()
        chosen = ", ".join(f"CAST({identifier(key)} AS VARCHAR) AS c{number}" for number, key in enumerate(texts))
        rows = fetch(f"""
            SELECT name, {spelling.class_of("cell")} AS class FROM (
                SELECT DISTINCT name, cell FROM (
                    UNPIVOT (SELECT {chosen} FROM {self.scan(file, texts).sql("duckdb")}) ON COLUMNS(*) INTO NAME name VALUE cell
                )
            ) GROUP BY ALL
        """).to_pylist()
        found: dict[str, set[str]] = {key: set() for key in texts}
        for row in rows:
            found[list(texts)[int(row["name"][1:])]].add(row["class"])
        types = {}
        for key, classes in found.items():
            # 1e3 is a number here; quoted ones were none before.
            kind = spelling.kind_of(classes | ({"decimal"} if "bare" in classes else set()))
            types[key] = (
                kind.sql_type
                if kind.sql_type == "DOUBLE" or (texts[key] == "VARCHAR" and kind.order is None)
                else "VARCHAR"
            )
        return types


def _packed(file: Path) -> dict[str, str]:
    return {"compression": compression_of(file.name) or "none"}


def _number_under(key: str) -> str:
    """SQL for the text of the number under a key of the object `json`."""
    from sqlglot import exp

    written = re.escape(json.dumps(key, ensure_ascii=False))
    pattern = exp.Literal.string(rf"{written}\s*:\s*(-?[0-9][0-9.eE+-]*)")
    return f"NULLIF(REGEXP_EXTRACT(json, {pattern.sql('duckdb')}, 1), '')"


def _rounded(key: str, num: int, cell: str) -> str:
    has = "1 number has" if num == 1 else f"{num:,} numbers have"
    kept = "the nearest double is taken; written in quotes every digit is kept, as a text"
    return f"{key}: {has} more digits than a double keeps, as in `{cell}`: {kept}"
