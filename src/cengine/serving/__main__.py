"""`python -m cengine.serving BUNDLE...`: the server alone, for an image that has nothing else of cengine's packages installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cengine.errors import CengineError
from cengine.serving import settings as defaults
from cengine.serving.server import require_packages
from cengine.serving.settings import Settings, read_token
from cengine.terminal import say


def main(words: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser("python -m cengine.serving", description="Serves the models of bundles over HTTP.")
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE", help="a folder or .zip; NAME=BUNDLE gives it a name")
    parser.add_argument("--host", default=defaults.HOST)
    parser.add_argument("--port", type=int, default=defaults.PORT)
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--max-rows", type=int, default=defaults.MAX_ROWS)
    parser.add_argument("--max-bytes", type=int, default=defaults.MAX_BYTES)
    parser.add_argument("--queue", type=int, default=defaults.QUEUE)
    parser.add_argument("--drain", type=float, default=defaults.DRAIN)
    parser.add_argument("--log-requests", type=Path)
    parser.add_argument("--open", action="store_true", dest="is_open")
    given = parser.parse_args(words)
    try:
        return _served(given)
    except CengineError as error:
        say(error.render(), err=True)
        return error.exit_code


def _served(given: argparse.Namespace) -> int:
    require_packages()
    from cengine.serving.starting import bundle_named, start

    settings = Settings(
        given.host,
        given.port,
        read_token(given.token_file) if given.token_file else None,
        given.max_rows,
        given.max_bytes,
        given.queue,
        given.drain,
        given.log_requests,
        given.is_open,
    )
    return start([bundle_named(text) for text in given.bundles], settings, say)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
