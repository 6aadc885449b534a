"""Texts that the engine cannot read as they are, written as it can: UTF-8, one kind of line end, no comments, not packed.

Everything goes through in chunks, so that memory does not grow with the file; what is written lies in the scratch folder while it is read.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cengine.errors import SourceError, StoreError
from cengine.sources.archives import is_padded, member_of, unpacked
from cengine.sources.encodings import bad_byte, guess, marked_encoding, not_utf8

HEAD_BYTES = 2**20
# Enough for the engine to find the delimiter and to guess types.
LOOK_BYTES = 8 * 2**20
CHUNK_BYTES = 2**20
# A quote that a backslash escapes within a cell; at the end of a cell it may be the cell's own backslash.
_ESCAPED_QUOTE = re.compile(rb'[^\\]\\"[^,;|\t\r\n]')


@dataclass(frozen=True)
class Writing:
    """How a file is written: what a person said of it, and what its beginning shows.

    `encoding` is None for UTF-8. `packed`: the engine cannot unpack it. `mixed`: its line ends are of several kinds.
    `backslash`: quotes within quotes are escaped so.
    """

    encoding: str | None
    packed: bool
    mixed: bool
    backslash: bool
    comment: str | None
    lines_before: int
    quote: str = '"'
    inner_name: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether the engine can read the file as it is."""
        return self.encoding is None and not self.packed and not self.mixed and self.comment is None


def head_of(file: Path, suffixes: tuple[str, ...], num_bytes: int = HEAD_BYTES) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked, and whether they are all of it."""
    with unpacked(file, suffixes) as stream:
        head = stream.read(num_bytes)
        while len(head) < num_bytes and (more := stream.read(num_bytes - len(head))):
            head += more
        return head, len(head) < num_bytes


def writing_of(
    file: Path,
    label: str,
    suffixes: tuple[str, ...],
    *,
    encoding: str | None,
    quote: str | None,
    escape: str | None,
    comment: str | None,
    any_line_ends: bool,
    lines_before: int,
    data_may_be_bad: bool,
) -> Writing:
    """How a file is written. Raises SourceError where it is not UTF-8 and nobody said what it is.

    `data_may_be_bad`: rows that are no UTF-8 are left out anyway, a header that is none is refused all the same.
    """
    head, whole = head_of(file, suffixes)
    encoding = encoding or marked_encoding(head)
    if encoding in (None, "utf-8", "utf-8-sig"):
        encoding = None
        text = head if not data_may_be_bad else b"".join(head.splitlines(keepends=True)[: lines_before + 1])
        if (bad := bad_byte(text, whole=whole or len(text) < len(head))) is not None:
            raise not_utf8(label, head, bad)
    else:
        head = b"".join(_in_utf8([head], encoding, label, whole=whole))
    packed = file.name.lower().endswith(".zip") or (file.suffix == ".gz" and is_padded(file))
    mark = (quote if quote is not None else '"').encode()
    backslash = escape == "\\" or (escape is None and escapes_by_backslash(head, quote))
    mixed = any_line_ends or _is_mixed(head, mark, backslash)
    name = member_of(file, suffixes) if file.name.lower().endswith(".zip") else file.name
    return Writing(encoding, packed, mixed, backslash, comment, lines_before, mark.decode(), name)


def escapes_by_backslash(head: bytes, quote: str | None) -> bool:
    """Whether quotes within quotes are escaped by a backslash, as a text's beginning shows."""
    return quote in (None, '"') and _ESCAPED_QUOTE.search(head) is not None


@contextlib.contextmanager
def rewritten(
    file: Path,
    label: str,
    suffixes: tuple[str, ...],
    writing: Writing,
    scratch: Path,
    *,
    look: bool,
    tick: Callable[[], None],
) -> Iterator[Path]:
    """A text that the engine reads as the file; of `look` only its first lines. It goes when the block ends."""
    inner = Path(re.sub(r"\.(gz|zst|zip)$", "", writing.inner_name))
    target = scratch / f"text-{uuid.uuid4().hex}{inner.suffix or '.csv'}"
    try:
        with unpacked(file, suffixes) as stream, _full_disk(), target.open("wb") as output:
            chunks: Iterable[bytes] = iter(lambda: stream.read(CHUNK_BYTES), b"")
            num_read = 0
            for chunk in _plain(chunks, writing, label):
                output.write(chunk)
                tick()
                num_read += len(chunk)
                if look and num_read >= LOOK_BYTES:
                    break
        if look and num_read >= LOOK_BYTES:
            _cut_to_lines(target)
        yield target
    finally:
        target.unlink(missing_ok=True)


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            "the disk is full", "nothing half-written is kept; make room and run the command again"
        ) from None


