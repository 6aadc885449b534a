"""`cengine pipeline tensorboard`."""

from __future__ import annotations

import time

import click

from cengine.cli.options import SETTINGS, looked_at
from cengine.cli.output import echo

# How often the links follow what runs do; TensorBoard itself looks every few seconds.
FOLLOW_SECONDS = 2.0


@click.command(context_settings=SETTINGS)
@click.argument("keys", metavar="ID|NAME[:RUN]...", nargs=-1, required=True)
@click.option("--port", type=click.IntRange(0, 65535), help="By default 6006 or the next free one; 0 takes any.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
def tensorboard(keys: tuple[str, ...], port: int | None, no_open: bool) -> None:
    """Show curves, weights, network and hyper-parameters of runs, those still going on too, in TensorBoard."""
    from cengine.cli.opening import open_page
    from cengine.inspection.tensorboard import chosen_runs, serve

    chosen = chosen_runs(looked_at(), keys)
    names = chosen.linked()
    # A curve has about ten points; TensorBoard's usual smoothing would draw it somewhere else.
    address = serve(chosen.folder, port) + "?smoothing=0"
    echo(f"TensorBoard shows {', '.join(names) or 'nothing yet'}: {address}")
    echo("Ctrl-C ends it")
    if not no_open:
        open_page(address)
    try:
        while True:
            time.sleep(FOLLOW_SECONDS)
            chosen.linked()
    except KeyboardInterrupt:
        echo()
