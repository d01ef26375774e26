"""A person's decision, taken once: of several that come at the same time the conditional update lets one through."""

from typing import Final

from multiagent.storage.sql.ops import DeliverCommand, TakeDecision
from multiagent.storage.sql.postgres.scribe import Scribe
from multiagent.storage.sql.postgres.tasks import deliver_command, store_command
from multiagent.storage.sql.rows import text, whole

_KNOWN: Final = "SELECT error FROM commands WHERE tenant_id = $1 AND id = $2"
_TAKE: Final = """UPDATE approvals SET state = $1, decided_by = $2, decided_at = $3, reason = $4
 WHERE tenant_id = $5 AND id = $6 AND task = $7 AND args_hash = $8 AND state = 'pending' AND expires > $3"""
_EDIT: Final = "UPDATE approvals SET arguments = $1, args_hash = $2 WHERE tenant_id = $3 AND id = $4"
_NOW: Final = "SELECT task, args_hash, state, expires, decided_by FROM approvals WHERE tenant_id = $1 AND id = $2"


async def take_decision(scribe: Scribe, op: TakeDecision) -> str:
    """See ``TakeDecision``. The task's row is locked, so that a command that comes twice at once is known."""
    command = op.command
    known = await scribe.one(_KNOWN, op.tenant, command.id)
    if known is not None:
        return text(known[0])
    of = (op.tenant, op.id, command.task, op.args_hash)
    refused = ""
    if await scribe.change(_TAKE, op.state, op.decided_by, op.time, op.reason, *of):
        if op.new_hash:
            await scribe.change(_EDIT, op.new_arguments, op.new_hash, op.tenant, op.id)
    else:
        refused = await _why(scribe, op)
    await store_command(scribe, command)
    if refused:
        await deliver_command(scribe, DeliverCommand(tenant=op.tenant, id=command.id, time=op.time, error=refused))
    return refused


async def _why(scribe: Scribe, op: TakeDecision) -> str:
    row = await scribe.one(_NOW, op.tenant, op.id)
    if row is None or row[0] != op.command.task:
        return f"NOT_FOUND: there is no approval {op.id} of task {op.command.task}"
    state = text(row[2])
    if state == "pending" and whole(row[3]) <= op.time:
        state = "expired"
    if state == "pending":
        return f"INVALID_INPUT: the arguments of approval {op.id} are not those that were shown; look at it again"
    by = f" by {text(row[4])}" if row[4] and state in ("approved", "rejected") else ""
    word = {"consumed": "was approved and used"}.get(state, f"{'has' if state == 'expired' else 'was'} {state}{by}")
    return f"INVALID_INPUT: approval {op.id} {word} already; nothing was changed"
