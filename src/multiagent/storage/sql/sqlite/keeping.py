"""What sessions remember, and what retention takes away."""

import re
from typing import Final

from multiagent.storage.sql.keeping import ForgetSession, PruneTask, RememberTurn, ReplaceMemory, SweepMessages
from multiagent.storage.sql.rows import Value, text, whole
from multiagent.storage.sql.sqlite.scribe import Scribe

_REMEMBER: Final = """UPDATE sessions SET context = json_set(CASE WHEN json_valid(context) THEN context ELSE '{}' END,
 '$."' || ? || '"', json(?)) WHERE tenant_id = ? AND id = ?"""
_REPLACE: Final = "UPDATE sessions SET context = ? WHERE tenant_id = ? AND id = ? AND context = ?"
_FORGET: Final = "UPDATE sessions SET context = '{}' WHERE tenant_id = ? AND id = ?"

_PRUNE: Final = """UPDATE task_executions SET input = NULL, result = NULL,
 metadata = json_set(metadata, '$.pruned', ?, '$.archive', ?), updated_at = ?
 WHERE tenant_id = ? AND id = ? AND status IN ('completed', 'failed', 'cancelled')
 AND json_extract(metadata, '$.pruned') IS NULL"""
_EMPTY: Final = (
    "UPDATE event_payloads SET salt = NULL, payload = NULL WHERE tenant_id = ? AND task = ?",
    "DELETE FROM journal WHERE tenant_id = ? AND task = ?",
    "DELETE FROM results WHERE tenant_id = ? AND task = ?",
    "UPDATE agent_executions SET result = '' WHERE tenant_id = ? AND task_execution_id = ?",
    "UPDATE commands SET payload = NULL WHERE tenant_id = ? AND task = ?",
)
WEIGHTS: Final = """SELECT t.id, t.updated_at, coalesce(length(t.input), 0) + coalesce(length(t.result), 0)
 + (SELECT coalesce(sum(length(payload)), 0) FROM event_payloads p WHERE p.tenant_id = t.tenant_id AND p.task = t.id)
 + (SELECT coalesce(sum(length(value)), 0) FROM results r WHERE r.tenant_id = t.tenant_id AND r.task = t.id)
 + (SELECT coalesce(sum(length(key) + length(coalesce(value, '')) + 40), 0) FROM journal j
 WHERE j.tenant_id = t.tenant_id AND j.task = t.id)
 FROM task_executions t WHERE t.tenant_id = ? AND t.status IN ('completed', 'failed', 'cancelled')
 AND json_extract(t.metadata, '$.pruned') IS NULL ORDER BY t.id"""
"""What finished tasks hold; it reads everything of theirs, as retention does."""
GRACE_MS: Final = 3_600_000
"""A message is kept so long, whether or not a task refers to it: one may be about to."""
_UNDER_WAY: Final = """SELECT 1 FROM task_executions INDEXED BY tasks_unfinished
 WHERE status IN ('queued', 'running', 'waiting', 'paused') AND tenant_id = ? LIMIT 1"""
_MESSAGES: Final = "SELECT hash, parent, time FROM messages WHERE tenant_id = ?"
_NAMING: Final = (
    "SELECT value, ref FROM results WHERE tenant_id = ?",
    "SELECT input, '' FROM task_executions WHERE tenant_id = ? AND input IS NOT NULL",
    "SELECT payload, '' FROM event_payloads WHERE tenant_id = ? AND payload IS NOT NULL",
)
"""Wherever a message's hash may be named: a step's result, a task's context, an event."""
_SWEEP: Final = "DELETE FROM messages WHERE tenant_id = ? AND hash = ?"
_HASH: Final = re.compile(rb"[0-9a-f]{64}")


def remember_turn(scribe: Scribe, op: RememberTurn) -> None:
    """See ``RememberTurn``."""
    scribe.change(_REMEMBER, (op.task, op.turn.decode(), op.tenant, op.session))


def replace_memory(scribe: Scribe, op: ReplaceMemory) -> bool:
    """See ``ReplaceMemory``."""
    return bool(scribe.change(_REPLACE, (op.after.decode(), op.tenant, op.session, op.before.decode())))


def forget_session(scribe: Scribe, op: ForgetSession) -> bool:
    """See ``ForgetSession``."""
    return bool(scribe.change(_FORGET, (op.tenant, op.session)))


def prune_task(scribe: Scribe, op: PruneTask) -> bool:
    """See ``PruneTask``."""
    if not scribe.change(_PRUNE, (op.time, op.archive, op.time, op.tenant, op.id)):
        return False
    of = (op.tenant, op.id)
    for statement in _EMPTY:
        scribe.change(statement, of)
    return True


def sweep_messages(scribe: Scribe, op: SweepMessages) -> int:
    """See ``SweepMessages``: marks from every head that is named anywhere, and deletes what is not marked."""
    if scribe.one(_UNDER_WAY, (op.tenant,)) is not None:
        return -1
    stored = scribe.all(_MESSAGES, (op.tenant,))
    parents = {text(row[0]): text(row[1]) for row in stored}
    young = {text(row[0]) for row in stored if whole(row[2]) > op.time - GRACE_MS}
    for statement in _NAMING:
        for value, ref in scribe.all(statement, (op.tenant,)):
            body = _body(scribe, op.tenant, value, ref)
            for head in _HASH.findall(body):
                _mark(parents, head.decode())
    rows = [(op.tenant, one) for one in parents if one not in young]
    return scribe.change_many(_SWEEP, rows) if rows else 0


def _body(scribe: Scribe, tenant: str, value: Value, ref: Value) -> bytes:
    if ref and scribe.bodies is not None:
        return scribe.bodies.fetch(tenant, text(ref))
    return value if isinstance(value, bytes) else str(value or "").encode()


def _mark(parents: dict[str, str], head: str) -> None:
    """Take a message and all before it out of those to be deleted."""
    while head in parents:
        head = parents.pop(head)
