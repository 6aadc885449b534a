"""What the commands' options share: spelling with _ or -, sizes, the project."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cengine.quantities import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from cengine.store.project import Project

    Number = click.ParamType[float, Any]
else:
    Number = click.ParamType  # Click 8.2 takes no types of values

# `--pipeline_id` and `--pipeline-id` are the same.
SETTINGS: dict[str, Any] = {
    "token_normalize_func": lambda token: token.replace("_", "-"),
    "help_option_names": ["-h", "--help"],
}

MIN_MEMORY = 10**9


class Size(Number):
    """A number of bytes such as 10GB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Age(Number):
    """A number of seconds such as 30d, 12h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else parse_seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class MemorySize(Number):
    """A number of bytes such as 4GB, 512MiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            size = parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if size < MIN_MEMORY:
            self.fail(f"{value} is too little: Keras and the engine alone need most of 1GB", param, ctx)
        return size


def resource_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--memory` and `--threads`."""
    command = click.option(
        "--memory",
        "memory_bytes",
        type=MemorySize(),
        help="What the program may hold, e.g. 4GB. Default: half of the machine's.",
    )(command)
    return click.option("--threads", type=click.IntRange(min=1), help="Threads for queries. Default: all cores.")(
        command
    )


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--engine`, `--master`, `--workers`, `--cpus-per-worker` as one parameter `engine`: those that were given, by name."""

    @functools.wraps(command)
    def gathered(
        engine_name: str | None, master: str | None, workers: int | None, cpus_per_worker: int | None, **others: Any
    ) -> Any:
        given = {"name": engine_name, "master": master, "workers": workers, "cpus_per_worker": cpus_per_worker}
        return command(engine={name: value for name, value in given.items() if value is not None}, **others)

    for option in (
        click.option("--cpus-per-worker", type=click.IntRange(min=1), help="CPUs of each worker."),
        click.option("--workers", type=click.IntRange(min=1), help="Workers of Spark."),
        click.option(
            "--master",
            metavar="URL",
            help="Spark's master: spark://HOST:7077, k8s://..., yarn, local-cluster[N,CPUS,MB].",
        ),
        click.option(
            "--engine",
            "engine_name",
            metavar="NAME",
            help="Where split, statistics and encoding run: duckdb, spark. Default: that of settings.yaml, else duckdb.",
        ),
    ):
        gathered = option(gathered)
    return gathered


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def project() -> Project:
    """The project of a command that writes; a new one if there is none. Raises StoreError if it cannot be written."""
    from cengine.store.project import open_project

    return open_project()


def looked_at() -> Project:
    """The project of a command that only reads: nothing is made, and a read-only disk is enough."""
    from cengine.store.project import look_at_project

    return look_at_project()
