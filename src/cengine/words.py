"""What all words of a YAML have in common: a word is a frozen model, its fields are its parameters.

A table of words (`TRANSFORMS`, `LOSSES`, ...) maps the name in the YAML to the class. `version` enters the
fingerprint of every stage that uses the word: raise it when the word's result changes.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict


class Word(BaseModel):
    """A word of the YAML with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    name: ClassVar[str]
    version: ClassVar[int] = 1

    def parameters(self) -> dict[str, Any]:
        """The parameters that were given, JSON-able."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def identity(self) -> dict[str, Any]:
        """What a fingerprint reads: name, version and every parameter, those of words within it too."""
        dumped = self.model_dump(mode="json")
        within = {key: value.identity() for key, value in self if isinstance(value, Word)}
        return {"word": self.name, "version": self.version, **dumped, **within}


AnyWord = TypeVar("AnyWord", bound=Word)


def table_of(*words: type[AnyWord]) -> dict[str, type[AnyWord]]:
    """A table from name to class, in the order given."""
    return {word.name: word for word in words}
