"""Tables in CSV files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cengine.sources.files import Fetch, FileSource, compression_of, reader
from cengine.sources.source import Option, Rejects

if TYPE_CHECKING:
    from sqlglot import exp

NULL_WORDS = ("", "NULL", "null", "\\N")
NUM_SHOWN_REJECTS = 5


class Csv(FileSource):
    """Comma-separated text with a header; delimiter, quotes and types are found by looking."""

    name = "csv"
    title = "CSV"
    suffixes = (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst", ".txt", ".txt.gz")
    delimiter: str | None = Field(default=None, max_length=4, description="What stands between cells; found by looking where left out.")
    null_words: Annotated[tuple[str, ...], Option(flag="null", adds=True)] = Field(
        default=NULL_WORDS, description="A word that means null, besides an empty cell and NULL. May be repeated."
    )
    allow_rejects: bool = Field(default=False, description="Leave out rows that do not fit their columns; by default they are an error.")

    def expected_kind(self, name: str) -> str | None:
        return compression_of(name)

    def scan(self, file: Path, types: dict[str, str] | None = None) -> exp.Expr:
        options: dict[str, Any] = {"header": True, "nullstr": list(self.null_words), "allow_quoted_nulls": True}
        options["compression"] = compression_of(file.name) or "none"
        if self.delimiter is not None:
            options["delim"] = self.delimiter
        # Asked for its columns too: one ragged row must not make one column of all.
        return reader("read_csv", file, options | {"store_rejects": True, "strict_mode": True}, types)

    def headers(self, file: Path, names: Sequence[str], fetch: Fetch) -> Sequence[str]:
        """The first row read as cells: as headers the engine trims them, numbers equal ones and names empty ones."""
        from sqlglot import exp

        scan = self.scan(file)
        arguments = {argument.this.name: argument for argument in scan.this.expressions if isinstance(argument, exp.EQ)}
        # A header may be a word that means null in a cell; and a row that is no header is no row that does not fit.
        kept = [argument for name, argument in arguments.items() if name not in ("header", "nullstr", "store_rejects", "types")]
        kept += [exp.EQ(this=exp.var(name), expression=exp.convert(value)) for name, value in (("header", False), ("all_varchar", True))]
        scan.this.set("expressions", [scan.this.expressions[0], *kept])
        row = list(fetch(f"SELECT * FROM {scan.sql('duckdb')} LIMIT 1").to_pylist()[0].values())
        if len(row) != len(names):
            return names
        return [
            cell or "" if _may_be_called(cell or "", name, place) else name
            for place, (cell, name) in enumerate(zip(row, names, strict=True))
        ]

    def rejects(self, fetch: Fetch) -> Rejects:
        total = fetch("SELECT COUNT(DISTINCT (scan_id, file_id, line)) AS n FROM reject_errors")["n"][0].as_py()
        rows = fetch(f"""
            SELECT line, ANY_VALUE(column_name) AS column_name, ANY_VALUE(error_message) AS message
            FROM reject_errors GROUP BY line ORDER BY line LIMIT {NUM_SHOWN_REJECTS}
        """).to_pylist()
        # The engine keeps them in memory, a file's at a time is enough.
        fetch("DELETE FROM reject_errors")
        fetch("DELETE FROM reject_scans")
        return Rejects(int(total), tuple((row["line"], _reason(row)) for row in rows), self.allow_rejects)


def _may_be_called(header: str, name: str, place: int) -> bool:
    """Whether the engine calls a column of this header so."""
    # Of an empty header, and of one that is a word for null in a cell, it says `column07`.
    return bool(re.fullmatch(rf"({re.escape(header.strip())}|column0*{place})(_\d+)*", name))


def _reason(row: dict[str, Any]) -> str:
    message = str(row["message"]).strip().splitlines()[0]
    return f"column '{row['column_name']}': {message}" if row["column_name"] else message
