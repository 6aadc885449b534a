"""From what was typed to a server that answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cengine.errors import CengineError
from cengine.serving.bundle import fit_name
from cengine.serving.catalogue import Source
from cengine.serving.server import bound_socket, load_less, serve
from cengine.serving.settings import Settings


def parted(text: str) -> tuple[str | None, str]:
    """The name and the rest of `NAME=REST`. Raises CengineError for a name that cannot stand in an address."""
    name, equals, rest = text.partition("=")
    if not equals or Path(text).exists():
        return None, text
    if name != fit_name(name):
        raise CengineError(
            f"'{name}' cannot be a model's name: letters, digits, . _ and - only", f"take {fit_name(name)}={rest}"
        )
    return name, rest


def bundle_named(text: str) -> Source:
    """The bundle of `[NAME=]PATH`."""
    name, rest = parted(text)
    return bundle_source(Path(rest), name)


def bundle_source(path: Path, name: str | None = None) -> Source:
    """A bundle on disk."""

    @contextlib.contextmanager
    def opened() -> Iterator[Path]:
        yield path

    return Source(str(path), opened, name)


def start(sources: Sequence[Source], settings: Settings, say: Callable[[str], None]) -> int:
    """Loads the models and serves them until a signal ends it; gives the exit code. Raises CengineError before it listens."""
    settings.check()
    with bound_socket(settings.host, settings.port) as bound:
        load_less()
        from cengine.serving.app import App

        return serve(App(list(sources), settings), bound, settings.drain, say)
