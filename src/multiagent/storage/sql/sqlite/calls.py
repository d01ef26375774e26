"""Model calls' completions and bills; tools' intents and approvals; people and sessions."""

from typing import Final

from multiagent.core.errors import NotFound
from multiagent.storage.sql.ops import (
    AddSessionTokens,
    ConsumeApproval,
    DecideApproval,
    Intent,
    PutSession,
    PutUser,
    RecordIntent,
    RequestApproval,
    ResolveIntent,
    StoreCompletion,
    StoreUsage,
)
from multiagent.storage.sql.rows import blob, text
from multiagent.storage.sql.sqlite.scribe import Scribe

_COMPLETION: Final = """INSERT INTO completions (tenant_id, key, request_hash, answer, time) VALUES (?, ?, ?, ?, ?)
 ON CONFLICT (tenant_id, key) DO NOTHING"""
_USAGE: Final = """INSERT INTO usage
 (tenant_id, id, task, step, agent, endpoint, vendor, model, user_id, session_id, key, end_user,
 tags, request_id, prompt, completion, cached, written, reasoning, cost_pico, saved_pico, head_hash, estimated, time)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (tenant_id, task, id) DO NOTHING"""
_INTENT: Final = """INSERT INTO intents (tenant_id, task, step, tool, args_hash, time) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (tenant_id, task, step) DO NOTHING"""
_INTENT_OF: Final = "SELECT tool, args_hash, outcome FROM intents WHERE tenant_id = ? AND task = ? AND step = ?"
_RESOLVE: Final = """UPDATE intents SET outcome = ?, resolved_at = ?
 WHERE tenant_id = ? AND task = ? AND step = ? AND resolved_at IS NULL"""
_APPROVAL: Final = """INSERT INTO approvals
 (tenant_id, id, task, step, tool, args_hash, arguments, state, requested_at, expires)
 VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?) ON CONFLICT (tenant_id, id) DO NOTHING"""
_DECIDE: Final = """UPDATE approvals SET state = ?, decided_by = ?, decided_at = ?, reason = ?
 WHERE tenant_id = ? AND id = ? AND state = 'pending'"""
_CONSUMED: Final = """SELECT 1 FROM approvals INDEXED BY approvals_task
 WHERE tenant_id = ? AND task = ? AND args_hash = ? AND state = 'consumed' AND consumed_by = ?"""
_CONSUME: Final = """UPDATE approvals SET state = 'consumed', consumed_by = ?, consumed_at = ?
 WHERE tenant_id = ? AND id = (SELECT id FROM approvals INDEXED BY approvals_task
 WHERE tenant_id = ? AND task = ? AND args_hash = ?
 AND state = 'approved' AND expires > ? ORDER BY id LIMIT 1)"""
_TENANT: Final = """INSERT INTO tenants (tenant_id, name, created_at) VALUES (?, ?, ?)
 ON CONFLICT (tenant_id) DO NOTHING"""
_USER: Final = """INSERT INTO users (tenant_id, id, external_id, email, created_at, updated_at) VALUES (?, ?, ?, ?,
 ?, ?)
 ON CONFLICT (tenant_id, id) DO NOTHING"""
_SESSION: Final = """INSERT INTO sessions (tenant_id, id, user_id, created_at, expires_at) VALUES (?, ?, ?, ?, ?)
 ON CONFLICT (tenant_id, id) DO NOTHING"""
_BUDGETED: Final = """INSERT INTO sessions (tenant_id, id, user_id, created_at, expires_at, token_budget)
 VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, id) DO NOTHING"""
_TOKENS: Final = "UPDATE sessions SET tokens_used = tokens_used + ? WHERE tenant_id = ? AND id = ?"


def store_completion(scribe: Scribe, op: StoreCompletion) -> bool:
    """See ``StoreCompletion``."""
    return scribe.change(_COMPLETION, (op.tenant, op.key, op.request_hash, op.answer, op.time)) == 1


def store_usage(scribe: Scribe, op: StoreUsage) -> None:
    """See ``StoreUsage``; a known id is left alone."""
    usage = op.usage
    scribe.change(
        _USAGE,
        (
            op.tenant, op.id, op.task, op.step, op.agent, op.endpoint, op.vendor, op.model, op.user, op.session,
            op.key, op.end_user, op.tags, op.request_id, usage.prompt, usage.completion, usage.cached, usage.written,
            usage.reasoning, op.cost_pico, op.saved_pico, op.head_hash, int(op.estimated), op.time,
        ),
    )  # fmt: skip


def record_intent(scribe: Scribe, op: RecordIntent) -> Intent:
    """See ``RecordIntent``."""
    if scribe.change(_INTENT, (op.tenant, op.task, op.step, op.tool, op.args_hash, op.time)):
        return Intent(created=True, tool=op.tool, args_hash=op.args_hash)
    row = scribe.one(_INTENT_OF, (op.tenant, op.task, op.step))
    if row is None:
        raise NotFound(f"the intent of step {op.step} of task {op.task} is gone")
    return Intent(created=False, tool=text(row[0]), args_hash=text(row[1]), outcome=blob(row[2]))


def resolve_intent(scribe: Scribe, op: ResolveIntent) -> None:
    """See ``ResolveIntent``; the first outcome stands."""
    scribe.change(_RESOLVE, (op.outcome, op.time, op.tenant, op.task, op.step))


def request_approval(scribe: Scribe, op: RequestApproval) -> None:
    """See ``RequestApproval``."""
    scribe.change(
        _APPROVAL, (op.tenant, op.id, op.task, op.step, op.tool, op.args_hash, op.arguments, op.time, op.expires)
    )


def decide_approval(scribe: Scribe, op: DecideApproval) -> bool:
    """See ``DecideApproval``."""
    return scribe.change(_DECIDE, (op.state, op.decided_by, op.time, op.reason, op.tenant, op.id)) == 1


def consume_approval(scribe: Scribe, op: ConsumeApproval) -> bool:
    """See ``ConsumeApproval``."""
    if scribe.one(_CONSUMED, (op.tenant, op.task, op.args_hash, op.step)):
        return True
    of = (op.tenant, op.task, op.args_hash)
    return scribe.change(_CONSUME, (op.step, op.time, op.tenant, *of, op.time)) == 1


def put_user(scribe: Scribe, op: PutUser) -> None:
    """See ``PutUser``."""
    scribe.change(_TENANT, (op.tenant, op.tenant, op.time))
    scribe.change(_USER, (op.tenant, op.id, op.external_id, op.email, op.time, op.time))


def put_session(scribe: Scribe, op: PutSession) -> None:
    """See ``PutSession``."""
    row = (op.tenant, op.id, op.user, op.time, op.expires)
    if op.token_budget is None:
        scribe.change(_SESSION, row)
    else:
        scribe.change(_BUDGETED, (*row, op.token_budget))


def add_session_tokens(scribe: Scribe, op: AddSessionTokens) -> None:
    """See ``AddSessionTokens``."""
    if not scribe.change(_TOKENS, (op.tokens, op.tenant, op.id)):
        raise NotFound(f"there is no session {op.id}")
