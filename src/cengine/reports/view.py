"""Parts of the page as an object that a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import escape

from cengine.reports import html
from cengine.store.writing import write_whole

if TYPE_CHECKING:
    from cengine.reports.summary import Summary

# Charts of a section want about this much; a frame cannot grow with what is in it, but its corner can be drawn.
HEIGHTS = {
    "answer": 320,
    "curves": 480,
    "features": 760,
    "errors": 760,
    "rows": 560,
    "slices": 900,
    "worst": 560,
    "split": 360,
    "columns": 640,
    "configuration": 720,
}
MAX_HEIGHT = 1000


class View:
    """Some sections of a run's page; a notebook shows them in a frame that carries all it needs, `save` writes them."""

    def __init__(
        self,
        summary: Summary,
        other: Summary | None = None,
        *,
        sections: Sequence[str] | str = ("slices",),
        cache: Path,
        height: int | None = None,
    ) -> None:
        self.summary = summary
        self.other = other
        self.sections = (sections,) if isinstance(sections, str) else tuple(sections)
        self.cache = cache
        html.check_sections(self.sections)
        self.height = height or min(MAX_HEIGHT, sum(HEIGHTS[name] for name in self.sections))

    def __repr__(self) -> str:
        return f"View({html.run_name(self.summary)}: {', '.join(self.sections)})"

    def _repr_html_(self) -> str:
        page = html.page(self.summary, other=self.other, cache=self.cache, sections=self.sections, embedded=True)
        style = f"width:100%;height:{self.height}px;border:0;resize:vertical;overflow:auto"
        # The frame is a world of its own: its scripts run, but cannot reach the notebook.
        title = f"cengine: {', '.join(self.sections)}"
        return f'<iframe sandbox="allow-scripts allow-modals" title="{title}" style="{style}" srcdoc="{escape(page)}"></iframe>'

    def save(self, path: Path | str) -> Path:
        """The file, written: the sections as a page of their own."""
        return write_whole(
            Path(path), html.page(self.summary, other=self.other, cache=self.cache, sections=self.sections)
        )
