"""Schedules, and the tasks that are their runs."""

from typing import Final

from multiagent.storage.sql.rows import KEYED, SCHEDULE
from multiagent.storage.sql.schedules import DropSchedule, PutSchedule
from multiagent.storage.sql.sqlite.scribe import UNFINISHED, Scribe

_NEW: Final = """INSERT INTO schedules (tenant_id, id, definition, state, revision, created_at, updated_at)
 VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO NOTHING"""
_CHANGE: Final = """UPDATE schedules SET definition = ?, state = ?, revision = revision + 1, updated_at = ?
 WHERE tenant_id = ? AND id = ? AND revision = ?"""
_DROP: Final = "DELETE FROM schedules WHERE tenant_id = ? AND id = ?"


def put_schedule(scribe: Scribe, op: PutSchedule) -> bool:
    """See ``PutSchedule``."""
    if not op.was:
        return bool(scribe.change(_NEW, (op.tenant, op.id, op.definition, op.state, op.time, op.time)))
    return bool(scribe.change(_CHANGE, (op.definition, op.state, op.time, op.tenant, op.id, op.was)))


def drop_schedule(scribe: Scribe, op: DropSchedule) -> bool:
    """See ``DropSchedule``."""
    return bool(scribe.change(_DROP, (op.tenant, op.id)))


def schedules_query(tenant: str, schedule: str) -> tuple[str, tuple[str, ...]]:
    """Return the query of ``Reader.schedules``, and its values."""
    where = " AND ".join([*(["tenant_id = ?"] if tenant else []), *(["id = ?"] if schedule else [])])
    values = tuple(one for one in (tenant, schedule) if one)
    return f"SELECT {SCHEDULE} FROM schedules{f' WHERE {where}' if where else ''} ORDER BY tenant_id, id", values


def keyed_query(tenant: str, prefix: str, *, under_way: bool) -> tuple[str, tuple[str, ...]]:
    """Return the query of ``Reader.keyed_tasks`` but for its limit, and its values: a range of the keys' index."""
    after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    state = f" AND status IN {UNFINISHED}" if under_way else ""
    where = "tenant_id = ? AND idempotency_key <> '' AND idempotency_key >= ? AND idempotency_key < ?"
    table = "task_executions INDEXED BY tasks_idempotency"
    sql = f"SELECT {KEYED} FROM {table} WHERE {where}{state} ORDER BY idempotency_key DESC LIMIT ?"
    return sql, (tenant, prefix, after)
