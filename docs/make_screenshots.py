"""Draws docs/page.png and docs/slices.png: the page of the run that `make demo` leaves, as Chromium shows it.

    python docs/make_screenshots.py [PAGE]

Needs playwright and Chromium. The pictures are of made-up trips.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
DEMO = HERE.parent / "build/demo/.cengine/reports/run-1-1/report.html"


def main() -> None:
    from playwright.sync_api import sync_playwright

    page = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO
    program = os.environ.get("CENGINE_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, scheme, section in (("page", "light", None), ("slices", "dark", "#slices")):
            context = browser.new_context(viewport={"width": 1100, "height": 760}, color_scheme=scheme, offline=True)
            opened = context.new_page()
            opened.goto(page.resolve().as_uri())
            if section:
                opened.locator("[data-control=columns]").select_option(label="start_station_name")
                opened.locator("[data-control=smallest]").fill("50")
                opened.locator(section).evaluate("(it) => it.scrollIntoView()")
            opened.wait_for_timeout(1500)  # charts are drawn as they come into view
            opened.screenshot(path=HERE / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
