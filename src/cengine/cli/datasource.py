"""`cengine datasource`: register tables and look at them."""

from __future__ import annotations

import click

from cengine.cli.create import create
from cengine.cli.options import SETTINGS, json_option, looked_at, project, resource_options
from cengine.cli.output import confirm, echo, gigabytes, megabytes, print_json, print_table, tell
from cengine.cli.statistics import datasource_statistics

COLUMNS = ("Selection", "ID", "Name", "Rows", "Cols", "Size (MB)")


@click.group(context_settings=SETTINGS)
def datasource() -> None:
    """Register tables and look at them."""


@datasource.command("list", context_settings=SETTINGS)
@json_option
def list_(as_json: bool) -> None:
    """The datasources; * marks the active one."""
    from cengine.datasources.catalogue import ACTIVE, newest_snapshot

    home = looked_at()
    active = home.own_setting(ACTIVE)
    rows = []
    for record in home.records.datasources.all():
        snapshot = newest_snapshot(home, record)
        rows.append(
            (
                "*" if record.id == active else "",
                record.id,
                record.name,
                snapshot.num_rows,
                snapshot.num_columns,
                megabytes(snapshot.num_bytes),
            )
        )
    if as_json:
        names = ("active", "id", "name", "rows", "columns", "size_mb")
        print_json([dict(zip(names, (bool(row[0]), *row[1:]), strict=True)) for row in rows])
    else:
        print_table(COLUMNS, rows)


@datasource.command("set", context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME")
def set_(key: str) -> None:
    """Make a datasource the active one."""
    from cengine.datasources.catalogue import ACTIVE, find_datasource

    home = project()
    record = find_datasource(home, key)
    home.set_own_setting(ACTIVE, record.id)
    echo(f"datasource {record.id} ({record.name}) is active")


@datasource.command(context_settings=SETTINGS)
@click.argument("key", metavar="[ID|NAME]", required=False)
@json_option
def show(key: str | None, as_json: bool) -> None:
    """The columns of a datasource: type, nulls, distinct values, least, mean and greatest."""
    from cengine.datasources.catalogue import find_datasource, snapshot_of
    from cengine.datasources.origins import place_of
    from cengine.inspection.profile import profile

    home = looked_at()
    record = find_datasource(home, key)
    snapshot = snapshot_of(home, record)
    columns = profile(home, snapshot, tell)
    if as_json:
        print_json(
            {
                "id": record.id,
                "name": record.name,
                "type": record.type,
                "rows": snapshot.schema.num_rows,
                "content": snapshot.content,
                "columns": columns,
            }
        )
        return
    echo(f"{record.name}: {snapshot.schema.num_rows:,} rows, from {place_of(record)}\n")
    print_table(
        ("Column", "Type", "Nulls", "Distinct", "Min", "Mean", "Max"),
        [[c["name"], c["type"], c["nulls"], c["distinct"], c["min"], c["mean"], c["max"]] for c in columns],
    )


@datasource.command(context_settings=SETTINGS)
@click.argument("key", metavar="[ID|NAME]", required=False)
@click.option("--rows", "num_rows", type=click.IntRange(1, 10_000), default=10, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), help="The same sample each time.")
@json_option
def peek(key: str | None, num_rows: int, seed: int | None, as_json: bool) -> None:
    """A random sample of rows."""
    from cengine.datasources.catalogue import find_datasource, snapshot_of
    from cengine.inspection.profile import sample_rows

    home = looked_at()
    table = sample_rows(home, snapshot_of(home, find_datasource(home, key)), num_rows, seed, tell)
    if as_json:
        print_json(table.to_pylist())
    else:
        print_table(table.column_names, [list(row.values()) for row in table.to_pylist()])


@datasource.command(context_settings=SETTINGS)
@click.argument("key", metavar="[ID|NAME]", required=False)
@resource_options
def commit(key: str | None, memory_bytes: int | None, threads: int | None) -> None:
    """Take a new snapshot where the table has changed; older ones stay."""
    from cengine.cli.progress import IngestBar
    from cengine.datasources.catalogue import commit_datasource, find_datasource, read_schema, respelled
    from cengine.memory import default_memory_bytes

    home = project()
    record = find_datasource(home, key)
    before = read_schema(home, record)
    with IngestBar() as bar:
        snapshot, new = commit_datasource(
            home,
            record,
            memory_bytes=memory_bytes or default_memory_bytes(),
            threads=threads,
            report=bar.report,
            say=tell,
        )
    if new:
        for line in respelled(before, read_schema(home, record)):
            echo(line)
        echo(f"snapshot {snapshot.number} of {record.name}: {snapshot.num_rows:,} rows")
    else:
        echo(f"nothing has changed; snapshot {snapshot.number} of {record.name} stays the newest")


@datasource.command(context_settings=SETTINGS)
@click.argument("key", metavar="ID|NAME")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete(key: str, yes: bool) -> None:
    """Forget a datasource and its snapshots; the table it was made of stays."""
    from cengine.datasources.catalogue import delete_datasource, find_datasource
    from cengine.runs.pushed import pipelines_on

    home = project()
    record = find_datasource(home, key)
    if needing := pipelines_on(home, record):
        shown = ", ".join(f"{row.id} ({row.name})" for row in needing[:8]) + (", ..." if len(needing) > 8 else "")
        tell(
            f"{len(needing)} {'pipeline needs' if len(needing) == 1 else 'pipelines need'} it, and cannot be run without it: {shown}"
        )
    if not yes:
        confirm(f"forget datasource {record.id} ({record.name}) and its snapshots?", abort=True)
    freed = delete_datasource(home, record)
    echo(f"datasource {record.id} ({record.name}) is gone, {gigabytes(freed)} freed")


datasource.add_command(create)
datasource.add_command(datasource_statistics)
