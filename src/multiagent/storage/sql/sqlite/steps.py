"""Step results, the journal, and messages."""

from typing import Final

from multiagent.core.errors import NonDeterminism, StorageError
from multiagent.core.messages import message_hash
from multiagent.storage.sql.ops import (
    AppendOutcome,
    StartStep,
    StepStarted,
    StoredResult,
    StoreMessage,
    StoreResult,
)
from multiagent.storage.sql.rows import ENCODE, RESULT, Value, stored, text, whole
from multiagent.storage.sql.sqlite.scribe import Scribe

LARGE: Final = 256 * 1024
"""Bodies of more bytes are kept as objects."""

_START: Final = """INSERT INTO results
 (tenant_id, task, key, input_hash, status, owner, lease_until, attempts, started_at)
 VALUES (?, ?, ?, ?, 'leased', ?, ?, 1, ?) ON CONFLICT (tenant_id, task, key) DO NOTHING"""
_RESTART: Final = """UPDATE results SET attempts = ?, deaths = ?, owner = ?, lease_until = ?
 WHERE tenant_id = ? AND task = ? AND key = ?"""
_FINISH: Final = """UPDATE results SET status = ?, value = ?, ref = ?, error = ?, owner = ?, finished_at = ?
 WHERE tenant_id = ? AND task = ? AND key = ? AND status = 'leased' AND input_hash = ?"""
_INSERT: Final = """INSERT INTO results
 (tenant_id, task, key, input_hash, status, value, ref, error, owner, attempts, started_at, finished_at)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (tenant_id, task, key) DO NOTHING"""
_STANDING: Final = (
    f"SELECT {RESULT}, status, attempts, deaths, owner FROM results WHERE tenant_id = ? AND task = ? AND key = ?"
)
_OUTCOME: Final = """INSERT INTO journal (tenant_id, task, n, kind, key, time, value, digest, patches, event_seq)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ROW: Final = "SELECT kind, key, digest FROM journal WHERE tenant_id = ? AND task = ? AND n = ?"
_MESSAGE: Final = """INSERT INTO messages (tenant_id, hash, parent, body, ref, time) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (tenant_id, hash) DO NOTHING"""


def start_step(scribe: Scribe, op: StartStep) -> StepStarted:
    """See ``StartStep``."""
    if scribe.change(_START, (op.tenant, op.task, op.key, op.input_hash, op.owner, op.lease_until, op.time)):
        return StepStarted(1, 0)
    row = _standing(scribe, op)
    attempts, deaths = whole(row[7]), whole(row[8])
    if row[6] != "leased":
        return StepStarted(attempts, deaths, stored(row))
    attempts, deaths = attempts + 1, deaths + (row[9] != op.owner)
    scribe.change(_RESTART, (attempts, deaths, op.owner, op.lease_until, op.tenant, op.task, op.key))
    return StepStarted(attempts, deaths)


def store_result(scribe: Scribe, op: StoreResult) -> StoredResult:
    """See ``StoreResult``."""
    error = None if op.error is None else ENCODE(op.error)
    status = "done" if op.error is None else "failed"
    outcome = (status, op.value, op.ref, error, op.owner)
    place = (op.tenant, op.task, op.key)
    if scribe.change(_FINISH, (*outcome, op.time, *place, op.input_hash)) or scribe.change(
        _INSERT, (*place, op.input_hash, *outcome, op.time, op.time)
    ):
        return StoredResult(op.key, op.input_hash, op.value, op.ref, op.error)
    return stored(_standing(scribe, op))


def _standing(scribe: Scribe, op: StartStep | StoreResult) -> tuple[Value, ...]:
    row = scribe.one(_STANDING, (op.tenant, op.task, op.key))
    if row is None:
        raise StorageError(f"step {op.key} of task {op.task} could neither be stored nor found")
    if row[1] != op.input_hash:
        raise NonDeterminism(
            f"step {op.key} of task {op.task} ran before with another input; the workflow's code has changed under it",
            details={"step": op.key, "recorded": text(row[1]), "found": op.input_hash},
        )
    return row


def append_outcome(scribe: Scribe, op: AppendOutcome) -> None:
    """See ``AppendOutcome``. The first row may be 0 or 1."""
    outcome = op.outcome
    task = scribe.task(op.tenant, op.task)
    if op.again and task.n is not None and outcome.n <= task.n:
        _check_same(scribe, op)
        return
    if outcome.n != (outcome.n and 1 if task.n is None else task.n + 1):
        raise StorageError(
            f"outcome {outcome.n} of task {op.task} does not follow {task.n}; another owner may be running it",
            details={"task": op.task, "n": outcome.n},
        )
    patches = ENCODE(outcome.patches) if outcome.patches else None
    scribe.change(
        _OUTCOME,
        (
            op.tenant, op.task, outcome.n, outcome.kind, outcome.key, outcome.time, outcome.value or None,
            outcome.digest, patches, task.seq,
        ),
    )  # fmt: skip
    task.n = outcome.n


def _check_same(scribe: Scribe, op: AppendOutcome) -> None:
    outcome = op.outcome
    row = scribe.one(_ROW, (op.tenant, op.task, outcome.n))
    if row != (outcome.kind, outcome.key, outcome.digest):
        raise NonDeterminism(
            f"outcome {outcome.n} of task {op.task} is another one than is stored; the workflow's code has changed "
            "under it",
            details={"n": outcome.n, "step": outcome.key},
        )


def store_message(scribe: Scribe, op: StoreMessage) -> str:
    """See ``StoreMessage``. A large body is kept as an object, before the row that names it is committed."""
    address = op.hash or message_hash(op.message)
    body: bytes | None = ENCODE(op.message)
    ref = ""
    if body is not None and len(body) > LARGE and scribe.bodies is not None:
        ref, body = scribe.bodies.keep(op.tenant, body), None
    scribe.change(_MESSAGE, (op.tenant, address, op.message.parent, body, ref, op.time))
    return address
