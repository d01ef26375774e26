"""Whether a transaction took effect whose connection went while it was being committed: a row of its own tells."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from multiagent.core.events import EventHeader
from multiagent.storage.sql.ops import CreateTask, Op, StoreUsage, TaskCreated
from multiagent.storage.sql.postgres.scribe import Connection
from multiagent.storage.sql.rows import Value

_EVENT: Final = "SELECT 1 FROM events WHERE tenant_id = $1 AND task = $2 AND seq = $3 AND id = $4"
_USAGE: Final = "SELECT 1 FROM usage WHERE tenant_id = $1 AND task = $2 AND id = $3"
_COMMAND: Final = "SELECT 1 FROM commands WHERE tenant_id = $1 AND task = $2 AND id = $3"
_LOCKED: Final = "SELECT lock_tasks($1, $2)"


class Witness(NamedTuple):
    """Where a row stands that one transaction alone can have written: its tenant and task, and the rest of its key."""

    sql: str
    tenant: str
    task: str
    rest: tuple[Value, ...]


def witness(headers: Sequence[EventHeader], ops: Sequence[Op], answers: Sequence[object]) -> Witness | None:
    """Return the witness of a transaction; None where every row that it wrote another may have written."""
    for one in headers[:1]:
        return Witness(_EVENT, one.tenant, one.task, (one.seq, one.id))
    for op, answer in zip(ops, answers, strict=True):
        if isinstance(op, StoreUsage):
            return Witness(_USAGE, op.tenant, op.task, (op.id,))
        if isinstance(op, CreateTask) and isinstance(answer, TaskCreated) and answer.created:
            return Witness(_COMMAND, op.tenant, op.id, (op.id,))
    return None


async def stands(connection: Connection, found: Witness) -> bool:
    """Whether the transaction was committed; one that is under way still, and holds the task, is waited for."""
    await connection.execute(_LOCKED, [found.tenant], [found.task])
    return await connection.fetchval(found.sql, found.tenant, found.task, *found.rest) is not None
