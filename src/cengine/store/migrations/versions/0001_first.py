"""Datasources, snapshots, pipelines, runs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "settings",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )
    op.create_table(
        "datasources",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("deleted_at", sa.String),
        sqlite_autoincrement=True,
    )
    alive = sa.text("deleted_at IS NULL")
    op.create_index("datasource_name", "datasources", ["name"], unique=True, sqlite_where=alive, postgresql_where=alive)
    op.create_table(
        "snapshots",
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
    op.create_table(
        "pipelines",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("config_name", sa.String, nullable=False),
        sa.Column("config_text", sa.Text, nullable=False),
        sa.Column("datasource_id", sa.Integer, sa.ForeignKey("datasources.id"), nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "runs",
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
        sa.UniqueConstraint("pipeline_id", "number"),
        sqlite_autoincrement=True,
    )
