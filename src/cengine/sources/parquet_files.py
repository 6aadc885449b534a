"""Tables in Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cengine.sources.files import Fetch, FileSource, reader

if TYPE_CHECKING:
    from sqlglot import exp


class Parquet(FileSource):
    """Parquet files."""

    name = "parquet"
    title = "Parquet"
    suffixes = (".parquet", ".pq")

    def expected_kind(self, name: str) -> str | None:
        return "a Parquet file"

    def scan(self, file: Path, types: dict[str, str] | None = None) -> exp.Expr:
        return reader("read_parquet", file, {}, None)

    def rejects(self, fetch: Fetch) -> None:
        return None
