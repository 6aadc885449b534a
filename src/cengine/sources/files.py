"""What tables in files have in common: one file, a glob or a folder, plain or compressed, here or in a store."""

from __future__ import annotations

import contextlib
import gzip
import json
import uuid
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from cengine.digests import file_digest
from cengine.errors import CengineError, SourceError
from cengine.names import former_name
from cengine.sources.cells import Spelling
from cengine.sources.folders import Listed, local_files, partition_types
from cengine.sources.objects import Fetching, Store, is_address, text_of_head
from cengine.sources.source import CopiedSource, Option, Part, Reading, Rejects, State

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

# How files begin that are something else than their name says.
_MAGIC = {b"PAR1": "a Parquet file", b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "a zip archive",
          b"\x89PNG": "a picture", b"%PDF": "a PDF", b"SQLite": "an SQLite database"}  # fmt: skip
_COMPRESSION_OF_SUFFIX = {".gz": "gzip", ".zst": "zstd"}

# Runs SQL text on the embedded engine.
Fetch = Callable[[str], "pa.Table"]


@dataclass(frozen=True)
class _Header:
    """A file's columns as (the engine's name, SQL type), and their headers as the file has them."""

    columns: list[tuple[str, str]]
    headers: tuple[str, ...]


class FileSource(CopiedSource):
    """A table in files. `path` is a file, a glob or a folder."""

    suffixes: ClassVar[tuple[str, ...]]
    reads_whole: ClassVar[bool] = False
    """Whether a file's first lines do not tell its columns."""
    path: Annotated[str, Option(is_path=True)] = Field(
        description="A {title} file, a glob in quotes, or a folder; also s3://, gs://, az://."
    )

    allow_missing_columns: bool = Field(
        default=False, description="A column that a file does not have is null in its rows; else an error."
    )

    @property
    def place(self) -> str:
        return self.path

    def files(self) -> list[Listed]:
        """The local files, sorted by name. Raises SourceError where there is none or one cannot be what it is called."""
        found = local_files(self.path, self.suffixes, self.name)
        for listed in found:
            try:
                with listed.file.open("rb") as stream:
                    head = stream.read(8)
            except OSError as error:
                raise SourceError(f"cannot read '{listed.file}': {error.strerror}") from None
            self.check(str(listed.file), head)
            if listed.file.suffix == ".gz":
                _check_gzip_head(listed.file)
        return found

    def check(self, label: str, head: bytes) -> None:
        """Raises SourceError where a file's first bytes show that it is something else."""
        if not head:
            raise SourceError(f"'{label}' is empty")
        actual = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)
        expected = self.expected_kind(label)
        if actual != expected:
            said = expected or f"a {self.name} file"
            raise SourceError(
                f"'{label}' is {actual or 'something else'}, not {said} as its name and type say",
                *_type_hint(actual, label),
            )

    @abstractmethod
    def expected_kind(self, name: str) -> str | None:
        """What the first bytes have to show: the name of a kind in `_MAGIC`, or None for text."""

    @abstractmethod
    def scan(self, file: Path, types: dict[str, str] | None = None) -> exp.Expr:
        """The file as an item of FROM; `types` settles the types of columns by header."""

    @abstractmethod
    def rejects(self, fetch: Fetch) -> Rejects | None:
        """Rows of the last scan that did not fit their columns; None where such rows are an error of the scan."""

    @contextlib.contextmanager
    def readable(self, file: Path, label: str, reading: Reading, *, look: bool = False) -> Iterator[Path]:
        """The file as the engine can read it; of `look` its first lines may be enough. `label` is what the user calls it."""
        yield file

    def columns(self, file: Path, fetch: Fetch) -> list[tuple[str, str]]:
        """Header and SQL type of each column, as the file's first rows show them."""
        described = fetch(f"DESCRIBE SELECT * FROM {self.scan(file).sql('duckdb')}")
        # A Parquet column of nulls may have no type at all, which says nothing of the other files.
        types = ["NULL" if kind == '"NULL"' else kind for kind in described["column_type"].to_pylist()]
        return list(zip(described["column_name"].to_pylist(), types, strict=True))

    def headers(self, file: Path, names: Sequence[str], fetch: Fetch) -> Sequence[str]:
        """The headers as the file has them: the engine's `names` differ where it has told equal headers apart."""
        return names

    def looked_at(self, file: Path, fetch: Fetch) -> _Header:
        """What the file says of its columns."""
        columns = self.columns(file, fetch)
        return _Header(columns, tuple(self.headers(file, [name for name, _ in columns], fetch)))

    def classes(self, file: Path, columns: Sequence[tuple[str, str]], fetch: Fetch) -> dict[str, frozenset[str]] | None:
        """The classes (`cells.py`) of the first cells of columns whose types the whole table settles; None where the file has types."""
        return None

    def notes(self, file: Path, columns: Sequence[tuple[str, str]], fetch: Fetch) -> tuple[str, ...]:
        """What is to be told of how the file is read, a line each."""
        return ()

    @property
    def spelling(self) -> Spelling | None:
        """How numbers and dates are written, where cells are texts."""
        return None

    def line(self, file: Path, row: int, text: str) -> int | None:
        """The line of a row with a cell of this text, None where that cannot be told."""
        return None

    def state(self, report: Callable[[float], None]) -> State:
        """Local files by their digests in an order of their own (neither names nor the order of files change anything), others as their store says."""
        if is_address(self.path):
            objects = Store(self.path).objects(self.suffixes, self.name)
            return State(
                [[found.path, found.num_bytes, found.stamp] for found in objects], must_hold=True, found=objects
            )
        files = self.files()
        total, read = sum(listed.file.stat().st_size for listed in files), 0

        def hashed(num_bytes: int) -> None:
            nonlocal read
            read += num_bytes
            report(read / max(total, 1))

        digested = []
        for listed in files:
            stamp = _stamp(listed.file)
            digest = file_digest(listed.file, hashed)
            digested.append((digest if not listed.partition else [digest, *map(list, listed.partition)], listed, stamp))
        digested.sort(key=lambda one: (json.dumps(one[0]), one[1].file))
        return State(
            [content for content, _, _ in digested],
            is_content=True,
            found=[(listed, stamp) for _, listed, stamp in digested],
            files=[listed.file for _, listed, _ in digested],
        )

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        """One part a file."""
        assert reading.state is not None
        found = reading.state.found
        if not is_address(self.path):
            types = partition_types([listed.partition for listed, _ in found])
            yield [self._part(listed, stamp, types, reading) for listed, stamp in found]
            return
        types = partition_types([stored.partition for stored in found])
        with Fetching(Store(self.path), found, reading.scratch) as fetching:
            looked = fetching.each(lambda number: self._look(number, fetching))
            yield [self._fetched_part(number, file, types, fetching, reading) for number, file in enumerate(looked)]

    def _part(self, listed: Listed, stamp: tuple[int, int], types: dict[str, str], reading: Reading) -> Part:
        """A local file."""

        @contextlib.contextmanager
        def local() -> Iterator[Path]:
            yield listed.file
            if _stamp(listed.file) != stamp:
                raise SourceError(
                    f"'{listed.file}' changed while it was read; nothing was registered", "run the command again"
                )

        try:
            with self.readable(listed.file, str(listed.file), reading, look=True) as text:
                own = self.looked_at(text, reading.fetch)
                classes = self.classes(text, own.columns, reading.fetch)
                notes = self.notes(text, own.columns, reading.fetch)
        except SourceError:
            for _ in verify_readable(listed.file):
                pass  # a file that ends early is told to be one
            raise
        part = self._part_of(str(listed.file), own, listed.partition, types, local, stamp[0], reading)
        return replace(
            part,
            classes=classes,
            notes=notes,
            spelling=self.spelling,
            line=lambda row, text: self.line(listed.file, row, text),
        )

    def _look(self, number: int, fetching: Fetching) -> Path:
        """A small local file with the columns of one in a store."""
        stored = fetching.objects[number]
        target = fetching.folder / f"look-{uuid.uuid4().hex}{self.suffixes[0]}"
        if self.expected_kind(stored.url) == "a Parquet file":
            self.check(stored.url, fetching.store.head(stored, 8))
            fetching.store.parquet_schema(stored, target)
        else:
            head = fetching.store.head(stored)
            self.check(stored.url, head[:8])
            if len(head) == stored.num_bytes:
                fetching.keep(number, head)
            target.write_bytes(text_of_head(head, stored.name, whole=len(head) == stored.num_bytes))
        return target

    def _fetched_part(
        self, number: int, look: Path, types: dict[str, str], fetching: Fetching, reading: Reading
    ) -> Part:
        """A file of a store."""
        stored = fetching.objects[number]
        try:
            if self.reads_whole:
                raise SourceError(f"the beginning of '{stored.url}' does not tell its columns")
            with self.readable(look, stored.url, reading, look=True) as text:
                own = self.looked_at(text, reading.fetch)
                classes = self.classes(text, own.columns, reading.fetch)
                notes = self.notes(text, own.columns, reading.fetch)
        except CengineError:
            # An array of JSON has no whole lines, and the first lines of a CSV may not show enough.
            with (
                fetching.local(number) as file,
                _called(stored.url, file),
                self.readable(file, stored.url, reading, look=True) as text,
            ):
                own = self.looked_at(text, reading.fetch)
                classes = self.classes(text, own.columns, reading.fetch)
                notes = self.notes(text, own.columns, reading.fetch)
        finally:
            look.unlink()
        part = self._part_of(
            stored.url, own, stored.partition, types, lambda: fetching.local(number), stored.num_bytes, reading
        )
        return replace(part, classes=classes, notes=notes, spelling=self.spelling)

    def _part_of(
        self,
        label: str,
        own: _Header,
        folders: tuple[tuple[str, str | None], ...],
        folder_types: dict[str, str],
        local: Callable[[], contextlib.AbstractContextManager[Path]],
        num_bytes: int,
        reading: Reading,
    ) -> Part:
        """A file with the columns of its folders, where it has none of that name itself."""
        taken = {former_name(header) for header in own.headers}
        partition = {key: value for key, value in folders if former_name(key) not in taken}

        @contextlib.contextmanager
        def rows(types: dict[str, str]) -> Iterator[exp.Expr]:
            with local() as file, _called(label, file):
                for _ in verify_readable(file):
                    reading.tick(0.0, 0)
                with self.readable(file, label, reading) as text:
                    scan = self.scan(text, {name: types[name] for name, _ in own.columns})
                    yield _with_constants(scan, partition) if partition else scan

        columns = (*own.columns, *((key, folder_types[key]) for key in partition))
        headers = (*own.headers, *partition)
        return Part(label, columns, rows, num_bytes, rejects=lambda: self.rejects(reading.fetch), headers=headers)


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


