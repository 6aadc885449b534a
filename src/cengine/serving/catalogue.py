"""The models that are served, by name and version, and how a model is reloaded while it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from cengine.errors import CengineError, near_miss
from cengine.serving.batching import Batcher
from cengine.serving.bundle import Bundle, read_bundle
from cengine.serving.metrics import Metrics
from cengine.serving.protocol import TensorReader
from cengine.serving.refusals import Refused
from cengine.serving.rows import RowReader
from cengine.serving.session import Session


@dataclass(frozen=True)
class Source:
    """Where a model comes from. `opened` gives a folder or .zip for as long as it is read; `name` is given, or None for its own."""

    told: str
    opened: Callable[[], AbstractContextManager[Path]]
    name: str | None = None

    def read(self) -> Bundle:
        """The bundle as it is now. Raises CengineError."""
        with self.opened() as path:
            return read_bundle(path, self.name)


@dataclass(frozen=True)
class Served:
    """A version of a model that answers."""

    bundle: Bundle
    rows: RowReader
    tensors: TensorReader
    batcher: Batcher


class Catalogue:
    """Models by name, each with its versions; the last one is the latest. Requests keep the `Served` that they found."""

    def __init__(self, sources: Sequence[Source], metrics: Metrics, serve: Callable[[Session], Served]) -> None:
        """Loads all of them. Raises CengineError for the first that cannot be served."""
        self._sources, self._metrics, self._serve = list(sources), metrics, serve
        self._models: dict[str, dict[str, Served]] = {}
        self._names: list[str] = []
        self._loading = asyncio.Lock()
        for source in self._sources:
            served = serve(_proved(source))
            self._names.append(served.bundle.name)
            self._models.setdefault(served.bundle.name, {})[served.bundle.version] = served

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """The versions of a model, the latest last. Raises Refused for an unknown one."""
        return list(self._of(name))

    def latest(self) -> list[Served]:
        """The latest version of each."""
        return [next(reversed(versions.values())) for versions in self._models.values()]

    def find(self, name: str | None = None, version: str | None = None) -> Served:
        """A version of a model: the only one where no name is given, the latest where no version is. Raises Refused."""
        if name is None:
            if len(self._models) > 1:
                raise Refused(
                    404, "unknown_model", f"several models are served, name one: /predict/{'|'.join(self._models)}"
                )
            (name,) = self._models
        versions = self._of(name)
        if version is None:
            return next(reversed(versions.values()))
        if (found := versions.get(version)) is None:
            raise Refused(
                404, "unknown_model", f"model '{name}' has no version '{version[:80]}'; it has {', '.join(versions)}"
            )
        return found

    async def reload(self, name: str) -> list[str]:
        """Reads the model's sources again and swaps all of its versions at once; gives the versions.

        Raises CengineError where a source cannot be served now: what answered so far goes on.
        """
        self._of(name)
        async with self._loading:
            sources = [one for one, own in zip(self._sources, self._names, strict=True) if own == name]
            try:
                sessions = [await asyncio.to_thread(_proved, source) for source in sources]
                if strange := [one.bundle.name for one in sessions if one.bundle.name != name]:
                    raise CengineError(f"what was model '{name}' is called '{strange[0]}' now: start the server anew")
            except CengineError:
                self._metrics.reloads[name, "failed"] += 1
                raise
            now = self._models[name]
            found = [now.get(one.bundle.version) or self._serve(one) for one in sessions]
            self._models = {**self._models, name: {one.bundle.version: one for one in found}}
            self._metrics.reloads[name, "loaded"] += 1
            return self.versions(name)

    def _of(self, name: str) -> dict[str, Served]:
        if (found := self._models.get(name)) is None:
            near = near_miss(name, self._models)
            raise Refused(
                404,
                "unknown_model",
                f"no model '{name[:80]}' is served; " + (near[0] if near else f"there is {', '.join(self._models)}"),
            )
        return found


def _proved(source: Source) -> Session:
    """The session of a source, whose golden rows came out right. Raises CengineError."""
    session = Session(source.read())
    session.prove()
    return session
