"""Tables in Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
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

    def headers(self, file: Path, names: Sequence[str], fetch: Fetch) -> Sequence[str]:
        import pyarrow.parquet as pq

        own = pq.read_schema(file).names
        return own if len(own) == len(names) else names

    def rejects(self, fetch: Fetch) -> None:
        return None