@contextlib.contextmanager
def _called(label: str, file: Path) -> Iterator[None]:
    """Lets errors of the block name a file as the user does, not where it was fetched to."""
    try:
        yield
    except CengineError as error:
        if str(file) == label or str(file) not in str(error):
            raise
        message, *notes = (
            text.replace(str(file), label) for problem in error.problems for text in (problem.message, *problem.notes)
        )
        raise type(error)(message, *notes) from None


def _stamp(file: Path) -> tuple[int, int]:
    """Size and time of the last change: a file that changes while it is read is noticed."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _check_gzip_head(file: Path) -> None:
    try:
        with gzip.open(file, "rb") as stream:
            stream.read(1024)
    except (EOFError, zlib.error, OSError) as error:
        raise truncated(file, error) from None


def compression_of(name: str) -> str | None:
    return next((kind for suffix, kind in _COMPRESSION_OF_SUFFIX.items() if name.endswith(suffix)), None)


def reader(
    function: str, file: Path, options: dict[str, Any], types: dict[str, str] | None, key: str = "types"
) -> exp.Expr:
    """A call of a reader as an item of FROM; `key` is the reader's option for the types of columns."""
    from sqlglot import exp

    arguments: list[exp.Expr] = [exp.Literal.string(str(file))]
    # The names of folders are read in `folders.py`, alike for files that were fetched from elsewhere.
    for name, value in {**options, "hive_partitioning": False}.items():
        arguments.append(exp.EQ(this=exp.var(name), expression=exp.convert(value)))
    if types:
        struct = exp.Struct(
            expressions=[
                exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=exp.Literal.string(kind))
                for name, kind in types.items()
            ]
        )
        arguments.append(exp.EQ(this=exp.var(key), expression=struct))
    return exp.Table(this=exp.Anonymous(this=function, expressions=arguments))


def _with_constants(scan: exp.Expr, values: dict[str, str | None]) -> exp.Expr:
    """The item of FROM with a column of the same text in all rows for each value."""
    from sqlglot import exp

    texts = [
        exp.cast(exp.null() if text is None else exp.Literal.string(text), "text").as_(name, quoted=True)
        for name, text in values.items()
    ]
    return exp.select("*", *texts).from_(scan).subquery("file")


def _type_hint(actual: str | None, label: str) -> tuple[str, ...]:
    if label.lower().endswith((".xlsx", ".xlsm")):
        return ("use `datasource create excel`",)
    if actual == "a zip archive":
        return ("let its name end in .zip",)
    if actual == "a Parquet file":
        return ("use `datasource create parquet`",)
    if actual in ("gzip", "zstd"):
        return (f"let its name end in .{'gz' if actual == 'gzip' else 'zst'}",)
    return ()
