"""What sessions remember."""

from typing import Final

from multiagent.storage.sql.keeping import ForgetSession, RememberTurn, ReplaceMemory
from multiagent.storage.sql.sqlite.scribe import Scribe

_REMEMBER: Final = """UPDATE sessions SET context = json_set(CASE WHEN json_valid(context) THEN context ELSE '{}' END,
 '$."' || ? || '"', json(?)) WHERE tenant_id = ? AND id = ?"""
_REPLACE: Final = "UPDATE sessions SET context = ? WHERE tenant_id = ? AND id = ? AND context = ?"
_FORGET: Final = "UPDATE sessions SET context = '{}' WHERE tenant_id = ? AND id = ?"


def remember_turn(scribe: Scribe, op: RememberTurn) -> None:
    """See ``RememberTurn``."""
    scribe.change(_REMEMBER, (op.task, op.turn.decode(), op.tenant, op.session))


def replace_memory(scribe: Scribe, op: ReplaceMemory) -> bool:
    """See ``ReplaceMemory``."""
    return bool(scribe.change(_REPLACE, (op.after.decode(), op.tenant, op.session, op.before.decode())))


def forget_session(scribe: Scribe, op: ForgetSession) -> bool:
    """See ``ForgetSession``."""
    return bool(scribe.change(_FORGET, (op.tenant, op.session)))
