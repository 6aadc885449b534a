"""`cengine workspace`: keep datasources and pipelines of one store apart."""

from __future__ import annotations

import os

import click

from cengine.cli.options import SETTINGS, json_option, looked_at, project
from cengine.cli.output import echo, print_json, print_table


@click.group(context_settings=SETTINGS)
def workspace() -> None:
    """Keep datasources and pipelines apart, in one store."""


@workspace.command(context_settings=SETTINGS)
@click.argument("name")
def create(name: str) -> None:
    """Make a workspace, and make it the active one."""
    from cengine.store.workspaces import create_workspace

    home = project()
    record = create_workspace(home.store, name)
    home.set_active_workspace(name)
    echo(f"workspace {record.id} ({name}) is made, and active")
    _warn_of_the_environment(name)


@workspace.command("list", context_settings=SETTINGS)
@json_option
def list_(as_json: bool) -> None:
    """The workspaces; * marks the active one."""
    from cengine.store.workspaces import workspace_facts

    home = looked_at()
    active = home.workspace
    found = [workspace_facts(home.store, record) for record in home.store.workspaces.all()]
    if as_json:
        print_json([{"active": facts["name"] == active, **facts} for facts in found])
        return
    rows = [("*" if facts["name"] == active else "", *facts.values()) for facts in found]
    print_table(("Selection", "ID", "Name", "Datasources", "Pipelines", "Runs", "Created (UTC)"), rows)


@workspace.command("set", context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME")
def set_(key: str) -> None:
    """Make a workspace the active one: commands mean it when none is named."""
    home = project()
    record = home.store.workspaces.find(key)
    home.set_active_workspace(record.name)
    echo(f"workspace {record.id} ({record.name}) is active")
    _warn_of_the_environment(record.name)


@workspace.command(context_settings=SETTINGS)
@click.argument("key", metavar="[ID|NAME]", required=False)
@json_option
def show(key: str | None, as_json: bool) -> None:
    """What a workspace holds, by default the active one, and where the store is."""
    from cengine.store.project import RECORDS
    from cengine.store.workspaces import workspace_facts

    home = looked_at()
    facts = workspace_facts(home.store, home.store.workspaces.find(key or home.workspace))
    remote = home.artifacts.remote
    records = home.store.database.name if home.store.database.shared else str(home.folder / RECORDS)
    artifacts = remote.place.name if remote else str(home.artifacts.below or home.artifacts.root)
    places = {"records": records, "artifacts": artifacts}
    if as_json:
        print_json({**facts, **places})
        return
    echo(
        f"workspace {facts['id']} ({facts['name']}): {facts['datasources']} datasources, {facts['pipelines']} pipelines, {facts['runs']} runs\n"
        f"records:   {places['records']}\nartifacts: {places['artifacts']}"
    )


def _warn_of_the_environment(name: str) -> None:
    given = os.environ.get("CENGINE_WORKSPACE")
    if given and given != name:
        echo(f"CENGINE_WORKSPACE={given} goes before it, as long as it is set", err=True)
