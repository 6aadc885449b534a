"""How a CSV file is written: the options of `datasource create csv`, checked, and what they mean to the engine's reader."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cengine.errors import SourceError, near_miss
from cengine.names import Names
from cengine.sources.cells import format_problem
from cengine.sources.encodings import PROPOSED
from cengine.sources.files import FileSource, compression_of
from cengine.sources.rewriting import escapes_by_backslash
from cengine.sources.source import Option
from cengine.tables import KINDS

NULL_WORDS = ("", "NULL", "null", "\\N")
# The reader wants a word for null even where no cell is to be null.
# From so many columns on the delimiter shows in the header alone.
WIDE_COLUMNS = 100
_NO_NULL = "\x01no word means null\x01"
# What a person may type for a character that a shell makes hard to type.
_SPELLED = {"\\t": "\t", "tab": "\t", "space": " ", "\\|": "|"}


def _spelled(value: Any) -> Any:
    return _SPELLED.get(value, value) if isinstance(value, str) else value


def _pairs(value: Any) -> Any:
    """`COLUMN=KIND` as it is typed, several of them, as a mapping."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for pair in value:
        column, sign, kind = str(pair).rpartition("=")
        if not sign or not column:
            raise ValueError(f"'{pair}' is not COLUMN=KIND, for example zip=string")
        if found.get(column, kind) != kind:
            raise ValueError(f"the column '{column}' is given two kinds, {found[column]} and {kind}")
        found[column] = kind
    return found


Character = Annotated[str | None, BeforeValidator(_spelled)]


