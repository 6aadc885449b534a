"""The page to try a row in: three files that ask no other host for anything. What they show of a model they read from /openapi.json."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "static"
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _file(name: str, content_type: bytes) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    headers = (
        (b"content-type", content_type),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    )
    return (_FOLDER / name).read_bytes(), headers


# By path: the body and its headers.
FILES = {
    "/docs": _file("page.html", b"text/html; charset=utf-8"),
    "/docs/page.js": _file("page.js", b"text/javascript; charset=utf-8"),
    "/docs/page.css": _file("page.css", b"text/css; charset=utf-8"),
}
