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
from multiagent.storage.sql.postgres.scribe import Scribe
from multiagent.storage.sql.rows import blob, text

_COMPLETION: Final = """INSERT INTO completions (tenant_id, key, request_hash, answer, time) VALUES ($1, $2, $3, $4, $5)
 ON CONFLICT (tenant_id, key) DO NOTHING"""
_USAGE: Final = """INSERT INTO usage
 (tenant_id, id, task, step, agent, endpoint, vendor, model, user_id, session_id, key, end_user,
 tags, request_id, prompt, completion, cached, written, reasoning, cost_pico, saved_pico, head_hash, estimated, time)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
 ON CONFLICT (tenant_id, task, id) DO NOTHING"""
_INTENT: Final = """INSERT INTO intents (tenant_id, task, step, tool, args_hash, time) VALUES ($1, $2, $3, $4, $5, $6)
 ON CONFLICT (tenant_id, task, step) DO NOTHING"""
_INTENT_OF: Final = "SELECT tool, args_hash, outcome FROM intents WHERE tenant_id = $1 AND task = $2 AND step = $3"
_RESOLVE: Final = """UPDATE intents SET outcome = $1, resolved_at = $2
 WHERE tenant_id = $3 AND task = $4 AND step = $5 AND resolved_at IS NULL"""
_APPROVAL: Final = """INSERT INTO approvals
 (tenant_id, id, task, step, tool, args_hash, arguments, state, requested_at, expires)
 VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9) ON CONFLICT (tenant_id, id) DO NOTHING"""
_DECIDE: Final = """UPDATE approvals SET state = $1, decided_by = $2, decided_at = $3, reason = $4
 WHERE tenant_id = $5 AND id = $6 AND state = 'pending'"""
_CONSUMED: Final = """SELECT 1 FROM approvals
 WHERE tenant_id = $1 AND task = $2 AND args_hash = $3 AND state = 'consumed' AND consumed_by = $4"""
_CONSUME: Final = """UPDATE approvals SET state = 'consumed', consumed_by = $4, consumed_at = $5
 WHERE tenant_id = $1 AND id = (SELECT id FROM approvals WHERE tenant_id = $1 AND task = $2 AND args_hash = $3
 AND state = 'approved' AND expires > $5 ORDER BY id LIMIT 1 FOR UPDATE)"""
_TENANT: Final = """INSERT INTO tenants (tenant_id, name, created_at) VALUES ($1, $1, $2)
 ON CONFLICT (tenant_id) DO NOTHING"""
_USER: Final = """INSERT INTO users (tenant_id, id, external_id, email, created_at, updated_at)
 VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (tenant_id, id) DO NOTHING"""
_SESSION: Final = """INSERT INTO sessions (tenant_id, id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
 ON CONFLICT (tenant_id, id) DO NOTHING"""
_BUDGETED: Final = """INSERT INTO sessions (tenant_id, id, user_id, created_at, expires_at, token_budget)
 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, id) DO NOTHING"""
_TOKENS: Final = "UPDATE sessions SET tokens_used = tokens_used + $1 WHERE tenant_id = $2 AND id = $3"


async def store_completion(scribe: Scribe, op: StoreCompletion) -> bool:
    """See ``StoreCompletion``."""
    return await scribe.change(_COMPLETION, op.tenant, op.key, op.request_hash, op.answer, op.time) == 1


async def store_usage(scribe: Scribe, op: StoreUsage) -> None:
    """See ``StoreUsage``; a known id is left alone."""
    usage = op.usage
    await scribe.change(
        _USAGE, op.tenant, op.id, op.task, op.step, op.agent, op.endpoint, op.vendor, op.model, op.user, op.session,
        op.key, op.end_user, op.tags, op.request_id, usage.prompt, usage.completion, usage.cached, usage.written,
        usage.reasoning, op.cost_pico, op.saved_pico, op.head_hash, int(op.estimated), op.time,
    )  # fmt: skip


async def record_intent(scribe: Scribe, op: RecordIntent) -> Intent:
    """See ``RecordIntent``."""
    if await scribe.change(_INTENT, op.tenant, op.task, op.step, op.tool, op.args_hash, op.time):
        return Intent(created=True, tool=op.tool, args_hash=op.args_hash)
    row = await scribe.one(_INTENT_OF, op.tenant, op.task, op.step)
    if row is None:
        raise NotFound(f"the intent of step {op.step} of task {op.task} is gone")
    return Intent(created=False, tool=text(row[0]), args_hash=text(row[1]), outcome=blob(row[2]))


async def resolve_intent(scribe: Scribe, op: ResolveIntent) -> None:
    """See ``ResolveIntent``; the first outcome stands."""
    await scribe.change(_RESOLVE, op.outcome, op.time, op.tenant, op.task, op.step)


async def request_approval(scribe: Scribe, op: RequestApproval) -> None:
    """See ``RequestApproval``."""
    await scribe.change(
        _APPROVAL, op.tenant, op.id, op.task, op.step, op.tool, op.args_hash, op.arguments, op.time, op.expires
    )


async def decide_approval(scribe: Scribe, op: DecideApproval) -> bool:
    """See ``DecideApproval``."""
    return await scribe.change(_DECIDE, op.state, op.decided_by, op.time, op.reason, op.tenant, op.id) == 1


async def consume_approval(scribe: Scribe, op: ConsumeApproval) -> bool:
    """See ``ConsumeApproval``. The task's row is locked, so that two attempts of one step take one approval."""
    of = (op.tenant, op.task, op.args_hash)
    if await scribe.one(_CONSUMED, *of, op.step):
        return True
    return await scribe.change(_CONSUME, *of, op.step, op.time) == 1


async def put_user(scribe: Scribe, op: PutUser) -> None:
    """See ``PutUser``."""
    await scribe.change(_TENANT, op.tenant, op.time)
    await scribe.change(_USER, op.tenant, op.id, op.external_id, op.email, op.time)


async def put_session(scribe: Scribe, op: PutSession) -> None:
    """See ``PutSession``."""
    row = (op.tenant, op.id, op.user, op.time, op.expires)
    if op.token_budget is None:
        await scribe.change(_SESSION, *row)
    else:
        await scribe.change(_BUDGETED, *row, op.token_budget)


async def add_session_tokens(scribe: Scribe, op: AddSessionTokens) -> None:
    """See ``AddSessionTokens``."""
    if not await scribe.change(_TOKENS, op.tokens, op.tenant, op.id):
        raise NotFound(f"there is no session {op.id}")
