"""Bundles of trained models, and real servers of them on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import bundles_served as bundles
import pytest
from served import Server

from cengine.models.model import Model


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """The models of `bundles_served.PIPELINES`."""
    return bundles.trained(tmp_path_factory.mktemp("project"), *bundles.PIPELINES)


@pytest.fixture(scope="session")
def folders(models: dict[str, Model], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each."""
    folder = tmp_path_factory.mktemp("bundles")
    return {name: bundles.write(model, folder / name) for name, model in models.items()}


@pytest.fixture(scope="session")
def server(folders: dict[str, Path]) -> Iterator[Server]:
    """A server of all of them."""
    with Server(*folders.values()) as started:
        yield started


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    """Starts servers: `serving(BUNDLE, "--max-rows", 5)`."""
    started: list[Server] = []

    def start(*words: object, **environment: str) -> Server:
        started.append(Server(*words, **environment))
        return started[-1]

    yield start
    for one in started:
        one.stop()
