"""Tables in CSV files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from cengine.sources.cells import Spelling, format_problem
from cengine.sources.files import Fetch, FileSource, compression_of, reader
from cengine.sources.lines import line_of_row
from cengine.sources.source import Option, Rejects

if TYPE_CHECKING:
    from sqlglot import exp

NULL_WORDS = ("", "NULL", "null", "\\N")
NUM_SHOWN_REJECTS = 5
# Types are proposed by a file's first rows, fewer of a wide file.
SAMPLE_ROWS = 20_000
SAMPLE_CELLS = 400_000


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

    date_format: str | None = Field(
        default=None, max_length=60, description="How dates are written, such as %d/%m/%Y; found by looking at all of them where left out."
    )

    @field_validator("date_format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        problem = format_problem(value) if value is not None else None
        if problem:
            raise ValueError(f"'{value}' cannot be a format of dates: {problem}")
        return value

    def expected_kind(self, name: str) -> str | None:
        return compression_of(name)

    @property
    def spelling(self) -> Spelling:
        return Spelling(date_format=self.date_format)

    def columns(self, file: Path, fetch: Fetch) -> list[tuple[str, str]]:
        found = fetch(f"DESCRIBE SELECT * FROM {self.scan(file).sql('duckdb')}")
        return [(name, "VARCHAR") for name in found["column_name"].to_pylist()]

    def classes(self, file: Path, columns: Sequence[tuple[str, str]], fetch: Fetch) -> dict[str, frozenset[str]]:
        """The classes of the first cells of each column that is read as texts."""
        from sqlglot import exp

        texts = [header for header, kind in columns if kind == "VARCHAR"]
        if not texts:
            return {}
        num_rows = max(SAMPLE_ROWS // 100, min(SAMPLE_ROWS, SAMPLE_CELLS // len(texts)))
        chosen = ", ".join(f"{exp.column(header, quoted=True).sql('duckdb')} AS c{number}" for number, header in enumerate(texts))
        rows = fetch(f"""
            SELECT name, {self.spelling.class_of("cell")} AS class FROM (
                SELECT DISTINCT name, cell FROM (
                    UNPIVOT (SELECT {chosen} FROM {self.scan(file).sql("duckdb")} LIMIT {num_rows}) ON COLUMNS(*) INTO NAME name VALUE cell
                )
            ) GROUP BY ALL
        """).to_pylist()  # fmt: skip
        self.rejects(fetch)  # the rows are read again, and rejected again
        found: dict[str, set[str]] = {header: set() for header in texts}
        for row in rows:
            found[texts[int(row["name"][1:])]].add(row["class"])
        return {header: frozenset(classes) for header, classes in found.items()}

    def line(self, file: Path, row: int, text: str) -> int | None:
        return line_of_row(file, row, text)

    def scan(self, file: Path, types: dict[str, str] | None = None) -> exp.Expr:
        options: dict[str, Any] = {"header": True, "nullstr": list(self.null_words), "allow_quoted_nulls": True}
        options["compression"] = compression_of(file.name) or "none"
        if self.delimiter is not None:
            options["delim"] = self.delimiter
        # Asked for its columns too: one ragged row must not make one column of all.
        # The first rows may have no quotes yet; then the engine would take late ones for a part of their cells.
        options.setdefault("quote", '"')
        typed = {header: kind for header, kind in (types or {}).items() if kind != "VARCHAR"}
        options |= {"store_rejects": True, "strict_mode": True, "all_varchar": not typed}
        return reader("read_csv", file, options, types if typed else None)

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
