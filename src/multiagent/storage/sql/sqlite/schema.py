"""The script that makes a fresh SQLite database: rendered from ``tables``, kept beside this file, tested equal."""

from pathlib import Path
from typing import Final

from multiagent.storage.sql.version import VERSION

SCRIPT: Final = Path(__file__).with_name("schema.sql")

_ALEMBIC: Final = """CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""


def render() -> str:
    """Return the script for the tables as they stand in ``tables`` (loads SQLAlchemy)."""
    from sqlalchemy.dialects import sqlite
    from sqlalchemy.schema import CreateIndex, CreateTable

    from multiagent.storage.sql.tables import METADATA

    dialect = sqlite.dialect()
    statements = [
        _ALEMBIC,
        f"INSERT INTO alembic_version (version_num) VALUES ('{VERSION:04d}')",
    ]
    for table in METADATA.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        statements.extend(str(CreateIndex(index).compile(dialect=dialect)).strip() for index in indexes)
    lines = (line.rstrip() for statement in statements for line in f"{statement};\n".splitlines())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    SCRIPT.write_text(render(), encoding="utf-8")
