"""The step wrapper on Temporal: the facts that rode along and the step's lease in one commit, then its code, then its
result in another. A result that is stored is the step's, whoever made it; every attempt answers with it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from multiagent.core.errors import EngineUnavailable, StorageError
from multiagent.core.fault import fault
from multiagent.core.outcome import Failure
from multiagent.core.retry import Backoff
from multiagent.engines.attempt import Ended, Work, ended_ops, start_op, started_op, stored_value
from multiagent.engines.kernel import decoder
from multiagent.engines.slots import Slot
from multiagent.engines.temporal.means import Means
from multiagent.engines.temporal.records import Fed, Riders, StepCall
from multiagent.engines.turns import Turns
from multiagent.storage.sql.ops import AppendEvent, AppendOutcome, Op, StepStarted, StoredResult, UpdateTask

T = TypeVar("T")
POINTS: Final = (
    "step-received",
    "step-lease-ready",
    "step-leased",
    "after-start-before-run",
    "after-run-before-store",
    "step-ended",
    "step-stored",
    "step-answering",
)
"""The places between the lines of a step's wrapper at which tests make a process die."""
_BACKOFF: Final = Backoff(base=0.05, most=2.0)
_log = logging.getLogger("multiagent.engine")


class Wrapper:
    """One step's call. ``run`` it; where the activity is cancelled meanwhile, ``wanted`` says what to make of it."""

    def __init__(self, means: Means, turns: Turns, call: StepCall, name: str, wanted: Callable[[], bool]) -> None:
        self._means = means
        self._turns = turns
        self._call = call
        self._wanted = wanted
        self._work = _work(means, call, name)

    async def run(self, *, first: bool) -> bytes | Failure:
        """Return the step's result that stands, or its failure; ``first``: nobody was given this call before.

        Raises EngineUnavailable where this process ends meanwhile, StorageError where storage is in trouble.
        """
        fault("step-received")
        ops = self._lease(first=first)
        fault("step-lease-ready")
        started = (await self._means.writer.commit(*ops))[-1]
        fault("step-leased")
        if not isinstance(started, StepStarted):
            raise TypeError(f"StartStep was answered by {type(started).__name__}")
        if started.finished is not None:
            return await stored_value(self._means.objects, self._work.tenant, started.finished)
        ended = await self._do(started, announced=first and started.attempt == 1)
        fault("step-ended")
        stands = await _whatever_happens(self._store(ended))
        fault("step-stored")
        answer = await self._answer(ended, stands)
        fault("step-answering")
        return answer

    def _lease(self, *, first: bool) -> list[Op]:
        """Return what is committed before the code runs: facts, the lease, and the first attempt its first event."""
        now, work, riders = self._means.clock.now(), self._work, self._call.riders
        ops = fact_ops(work.tenant, work.task, riders)
        if first:
            ops.append(started_op(work, 1, now))
        return [*ops, *status_ops(work.tenant, work.task, riders, now), start_op(work, self._means.owner, now)]

    async def _do(self, started: StepStarted, *, announced: bool) -> Ended:
        """Run the code in its turn, and stop it where the activity is cancelled."""
        done: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

        def end(_slot: Slot, ended: Ended) -> None:
            if not done.done():
                done.set_result(ended)

        def broken(error: Exception) -> None:
            if not done.done():
                done.set_exception(error)

        slot = Slot(self._means, self._turns, self._call.key, self._work, end, broken)
        slot.begin(started, announced=announced)
        while True:
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                if self._wanted():
                    await slot.stop()
                    raise EngineUnavailable(f"step {self._work.key} was stopped with its process") from None
                slot.cancel()

    async def _store(self, ended: Ended) -> StoredResult:
        """Commit the result with the step's last event; where storage is in passing trouble, again, until the step's
        deadline has passed once more.
        """
        clock, work = self._means.clock, self._work
        until, tries = clock.now() + round(work.definition.policy.deadline * 1000), 0
        while True:
            ops = ended_ops(work, ended, self._means.owner, clock.now())
            try:
                stands = (await self._means.writer.commit(*ops))[0]
            except StorageError as error:
                delay = _BACKOFF.delay(tries, random.random())  # noqa: S311 — jitter, no secret
                if not error.retryable or clock.now() + delay * 1000 > until:
                    raise
                _log.warning("step %s of task %s waits %.2f s for storage: %s", work.key, work.task, delay, error)
                await clock.sleep(delay)
                tries += 1
            else:
                if not isinstance(stands, StoredResult):
                    raise TypeError(f"StoreResult was answered by {type(stands).__name__}")
                return stands

    async def _answer(self, ended: Ended, stands: StoredResult) -> bytes | Failure:
        if stands.error is None and ended.error is None and stands.ref == ended.ref and stands.ref:
            return ended.value
        return await stored_value(self._means.objects, self._work.tenant, stands)


def fact_ops(tenant: str, task: str, riders: Riders) -> list[Op]:
    """Return the operations that store facts, in their order; all of them may be stored already."""
    ops: list[Op] = []
    for fact in riders.facts:
        if isinstance(fact, Fed):
            ops.append(AppendOutcome(tenant=tenant, task=task, outcome=fact.outcome, again=True))
        else:
            ops.append(AppendEvent(tenant=tenant, task=task, event=fact.event))
    return ops


def status_ops(tenant: str, task: str, riders: Riders, now: int) -> Sequence[Op]:
    """Return the operation that lets the task's row show what it is to show, if any: after the facts."""
    if riders.status is None:
        return ()
    update = UpdateTask(
        tenant=tenant, id=task, time=now, status=riders.status, waits_for=riders.waits_for, only_at=riders.at
    )
    return (update,)


def _work(means: Means, call: StepCall, name: str) -> Work:
    step = means.steps.get(name)
    if step is None:
        raise EngineUnavailable(
            f"no code for step {name!r} is registered in this process; start it with the module that has it"
        )
    try:
        record = decoder(step.definition.input).decode(call.input)
    except msgspec.MsgspecError as error:
        raise EngineUnavailable(
            f"the input of step {call.key} is no {step.definition.input.__name__} in this process: {error}"
        ) from error
    return Work(
        call.tenant, call.task, call.key, step.definition, record, call.input_hash, call.principal, call.on_behalf_of,
        call.cause, call.forked_from,
    )  # fmt: skip


async def _whatever_happens(work: Awaitable[T]) -> T:
    """Wait for something to be done that must not be left half done: also where the activity is cancelled."""
    doing = asyncio.ensure_future(work)
    while True:
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            if doing.cancelled():
                raise
