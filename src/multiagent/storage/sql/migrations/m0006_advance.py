"""On PostgreSQL, what moves a task on in one call."""

from pathlib import Path
from typing import Final

from alembic import op

from multiagent.storage.sql.migrate import statements

revision = "0006"
down_revision = "0005"

FUNCTIONS: Final = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    """Create the functions."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in statements(FUNCTIONS):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION advance")
        op.execute("DROP FUNCTION check_input")
