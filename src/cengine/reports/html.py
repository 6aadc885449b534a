"""A summary -> one HTML file that carries its scripts, styles and data inside, and asks no host for anything.

Texts of the user are hostile: Jinja2 escapes them, data goes in as JSON in which no tag can end, and the page's policy lets no
script run but those written here, by their hashes.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cengine.reports import charts, formats, odd_rows
from cengine.reports import sections as parts
from cengine.store.permissions import file_mode, make_folder
from cengine.store.writing import write_whole

if TYPE_CHECKING:
    from cengine.reports.summary import Summary

SECTIONS = ("answer", "curves", "features", "errors", "rows", "slices", "worst", "split", "columns", "configuration")
run_name = parts.run_name
POLICY_MARK = "sha256-of-the-scripts"


def page(
    summary: Summary,
    *,
    other: Summary | None = None,
    cache: Path,
    sections: Sequence[str] | None = None,
    embedded: bool = False,
) -> str:
    """The page of a run: `sections` of it (all by default), with the run of `other` beside it where both can be shown.

    `embedded` leaves out the heading, for a frame that stands under one.
    """
    chosen = tuple(SECTIONS if sections is None else sections)
    check_sections(chosen)
    return render("page.html", cache=cache, summary=summary, other=other, chosen=chosen, embedded=embedded)


def check_sections(names: Sequence[str]) -> None:
    """Nothing where all names are sections; a ValueError that names the first that is not."""
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise ValueError(f"unknown section {unknown[0]!r}; known sections: {', '.join(SECTIONS)}")


def render(template: str, *, cache: Path, **values: object) -> str:
    """The text of a template that extends `base.html`.

    It may call `style(name)` and `script(name)` (files of templates/), `chart(id, spec, description)` (a Vega-Lite spec),
    `data(id, value)` (JSON for scripts), and the filters of `formats.py`.
    """
    carried = _Carried(cache)
    text = _environment().get_template(template).render(**carried.functions(), **values)
    return text.replace(POLICY_MARK, carried.hashes(), 1)


class _Carried:
    """The scripts of one page: each is written by a method, and its hash kept for the policy."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._hashes: list[str] = []
        self._num_charts = 0

    def functions(self) -> dict[str, Callable[..., object]]:
        """What templates call."""
        return {
            "policy": self.policy,
            "style": _style,
            "script": self.script,
            "vega": self.vega,
            "has_charts": lambda: self._num_charts > 0,
            "chart": self.chart,
            "data": _data,
        }

    def policy(self) -> str:
        """The Content-Security-Policy, hashes still to be filled in: the scripts come later in the text."""
        return f"default-src 'none'; script-src {POLICY_MARK}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

    def hashes(self) -> str:
        """Sources of the policy that let the scripts of this page run, and no other."""
        return " ".join(dict.fromkeys(self._hashes)) or "'none'"

    def script(self, *names: str) -> Markup:
        """Scripts of templates/ as one element; they see each other's names, and no other script's."""
        return self._element("(() => {\n'use strict';\n" + "".join(map(_file, names)) + "})();\n")

    def vega(self) -> Markup:
        """Vega, Vega-Lite and Vega-Embed as an element."""
        return self._element(f"(() => {{{vega_script(self._cache)}}})();")

    def chart(self, identity: str, spec: charts.Spec, description: str, *, caption: str | None = None) -> Markup:
        """A figure that page.js draws when it comes into view; `description` is what a screen reader says."""
        self._num_charts += 1
        told = Markup("<figcaption>{}</figcaption>").format(caption) if caption else Markup("")
        drawing = Markup('<div class="drawing" id="{}" role="img" aria-label="{}"></div>').format(identity, description)
        return Markup('<figure class="chart">{}{}{}</figure>').format(
            told, drawing, _data(f"{identity}-spec", charts.themed(spec))
        )

    def _element(self, code: str) -> Markup:
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        self._hashes.append(f"'sha256-{digest}'")
        return Markup(f"<script>{code}</script>")


def vega_script(cache: Path) -> str:
    """The script that sets `window.vegaEmbed`; kept in `cache`, since putting it together takes two seconds."""
    import vl_convert

    name = f"vega-{vl_convert.get_vega_version()}-{vl_convert.get_vegalite_versions()[-1]}-{vl_convert.get_vega_embed_version()}.js"
    kept = cache / name
    if kept.exists():
        return kept.read_text(encoding="utf-8")
    code = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in code.lower() or "<!--" in code:
        raise ValueError("the bundle of Vega cannot stand inside a page")
    with contextlib.suppress(OSError):  # of a project that can only be read
        write_whole(make_folder(cache) / name, code, mode=file_mode(cache))
    return code


def _data(identity: str, value: object) -> Markup:
    """A JSON element that scripts read; nothing in it can end the element or begin a comment."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup('<script type="application/json" id="{}">{}</script>').format(identity, Markup(text))


def _finite(value: object) -> object:
    """The value with null for what JSON cannot say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _style(name: str) -> Markup:
    return Markup(f"<style>\n{_file(name)}</style>")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(formats.FILTERS | {"drift_level": parts.drift_level})
    environment.globals.update(charts=charts, odd_rows=odd_rows, parts=parts)
    return environment


@functools.cache
def _file(name: str) -> str:
    return resources.files("cengine.reports").joinpath("templates", name).read_text(encoding="utf-8")
