"""Pages of commands that print as well: their options, where they are written, and opening them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cengine.cli.output import echo


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--page`, `--output` and `--no-open`."""
    for option in (
        click.option("--no-open", is_flag=True, help="Write the page, do not open it."),
        click.option(
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write the page to this file. Default: in the project.",
        ),
        click.option("--page", "with_page", is_flag=True, help="Write a page and open it."),
    ):
        command = option(command)
    return command


def write_page(
    text: Callable[[], str], default: Path, *, with_page: bool, output: Path | None, no_open: bool
) -> Path | None:
    """Where the page was written, None where none of the options asks for one."""
    from cengine.store.disk import disk_errors
    from cengine.store.permissions import make_folder, restrict
    from cengine.store.writing import refuse_link, write_whole

    if not (with_page or output or no_open):
        return None
    target, page = output or default, text()
    with disk_errors():
        if output is None:
            make_folder(refuse_link(target.parent))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, page)
        if output is None:
            restrict(target)
    return target


def show_page(target: Path | None, *, with_page: bool, no_open: bool, as_json: bool) -> None:
    """Says where the page is and opens it, as the options have it."""
    from cengine.cli.opening import open_page

    if target is None:
        return
    if not as_json:
        echo(f"\npage: {shown_path(target)}")
    if with_page and not no_open:
        open_page(target)


def shown_path(path: Path) -> str:
    """The path as it is typed from here, where that is the shorter one."""
    relative = os.path.relpath(path)
    return min(relative, str(path), key=len)
