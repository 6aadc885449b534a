"""Tables in JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cengine.sources.files import Fetch, FileSource, compression_of, reader

if TYPE_CHECKING:
    from sqlglot import exp


class Json(FileSource):
    """JSON: one object a line, or an array of objects."""

    name = "json"
    title = "JSON"
    suffixes = (".json", ".json.gz", ".json.zst", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")

    def expected_kind(self, name: str) -> str | None:
        return compression_of(name)

    def scan(self, file: Path, types: dict[str, str] | None = None) -> exp.Expr:
        return reader("read_json", file, {"compression": compression_of(file.name) or "none"}, types, key="columns")

    def rejects(self, fetch: Fetch) -> None:
        return None
