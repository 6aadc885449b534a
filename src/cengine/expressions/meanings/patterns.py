"""Regular expressions and LIKE patterns in the part of the language that DuckDB, PostgreSQL, Java and BigQuery read alike.

A pattern is read and written again: classes as the ASCII characters they stand for, the point as all but a line feed, letters
without case as pairs. `$` is the end of the text and `\\b` the border of a word of ASCII; `of_java` and `of_postgres` say those two
as these languages need it.
"""

from __future__ import annotations

import re

_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}
_NAMED = {"alpha": "A-Za-z", "digit": "0-9", "alnum": "0-9A-Za-z", "upper": "A-Z", "lower": "a-z", "space": r"\t\n\x0B\f\r ", "xdigit": "0-9A-Fa-f",
          "word": "0-9A-Za-z_", "blank": r"\t "}  # fmt: skip
_CONTROLS = {"n": r"\n", "t": r"\t", "r": r"\r", "f": r"\f"}
_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}", re.ASCII)
# What PostgreSQL takes.
MAX_COUNT = 255
_WORD = "[0-9A-Za-z_]"
_BORDER = rf"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"


class NotAPattern(ValueError):
    """Why a regular expression is not one everywhere, in a sentence without its subject."""


def same_everywhere(pattern: str, options: str = "") -> str:
    """The pattern in the common language. Raises NotAPattern."""
    unknown = set(options) - set("cis")
    if unknown:
        raise NotAPattern(f"has the option '{min(unknown)}', which not every engine has; there are i, c and s")
    return _Pattern(pattern, any_case="i" in options, point="s" in options).written()


def of_java(pattern: str) -> str:
    """A pattern of the common language as Java reads it, whose `$` also stands before a last line feed."""
    return _replaced(pattern, {"$": r"\z", r"\b": _BORDER})


def of_postgres(pattern: str) -> str:
    """A pattern of the common language as PostgreSQL reads it, which has other words for the border of a word."""
    return _replaced(pattern, {r"\b": _BORDER})


def _replaced(pattern: str, others: dict[str, str]) -> str:
    return re.sub(r"\\.|\$", lambda match: others.get(match.group(), match.group()), pattern, flags=re.DOTALL)


