"""Where a datasource's table comes from: its source, the options that records keep of it, and what it is called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cengine.connections.addresses import hidden
from cengine.errors import SourceError, StoreError, near_miss
from cengine.sources import SOURCES
from cengine.sources.source import Option, Source
from cengine.store.rows import DatasourceRow


def source_of(kind: str, options: dict[str, Any]) -> Source:
    """The source of a type's name and its options. Raises SourceError for an unknown type."""
    from pydantic import ValidationError

    try:
        source_class: type[Source] = SOURCES[kind]
    except KeyError:
        hint = (
            (f'a file is registered by its type: register(project, "csv", path="{kind}")',) if Path(kind).suffix else ()
        )
        raise SourceError(
            f"unknown type of datasource '{kind}'",
            *near_miss(kind, SOURCES),
            *hint,
            f"known types: {', '.join(SOURCES)}",
        ) from None
    try:
        return source_class.model_validate(options)
    except ValidationError as error:
        # Without the value: it may be a password.
        detail = error.errors(include_input=False, include_url=False)[0]
        place = f"option '{'.'.join(map(str, detail['loc']))}' of {kind}" if detail["loc"] else kind
        said = detail["msg"].removeprefix("Value error, ")
        raise SourceError(f"{place}: {said if said != detail['msg'] else said.lower()}") from None


def kept_options(source: Source) -> dict[str, Any]:
    """The options as records keep them: paths do not depend on the working folder."""
    paths = [
        name
        for name, field in type(source).model_fields.items()
        if any(isinstance(m, Option) and m.is_path for m in field.metadata)
    ]
    options: dict[str, Any] = source.model_dump(mode="json")
    return options | {name: absolute(options[name]) for name in paths if options[name] is not None}


def source_of_record(datasource: DatasourceRow) -> Source:
    """The source a datasource was registered from. Raises SourceError for a table of a Python program's memory."""
    if datasource.type == "frame":
        raise SourceError(
            f"datasource '{datasource.name}' came from a Python program; a new snapshot of it is taken there",
            f"cengine.register(project, table, name='{datasource.name}')",
        )
    options = dict(datasource.options)
    if datasource.type in ("parquet", "json"):
        options.pop("allow_rejects", None)  # kept for all files by versions before 0.2
    return source_of(datasource.type, options)


def place_of(datasource: DatasourceRow) -> str:
    """Where a datasource's table is, as far as that can be told without the package that its source may come from."""
    try:
        return source_of_record(datasource).place
    except SourceError:
        return hidden(str(datasource.options.get("path") or datasource.type))


def absolute(path: str) -> str:
    """The path independent of the working folder; an address (s3://...) as it is."""
    return path if "://" in path else str(Path(path).expanduser().absolute())


def default_name(kind: str, options: dict[str, Any]) -> str:
    """What a datasource is called that nobody gave a name: as its file, folder or table. Raises StoreError where that gives none."""
    path, table = str(options.get("path") or ""), str(options.get("table") or "")
    parts = [part for part in (absolute(path) if path else "").split("/") if part]
    # A glob of nothing but wildcards is called as its folder.
    stems = (
        re.sub(r"(\.[A-Za-z]{1,8})?(\.(gz|zst|zip))?$", "", re.sub(r"[*?]+|\[.*?\]", "", part))
        for part in reversed(parts)
    )
    stem = next((stem for stem in stems if stem), "") if path else table.replace('"', "").rpartition(".")[2]
    name = re.sub(r"[^\w.-]+", "_", stem).strip("_.-")
    if not name:
        raise StoreError(
            f"the table's place gives no name for the datasource of type {kind}", "choose one: --name NAME"
        )
    return f"table_{name}" if name.isdigit() else name
