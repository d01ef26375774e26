"""Step results and messages."""

import asyncio
from collections.abc import Sequence
from typing import Final

from multiagent.core.errors import NonDeterminism, StorageError
from multiagent.core.messages import message_hash
from multiagent.storage.sql.ops import StartStep, StepStarted, StoredResult, StoreMessage, StoreResult
from multiagent.storage.sql.postgres.scribe import Scribe
from multiagent.storage.sql.rows import ENCODE, RESULT, Row, stored, text, whole

LARGE: Final = 256 * 1024
"""Bodies of more bytes are kept as objects."""

_START: Final = """INSERT INTO results AS r
 (tenant_id, task, key, input_hash, status, owner, lease_until, attempts, started_at)
 VALUES ($1, $2, $3, $4, 'leased', $5, $6, 1, $7) ON CONFLICT (tenant_id, task, key) DO UPDATE SET
 attempts = r.attempts + 1, deaths = r.deaths + (r.owner <> excluded.owner)::int, owner = excluded.owner,
 lease_until = excluded.lease_until WHERE r.status = 'leased' AND r.input_hash = excluded.input_hash
 RETURNING attempts, deaths"""
_FINISH: Final = """INSERT INTO results AS r
 (tenant_id, task, key, input_hash, status, value, ref, error, owner, attempts, started_at, finished_at)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10) ON CONFLICT (tenant_id, task, key) DO UPDATE SET
 status = excluded.status, value = excluded.value, ref = excluded.ref, error = excluded.error, owner = excluded.owner,
 finished_at = excluded.finished_at WHERE r.status = 'leased' AND r.input_hash = excluded.input_hash"""
_STANDING: Final = (
    f"SELECT {RESULT}, status, attempts, deaths FROM results WHERE tenant_id = $1 AND task = $2 AND key = $3"
)
_MESSAGES: Final = """INSERT INTO messages (tenant_id, hash, parent, body, ref, time)
 SELECT $1, m.* FROM unnest($2::text[], $3::text[], $4::bytea[], $5::text[], $6::bigint[]) AS m
 ON CONFLICT (tenant_id, hash) DO NOTHING"""


async def start_step(scribe: Scribe, op: StartStep) -> StepStarted:
    """See ``StartStep``."""
    leased = await scribe.one(_START, op.tenant, op.task, op.key, op.input_hash, op.owner, op.lease_until, op.time)
    if leased is not None:
        return StepStarted(whole(leased[0]), whole(leased[1]))
    row = await standing(scribe, op)
    return StepStarted(whole(row[7]), whole(row[8]), stored(row))


async def store_result(scribe: Scribe, op: StoreResult) -> StoredResult:
    """See ``StoreResult``."""
    error = None if op.error is None else ENCODE(op.error)
    status = "done" if op.error is None else "failed"
    if await scribe.change(
        _FINISH, op.tenant, op.task, op.key, op.input_hash, status, op.value, op.ref, error, op.owner, op.time
    ):
        return StoredResult(op.key, op.input_hash, op.value, op.ref, op.error)
    return stored(await standing(scribe, op))


async def standing(scribe: Scribe, op: StartStep | StoreResult) -> Row:
    """Return a step's row: the columns of ``RESULT``, status, attempts, deaths; NonDeterminism of another input."""
    row = await scribe.one(_STANDING, op.tenant, op.task, op.key)
    if row is None:
        raise StorageError(f"step {op.key} of task {op.task} could neither be stored nor found")
    if row[1] != op.input_hash:
        raise NonDeterminism(
            f"step {op.key} of task {op.task} ran before with another input; the workflow's code has changed under it",
            details={"step": op.key, "recorded": text(row[1]), "found": op.input_hash},
        )
    return tuple(row)


async def store_messages(scribe: Scribe, ops: Sequence[StoreMessage]) -> list[str]:
    """See ``StoreMessage``; all are one tenant's. A large body is kept as an object, before the row that names it is
    committed. Rows are written in the order of their hashes, so that no two processes wait for each other.
    """
    rows: dict[str, tuple[str, bytes | None, str, int]] = {}
    answers = []
    for op in ops:
        address = op.hash or message_hash(op.message)
        answers.append(address)
        body: bytes | None = ENCODE(op.message)
        ref = ""
        if body is not None and len(body) > LARGE and scribe.bodies is not None:
            ref, body = await asyncio.to_thread(scribe.bodies.keep, op.tenant, body), None
        rows.setdefault(address, (op.message.parent, body, ref, op.time))
    hashes = sorted(rows)
    parents, bodies, refs, times = map(list, zip(*(rows[one] for one in hashes), strict=True))
    await scribe.change(_MESSAGES, ops[0].tenant, hashes, parents, bodies, refs, times)
    return answers
