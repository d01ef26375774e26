"""Schedules, and the tasks that are their runs."""

from typing import Final

from multiagent.storage.sql.postgres.scribe import Scribe
from multiagent.storage.sql.postgres.tasks import UNFINISHED
from multiagent.storage.sql.rows import KEYED, SCHEDULE
from multiagent.storage.sql.schedules import DropSchedule, PutSchedule

_NEW: Final = """INSERT INTO schedules (tenant_id, id, definition, state, revision, created_at, updated_at)
 VALUES ($1, $2, $3, $4, 1, $5, $5) ON CONFLICT DO NOTHING"""
_CHANGE: Final = """UPDATE schedules SET definition = $3, state = $4, revision = revision + 1, updated_at = $5
 WHERE tenant_id = $1 AND id = $2 AND revision = $6"""
_DROP: Final = "DELETE FROM schedules WHERE tenant_id = $1 AND id = $2"

SCHEDULES: Final = f"""SELECT {SCHEDULE} FROM schedules
 WHERE ($1 = '' OR tenant_id = $1) AND ($2 = '' OR id = $2) ORDER BY tenant_id, id"""
KEYED_TASKS: Final = f"""SELECT {KEYED} FROM task_executions
 WHERE tenant_id = $1 AND idempotency_key <> '' AND idempotency_key >= $2 AND idempotency_key < $3
 AND (NOT $4 OR status IN {UNFINISHED}) ORDER BY idempotency_key DESC LIMIT $5"""


async def put_schedule(scribe: Scribe, op: PutSchedule) -> bool:
    """See ``PutSchedule``."""
    row = (op.tenant, op.id, op.definition, op.state, op.time)
    return bool(await (scribe.change(_CHANGE, *row, op.was) if op.was else scribe.change(_NEW, *row)))


async def drop_schedule(scribe: Scribe, op: DropSchedule) -> bool:
    """See ``DropSchedule``."""
    return bool(await scribe.change(_DROP, op.tenant, op.id))


def key_after(prefix: str) -> str:
    """Return the first key that is after all keys with a prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
