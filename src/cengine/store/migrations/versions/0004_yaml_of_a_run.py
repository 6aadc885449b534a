"""The YAML that a run was made with, every default of its columns made explicit; none for runs of before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("runs", sa.Column("config_text", sa.Text))
