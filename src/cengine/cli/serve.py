"""`cengine serve`: models answer over HTTP. This process loads no more than it takes to answer; a run is exported by another one."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cengine.cli.options import SETTINGS, Size
from cengine.cli.output import echo
from cengine.errors import CengineError
from cengine.serving import settings as defaults

if TYPE_CHECKING:
    from cengine.serving.catalogue import Source


@click.command(context_settings=SETTINGS)
@click.argument("models", metavar="[NAME=]RUN|BUNDLE...", nargs=-1, required=True)
@click.option("--host", default=defaults.HOST, show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=defaults.PORT, show_default=True, help="0 finds a free one."
)
@click.option("--token-file", type=click.Path(path_type=Path), help="A file with the secret that clients send.")
@click.option(
    "--max-rows", type=click.IntRange(min=1), default=defaults.MAX_ROWS, show_default=True, help="Rows of a request."
)
@click.option(
    "--max-bytes", type=Size(), default=defaults.MAX_BYTES, help="Bytes of a request, e.g. 8MB. Default: 32MiB."
)
@click.option(
    "--queue", type=click.IntRange(min=1), default=defaults.QUEUE, show_default=True, help="Rows that may wait."
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0, min_open=True),
    default=defaults.DRAIN,
    show_default=True,
    help="Seconds that an end waits for answers.",
)
@click.option(
    "--log-requests",
    type=click.Path(path_type=Path),
    help="A folder for what comes and is predicted, as Parquet files.",
)
@click.option("--open", "is_open", is_flag=True, help="Listen at any --host without a token.")
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    max_rows: int,
    max_bytes: int,
    queue: int,
    drain: float,
    log_requests: Path | None,
    is_open: bool,
) -> int:
    """Serve models over HTTP: POST /predict, the Open Inference Protocol, a page at /docs, metrics at /metrics.

    A model is a run (ID|NAME[:RUN]) or a bundle (a folder or .zip that `cengine export` wrote). Models with the same
    name are versions of one model; the last is the latest. SIGHUP reloads all models; SIGTERM ends the server after it has answered all requests.
    """
    from cengine.serving.server import require_packages

    require_packages()
    from cengine.serving.starting import start

    token = defaults.read_token(token_file) if token_file else None
    settings = defaults.Settings(host, port, token, max_rows, max_bytes, queue, drain, log_requests, is_open)
    settings.check()
    return start(_sources(models), settings, echo)


def _sources(models: Sequence[str]) -> list[Source]:
    from cengine.serving.starting import bundle_source, parted

    found = []
    for text in models:
        name, rest = parted(text)
        is_path = Path(rest).exists() or "/" in rest or rest.endswith(".zip")
        found.append(bundle_source(Path(rest), name) if is_path else _run_source(rest, name))
    return found


def _run_source(key: str, name: str | None) -> Source:
    """A run, written as a bundle each time that it is read, so that the newest run of a pipeline comes with the next loading."""
    from cengine.serving.catalogue import Source

    @contextlib.contextmanager
    def opened() -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="cengine-") as folder:
            bundle = Path(folder) / "bundle"
            command = [sys.executable, "-m", "cengine.cli.main", "export", key, "--format", "bundle", "-o", str(bundle)]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode:
                told = done.stderr.strip().removeprefix("error: ") or f"the export ended with {done.returncode}"
                raise CengineError(f"'{key}' cannot be served: {told}")
            yield bundle

    return Source(key, opened, name)
