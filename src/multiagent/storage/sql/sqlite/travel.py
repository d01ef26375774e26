"""Forks and releases. A fork copies its parent's past by SQL alone: it begins in milliseconds, whatever its length."""

from hashlib import sha256
from typing import Final

from multiagent.core.errors import NotFound, StorageError
from multiagent.core.ids import ulid
from multiagent.storage.sql.rows import Value, text, whole
from multiagent.storage.sql.sqlite.scribe import Scribe
from multiagent.storage.sql.travel import ForkTask, ReleaseTask, TaskForked

_TASK: Final = """INSERT INTO task_executions
 (tenant_id, id, workflow, workflow_id, user_id, session_id, query, mode, status, input, principal, metadata, root_id,
 parent_id, forked_at, created_at, updated_at)
 SELECT tenant_id, :id, workflow, :id, user_id, session_id, query, mode, 'running', coalesce(:input, input), principal,
 CASE WHEN :cut = 0 THEN json_remove(metadata, '$.began', '$.named') ELSE json_set(metadata,
 '$.began', coalesce(json_extract(metadata, '$.began'), created_at),
 '$.named', coalesce(json_extract(metadata, '$.named'), id)) END,
 root_id, :parent, :cut, :time, :time
 FROM task_executions WHERE tenant_id = :tenant AND id = :parent ON CONFLICT DO NOTHING"""
_JOURNAL: Final = """INSERT INTO journal (tenant_id, task, n, v, kind, key, time, value, digest, patches, event_seq)
 SELECT tenant_id, :id, n, v, kind, key, time, value, digest, patches, event_seq FROM journal
 WHERE tenant_id = :tenant AND task = :parent AND n < :cut"""
# A row's key is its step's key, '~' and 8 hex digits.
_RESULTS: Final = """INSERT INTO results (tenant_id, task, key, v, input_hash, status, value, ref, error, owner,
 lease_until, attempts, deaths, inherited, started_at, finished_at)
 SELECT tenant_id, :id, key, v, input_hash, status, value, ref, error, owner, lease_until, attempts, deaths, 1,
 started_at, finished_at FROM results WHERE tenant_id = :tenant AND task = :parent AND status <> 'leased'
 AND key IN (SELECT substr(key, 1, length(key) - 9) FROM journal WHERE tenant_id = :tenant AND task = :parent
 AND n <= :cut AND kind IN ('result', 'failed'))"""
_FED: Final = """SELECT count(DISTINCT key) FROM journal
 WHERE tenant_id = :tenant AND task = :parent AND n <= :cut AND kind IN ('result', 'failed')"""
_EVENTS: Final = """INSERT INTO events
 (tenant_id, task, seq, v, id, key, kind, time, principal, on_behalf_of, cause, trace_id, "commitment")
 SELECT tenant_id, :id, seq, v, :ids || substr(10000000000 + seq, 2), key, kind, time, principal, on_behalf_of, cause,
 trace_id, "commitment" FROM events WHERE tenant_id = :tenant AND task = :parent AND seq <= :seq"""
_PAYLOADS: Final = """INSERT INTO event_payloads (tenant_id, task, key, v, seq, salt, payload)
 SELECT tenant_id, :id, key, v, seq, salt, payload FROM event_payloads
 WHERE tenant_id = :tenant AND task = :parent AND seq <= :seq"""
_BEGUN: Final = """SELECT key FROM event_payloads
 WHERE tenant_id = ? AND task = ? AND key > ? AND key < ? AND seq <= ?"""
_LEASED: Final = """INSERT INTO results
 (tenant_id, task, key, input_hash, status, owner, lease_until, attempts, started_at)
 SELECT tenant_id, ?, key, input_hash, 'leased', ?, 0, ?, started_at FROM results
 WHERE tenant_id = ? AND task = ? AND key = ?"""
_EDIT: Final = """UPDATE results SET status = 'done', value = ?, ref = ?, error = NULL
 WHERE tenant_id = ? AND task = ? AND key = ?"""
_RELEASE: Final = """UPDATE task_executions SET status = 'running', error = NULL, updated_at = ?
 WHERE tenant_id = ? AND id = ? AND status = 'quarantined'"""
_STARTED: Final = "step.started"
_PREFIX: Final = 16


def fork_task(scribe: Scribe, op: ForkTask) -> TaskForked:
    """See ``ForkTask``."""
    scribe.task(op.tenant, op.parent)  # NotFound where there is none
    named: dict[str, Value] = {
        "tenant": op.tenant, "id": op.id, "parent": op.parent, "cut": op.cut, "seq": op.seq, "time": op.time,
        "input": op.input, "ids": _ids(op),
    }  # fmt: skip
    if not scribe.change(_TASK, named):
        return TaskForked(created=False)
    scribe.change(_JOURNAL, named)
    results = scribe.change(_RESULTS, named)
    fed = scribe.one(_FED, named)
    if fed is None or whole(fed[0]) != results:
        raise StorageError(f"task {op.parent} has not all results that its journal names; it cannot be forked")
    events = scribe.change(_EVENTS, named)
    scribe.change(_PAYLOADS, named)
    scribe.copied.extend((op.tenant, op.id, seq) for seq in range(1, events + 1))
    for key in op.pending:
        _lease(scribe, op, key)
    if op.edited is not None:
        _edit(scribe, op)
    return TaskForked(created=True, results=results, events=events)


def _ids(op: ForkTask) -> str:
    """Return what the ids of the copied events begin with: the time and 30 bits of the fork's own; their last ten
    characters are the seq, in decimal digits, which are Crockford's too.
    """
    return ulid(op.time, int.from_bytes(sha256(op.id.encode()).digest()[:10], "big"))[:_PREFIX]


def _lease(scribe: Scribe, op: ForkTask, key: str) -> None:
    """Let a step's attempts count on from those that the copied events tell of."""
    rows = scribe.all(_BEGUN, (op.tenant, op.parent, f"{key}/", f"{key}0", op.seq))
    parts = [text(row[0]).rsplit("/", 3) for row in rows]
    begun = sum(len(part) == 4 and part[0] == key and part[2] == _STARTED for part in parts)
    if begun:
        scribe.change(_LEASED, (op.id, op.owner, begun, op.tenant, op.parent, key))


def _edit(scribe: Scribe, op: ForkTask) -> None:
    edited = op.edited
    if edited is None or not scribe.change(_EDIT, (edited.value, edited.ref, op.tenant, op.id, edited.key)):
        raise NotFound(f"task {op.parent} has no result to edit at its cut {op.cut}")


def release_task(scribe: Scribe, op: ReleaseTask) -> bool:
    """See ``ReleaseTask``."""
    task = scribe.task(op.tenant, op.id)
    if not scribe.change(_RELEASE, (op.time, op.tenant, op.id)):
        return False
    task.finished = False
    return True
