"""Budgets as functions, on PostgreSQL only: a reservation, a settle or a loss is one call of the server."""

from pathlib import Path
from typing import Final

from alembic import op

from multiagent.storage.sql.migrate import statements

revision = "0003"
down_revision = "0002"

FUNCTIONS: Final = (
    "keep_places",
    "leave_line",
    "lose_open",
    "open_reservations",
    "lose",
    "settle",
    "lock_reservation",
    "book_budget",
    "scopes_of",
    "reserve",
    "tell_released",
    "lock_budgets",
    "lock_keys",
)


def upgrade() -> None:
    """Create them."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in statements(Path(__file__).with_suffix(".sql")):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "postgresql":
        for name in FUNCTIONS:
            op.execute(f"DROP FUNCTION {name}")
