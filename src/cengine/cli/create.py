"""`cengine datasource create TYPE`: the options of each type are made from the fields of its class."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, Literal

import click

from cengine.cli.options import SETTINGS, json_option, project, resource_options
from cengine.cli.output import data_size, echo, megabytes, print_json, tell, warn
from cengine.sources import SOURCES

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from cengine.datasources.register import Snapshot
    from cengine.sources.source import Option, Source


NUM_SHOWN_RENAMED = 20


class Types(click.Group):
    """One command a type of source; a class is only loaded for its own command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SOURCES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return _command(name) if name in SOURCES else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SOURCES.about(name)) for name in SOURCES])


@click.group(cls=Types, context_settings=SETTINGS)
def create() -> None:
    """Register a table: a snapshot of its rows is stored, and becomes the active datasource."""


def _command(kind: str) -> click.Command:
    """The command of a type, its options made from the fields of its class."""
    source_class = SOURCES[kind]

    def run(
        *,
        name: str | None,
        as_json: bool,
        memory_bytes: int | None,
        threads: int | None,
        paths: tuple[str, ...] = (),
        **typed: Any,
    ) -> None:
        options = {field: value for field, value in typed.items() if value is not None}
        for field, info in source_class.model_fields.items():
            option = _option_of(info)
            if option.adds and not typed.get(option.adds_unless or ""):
                options[field] = [*info.default, *options[field]]
        if "path" in source_class.model_fields:
            _put_path(kind, paths, options, required=source_class.model_fields["path"].is_required())
        _create(kind, name, options, as_json=as_json, memory_bytes=memory_bytes, threads=threads)

    command = click.command(kind, context_settings=SETTINGS, help=SOURCES.about(kind))(
        json_option(resource_options(run))
    )
    fields = source_class.model_fields.items()
    called = click.Option(
        ["--name"], help="How the datasource is called from now on. Default: as its file or table is."
    )
    argument = [click.Argument(["paths"], nargs=-1, metavar="[PATH]")] if "path" in source_class.model_fields else []
    command.params = [
        *argument,
        called,
        *(_typed(field, info, source_class) for field, info in fields),
        *command.params,
    ]
    return command


def _put_path(kind: str, paths: tuple[str, ...], options: dict[str, Any], *, required: bool) -> None:
    """Takes the path from where it was typed: behind the type's name, or as --path."""
    if len(paths) > 1:
        raise click.UsageError(
            f"{len(paths)} paths are given, '{paths[0]}', '{paths[1]}', ...: put a glob into quotes, '*.{kind}', or name the files' folder"
        )
    if paths and "path" in options:
        raise click.UsageError(f"the path is given twice, '{paths[0]}' and --path '{options['path']}'")
    if paths:
        options["path"] = paths[0]
    elif required and "path" not in options:
        raise click.UsageError(f"which file? cengine datasource create {kind} PATH")


def _typed(field: str, info: FieldInfo, source_class: type[Source]) -> click.Option:
    """A field as an option."""
    option = _option_of(info)
    flag = "--" + (option.flag or field).replace("_", "-")
    kind, several = _click_type(info.annotation)
    text = (info.description or "").replace("{title}", source_class.title)
    if kind is bool:
        return click.Option([flag, field], is_flag=True, default=info.default, help=text)
    required = info.is_required() and field != "path"
    settings: dict[str, Any] = {"type": kind, "multiple": several, "required": required, "help": text}
    if option.metavar is not None:
        settings["metavar"] = option.metavar
    if not info.is_required() and not several and info.default is not None:
        settings |= {"default": info.default, "show_default": True}
    return click.Option([flag, field], **settings)


def _option_of(info: FieldInfo) -> Option:
    """What the field says about how it is typed."""
    from cengine.sources.source import Option

    return next((extra for extra in info.metadata if isinstance(extra, Option)), Option())


def _click_type(annotation: Any) -> tuple[Any, bool]:
    """The type of one value at the terminal, and whether the option may be repeated."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _click_type(next(one for one in inner if one is not type(None)))
    if origin is Literal:
        return click.Choice(inner), False
    if origin is dict:
        return str, True
    if origin in (tuple, list):
        return _click_type(inner[0])[0], True
    return (annotation if annotation in (bool, int, float) else str), False


def _create(
    kind: str,
    name: str | None,
    options: dict[str, Any],
    *,
    as_json: bool,
    memory_bytes: int | None,
    threads: int | None,
) -> None:
    from cengine.cli.progress import IngestBar
    from cengine.datasources.catalogue import create_datasource
    from cengine.datasources.notices import notices
    from cengine.datasources.origins import default_name, source_of
    from cengine.memory import default_memory_bytes

    home, source = project(), source_of(kind, options)
    name = name if name is not None else default_name(kind, options)
    with IngestBar() as bar:
        record, snapshot = create_datasource(
            home,
            name,
            source,
            memory_bytes=memory_bytes or default_memory_bytes(),
            threads=threads,
            report=bar.report,
            say=tell,
        )
    warn([value.reminder for _, value in source if getattr(value, "reminder", None)])
    found = notices(home, snapshot, kind)
    warn([f"note: {line}" for line in found])
    if as_json:
        print_json(
            {
                "id": record.id,
                "name": name,
                "rows": snapshot.schema.num_rows,
                "columns": list(snapshot.schema.names),
                "renamed": snapshot.renamed,
                "rejected": snapshot.num_rejected,
                "notes": list(snapshot.notes),
                "notices": found,
                "content": snapshot.content,
            }
        )
        return
    for header, column in list(snapshot.renamed.items())[:NUM_SHOWN_RENAMED]:
        echo(f"  {header} -> {column}")
    if (more := len(snapshot.renamed) - NUM_SHOWN_RENAMED) > 0:
        echo(f"  ... and {more:,} more; `cengine datasource show` lists all columns")
    echo(f"datasource {record.id} ({name}): {_told(snapshot)}")


def _told(snapshot: Snapshot) -> str:
    rows, columns = f"{snapshot.schema.num_rows:,} rows", f"{len(snapshot.schema.columns)} columns"
    if not snapshot.is_here:
        return f"{rows}, {columns}, {data_size(snapshot.source_bytes)}, which stay where they are"
    rejected = f", {snapshot.num_rejected:,} rejected" if snapshot.num_rejected else ""
    return f"{rows} read{rejected}, {columns}, {megabytes(snapshot.num_bytes):g} MB stored"
