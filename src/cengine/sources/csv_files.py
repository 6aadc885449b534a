"""Tables in CSV files."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlglot import exp

from cengine.errors import CengineError, SourceError
from cengine.expressions.build import identifier
from cengine.sources.cells import Spelling
from cengine.sources.csv_options import CsvOptions, hints
from cengine.sources.files import Fetch, reader
from cengine.sources.lines import line_of_row
from cengine.sources.rewriting import head_of, rewritten, writing_of
from cengine.sources.source import Part, Reading, Rejects

NUM_SHOWN_REJECTS = 5
# Types are proposed by a file's first rows, fewer of a wide file.
SAMPLE_ROWS = 20_000
SAMPLE_CELLS = 400_000


class Csv(CsvOptions):
    """Comma-separated text with a header; delimiter, quotes and types are found by looking."""

    name = "csv"
    title = "CSV"

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        """One part a file. Raises SourceError where an option names a column that no file has."""
        with super().opened(reading) as parts:
            self.check_declared(list(dict.fromkeys(header for part in parts for header, _ in part.columns)))
            yield [replace(part, declared=self.declared([header for header, _ in part.columns])) for part in parts]

    @contextlib.contextmanager
    def readable(self, file: Path, label: str, reading: Reading, *, look: bool = False) -> Iterator[Path]:
        """The file, or a text of it that the engine can read."""
        writing = writing_of(
            file,
            label,
            self.suffixes,
            encoding=self.encoding,
            quote=self.quote,
            escape=self.escape,
            comment=self.comment,
            any_line_ends=self.any_line_ends,
            lines_before=self.lines_before,
            data_may_be_bad=self.allow_rejects,
        )
        try:
            if writing.is_plain:
                yield file
                return
            with rewritten(
                file, label, self.suffixes, writing, reading.scratch, look=look, tick=lambda: reading.tick(0.0, 0)
            ) as text:
                yield text
        except SourceError as error:
            raise _named(error, label, self) from None

    @property
    def spelling(self) -> Spelling:
        return Spelling(decimal=self.decimal or ".", thousands=self.thousands or "", date_format=self.date_format)

    def columns(self, file: Path, fetch: Fetch) -> list[tuple[str, str]]:
        found = fetch(f"DESCRIBE SELECT * FROM {self.scan(file).sql('duckdb')}")["column_name"].to_pylist()
        return [
            (f"column_{number}" if self.no_header else name, "VARCHAR") for number, name in enumerate(found, start=1)
        ]

    def classes(self, file: Path, columns: Sequence[tuple[str, str]], fetch: Fetch) -> dict[str, frozenset[str]]:
        """The classes of the first cells of each column that is read as texts."""
        texts = [header for header, _ in columns]
        num_rows = max(SAMPLE_ROWS // 100, min(SAMPLE_ROWS, SAMPLE_CELLS // len(texts)))
        chosen = ", ".join(f"{identifier(header)} AS c{number}" for number, header in enumerate(texts))
        rows = fetch(f"""
            SELECT name, {self.spelling.class_of("cell")} AS class FROM (
                SELECT DISTINCT name, cell FROM (
                    UNPIVOT (SELECT {chosen} FROM {self.scan(file, dict(columns)).sql("duckdb")} LIMIT {num_rows})
                    ON COLUMNS(*) INTO NAME name VALUE cell
                )
            ) GROUP BY ALL
        """).to_pylist()
        self.rejects(fetch)  # the rows are read again, and rejected again
        found: dict[str, set[str]] = {header: set() for header in texts}
        for row in rows:
            found[texts[int(row["name"][1:])]].add(row["class"])
        return {header: frozenset(classes) for header, classes in found.items()}

    def line(self, file: Path, row: int, text: str) -> int | None:
        quote = '"' if self.quote is None else self.quote
        return (
            line_of_row(file, row - 1 if self.no_header else row, text, quote.encode(), self.lines_before)
            if quote
            else None
        )

    def scan(self, file: Path, types: dict[str, str] | None = None) -> exp.Expr:
        options = self.dialect(file.name, head_of(file, self.suffixes)[0])
        if self.no_header and types:
            options["names"] = list(types)
        # Asked for its columns too: one ragged row must not make one column of all.
        # The first rows may have no quotes yet; then the engine would take late ones for a part of their cells.
        options.setdefault("quote", '"')
        # Nor would a cell that is one backslash be a cell; and to look takes ten seconds for 2,000 columns.
        if options["quote"] == '"':
            options.setdefault("escape", '"')
        return reader(
            "read_csv", file, options | {"store_rejects": True, "strict_mode": True, "all_varchar": True}, None
        )

    def headers(self, file: Path, names: Sequence[str], fetch: Fetch) -> Sequence[str]:
        """The first row read as cells: as headers the engine trims them, numbers equal ones and names empty ones."""
        if self.no_header:
            return names
        scan = self.scan(file)
        arguments = {argument.this.name: argument for argument in scan.this.expressions if isinstance(argument, exp.EQ)}
        # A header may be a word that means null in a cell; and a row that is no header is no row that does not fit.
        kept = [
            argument
            for name, argument in arguments.items()
            if name not in ("header", "nullstr", "store_rejects", "all_varchar")
        ]
        kept += [
            exp.EQ(this=exp.var(name), expression=exp.convert(value))
            for name, value in (("header", False), ("all_varchar", True))
        ]
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
        proposed = tuple(dict.fromkeys(hint for row in rows for hint in hints(str(row["message"]), self)))
        return Rejects(int(total), tuple((row["line"], _reason(row)) for row in rows), self.allow_rejects, proposed)


def _may_be_called(header: str, name: str, place: int) -> bool:
    """Whether the engine calls a column of this header so."""
    if name == (header := header.strip()):
        return True
    # Of an empty header, and of one that is a word for null in a cell, it says `column07`.
    return bool(re.fullmatch(rf"({re.escape(header)}|column0*{place})(_\d+)*", name))


def _reason(row: dict[str, Any]) -> str:
    message = str(row["message"]).strip().splitlines()[0]
    return f"column '{row['column_name']}': {message}" if row["column_name"] else message


def _named(error: CengineError, label: str, options: CsvOptions) -> SourceError:
    """The error with the file's name and the options that may mend it."""
    (problem,) = error.problems
    message = problem.message if label in problem.message else f"'{label}' cannot be read: {problem.message}"
    return SourceError(
        message, *problem.notes, *(hint for hint in hints(problem.message, options) if hint not in problem.notes)
    )
