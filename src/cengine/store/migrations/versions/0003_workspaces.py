"""Workspaces, and locks that other machines see."""

import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# What PostgreSQL calls the constraint of 0001; SQLite's has no name and gets this one.
NAMES = {"uq": "%(table_name)s_%(column_0_name)s_key"}


def upgrade() -> None:
    workspaces = op.create_table(
        "workspaces",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("created_at", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "locks",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
    )
    # The first row: its id is 1, which the rows that are there already get.
    op.bulk_insert(workspaces, [{"name": "default", "created_at": datetime.datetime.now(datetime.UTC).isoformat()}])
    last = _last_ids()
    op.drop_index("datasource_name", "datasources")
    with op.batch_alter_table("datasources", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(_workspace("datasources"))
    alive = sa.text("deleted_at IS NULL")
    op.create_index(
        "datasource_name",
        "datasources",
        ["workspace_id", "name"],
        unique=True,
        sqlite_where=alive,
        postgresql_where=alive,
    )
    with op.batch_alter_table(
        "pipelines", naming_convention=NAMES, table_kwargs={"sqlite_autoincrement": True}
    ) as table:
        table.add_column(_workspace("pipelines"))
        table.drop_constraint("pipelines_name_key", type_="unique")
        table.create_unique_constraint("pipeline_name", ["workspace_id", "name"])
    for name, number in last.items():
        op.execute(
            sa.text("UPDATE sqlite_sequence SET seq = :number WHERE name = :name").bindparams(number=number, name=name)
        )
    op.execute("UPDATE settings SET key = 'active_datasource/1' WHERE key = 'active_datasource'")


def _workspace(table: str) -> sa.Column[int]:
    key = sa.ForeignKey("workspaces.id", name=f"{table}_workspace_id_fkey")
    return sa.Column("workspace_id", sa.Integer, key, nullable=False, server_default="1")


def _last_ids() -> dict[str, int]:
    """The last id given in each table that SQLite is about to make anew, so that none is given twice."""
    if op.get_bind().dialect.name != "sqlite":
        return {}
    found = op.get_bind().execute(
        sa.text("SELECT name, seq FROM sqlite_sequence WHERE name IN ('datasources', 'pipelines')")
    )
    return {row.name: row.seq for row in found}
