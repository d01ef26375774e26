"""Forks and releases. A fork copies its parent's past by SQL alone: it begins in milliseconds, whatever its length."""

from hashlib import sha256
from typing import Final

from multiagent.core.errors import NotFound, StorageError
from multiagent.core.ids import ulid
from multiagent.storage.sql.postgres.scribe import Scribe
from multiagent.storage.sql.rows import text, whole
from multiagent.storage.sql.travel import ForkTask, ReleaseTask, TaskForked

_IS_THERE: Final = "SELECT 1 FROM task_executions WHERE tenant_id = $1 AND id = $2"
_TASK: Final = """INSERT INTO task_executions
 (tenant_id, id, workflow, workflow_id, user_id, session_id, query, mode, status, input, principal, metadata, root_id,
 parent_id, forked_at, created_at, updated_at)
 SELECT tenant_id, $2, workflow, $2, user_id, session_id, query, mode, 'running', coalesce($6, input), principal,
 (CASE WHEN $4 = 0 THEN metadata::jsonb - 'began' - 'named' ELSE metadata::jsonb || jsonb_build_object(
 'began', coalesce((metadata::jsonb ->> 'began')::bigint, created_at),
 'named', coalesce(metadata::jsonb ->> 'named', id)) END)::text,
 root_id, $3, $4, $5, $5
 FROM task_executions WHERE tenant_id = $1 AND id = $3 ON CONFLICT DO NOTHING"""
_JOURNAL: Final = """INSERT INTO journal (tenant_id, task, n, v, kind, key, time, value, digest, patches, event_seq)
 SELECT tenant_id, $2, n, v, kind, key, time, value, digest, patches, event_seq FROM journal
 WHERE tenant_id = $1 AND task = $3 AND n < $4"""
# A row's key is its step's key, '~' and 8 hex digits.
_RESULTS: Final = """INSERT INTO results (tenant_id, task, key, v, input_hash, status, value, ref, error, owner,
 lease_until, attempts, deaths, inherited, started_at, finished_at)
 SELECT tenant_id, $2, key, v, input_hash, status, value, ref, error, owner, lease_until, attempts, deaths, 1,
 started_at, finished_at FROM results WHERE tenant_id = $1 AND task = $3 AND status <> 'leased'
 AND key IN (SELECT substr(key, 1, length(key) - 9) FROM journal WHERE tenant_id = $1 AND task = $3
 AND n <= $4 AND kind IN ('result', 'failed'))"""
_FED: Final = """SELECT count(DISTINCT key) FROM journal
 WHERE tenant_id = $1 AND task = $2 AND n <= $3 AND kind IN ('result', 'failed')"""
_EVENTS: Final = """INSERT INTO events
 (tenant_id, task, seq, v, id, key, kind, time, principal, on_behalf_of, cause, trace_id, "commitment")
 SELECT tenant_id, $2, seq, v, $5 || substr((10000000000 + seq)::text, 2), key, kind, time, principal, on_behalf_of,
 cause, trace_id, "commitment" FROM events WHERE tenant_id = $1 AND task = $3 AND seq <= $4"""
_PAYLOADS: Final = """INSERT INTO event_payloads (tenant_id, task, key, v, seq, salt, payload)
 SELECT tenant_id, $2, key, v, seq, salt, payload FROM event_payloads
 WHERE tenant_id = $1 AND task = $3 AND seq <= $4"""
_COUNTED: Final = """WITH counted AS (UPDATE task_executions SET last_seq = $3 WHERE tenant_id = $1 AND id = $2)
 INSERT INTO log_pending (tenant_id, task, seq) SELECT $1, $2, seq FROM generate_series(1, $3) AS seq"""
_BEGUN: Final = """SELECT key FROM event_payloads
 WHERE tenant_id = $1 AND task = $2 AND starts_with(key, $3) AND seq <= $4"""
_LEASED: Final = """INSERT INTO results
 (tenant_id, task, key, input_hash, status, owner, lease_until, attempts, started_at)
 SELECT tenant_id, $1, key, input_hash, 'leased', $2, 0, $3, started_at FROM results
 WHERE tenant_id = $4 AND task = $5 AND key = $6"""
_EDIT: Final = """UPDATE results SET status = 'done', value = $1, ref = $2, error = NULL
 WHERE tenant_id = $3 AND task = $4 AND key = $5"""
_RELEASE: Final = """UPDATE task_executions SET status = 'running', error = NULL, updated_at = $1
 WHERE tenant_id = $2 AND id = $3 AND status = 'quarantined'"""
_STARTED: Final = "step.started"
_PREFIX: Final = 16


async def fork_task(scribe: Scribe, op: ForkTask) -> TaskForked:
    """See ``ForkTask``. The parent's row is locked: its past does not grow meanwhile."""
    await _found(scribe, op.tenant, op.parent)
    if not await scribe.change(_TASK, op.tenant, op.id, op.parent, op.cut, op.time, op.input):
        return TaskForked(created=False)
    copied = (op.tenant, op.id, op.parent)
    await scribe.change(_JOURNAL, *copied, op.cut)
    results = await scribe.change(_RESULTS, *copied, op.cut)
    (fed,) = await scribe.row(_FED, op.tenant, op.parent, op.cut)
    if whole(fed) != results:
        raise StorageError(f"task {op.parent} has not all results that its journal names; it cannot be forked")
    events = await scribe.change(_EVENTS, *copied, op.seq, _ids(op))
    await scribe.change(_PAYLOADS, *copied, op.seq)
    await scribe.change(_COUNTED, op.tenant, op.id, events)
    for key in op.pending:
        await _lease(scribe, op, key)
    if op.edited is not None:
        await _edit(scribe, op)
    return TaskForked(created=True, results=results, events=events)


def _ids(op: ForkTask) -> str:
    """Return what the ids of the copied events begin with: the time and 30 bits of the fork's own; their last ten
    characters are the seq, in decimal digits, which are Crockford's too.
    """
    return ulid(op.time, int.from_bytes(sha256(op.id.encode()).digest()[:10], "big"))[:_PREFIX]


async def _lease(scribe: Scribe, op: ForkTask, key: str) -> None:
    """Let a step's attempts count on from those that the copied events tell of."""
    rows = await scribe.all(_BEGUN, op.tenant, op.parent, f"{key}/", op.seq)
    parts = [text(row[0]).rsplit("/", 3) for row in rows]
    begun = sum(len(part) == 4 and part[0] == key and part[2] == _STARTED for part in parts)
    if begun:
        await scribe.change(_LEASED, op.id, op.owner, begun, op.tenant, op.parent, key)


async def _edit(scribe: Scribe, op: ForkTask) -> None:
    edited = op.edited
    if edited is None or not await scribe.change(_EDIT, edited.value, edited.ref, op.tenant, op.id, edited.key):
        raise NotFound(f"task {op.parent} has no result to edit at its cut {op.cut}")


async def release_task(scribe: Scribe, op: ReleaseTask) -> bool:
    """See ``ReleaseTask``."""
    await _found(scribe, op.tenant, op.id)
    return bool(await scribe.change(_RELEASE, op.time, op.tenant, op.id))


async def _found(scribe: Scribe, tenant: str, task: str) -> None:
    if await scribe.one(_IS_THERE, tenant, task) is None:
        raise NotFound(f"there is no task {task}; list tasks to see which there are")
