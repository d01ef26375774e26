"""A person's decision, taken once: of several that come at the same time the conditional update lets one through."""

from typing import Final

from multiagent.storage.sql.ops import DeliverCommand, TakeDecision
from multiagent.storage.sql.rows import text, whole
from multiagent.storage.sql.sqlite.scribe import Scribe
from multiagent.storage.sql.sqlite.tasks import deliver_command, store_command

_KNOWN: Final = "SELECT error FROM commands WHERE tenant_id = ? AND id = ?"
_TAKE: Final = """UPDATE approvals SET state = ?, decided_by = ?, decided_at = ?, reason = ?
 WHERE tenant_id = ? AND id = ? AND task = ? AND args_hash = ? AND state = 'pending' AND expires > ?"""
_EDIT: Final = "UPDATE approvals SET arguments = ?, args_hash = ? WHERE tenant_id = ? AND id = ?"
_NOW: Final = "SELECT task, args_hash, state, expires, decided_by FROM approvals WHERE tenant_id = ? AND id = ?"


def take_decision(scribe: Scribe, op: TakeDecision) -> str:
    """See ``TakeDecision``."""
    command = op.command
    known = scribe.one(_KNOWN, (op.tenant, command.id))
    if known is not None:
        return text(known[0])
    of = (op.tenant, op.id, command.task, op.args_hash)
    refused = ""
    if scribe.change(_TAKE, (op.state, op.decided_by, op.time, op.reason, *of, op.time)):
        if op.new_hash:
            scribe.change(_EDIT, (op.new_arguments, op.new_hash, op.tenant, op.id))
    else:
        refused = _why(scribe, op)
    store_command(scribe, command)
    if refused:
        deliver_command(scribe, DeliverCommand(tenant=op.tenant, id=command.id, time=op.time, error=refused))
    return refused


def _why(scribe: Scribe, op: TakeDecision) -> str:
    row = scribe.one(_NOW, (op.tenant, op.id))
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
