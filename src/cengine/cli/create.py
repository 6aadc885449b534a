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

    from cengine.pipeline.register import Snapshot
    from cengine.sources.source import Source


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

    def run(*, name: str, as_json: bool, memory_bytes: int | None, threads: int | None, **typed: Any) -> None:
        options = {field: value for field, value in typed.items() if value is not None}
        for field, info in source_class.model_fields.items():
            if _option_of(info).adds:
                options[field] = [*info.default, *options[field]]
        _create(kind, name, options, as_json=as_json, memory_bytes=memory_bytes, threads=threads)

    command = click.command(kind, context_settings=SETTINGS, help=SOURCES.about(kind))(json_option(resource_options(run)))
    fields = sorted(source_class.model_fields.items(), key=lambda item: item[0] == "keep_headers")  # what all types have comes last
    called = click.Option(["--name"], required=True, help="How the datasource is called from now on.")
    command.params = [called, *(_typed(field, info, source_class) for field, info in fields), *command.params]
    return command


def _typed(field: str, info: FieldInfo, source_class: type[Source]) -> click.Option:
    """A field as an option."""
    option = _option_of(info)
    flag = "--" + (option.flag or field).replace("_", "-")
    kind, several = _click_type(info.annotation)
    text = (info.description or "").replace("{title}", source_class.title)
    if kind is bool:
        return click.Option([flag, field], is_flag=True, default=info.default, help=text)
    settings: dict[str, Any] = {"type": kind, "multiple": several, "required": info.is_required(), "help": text}
    if not info.is_required() and not several and info.default is not None:
        settings |= {"default": info.default, "show_default": True}
    return click.Option([flag, field], **settings)


def _option_of(info: FieldInfo) -> Any:
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
    if origin in (tuple, list):
        return _click_type(inner[0])[0], True
    return (annotation if annotation in (bool, int, float) else str), False


def _create(kind: str, name: str, options: dict[str, Any], *, as_json: bool, memory_bytes: int | None, threads: int | None) -> None:
    from cengine.cli.progress import IngestBar
    from cengine.pipeline.api import create_datasource, source_of
    from cengine.pipeline.plan import default_memory_bytes

    source = source_of(kind, options)
    with IngestBar() as bar:
        record, snapshot = create_datasource(
            project(), name, source, memory_bytes=memory_bytes or default_memory_bytes(), threads=threads, report=bar.report, say=tell
        )
    warn([value.reminder for _, value in source if getattr(value, "reminder", None)])
    if as_json:
        print_json({"id": record["id"], "name": name, "rows": snapshot.schema.num_rows, "columns": list(snapshot.schema.names),
                    "renamed": snapshot.renamed, "rejected": snapshot.num_rejected, "notes": list(snapshot.notes), "content": snapshot.content})  # fmt: skip
        return
    for header, column in snapshot.renamed.items():
        echo(f"  {header} -> {column}")
    for note in snapshot.notes:
        echo(f"  {note}")
    echo(f"datasource {record['id']} ({name}): {_told(snapshot)}")


def _told(snapshot: Snapshot) -> str:
    rows, columns = f"{snapshot.schema.num_rows:,} rows", f"{len(snapshot.schema.columns)} columns"
    if snapshot.remote is not None:
        return f"{rows}, {columns}, {data_size(snapshot.source_bytes)}, which stay where they are"
    rejected = f", {snapshot.num_rejected:,} rejected" if snapshot.num_rejected else ""
    return f"{rows} read{rejected}, {columns}, {megabytes(snapshot.num_bytes):g} MB stored"
