"""What all words of a YAML have in common: a word is a frozen model, its fields are its parameters.

A table of words (`TRANSFORMS`, `LOSSES`, ...) maps the name in the YAML to the class. `version` enters the
fingerprint of every stage that uses the word: raise it when the word's result changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cengine.errors import StoreError, near_miss


class Word(BaseModel):
    """A word of the YAML with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    name: ClassVar[str]
    version: ClassVar[int] = 1
    unsaid: ClassVar[frozenset[str]] = frozenset()
    """Parameters that are as if they were not there where they are None: fingerprints are older than they are."""
    within: ClassVar[Mapping[str, Mapping[str, type[Word]]]] = {}
    """The tables of the words that may stand under a parameter, by the parameter's name."""

    def parameters(self) -> dict[str, Any]:
        """The parameters that were given, JSON-able."""
        return self.model_dump(mode="json", exclude_defaults=True, by_alias=True)

    def identity(self) -> dict[str, Any]:
        """What a fingerprint reads: name, version and every parameter, those of words within it too."""
        left_out = {key for key in self.unsaid if getattr(self, key) is None}
        dumped = self.model_dump(mode="json", exclude=left_out, by_alias=True)
        within = {key: value.identity() for key, value in self if isinstance(value, Word)}
        return {"word": self.name, "version": self.version, **dumped, **within}


AnyWord = TypeVar("AnyWord", bound=Word)


def table_of(*words: type[AnyWord]) -> dict[str, type[AnyWord]]:
    """A table from name to class, in the order given."""
    return {word.name: word for word in words}


def read(identity: Mapping[str, Any], table: Mapping[str, type[AnyWord]]) -> AnyWord:
    """The word of which `identity` tells: the inverse of `Word.identity`.

    Raises StoreError for a word that the table lacks, for one of another version, and for parameters that it does not take.
    """
    name, version = identity["word"], identity["version"]
    if name not in table:
        raise StoreError(
            f"the word '{name}' is not known to this cengine",
            *near_miss(name, table),
            "install the package that brings it, or upgrade cengine",
        )
    word = table[name]
    if version != word.version:
        raise StoreError(
            f"'{name}' is of version {version}, this cengine has version {word.version}",
            "use the cengine that wrote it",
        )
    parameters = {key: value for key, value in identity.items() if key not in ("word", "version")}
    for key, tables in word.within.items():
        if isinstance(parameters.get(key), Mapping):
            parameters[key] = read(parameters[key], tables)
    try:
        return word.model_validate(parameters)
    except ValidationError as error:
        raise StoreError(f"'{name}' takes no such parameters: {error.errors()[0]['msg']}") from error
