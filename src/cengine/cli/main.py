"""`cengine`: the groups of commands, and the one place that catches errors."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
import traceback
from pathlib import Path

import click

from cengine import memory
from cengine.cli.interrupt import remembered
from cengine.cli.options import SETTINGS
from cengine.cli.output import echo
from cengine.errors import EXIT_OUR_BUG, CengineError
from cengine.extras import DISTRIBUTION
from cengine.networks import keras_setup
from cengine.stopping import Reason

# Groups by name: the module that is imported when one is called, and what the help says without importing it.
GROUPS = {
    "datasource": ("cengine.cli.datasource", "Register tables and look at them."),
    "pipeline": ("cengine.cli.pipeline", "Push a YAML, run it, see how good the model is."),
    "predict": ("cengine.cli.predict", "Predict the rows of a file or a datasource."),
    "export": ("cengine.cli.export", "Write a model in a format that others run: ONNX, Keras, SQL, a bundle."),
    "model": ("cengine.cli.model", "Look at models that were exported."),
    "serve": ("cengine.cli.serve", "Let models answer over HTTP."),
    "workspace": ("cengine.cli.workspace", "Keep datasources and pipelines apart, in one store."),
    "cache": ("cengine.cli.cache", "What is stored, what may go, whether it is whole."),
    "doctor": ("cengine.cli.doctor", "What this installation and project lack, and the command that mends it."),
    "sample": ("cengine.cli.sample", "Write made-up tables to try things on."),
}


class LazyGroups(click.Group):
    """Imports a group's module only when the group is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(GROUPS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in GROUPS:
            return None
        module, _ = GROUPS[name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in GROUPS.items()])


@click.command(cls=LazyGroups, context_settings=SETTINGS)
@click.option(
    "--project", metavar="FOLDER", help="The project folder; by default .cengine here or in the nearest folder above."
)
@click.option("--workspace", metavar="NAME", help="The workspace; by default the active one.")
@click.option("--traceback", is_flag=True, help="Show where in the program an error came from.")
@click.version_option(None, "--version", "-V", package_name=DISTRIBUTION, message="cengine %(version)s")
def cli(project: str | None, workspace: str | None, traceback: bool) -> None:
    """A table and a few lines of YAML become a trained, evaluated model.

    \b
    cengine datasource create csv --name trips --path 'trips*.csv.gz'
    cengine pipeline push trips.yaml my_experiment
    cengine pipeline run 1
    cengine pipeline evaluate 1
    """
    if project:
        os.environ["CENGINE_PROJECT"] = project
    if workspace:
        os.environ["CENGINE_WORKSPACE"] = workspace


def main() -> None:
    """Runs the command line and exits with its code."""
    keras_setup.is_own_process = True
    # What is imported stays: to look through all of it again for every 700 new objects takes a fifth of a short command's time.
    gc.set_threshold(50_000, 20, 20)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command: 0, or that of the error, told in a few lines."""
    with remembered() as wish:
        try:
            result = cli.main(arguments, prog_name="cengine", standalone_mode=False)
            return result if isinstance(result, int) else 0
        except (KeyboardInterrupt, click.Abort):
            return _stopped(wish.reason)
        except Exception as error:
            # Libraries make errors of their own of what is raised within them; it is the wish to end all the same.
            if wish.reason is not None and wish.was_raised and not wish.reason.is_limit:
                return _stopped(wish.reason)
            return _failed(error, arguments)


def _stopped(reason: Reason | None) -> int:
    reason = reason or Reason.INTERRUPTED
    echo(f"\n{reason.sentence}; what was complete is kept, and the same command goes on from there", err=True)
    return reason.exit_code


def _failed(error: Exception, arguments: list[str]) -> int:
    match error:
        case CengineError() if "--traceback" not in arguments:
            echo(error.render(), err=True)
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            echo(error.ctx.get_help() if error.ctx else "")
            return 2
        case click.ClickException():
            shown = io.StringIO()
            error.show(shown)
            echo(shown.getvalue(), err=True, nl=False)
            return error.exit_code
        case BrokenPipeError():
            # The reader of our output (`| head`) went away; that is no error. Python must not flush into the pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
    if (refused := memory.refusal(error)) is not None and "--traceback" not in arguments:
        told = CengineError(*refused)
        echo(told.render(), err=True)
        return told.exit_code
    if "--traceback" in arguments:
        echo("".join(traceback.format_exception(error)), err=True, nl=False)
        return getattr(error, "exit_code", EXIT_OUR_BUG)
    echo(
        f"sorry, this is a bug in cengine: {type(error).__name__}: {error}\nwhat happened in full: {_log(error)}",
        err=True,
    )
    return EXIT_OUR_BUG


def _log(error: Exception) -> Path:
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="cengine-", suffix=".log", delete=False) as file:
        traceback.print_exception(error, file=file)
        return Path(file.name)


if __name__ == "__main__":
    main()
