"""What sessions remember, and what retention takes away."""

import asyncio
import re
from typing import Final

import msgspec

from multiagent.storage.sql.keeping import ForgetSession, PruneTask, RememberTurn, ReplaceMemory, SweepMessages
from multiagent.storage.sql.postgres.scribe import Scribe
from multiagent.storage.sql.rows import ENCODE, text, whole

_CONTEXT: Final = "SELECT context FROM sessions WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
_REMEMBER: Final = "UPDATE sessions SET context = $1 WHERE tenant_id = $2 AND id = $3"
_REPLACE: Final = "UPDATE sessions SET context = $1 WHERE tenant_id = $2 AND id = $3 AND context = $4"
_FORGET: Final = "UPDATE sessions SET context = '{}' WHERE tenant_id = $1 AND id = $2"

_PRUNE: Final = """UPDATE task_executions SET input = NULL, result = NULL, metadata = (metadata::jsonb
 || jsonb_build_object('pruned', $3::bigint, 'archive', $4::text))::text, updated_at = $3
 WHERE tenant_id = $1 AND id = $2 AND status IN ('completed', 'failed', 'cancelled')
 AND metadata::jsonb -> 'pruned' IS NULL"""
_EMPTY: Final = (
    "UPDATE event_payloads SET salt = NULL, payload = NULL WHERE tenant_id = $1 AND task = $2",
    "DELETE FROM journal WHERE tenant_id = $1 AND task = $2",
    "DELETE FROM results WHERE tenant_id = $1 AND task = $2",
    "UPDATE agent_executions SET result = '' WHERE tenant_id = $1 AND task_execution_id = $2",
    "UPDATE commands SET payload = NULL WHERE tenant_id = $1 AND task = $2",
)
WEIGHTS: Final = """SELECT t.id, t.updated_at, (coalesce(length(t.input), 0) + coalesce(length(t.result), 0)
 + (SELECT coalesce(sum(length(payload)), 0) FROM event_payloads p WHERE p.tenant_id = t.tenant_id AND p.task = t.id)
 + (SELECT coalesce(sum(length(value)), 0) FROM results r WHERE r.tenant_id = t.tenant_id AND r.task = t.id)
 + (SELECT coalesce(sum(length(key) + coalesce(length(value), 0) + 40), 0) FROM journal j
 WHERE j.tenant_id = t.tenant_id AND j.task = t.id))::bigint
 FROM task_executions t WHERE t.tenant_id = $1 AND t.status IN ('completed', 'failed', 'cancelled')
 AND t.metadata::jsonb -> 'pruned' IS NULL ORDER BY t.id"""
"""What finished tasks hold; it reads everything of theirs, as retention does."""
GRACE_MS: Final = 3_600_000
"""A message is kept so long, whether or not a task refers to it: one may be about to."""
_UNDER_WAY: Final = """SELECT 1 FROM task_executions
 WHERE status IN ('queued', 'running', 'waiting', 'paused') AND tenant_id = $1 LIMIT 1"""
_MESSAGES: Final = "SELECT hash, parent, time FROM messages WHERE tenant_id = $1"
_NAMING: Final = (
    "SELECT value, ref FROM results WHERE tenant_id = $1",
    "SELECT input, '' FROM task_executions WHERE tenant_id = $1 AND input IS NOT NULL",
    "SELECT payload, '' FROM event_payloads WHERE tenant_id = $1 AND payload IS NOT NULL",
)
"""Wherever a message's hash may be named: a step's result, a task's context, an event."""
_SWEEP: Final = "DELETE FROM messages WHERE tenant_id = $1 AND hash = ANY ($2)"
_HASH: Final = re.compile(rb"[0-9a-f]{64}")
_TURNS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def remember_turn(scribe: Scribe, op: RememberTurn) -> None:
    """See ``RememberTurn``. Turns keep their order, which PostgreSQL's own JSON would not."""
    row = await scribe.one(_CONTEXT, op.tenant, op.session)
    if row is None:
        return
    try:
        turns = _TURNS.decode(text(row[0]))
    except msgspec.DecodeError:
        turns = {}
    turns[op.task] = msgspec.Raw(op.turn)
    await scribe.change(_REMEMBER, ENCODE(turns).decode(), op.tenant, op.session)


async def replace_memory(scribe: Scribe, op: ReplaceMemory) -> bool:
    """See ``ReplaceMemory``."""
    return bool(await scribe.change(_REPLACE, op.after.decode(), op.tenant, op.session, op.before.decode()))


async def forget_session(scribe: Scribe, op: ForgetSession) -> bool:
    """See ``ForgetSession``."""
    return bool(await scribe.change(_FORGET, op.tenant, op.session))


async def prune_task(scribe: Scribe, op: PruneTask) -> bool:
    """See ``PruneTask``."""
    if not await scribe.change(_PRUNE, op.tenant, op.id, op.time, op.archive):
        return False
    for statement in _EMPTY:
        await scribe.change(statement, op.tenant, op.id)
    return True


async def sweep_messages(scribe: Scribe, op: SweepMessages) -> int:
    """See ``SweepMessages``: marks from every head that is named anywhere, and deletes what is not marked."""
    if await scribe.one(_UNDER_WAY, op.tenant) is not None:
        return -1
    stored = await scribe.all(_MESSAGES, op.tenant)
    parents = {text(row[0]): text(row[1]) for row in stored}
    young = {text(row[0]) for row in stored if whole(row[2]) > op.time - GRACE_MS}
    for statement in _NAMING:
        for value, ref in await scribe.all(statement, op.tenant):
            body = value or b""
            if ref and scribe.bodies is not None:
                body = await asyncio.to_thread(scribe.bodies.fetch, op.tenant, text(ref))
            for head in _HASH.findall(body):
                _mark(parents, head.decode())
    unnamed = [one for one in parents if one not in young]
    return await scribe.change(_SWEEP, op.tenant, unnamed) if unnamed else 0


def _mark(parents: dict[str, str], head: str) -> None:
    """Take a message and all before it out of those to be deleted."""
    while head in parents:
        head = parents.pop(head)
