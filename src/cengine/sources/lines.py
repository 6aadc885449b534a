"""Where a row of a text file is."""

from __future__ import annotations

import gzip
from pathlib import Path


def line_of_row(file: Path, row: int, text: str, quote: bytes = b'"', lines_before: int = 0) -> int | None:
    """The line, from 1, on which a row (from 0) begins that holds a cell of this text; None where the file cannot tell it."""
    if file.suffix not in (".gz", "") and file.suffix.lower() in (".zst", ".zip"):
        return None
    wanted, found = text.encode(), -1  # the header is row -1
    num_quotes, number, begins = 0, 0, 0
    record = b""
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if number <= lines_before or (not record and not line.strip(b"\r\n")):
                continue
            begins = begins or number
            record, num_quotes = record + line, num_quotes + line.count(quote)
            if num_quotes % 2:
                continue
            if found == row:
                return begins if wanted in record.replace(quote * 2, quote) else None
            found, begins, record, num_quotes = found + 1, 0, b"", 0
    return None
