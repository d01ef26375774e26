"""How far the log of all tasks' events goes and who may write it; on PostgreSQL, what gives events their places."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op

from multiagent.storage.sql.migrate import statements

revision = "0005"
down_revision = "0004"

FUNCTIONS: Final = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    """Create the table, and on PostgreSQL its row and the function."""
    op.create_table(
        "log_head",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("v", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("position", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("epoch", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("tenant_id"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("INSERT INTO log_head (tenant_id, position) SELECT '', coalesce(max(position), 0) FROM log")
        for statement in statements(FUNCTIONS):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fill_log")
    op.drop_table("log_head")
