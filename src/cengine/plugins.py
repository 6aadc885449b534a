"""A table from a word to its class: our own, loaded when it is asked for, and those that other packages bring by an entry point."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from cengine.errors import CengineError

if TYPE_CHECKING:
    from cengine.words import Word  # pydantic, which `--help` does without

Class = TypeVar("Class")
AnyWord = TypeVar("AnyWord", bound="Word")


class Plugins(Mapping[str, type[Class]], Generic[Class]):
    """The table of one open set of words.

    `what` names one of them for a message, `group` is the entry point's, `own` has the classes of ours by name, or `module:class`
    where one is not to be imported before it is wanted. `unfit` says why a class of another package is none of these, None where
    it is one; what is wrong is raised as `error`. Whoever asks for ours alone does not make Python look through its packages.
    """

    def __init__(
        self,
        what: str,
        group: str,
        own: Mapping[str, str | type[Class]],
        unfit: Callable[[object], str | None],
        error: type[CengineError],
    ) -> None:
        self.what, self.group, self._own, self._unfit, self._error = what, group, own, unfit, error

    def __getitem__(self, name: str) -> type[Class]:
        own = self._own.get(name)
        if own is None:
            return self._load(self._points()[name])
        if not isinstance(own, str):
            return own
        module, _, attribute = own.partition(":")
        found: type[Class] = getattr(importlib.import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._points()

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in self._points() if name not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def own(self) -> tuple[str, ...]:
        """The names that no other package brings."""
        return tuple(self._own)

    def usable(self) -> dict[str, type[Class]]:
        """All of them, without those of other packages that cannot be used."""
        found = {}
        for name in self:
            try:
                found[name] = self[name]
            except self._error:
                continue
        return found

    def package(self, name: str) -> str:
        """The package that brings a word that is not ours, with its version."""
        return _package(self._points()[name])

    def _points(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {point.name: point for point in _entry_points(self.group)}

    def _load(self, point: importlib.metadata.EntryPoint) -> type[Class]:
        """The class behind an entry point. Whatever is wrong with it is told with its package's name."""

        def broken(reason: str) -> CengineError:
            return self._error(
                f"the {self.what} '{point.name}' of the package {_package(point)} cannot be used: {reason}",
                f"its entry point is {point.value}; upgrade the package or remove it",
            )

        try:
            found = point.load()
        except Exception as error:  # another package's code: anything can come out of it
            raise broken(f"{type(error).__name__}: {error}") from error
        if (reason := self._unfit(found)) is not None:
            raise broken(reason)
        unset = (name for name in getattr(found, "__class_vars__", ()) if not hasattr(found, name))
        if missing := sorted({*getattr(found, "__abstractmethods__", ()), *unset}):
            raise broken(f"it does not define {', '.join(missing)}")
        if getattr(found, "name", None) != point.name:
            raise broken(f"its class calls itself '{getattr(found, 'name', None)}'")
        loaded: type[Class] = found
        return loaded


def words_of(what: str, base: type, error: type[CengineError], *words: type[AnyWord]) -> Plugins[AnyWord]:
    """The table of our words in the order given, and of those by the entry point `cengine.WHATs`, which derive from `base`."""

    def unfit(found: object) -> str | None:
        if isinstance(found, type) and issubclass(found, base):
            return None
        return f"it is no class derived from {base.__module__}.{base.__name__}"

    return Plugins(what, f"cengine.{_plural(what)}", {word.name: word for word in words}, unfit, error)


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def _entry_points(group: str) -> importlib.metadata.EntryPoints:
    """Those of all packages. Looking takes a tenth of a second where many are installed: it is done again when there may be others."""
    return _entry_points_in(tuple((folder, _changed(folder)) for folder in sys.path), group)


@functools.lru_cache(maxsize=16)
def _entry_points_in(folders: tuple[tuple[str, int | None], ...], group: str) -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=group)


def _changed(folder: str) -> int | None:
    """When something was put into the folder, or taken out of it."""
    try:
        return os.stat(folder or os.curdir).st_mtime_ns  # noqa: PTH116  # of every folder of sys.path, each time that a table is asked
    except OSError:
        return None


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "?"