class CsvOptions(FileSource):
    """What can be said about how a CSV file is written. What is left out is found by looking."""

    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f".{kind}{packed}" for kind in ("csv", "tsv", "txt", "tab") for packed in ("", ".gz", ".zst", ".zip")
    )
    encoding: str | None = Field(
        default=None, description="The encoding of the text, such as cp1252, shift_jis, utf-16. Default: UTF-8."
    )
    delimiter: Character = Field(default=None, max_length=4, description="What stands between cells, `tab` for a tab.")
    quote: Character = Field(default=None, max_length=1, description="What cells may be put between; '' where none is.")
    escape: Character = Field(
        default=None, max_length=1, description='What makes a quote within quotes a part of the cell: " or \\.'
    )
    no_header: bool = Field(
        default=False, description="The first row is data; columns are called column_1, column_2, ..."
    )
    header_row: int | None = Field(
        default=None, ge=1, description="The line of the file that names the columns; lines above it are left out."
    )
    skip: int = Field(default=0, ge=0, description="Lines at the beginning that are left out.")
    comment: Character = Field(
        default=None, min_length=1, max_length=4, description="Lines that begin so are left out."
    )
    decimal: Character = Field(
        default=None, min_length=1, max_length=1, description="What stands before the fraction of a number: . or ,"
    )
    thousands: Character = Field(
        default=None, min_length=1, max_length=1, description="What stands between thousands in numbers."
    )
    date_format: str | None = Field(
        default=None,
        max_length=60,
        description="How dates are written, such as %d/%m/%Y; found by looking at all of them where left out.",
    )
    types: Annotated[dict[str, str], BeforeValidator(_pairs), Option(flag="type", metavar="COLUMN=KIND")] = Field(
        default={}, description=f"The kind of a column: {', '.join(KINDS)}. May be repeated."
    )
    null_words: Annotated[tuple[str, ...], Option(flag="null", adds=True, adds_unless="no_default_nulls")] = Field(
        default=NULL_WORDS, description="A word that means null, besides an empty cell and NULL. May be repeated."
    )
    no_default_nulls: bool = Field(
        default=False, description="Only the words of --null mean null: an empty cell is an empty text."
    )
    any_line_ends: bool = Field(
        default=False, description="Take LF, CRLF and CR for the end of a line, in files that mix them."
    )
    allow_rejects: bool = Field(
        default=False, description="Leave out rows that do not fit their columns; by default they are an error."
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            found = codecs.lookup(value)
        except (LookupError, ValueError):
            found = None
        if (
            found is None
            or not found._is_text_encoding
            or found.name in ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined")
        ):
            raise ValueError(
                "; ".join(
                    (
                        f"'{value}' is no encoding that is known",
                        *near_miss(value, PROPOSED),
                        f"for example {', '.join(PROPOSED[:6])}",
                    )
                )
            )
        return found.name

    @field_validator("date_format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        problem = format_problem(value) if value is not None else None
        if problem:
            raise ValueError(f"'{value}' cannot be a format of dates: {problem}")
        return value

    @field_validator("delimiter", "quote", "escape", "comment", "decimal", "thousands")
    @classmethod
    def _plain_character(cls, value: str | None) -> str | None:
        if value is not None and (not value.isascii() or any(c in "\r\n\0" for c in value)):
            raise ValueError(f"{value!r} cannot be used; it must be an ASCII character and not the end of a line")
        return value

    @field_validator("types")
    @classmethod
    def _known_kinds(cls, value: dict[str, str]) -> dict[str, str]:
        for column, kind in value.items():
            if kind not in KINDS:
                raise ValueError(
                    "; ".join(
                        (
                            f"unknown kind '{kind}' of column '{column}'",
                            *near_miss(kind, KINDS),
                            f"known kinds: {', '.join(KINDS)}",
                        )
                    )
                )
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> CsvOptions:
        if self.no_header and self.header_row is not None:
            raise ValueError("--no-header and --header-row contradict each other")
        if self.skip and self.header_row is not None:
            raise ValueError("--skip and --header-row say the same; keep one of the two")
        used: dict[str, str] = {}
        for name in ("delimiter", "quote", "comment"):
            character = getattr(self, name)
            if character and character in used:
                raise ValueError(f"--{name} and --{used[character]} are both {character!r}")
            used[character] = name
        if self.escape and self.escape == self.delimiter:
            raise ValueError(f"--escape and --delimiter are both {self.escape!r}")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(
                f"{self.thousands!r} stands before the fraction of a number{'' if self.decimal else ' where no --decimal is given'}; "
                "it cannot also stand between thousands"
            )
        if self.no_default_nulls and "null_words" not in self.model_fields_set:
            object.__setattr__(self, "null_words", ())
        if self.escape:
            bad = [word for word in self.null_words if self.escape in word and word not in NULL_WORDS]
            if bad:
                raise ValueError(
                    f"--null {bad[0]} holds the character of --escape, {self.escape!r}: a cell cannot read so"
                )
        return self

    def expected_kind(self, name: str) -> str | None:
        return "a zip archive" if name.lower().endswith(".zip") else compression_of(name)

    @property
    def lines_before(self) -> int:
        """The lines of a file that come before its header, or before its rows where it has none."""
        return self.header_row - 1 if self.header_row is not None else self.skip

    def dialect(self, name: str, head: bytes) -> dict[str, Any]:
        """The options of the engine's reader for a file of this name that begins so, without the types of columns.

        Where a backslash escapes quotes, the built-in null word `\\N` cannot be one.
        """
        escape = self.escape if self.escape is not None else "\\" if escapes_by_backslash(head, self.quote) else None
        nulls = [word for word in self.null_words if not escape or escape not in word]
        options: dict[str, Any] = {
            "header": not self.no_header,
            "nullstr": nulls or [_NO_NULL],
            "allow_quoted_nulls": True,
        }
        options["compression"] = compression_of(name) or "none"
        lines = head.splitlines()[self.lines_before : self.lines_before + 1]
        tabs = "\t" if ".tsv" in name.lower() and b"\t" in head.partition(b"\n")[0] else None
        wide = _delimiter_of_wide(lines[0]) if lines else None
        given = {
            "delim": self.delimiter or tabs or wide,
            "quote": self.quote,
            "escape": escape,
        }
        options |= {key: value for key, value in given.items() if value is not None}
        if self.lines_before:
            options["skip"] = self.lines_before
        return options

    def declared(self, headers: Sequence[str]) -> dict[str, str]:
        """The kind that `--type` settles for each of these headers that it names."""
        found = ((Names(headers).find(column), kind) for column, kind in self.types.items())
        return {header: kind for header, kind in found if header is not None}

    def check_declared(self, headers: Sequence[str]) -> None:
        """Raises SourceError where `--type` names a column that no file has."""
        for column in self.types:
            if Names(headers).find(column) is None:
                shown = ", ".join(headers[:12]) + (", ..." if len(headers) > 12 else "")
                raise SourceError(
                    f"--type names the column '{column}', which is not in the table",
                    *near_miss(column, headers),
                    f"its columns: {shown}",
                )


def _delimiter_of_wide(line: bytes) -> str | None:
    """What stands between the cells of a line that has more of it than a text would have, None for any other line."""
    counts = {character: line.count(character.encode()) for character in ",;\t|"}
    most = max(counts, key=counts.__getitem__)
    return (
        most
        if counts[most] >= WIDE_COLUMNS and counts[most] >= 10 * sum(n for one, n in counts.items() if one != most)
        else None
    )


def hints(reason: str, options: CsvOptions) -> tuple[str, ...]:
    """The options that may mend what the reader says of a row or a file."""
    lowered = reason.lower()
    if "unicode" in lowered or "utf-8" in lowered:
        return ("it is not UTF-8 there: name its encoding, for example --encoding cp1252",)
    if "state machine" in lowered:
        return (
            "line ends of several kinds: --any-line-ends; a quote that is part of a cell: --quote '' or --escape '\\'",
        )
    if "quote" in lowered:
        return ("quotes within cells that a backslash escapes: --escape '\\'; quotes that mean nothing: --quote ''",)
    if "escape must not appear" in lowered:
        return ("say which character escapes quotes: --escape '\"' or --escape '\\'",)
    if "sniffing" in lowered or "dialect" in lowered:
        return (
            "say how it is written: --delimiter, --quote, --escape; lines above the header: --header-row N; no header: --no-header",
        )
    if "expected number of columns" in lowered and not options.comment:
        return (
            "lines that are no rows: --skip N at the beginning, --comment '#' in between; the delimiter: --delimiter",
        )
    return ()
