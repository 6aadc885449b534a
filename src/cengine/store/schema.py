"""The tables of the records. The migrations make them; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()
settings = sa.Table(
    "settings",
    metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)
workspaces = sa.Table(
    "workspaces",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("created_at", sa.String, nullable=False),
    sqlite_autoincrement=True,
)
datasources = sa.Table(
    "datasources",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sa.Column("deleted_at", sa.String),
    sa.Column("workspace_id", sa.Integer, sa.ForeignKey("workspaces.id"), nullable=False, server_default="1"),
    sqlite_autoincrement=True,
)
sa.Index(
    "datasource_name",
    datasources.c.workspace_id,
    datasources.c.name,
    unique=True,
    sqlite_where=datasources.c.deleted_at.is_(None),
    postgresql_where=datasources.c.deleted_at.is_(None),
)
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("datasource_id", sa.Integer, sa.ForeignKey("datasources.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("content", sa.String, nullable=False),
    sa.Column("num_rows", sa.BigInteger, nullable=False),
    sa.Column("num_columns", sa.Integer, nullable=False),
    sa.Column("num_bytes", sa.BigInteger, nullable=False),
    sa.Column("num_rejected", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sa.UniqueConstraint("datasource_id", "number"),
    sqlite_autoincrement=True,
)
pipelines = sa.Table(
    "pipelines",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("config_name", sa.String, nullable=False),
    sa.Column("config_text", sa.Text, nullable=False),
    sa.Column("datasource_id", sa.Integer, sa.ForeignKey("datasources.id"), nullable=False),
    sa.Column("created_at", sa.String, nullable=False),
    sa.Column("workspace_id", sa.Integer, sa.ForeignKey("workspaces.id"), nullable=False, server_default="1"),
    sa.UniqueConstraint("workspace_id", "name", name="pipeline_name"),
    sqlite_autoincrement=True,
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("pipeline_id", sa.Integer, sa.ForeignKey("pipelines.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("snapshot_id", sa.Integer, sa.ForeignKey("snapshots.id"), nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("completion_ratio", sa.Float, nullable=False),
    sa.Column("compute_cost", sa.Float, nullable=False),
    sa.Column("training_cost", sa.Float, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("ended_at", sa.String),
    sa.Column("process_id", sa.Integer, nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("stages", sa.JSON, nullable=False),
    sa.Column("process", sa.String),  # who does it, see processes.py
    sa.Column("heartbeat_at", sa.String),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("cancelled_at", sa.String),  # when somebody asked it to end
    sa.Column("options", sa.JSON, nullable=False, server_default="{}"),  # what it was started with, for `resume`
    sa.Column("progress", sa.JSON),  # the stage at work: name, done, total, unit, note, rate, seconds_left
    sa.Column("saved_cost", sa.Float, nullable=False, server_default="0"),
    sa.Column("seconds", sa.Float),  # of work, all attempts together
    sa.Column("config_text", sa.Text),  # its own YAML, resolved; None for runs of before 0004
    sa.UniqueConstraint("pipeline_id", "number"),
    sqlite_autoincrement=True,
)
locks = sa.Table(  # see leases.py
    "locks",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("token", sa.String, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),  # seconds since 1970 by the database's clock
)

# The tables whose rows have an id.
TABLES = {table.name: table for table in (workspaces, datasources, snapshots, pipelines, runs)}
DEFAULT_WORKSPACE, DEFAULT_WORKSPACE_ID = "default", 1
