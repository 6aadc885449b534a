"""The one exception family.

    CengineError
    +-- ConfigError       a YAML file: one or more problems, each with its place in the file
    +-- SourceError       a datasource: files, columns, rows
    +-- PreprocessError   split, fit, transform
    +-- TrainingError     the network or its training
    +-- StoreError        the project folder: records, artifacts, ids
    +-- LimitError        a limit of time or money that was reached before there was a model
    +-- ExportError       a model that has no such form, or one that does not predict the same

`cli/` alone catches them. Exceptions of other libraries are translated once, where they come in.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EXIT_OUR_BUG = 70


@dataclass(frozen=True)
class Location:
    """A place in a text file: `line` and `column` count from 1; `line_text` is that line without its end."""

    file: str
    line: int
    column: int
    length: int = 1
    line_text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong (or, as a warning, looks wrong): what, where, and how to mend it."""

    message: str
    location: Location | None = None
    notes: tuple[str, ...] = ()

    def render(self, label: str = "error") -> str:
        """The text a person reads: message, place with the line and a marker under it, notes."""
        lines = [f"{label}: {self.message}"]
        indent = "  "
        if self.location is not None:
            number = str(self.location.line)
            margin = " " * len(number)
            indent = f"{margin} "
            lines.append(f"{margin} --> {self.location}")
            if self.location.line_text:
                marker = " " * (self.location.column - 1) + "^" * max(1, self.location.length)
                lines += [f"{margin}  |", f"{number}  | {self.location.line_text}", f"{margin}  | {marker}"]
        lines += [f"{indent} = {note}" for note in self.notes]
        return "\n".join(lines)


class CengineError(Exception):
    """Something the user can mend; `exit_code` is the command's."""

    exit_code = 1

    def __init__(self, message: str, *notes: str) -> None:
        super().__init__(message)
        self.problems: tuple[Problem, ...] = (Problem(message, None, tuple(notes)),)

    def render(self) -> str:
        """All problems as one text."""
        return "\n\n".join(problem.render() for problem in self.problems)

    def __str__(self) -> str:
        return self.render()


class ConfigError(CengineError):
    """A configuration that cannot be used: every problem found, in the order of the file."""

    exit_code = 3

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(sorted(problems, key=_file_order))


class SourceError(CengineError):
    """A table that cannot be read as asked."""

    exit_code = 4


class PreprocessError(CengineError):
    """Rows that cannot be split, fitted or transformed as asked."""

    exit_code = 5


class TrainingError(CengineError):
    """A network that cannot be built or trained."""

    exit_code = 6


class StoreError(CengineError):
    """The project folder does not hold, or cannot take, what was asked."""

    exit_code = 7


class LimitError(CengineError):
    """A limit was reached before there was anything to evaluate."""

    exit_code = 8


class ExportError(CengineError):
    """A model that has no form in another format, or whose other form predicts something else."""

    exit_code = 9


def near_miss(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The note `did you mean ...?` for a misspelt word, or nothing when no known word is near."""
    lowered = {name.lower(): name for name in known}
    # Letters that changed places are the likeliest slip, and the one that difflib rates low.
    swapped = [name for name in lowered if sorted(name) == sorted(word.lower())]
    matches = swapped or difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return (f"did you mean '{lowered[matches[0]]}'?",) if matches else ()


def _file_order(problem: Problem) -> tuple[int, int]:
    return (problem.location.line, problem.location.column) if problem.location else (0, 0)
