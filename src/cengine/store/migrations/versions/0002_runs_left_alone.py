"""Runs that are watched from elsewhere: their process, heartbeat, progress, wishes to end, options and what the cache saved."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("runs", sa.Column("process", sa.String))
    op.add_column("runs", sa.Column("heartbeat_at", sa.String))
    op.add_column("runs", sa.Column("attempt", sa.Integer, nullable=False, server_default="1"))
    op.add_column("runs", sa.Column("cancelled_at", sa.String))
    op.add_column("runs", sa.Column("options", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("runs", sa.Column("progress", sa.JSON))
    op.add_column("runs", sa.Column("saved_cost", sa.Float, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("seconds", sa.Float))
