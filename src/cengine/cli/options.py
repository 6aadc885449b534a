"""What the commands' options share: spelling with _ or -, sizes, the project."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cengine.store.project import Project

# `--pipeline_id` and `--pipeline-id` are the same.
SETTINGS: dict[str, Any] = {"token_normalize_func": lambda token: token.replace("_", "-"), "help_option_names": ["-h", "--help"]}

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
MIN_MEMORY = 10**9


class MemorySize(click.ParamType):
    """A number of bytes such as 4GB, 512MiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([\d.]+)\s*([KMGT]?I?B?)", value.strip().upper())
        unit = match.group(2) if match else None
        unit = unit if unit in _UNITS or unit is None else f"{unit}B"
        if match is None or unit not in _UNITS:
            self.fail(f"{value!r} is not a size such as 4GB", param, ctx)
        size = int(float(match.group(1)) * _UNITS[unit])
        if size < MIN_MEMORY:
            self.fail(f"{value} is too little: Keras and the engine alone need most of 1GB", param, ctx)
        return size


def resource_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--memory` and `--threads`."""
    command = click.option(
        "--memory", "memory_bytes", type=MemorySize(), help="What the program may hold, e.g. 4GB. Default: half of the machine's."
    )(command)
    return click.option("--threads", type=click.IntRange(min=1), help="Threads for queries. Default: all cores.")(command)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--engine`, `--master`, `--workers`, `--cpus-per-worker` as one parameter `engine`: those that were given, by name."""

    @functools.wraps(command)
    def gathered(engine_name: str | None, master: str | None, workers: int | None, cpus_per_worker: int | None, **others: Any) -> Any:
        given = {"name": engine_name, "master": master, "workers": workers, "cpus_per_worker": cpus_per_worker}
        return command(engine={name: value for name, value in given.items() if value is not None}, **others)

    for option in (
        click.option("--cpus-per-worker", type=click.IntRange(min=1), help="CPUs of each worker."),
        click.option("--workers", type=click.IntRange(min=1), help="Workers of Spark."),
        click.option("--master", metavar="URL", help="Spark's master: spark://HOST:7077, k8s://..., yarn, local-cluster[N,CPUS,MB]."),
        click.option("--engine", "engine_name", metavar="NAME",
                     help="Where split, statistics and encoding run: duckdb, spark. Default: that of settings.yaml, else duckdb."),
    ):  # fmt: skip
        gathered = option(gathered)
    return gathered


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def project() -> Project:
    """The project the command works on."""
    from cengine.store.project import open_project

    return open_project()