class _Pattern:
    def __init__(self, text: str, *, any_case: bool, point: bool) -> None:
        self.text = text
        self.place = 0
        self.depth = 0
        self.any_case = any_case
        self.any_character = point

    def written(self) -> str:
        if match := re.match(r"\(\?([is]+)\)", self.text):
            self.any_case |= "i" in match.group(1)
            self.any_character |= "s" in match.group(1)
            self.place = match.end()
        pieces = []
        while self.place < len(self.text):
            pieces.append(self._piece())
        if self.depth:
            raise NotAPattern("has a bracket that is not closed")
        return "".join(pieces)

    def _take(self, length: int = 1) -> str:
        taken = self.text[self.place : self.place + length]
        self.place += length
        return taken

    def _piece(self) -> str:
        character = self._take()
        if character == "(":
            return self._opened()
        if character == ")":
            self.depth -= 1
            if self.depth < 0:
                raise NotAPattern("closes a bracket that is not open")
            return ")" + self._repeated()
        if character == "|":
            return "|"
        if character in "^$":
            self._expect_no_count("^ or $")
            return character
        if character in "*+?":
            raise NotAPattern(f"repeats nothing with '{character}'")
        return self._one(character) + self._repeated()

    def _opened(self) -> str:
        if self.text.startswith("?:", self.place):
            self._take(2)
        elif self.text.startswith("?", self.place):
            raise NotAPattern(
                "has a group that begins with (?, which not every engine has; only (?: and a leading (?i) or (?s) may stand there"
            )
        self.depth += 1
        self._expect_no_count("an open bracket")
        return "(?:"

    def _expect_no_count(self, what: str) -> None:
        if self.text[self.place : self.place + 1] in ("*", "+", "?") or _COUNT.match(self.text, self.place):
            raise NotAPattern(f"repeats {what}")

    def _one(self, character: str) -> str:
        """One character or class."""
        if character == ".":
            return r"(?:.|\n)" if self.any_character else r"[^\n]"
        if character == "[":
            return self._bracketed()
        if character == "\\":
            return self._escaped()
        return self._cased(character)

    def _escaped(self) -> str:
        if self.place >= len(self.text):
            raise NotAPattern("ends with a backslash")
        character = self._take()
        if character in _CLASSES:
            return f"[{_CLASSES[character]}]"
        if character.lower() in _CLASSES:
            return f"[^{_CLASSES[character.lower()]}]"
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character == "b":
            self._expect_no_count(r"\b")
            return r"\b"
        if character in "Az":
            self._expect_no_count("the begin or end of the text")
            return "^" if character == "A" else "$"
        if character.isascii() and not character.isalnum():
            return _literal(character)
        raise NotAPattern(rf"has \{character}, which not every engine reads alike")

    def _cased(self, character: str) -> str:
        other = _other_case(character) if self.any_case else character
        return _literal(character) if other == character else f"[{character}{other}]"

    def _repeated(self) -> str:
        count = self._count()
        if not count:
            return ""
        self._take(len(count))
        if self.text[self.place : self.place + 1] == "?":  # which match is found plays no part in whether there is one
            self._take()
        if self.text[self.place : self.place + 1] in ("*", "+", "?") or _COUNT.match(self.text, self.place):
            raise NotAPattern("repeats a repetition; put it in brackets")
        return count

    def _count(self) -> str:
        """How often what stands before is repeated, as it is written here; empty where nothing is said."""
        character = self.text[self.place : self.place + 1]
        if match := _COUNT.match(self.text, self.place):
            low, high = int(match.group(1)), int(match.group(3) or match.group(1))
            if max(low, high) > MAX_COUNT or high < low:
                raise NotAPattern(f"repeats {match.group()}; counts go up to {MAX_COUNT}, the least first")
            return match.group()
        if character == "{":
            raise NotAPattern("has a { that begins no count; write \\{")
        return character if character in ("*", "+", "?") else ""

    def _bracketed(self) -> str:
        negative = self.text.startswith("^", self.place)
        if negative:
            self._take()
        members: list[str] = []
        first = True
        while first or not self.text.startswith("]", self.place):
            if self.place >= len(self.text):
                raise NotAPattern("has a [ that is not closed")
            members.append(self._member())
            first = False
        self._take()
        return f"[{'^' if negative else ''}{''.join(members)}]"

    def _member(self) -> str:
        if match := re.compile(r"\[:(\w+):\]").match(self.text, self.place):
            self._take(len(match.group()))
            if match.group(1) not in _NAMED:
                raise NotAPattern(f"has the class {match.group()}, which not every engine has")
            return self._both_cases(_NAMED[match.group(1)])
        low = self._class_character()
        if len(low) > 1:  # a class such as \d
            return low
        if not (self.text.startswith("-", self.place) and not self.text.startswith("-]", self.place)):
            return "".join(sorted({_in_class(low), _in_class(_other_case(low) if self.any_case else low)}))
        self._take()
        high = self._class_character()
        if len(high) > 1 or high < low:
            raise NotAPattern("has a range in [ ] that does not go upwards")
        return self._range(low, high)

    def _class_character(self) -> str:
        """The next character in [ ], or the members of a class."""
        character = self._take()
        if character != "\\":
            return character
        escape = self._take()
        if escape in _CLASSES:
            return _CLASSES[escape]
        if escape in _CONTROLS:
            return {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}[escape]
        if escape.isascii() and escape and not escape.isalnum():
            return escape
        raise NotAPattern(rf"has \{escape} in [ ], which not every engine reads alike")

    def _range(self, low: str, high: str) -> str:
        range_ = f"{_in_class(low)}-{_in_class(high)}"
        if not self.any_case:
            return range_
        if not high.isascii():
            raise NotAPattern("has a range of letters beyond ASCII without case; list them")
        others = {_other_case(chr(code)) for code in range(ord(low), ord(high) + 1)} - {
            chr(code) for code in range(ord(low), ord(high) + 1)
        }
        return range_ + "".join(_in_class(other) for other in sorted(others))

    def _both_cases(self, members: str) -> str:
        return (
            members.replace("A-Z", "a-z").replace("a-za-z", "a-z").replace("a-z", "A-Za-z")
            if self.any_case
            else members
        )


def _other_case(character: str) -> str:
    """The same letter in the other case where that is one letter, which has it for its other case."""
    for other in (character.lower(), character.upper()):
        if len(other) == 1 and other != character and character in (other.lower(), other.upper()):
            return other
    return character


def _literal(character: str) -> str:
    named = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\f": r"\f"}
    if character in named:
        return named[character]
    return (
        f"\\{character}"
        if character.isascii() and character.isprintable() and not character.isalnum() and character not in " _"
        else character
    )


_in_class = _literal


# LIKE


def like_pattern(pattern: str, escape: str | None) -> str:
    """A LIKE pattern whose escape is the backslash. Raises NotAPattern where the user's escape is followed by nothing to escape."""
    if escape is not None and len(escape) != 1:
        raise NotAPattern("has an escape that is not one character")
    pieces, characters = [], iter(pattern)
    for character in characters:
        if escape is not None and character == escape:
            escaped = next(characters, "")
            if escaped not in ("%", "_", escape):
                raise NotAPattern(f"has the escape {escape} before something else than %, _ or {escape}")
            pieces.append(f"\\{escaped}" if escaped in "%_\\" else escaped)
        else:
            pieces.append("\\\\" if character == "\\" else character)
    return "".join(pieces)


def escaped_for_like(text: str) -> str:
    """A text as a LIKE pattern that it alone matches."""
    return re.sub(r"([%_\\])", r"\\\1", text)
