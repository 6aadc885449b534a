"""`cengine sample`: made-up tables."""

from __future__ import annotations

from pathlib import Path

import click

from cengine.cli.options import SETTINGS
from cengine.cli.output import echo


@click.group(context_settings=SETTINGS)
def sample() -> None:
    """Write made-up tables to try things on."""


@sample.command(context_settings=SETTINGS)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--rows", "num_rows", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
def trips(file: Path, num_rows: int, seed: int, force: bool) -> None:
    """Write bike-share trips that look like real ones into FILE (.csv, .csv.gz, .csv.zst or .parquet)."""
    from cengine.cli.progress import IngestBar
    from cengine.errors import SourceError
    from cengine.samples.trips import generate_trips

    if file.exists() and not force:
        raise SourceError(f"'{file}' exists already", "add --force to replace it")
    try:
        with IngestBar() as bar:
            generate_trips(
                file, num_rows, seed=seed, progress=lambda done, total: bar.report("write", done / total, done)
            )
    except ValueError as error:
        raise SourceError(str(error)) from None
    echo(f"{num_rows:,} trips written to {file}")


@sample.command(context_settings=SETTINGS)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--machines", "num_machines", type=click.IntRange(min=1, max=10_000), default=20, show_default=True)
@click.option("--days", "num_days", type=click.IntRange(min=1, max=3_660), default=120, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
def series(file: Path, num_machines: int, num_days: int, seed: int, force: bool) -> None:
    """Write reports of machines, every ten minutes, into FILE (.csv, .csv.gz or .parquet): series to forecast, stops to foresee."""
    from cengine.errors import SourceError
    from cengine.samples.machines import generate_machines

    if file.exists() and not force:
        raise SourceError(f"'{file}' exists already", "add --force to replace it")
    try:
        num_rows = generate_machines(file, num_machines, num_days, seed=seed)
    except ValueError as error:
        raise SourceError(str(error)) from None
    echo(f"{num_rows:,} reports of {num_machines:,} machines written to {file}")
