"""`cengine model`: models that were written as folders."""

from __future__ import annotations

from pathlib import Path

import click

from cengine.cli.options import SETTINGS, json_option
from cengine.cli.output import cell, echo, print_json
from cengine.cli.progress import Busy


@click.group(context_settings=SETTINGS)
def model() -> None:
    """Look at models that were exported."""


@model.command(context_settings=SETTINGS)
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@json_option
def check(bundle: Path, as_json: bool) -> None:
    """Whether BUNDLE is whole, and whether its ONNX file predicts here what its model predicts.

    Every file is compared with its digest, and the predictions on the kept rows and on 20,000 made-up ones.
    """
    from cengine.exports.bundle import check_bundle
    from cengine.exports.certificate import measured_in
    from cengine.exports.formats import unpacked

    with unpacked(bundle) as folder, Busy() as busy:
        busy.say("comparing with the model")
        told = check_bundle(folder)
    if as_json:
        print_json({"bundle": str(bundle), **told})
        return
    echo(f"{cell(str(bundle))} is whole")
    echo(
        f"model.onnx predicts what the model predicts, on {told['rows']:,} kept rows and {told['made_up_rows']:,} made-up ones"
    )
    for one in told["labels"]:
        echo(
            f"{cell(one['label'])}: largest difference {one['largest_difference']:.2g} {cell(measured_in(one['unit']))}, "
            f"bound {one['bound']:.2g}"
        )