def _plain(chunks: Iterable[bytes], writing: Writing, label: str) -> Iterable[bytes]:
    if writing.encoding is not None:
        chunks = _in_utf8(chunks, writing.encoding, label)
    if writing.mixed or writing.comment is not None:
        chunks = _one_line_end(chunks, writing.quote.encode(), writing.backslash)
    if writing.comment is not None:
        chunks = _without_comments(chunks, writing)
    return chunks


def _in_utf8(chunks: Iterable[bytes], encoding: str, label: str, *, whole: bool = True) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, first, last = 1, True, b""
    for chunk, final in _marked(chunks):
        try:
            text = decoder.decode(chunk, final=final and whole)
        except UnicodeError as error:
            raise _undecodable(label, encoding, last + chunk, lines, error) from None
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        lines, last = lines + text.count("\n"), chunk[-8:]
        yield text.encode()


def _marked(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each chunk, and behind the last an empty one that ends the text."""
    for chunk in chunks:
        yield chunk, False
    yield b"", True


def _undecodable(label: str, encoding: str, chunk: bytes, line: int, error: UnicodeError) -> SourceError:
    line += chunk[: error.start].count(b"\n") if isinstance(error, UnicodeDecodeError) else 0
    other = "utf-8" if bad_byte(chunk, whole=False) is None else guess(chunk)
    notes = () if other in (None, encoding) else (f"it looks like {other}: --encoding {other}",)
    return SourceError(f"'{label}' is not {encoding}: about line {line:,} cannot be read in it", *notes)


def _segments(chunk: bytes, quote: bytes, backslash: bool) -> list[bytes]:
    """The text between quotes: the first piece is before the first quote, the next behind it."""
    if not quote:
        return [chunk]
    if not backslash:
        return chunk.split(quote)
    pieces, begin = [], 0
    for found in re.finditer(rb"\\.|" + re.escape(quote), chunk, re.DOTALL):
        if found.group() == quote:
            pieces.append(chunk[begin : found.start()])
            begin = found.end()
    return [*pieces, chunk[begin:]]


def _is_mixed(head: bytes, quote: bytes, backslash: bool) -> bool:
    """Whether lines end in several ways; what stands within quotes is no end of a line."""
    if b"\r" not in head:
        return False
    # The last CR may be the first half of a pair.
    outside = b"".join(_segments(head, quote, backslash)[::2]).removesuffix(b"\r")
    pairs = outside.count(b"\r\n")
    return sum(n > 0 for n in (pairs, outside.count(b"\n") - pairs, outside.count(b"\r") - pairs)) > 1


def _one_line_end(chunks: Iterable[bytes], quote: bytes, backslash: bool) -> Iterator[bytes]:
    """The text with LF at the end of each line; within quotes nothing changes."""
    inside, held = False, b""
    for chunk, final in _marked(chunks):
        chunk, held = held + chunk, b""
        # What the next byte decides waits for it.
        cut = len(chunk.rstrip(b"\r\\"))
        if not final:
            chunk, held = chunk[:cut], chunk[cut:]
        pieces = _segments(chunk, quote, backslash)
        for number in range(int(inside), len(pieces), 2):
            pieces[number] = pieces[number].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        inside ^= len(pieces) % 2 == 0
        yield quote.join(pieces)


def _without_comments(chunks: Iterable[bytes], writing: Writing) -> Iterator[bytes]:
    """The lines that do not begin with the mark of a comment; those above the header stay, which are counted, and so do cells."""
    mark, quote = (writing.comment or "").encode(), writing.quote.encode()
    inside, held, number = False, b"", 0
    for chunk, final in _marked(chunks):
        *lines, held = (held + chunk).split(b"\n")
        if final and held:
            lines, held = [*lines, held], b""
        kept = []
        for line in lines:
            number += 1
            if number > writing.lines_before:
                if not inside and line.startswith(mark):
                    continue
                inside ^= len(_segments(line, quote, writing.backslash)) % 2 == 0
            kept.append(line)
        if kept:
            yield b"\n".join([*kept, b""])


def _cut_to_lines(file: Path) -> None:
    """Leaves whole lines of a text."""
    with file.open("rb+") as stream:
        text = stream.read()
        if (end := text.rfind(b"\n") + 1) > 0:
            stream.truncate(end)
