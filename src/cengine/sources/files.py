"""Tables in local files: CSV, Parquet, JSON; one file, a glob or a folder, plain or compressed."""

from __future__ import annotations

import glob
import gzip
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field
from sqlglot import exp

from cengine.errors import SourceError
from cengine.words import Word

# How files begin that are something else than their name says.
_MAGIC = {b"PAR1": "a Parquet file", b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "a zip archive",
          b"\x89PNG": "a picture", b"%PDF": "a PDF", b"SQLite": "an SQLite database"}  # fmt: skip
_COMPRESSION_OF_SUFFIX = {".gz": "gzip", ".zst": "zstd"}

# Runs SQL text on the embedded engine.
Fetch = Callable[[str], pa.Table]
NULL_WORDS = ("", "NULL", "null", "\\N")


class FileSource(Word):
    """A table in files. `path` is a file, a glob or a folder."""

    suffixes: ClassVar[tuple[str, ...]]
    path: str
    keep_headers: bool = False

    def files(self) -> list[Path]:
        """The files, sorted by name. Raises SourceError where there is none or one cannot be what it is called."""
        path = Path(self.path).expanduser()
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file() and _is_one_of(p, self.suffixes))
            if not found:
                raise SourceError(
                    f"the folder '{self.path}' holds no {self.name} files", f"expected names ending in {', '.join(self.suffixes)}"
                )
        elif path.exists():
            found = [path]
        else:
            found = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207  an absolute pattern
            if not found:
                nearby = sorted(p.name for p in path.parent.glob("*"))[:8] if path.parent.is_dir() else []
                notes = [f"files there: {', '.join(nearby)}"] if nearby else [f"there is no folder '{path.parent}'"]
                raise SourceError(f"there is no file '{self.path}'", *notes)
        for file in found:
            self.check(file)
        return found

    def check(self, file: Path) -> None:
        """Raises SourceError where the file's first bytes show that it is something else."""
        try:
            with file.open("rb") as stream:
                head = stream.read(8)
        except OSError as error:
            raise SourceError(f"cannot read '{file}': {error.strerror}") from None
        if not head:
            raise SourceError(f"'{file}' is empty")
        actual = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)
        expected = self.expected_kind(file)
        if actual != expected:
            said = expected or f"a {self.name} file"
            raise SourceError(f"'{file}' is {actual or 'something else'}, not {said} as its name and type say", *_type_hint(actual))

    @abstractmethod
    def expected_kind(self, file: Path) -> str | None:
        """What the first bytes have to show: the name of a kind in `_MAGIC`, or None for text."""

    @abstractmethod
    def scan(self, file: Path, types: dict[str, str] | None = None, *, collect_rejects: bool = False) -> exp.Expr:
        """The file as an item of FROM; `types` settles the types of columns by header."""

    def columns(self, file: Path, fetch: Fetch) -> list[tuple[str, str]]:
        """Header and SQL type of each column, as the file's first rows show them."""
        # Looked at as it is read later: one ragged row must not make one column of all.
        scan = self.scan(file, collect_rejects=True)
        try:
            described = fetch(f"DESCRIBE SELECT * FROM {scan.sql('duckdb')}")
        except SourceError:
            for _ in verify_readable(file):
                pass  # a file that ends early is told to be one
            raise
        # A Parquet column of nulls may have no type at all.
        types = ["VARCHAR" if kind == '"NULL"' else kind for kind in described["column_type"].to_pylist()]
        return list(zip(described["column_name"].to_pylist(), types, strict=True))


class Csv(FileSource):
    """Comma-separated text with a header; delimiter, quotes and types are found by looking."""

    name = "csv"
    suffixes = (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst", ".txt", ".txt.gz")
    delimiter: str | None = Field(default=None, max_length=4)
    null_words: tuple[str, ...] = NULL_WORDS

    def expected_kind(self, file: Path) -> str | None:
        return _COMPRESSION_OF_SUFFIX.get(file.suffix)

    def check(self, file: Path) -> None:
        super().check(file)
        if file.suffix == ".gz":
            _check_gzip_head(file)

    def scan(self, file: Path, types: dict[str, str] | None = None, *, collect_rejects: bool = False) -> exp.Expr:
        options: dict[str, Any] = {"header": True, "nullstr": list(self.null_words), "allow_quoted_nulls": True}
        options["compression"] = _compression(file)
        if self.delimiter is not None:
            options["delim"] = self.delimiter
        if collect_rejects:
            options |= {"store_rejects": True, "strict_mode": True}
        return _reader("read_csv", file, options, types)


class Parquet(FileSource):
    """Parquet files."""

    name = "parquet"
    suffixes = (".parquet", ".pq")

    def expected_kind(self, file: Path) -> str | None:
        return "a Parquet file"

    def scan(self, file: Path, types: dict[str, str] | None = None, *, collect_rejects: bool = False) -> exp.Expr:
        return _reader("read_parquet", file, {}, None)


class Json(FileSource):
    """JSON: one object a line, or an array of objects."""

    name = "json"
    suffixes = (".json", ".json.gz", ".json.zst", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")

    def expected_kind(self, file: Path) -> str | None:
        return _COMPRESSION_OF_SUFFIX.get(file.suffix)

    def scan(self, file: Path, types: dict[str, str] | None = None, *, collect_rejects: bool = False) -> exp.Expr:
        return _reader("read_json", file, {"compression": _compression(file)}, types, key="columns")


def verify_readable(file: Path, chunk_bytes: int = 2**20) -> Iterator[int]:
    """Reads a gzip file to its end, giving bytes read so far; a truncated one raises SourceError."""
    if file.suffix != ".gz":
        return
    with gzip.open(file, "rb") as stream:
        total = 0
        try:
            while chunk := stream.read(chunk_bytes):
                total += len(chunk)
                yield total
        except (EOFError, zlib.error, OSError) as error:
            raise truncated(file, error) from None


def truncated(file: Path, error: Exception) -> SourceError:
    """The error for a compressed file that ends early or is damaged."""
    return SourceError(f"'{file}' is truncated or damaged: {str(error).rstrip('.').lower()}", "fetch or write it again")


def _check_gzip_head(file: Path) -> None:
    try:
        with gzip.open(file, "rb") as stream:
            stream.read(1024)
    except (EOFError, zlib.error, OSError) as error:
        raise truncated(file, error) from None


def _compression(file: Path) -> str:
    return _COMPRESSION_OF_SUFFIX.get(file.suffix, "none")


def _reader(function: str, file: Path, options: dict[str, Any], types: dict[str, str] | None, key: str = "types") -> exp.Expr:
    """A call of a reader as an item of FROM; `key` is the reader's option for the types of columns."""
    arguments: list[exp.Expr] = [exp.Literal.string(str(file))]
    for name, value in options.items():
        arguments.append(exp.EQ(this=exp.var(name), expression=exp.convert(value)))
    if types:
        struct = exp.Struct(expressions=[exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=exp.Literal.string(kind))
                                         for name, kind in types.items()])  # fmt: skip
        arguments.append(exp.EQ(this=exp.var(key), expression=struct))
    return exp.Table(this=exp.Anonymous(this=function, expressions=arguments))


def _is_one_of(file: Path, suffixes: tuple[str, ...]) -> bool:
    return not file.name.startswith((".", "_")) and file.name.lower().endswith(suffixes)


def _type_hint(actual: str | None) -> tuple[str, ...]:
    if actual == "a Parquet file":
        return ("use `datasource create parquet`",)
    if actual in ("gzip", "zstd"):
        return (f"let its name end in .{'gz' if actual == 'gzip' else 'zst'}",)
    return ()
