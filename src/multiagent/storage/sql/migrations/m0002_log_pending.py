"""What several processes need, on PostgreSQL: events without a place in the log yet, the line before a budget's scope,
and the function that appends facts.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op

from multiagent.storage.sql.migrate import statements

revision = "0002"
down_revision = "0001"

FUNCTIONS: Final = Path(__file__).with_name("m0002_postgres_functions.sql")


def upgrade() -> None:
    """Create the tables, and on PostgreSQL the functions."""
    op.create_table(
        "log_pending",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("v", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.PrimaryKeyConstraint("tenant_id", "task", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "waiters",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("ticket", sa.Text, nullable=False),
        sa.Column("v", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("passed", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("expires", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("tenant_id", "scope", "ticket"),
        sqlite_with_rowid=False,
    )
    op.create_index("waiters_ticket", "waiters", ["tenant_id", "ticket"])
    if op.get_bind().dialect.name == "postgresql":
        for statement in statements(FUNCTIONS):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION append_facts; DROP FUNCTION lock_tasks")
    op.drop_table("waiters")
    op.drop_table("log_pending")
