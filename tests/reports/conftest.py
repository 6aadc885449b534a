"""A real browser, off the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Opened:
    """A page that was opened, and all that it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the script of Vega is kept for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens a page from disk with the network off: `open_page(text, width=1280, scheme="dark")`."""
    contexts = []

    def open_(
        text: str, *, width: int = 1280, height: int = 900, scheme: Any = "light", name: str = "report.html"
    ) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        context.set_offline(True)
        opened = Opened(context.new_page())
        opened.page.on(
            "console", lambda told: opened.said.append(told.text) if told.type in ("error", "warning") else None
        )
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.on("dialog", lambda dialog: (opened.dialogs.append(dialog.message), dialog.dismiss()))
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        opened.page.goto(file.as_uri())
        return opened

    yield open_
    for context in contexts:
        context.close()
