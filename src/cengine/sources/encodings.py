"""Which encoding a text that is not UTF-8 may be in. A guess is only ever proposed; what a person names is what is read."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from cengine.errors import SourceError

# What is proposed, the likeliest first.
PROPOSED = ("cp1252", "latin-1", "utf-16", "shift_jis", "cp1251", "cp1250", "cp1253", "cp1254", "gb18030", "big5", "euc_jp", "euc_kr",
            "cp437", "mac_roman", "utf-32", "utf-8")  # fmt: skip
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Quotes, dashes, the sign of the euro.
_SIGNS = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u20ac"
# Letters beyond ASCII that texts of a code page's languages are made of.
_LETTERS = {
    "cp1252": "äöüßÄÖÜéèêàâçñáíóúãõôîïëåøæÅØÆœÉÀÇÑ°ºª¿¡£§©®«»·" + _SIGNS,
    "cp1250": "ąćęłńśźżĄĆĘŁŃŚŹŻěščřžýáíéůúťďňĚŠČŘŽőűŐŰăâîșțşţäöüß" + _SIGNS,
    "cp1251": "".join(map(chr, range(0x410, 0x450))) + "ёЁіїєґў№«»" + _SIGNS,
    "cp1253": "".join(map(chr, range(0x3AC, 0x3CF))) + "".join(map(chr, range(0x391, 0x3AA))) + "Ά",
    "cp1254": "ğışİĞŞçöüÇÖÜâ" + _SIGNS,
}
_SHOWN = 40


@dataclass(frozen=True)
class BadByte:
    """The first byte of a text that is no UTF-8: its place in the text, counted from 0, and the line, counted from 1."""

    offset: int
    line: int
    value: int


def marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning tells for certain; None for UTF-8 and for no mark."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def bad_byte(text: bytes, *, whole: bool) -> BadByte | None:
    """The first byte that is no UTF-8. Where the text is not whole, a letter that its end cuts is none."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text, final=whole)
    except UnicodeDecodeError as error:
        return BadByte(error.start, text.count(b"\n", 0, error.start) + 1, text[error.start])
    # Text of two bytes a letter is full of these and may yet be UTF-8.
    zero = text.find(b"\0")
    return (
        BadByte(zero, text.count(b"\n", 0, zero) + 1, 0)
        if zero >= 0 and guess(text) in ("utf-16-le", "utf-16-be")
        else None
    )


def guess(text: bytes) -> str | None:
    """The encoding that a text is most likely in, None where nothing speaks for one."""
    if marked := marked_encoding(text):
        return marked
    zeros = text[:4096].count(b"\0")
    if zeros > len(text[:4096]) / 5:
        odd = text[1:4096:2].count(b"\0")
        return "utf-16-le" if odd > zeros / 2 else "utf-16-be"
    # Only lines that hold such a letter tell anything.
    lines = [line for line in text.split(b"\n")[:-1] or [text] if not line.isascii()][:2000]
    sample = b"\n".join(lines)
    if not sample:
        return None
    asian = _asian(sample)
    if asian is not None:
        return asian
    scores = {name: score for name in _LETTERS if (score := _score(sample, name)) is not None}
    if scores:
        best = max(scores, key=lambda name: scores[name])
        # The likeliest stays where another is no better.
        return "cp1252" if scores.get("cp1252", -1) >= scores[best] else best
    return "latin-1"


def _asian(sample: bytes) -> str | None:
    """An encoding of two bytes a letter, where nearly all letters beyond ASCII are of its language."""
    within = len(re.findall(rb"[A-Za-z][\x80-\xff]", sample)) + len(
        re.findall(rb"[\x80-\xff][A-Za-z]", sample)
    )  # words of another script
    for name, pattern in (
        ("shift_jis", r"[\u3040-\u30ff]"),
        ("euc_jp", r"[\u3040-\u30ff]"),
        ("euc_kr", r"[\uac00-\ud7a3]"),
        ("gb18030", r"[\u4e00-\u9fff]"),
        ("big5", r"[\u4e00-\u9fff]"),
    ):
        try:
            text = sample.decode(name)
        except UnicodeDecodeError:
            continue
        letters = [c for c in text if not c.isascii()]
        of_language = len(re.findall(pattern, text))
        runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", sample)]
        # Chinese has no letters of its own that tell it from accented text: there, letters stand in words.
        needed = 0.3 if "30ff" in pattern else 0.8
        together = name == "shift_jis" or (sum(n % 2 == 0 for n in runs) >= 0.9 * len(runs) and 2 * within < len(runs))
        halfwidth = sum("\uff61" <= c <= "\uff9f" for c in letters)
        if letters and of_language >= needed * len(letters) and together and halfwidth < 0.3 * len(letters):
            return name
    return None


def _score(sample: bytes, name: str) -> float | None:
    """How many of the letters beyond ASCII are usual in the code page's languages; None where a byte has no letter in it."""
    try:
        text = sample.decode(name)
    except UnicodeDecodeError:
        return None
    beyond = [c for c in text if not c.isascii()]
    score = sum(c in _LETTERS[name] for c in beyond) / max(1, len(beyond))
    # A capital within a word of small letters is no word of any language.
    return score - len(re.findall(r"[a-zà-ÿа-яα-ω][A-ZÀ-ÞА-ЯΑ-Ω]", text)) / max(1, len(beyond))


def not_utf8(label: str, text: bytes, found: BadByte) -> SourceError:
    """The error for a text that is not UTF-8, with an encoding in which it reads and what it says there."""
    guessed = guess(text)
    name = f"'{label}' is not UTF-8: byte 0x{found.value:02x} at line {found.line:,}"
    if guessed is None:
        return SourceError(name, f"name its encoding, for example --encoding {PROPOSED[0]}")
    return SourceError(name, *_proposal(text, found, guessed))


def _proposal(text: bytes, found: BadByte, guessed: str) -> tuple[str, ...]:
    shown = ""
    if not guessed.startswith("utf-"):
        begin = text.rfind(b"\n", 0, found.offset) + 1
        end = text.find(b"\n", found.offset)
        line = text[begin : end if end >= 0 else len(text)].decode(guessed, "replace").strip()
        middle = max(0, len(text[begin : found.offset].decode(guessed, "replace")) - _SHOWN // 2)
        shown = f", in which the line has '{line[middle : middle + _SHOWN]}'"
    return (f"it looks like {guessed}{shown}: --encoding {guessed}",)
