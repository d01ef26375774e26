"""One run in this process: its kernel, its steps in flight, and the pump between them and the journal.

The pump takes the outcomes that have arrived, in order, and makes one transaction of them: results, last events,
journal rows, the events they led to, and the leases of the next steps. A pure kernel is fed while the transaction is
put together; nothing that an outcome led to is begun or shown before its row is committed. So the journal's order is
the order fed, and a replay meets the same.
"""

import asyncio
import logging
import random
from collections import deque
from typing import Final

from multiagent.core.errors import EngineUnavailable, InvalidInput, NonDeterminism, PlatformError, StorageError
from multiagent.core.fault import fault
from multiagent.core.outcome import failure
from multiagent.core.retry import Backoff
from multiagent.core.task import TaskStatus
from multiagent.core.usage import Bill
from multiagent.engines.actions import Complete, Fail, RunStep, StartTimer
from multiagent.engines.attempt import Ended, Work, ended_ops, start_op, started_op, stored_value
from multiagent.engines.embedded.batch import Batch
from multiagent.engines.embedded.records import Arrived, Parts
from multiagent.engines.ending import Closed, closing, ending_ops, held_by, quarantine_ops
from multiagent.engines.feeding import Feed
from multiagent.engines.kernel import encode
from multiagent.engines.opened import Opened
from multiagent.engines.slots import Slot
from multiagent.engines.timers import Entry
from multiagent.engines.turns import Turns
from multiagent.storage.sql.ops import AppendEvent, AppendOutcome, Op, StepStarted, UpdateTask

# A lease is committed with the outcome that led to it. So only what was under way when a run is recovered can have
# been leased by another process; every later step is leased for the first time (``_leases_anew``), its attempt is
# known to be the first, and its first event shares the lease's transaction.

MOST_OUTCOMES: Final = 64
"""Outcomes in one transaction, at the most."""
MOST_WAITING: Final = 10_000
"""Outcomes of one run that may wait to be fed; above, signals are refused."""
STORAGE_SECONDS: Final = 30.0
"""How long a run waits for storage that may come back, before it is put aside until the next start."""
_BACKOFF: Final = Backoff(base=0.05, most=2.0)
_log = logging.getLogger("multiagent.engine")


class Run:
    """See the module. ``closed`` is set when the run has left this process, ended or not."""

    def __init__(self, parts: Parts, turns: Turns, opened: Opened, *, draining: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.row = opened.row
        self.kernel = opened.kernel
        self.closed: asyncio.Future[Closed] = loop.create_future()
        self.started: asyncio.Future[None] = loop.create_future()
        self._parts = parts
        self._turns = turns
        self._opened = opened
        self._feed = Feed(opened.kernel, opened.tail, opened.outcomes, opened.time)
        self._acks: dict[str, asyncio.Future[None] | None] = dict.fromkeys(opened.signals)
        self._inbox: deque[Arrived] = deque()
        self._slots: dict[str, Slot] = {}
        self._held: dict[str, RunStep] = {}
        self._draining = draining
        self._quiet = asyncio.Event()
        self._timers: dict[str, Entry] = {}
        self._shown: dict[str, object] = {}
        self._failed: Exception | None = None
        self._wake: asyncio.Future[None] | None = None
        self._status: TaskStatus = "running"
        self._said_the_end = False
        self._leases_anew = opened.fresh
        self._closed_as: Closed | None = None
        self._ending: Complete | Fail | None = None
        self._pump_task = loop.create_task(self._pump(), name=f"run {self.row.id}")

    # --- from outside ---

    async def signal(self, key: str, value: bytes) -> None:
        """Feed a signal, once a key; return when it is committed."""
        if key in self._acks:
            known = self._acks[key]
            if known is not None:
                await asyncio.shield(known)
            return
        if self._ending is not None or self.closed.done():
            raise InvalidInput(f"task {self.row.id} has ended; it takes no more signals")
        if len(self._inbox) >= MOST_WAITING:
            raise EngineUnavailable(f"task {self.row.id} has too many outcomes to take; send the signal again later")
        ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._acks[key] = ack
        self._push(Arrived("signal", key, carried=value))
        await asyncio.shield(ack)

    def query(self, name: str) -> bytes | None:
        """Return what was published under a name by committed outcomes."""
        state = self._shown.get(name)
        return None if state is None else encode(state)

    async def drain(self) -> None:
        """Begin no step any more; return when those that run have ended and are recorded."""
        self._draining = True
        if self._slots or self._inbox:
            await self._quiet.wait()

    async def stop(self) -> None:
        """Take the run out of this process; its journal stays, to be gone on with."""
        self._pump_task.cancel()
        await asyncio.wait([self._pump_task])
        await self._put_aside(EngineUnavailable("the engine was stopped; start it again to go on with this task"))

    # --- the pump ---

    async def _pump(self) -> None:
        try:
            await self._turn(self._first())
            while not self.closed.done():
                await self._arrival()
                await self._turn(self._drain())
        except NonDeterminism as drift:
            await self._quarantine(drift)
        except Exception as error:  # noqa: BLE001 — the pump's top: the run is put aside, others go on
            level = logging.WARNING if isinstance(error, PlatformError) else logging.ERROR
            _log.log(level, "task %s is put aside: %s", self.row.id, error, exc_info=level == logging.ERROR)
            await self._put_aside(error)

    def _batch(self) -> Batch:
        return Batch(self.row.tenant, self.row.id, self._opened.principal)

    def _first(self) -> Batch:
        """What begins or resumes the run."""
        batch = self._batch()
        batch.ops.extend(self._opened.ops)
        batch.absorb(self._feed.tail, "")
        batch.absorb_pending(self.kernel)  # asked for before the journal's last row; the tail's own are in it
        return batch

    async def _arrival(self) -> None:
        """Wait until there is an outcome."""
        if not self._inbox and self._failed is None:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            self._wake = None
        if self._failed is not None:
            raise self._failed

    def _push(self, arrived: Arrived) -> None:
        self._inbox.append(arrived)
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _drain(self) -> Batch:
        batch = self._batch()
        while self._inbox and batch.fed < MOST_OUTCOMES:
            arrived = self._inbox.popleft()
            if arrived.kind == "timer" and not self.kernel.waits_for(arrived.key):
                continue
            self._take(arrived, batch)
        return batch

    def _take(self, arrived: Arrived, batch: Batch) -> None:
        now = self._feed.tick(self._parts.clock.now())
        if arrived.work is not None and arrived.ended is not None:
            batch.ops.extend(ended_ops(arrived.work, arrived.ended, self._parts.owner, now))
        if arrived.kind == "signal":
            self._hold_or_go_on(arrived, batch, now)
            batch.acks.append(arrived.key)
        batch.fed += 1
        row = self._feed.feed(arrived.kind, arrived.key, arrived.carried, arrived.value)
        batch.ops.append(AppendOutcome(tenant=self.row.tenant, task=self.row.id, outcome=row))
        batch.absorb(self._feed.tail, arrived.key)

    def _hold_or_go_on(self, arrived: Arrived, batch: Batch, now: int) -> None:
        tenant, task = self.row.tenant, self.row.id
        held = held_by(self.kernel, arrived.key, arrived.carried, now)
        if held is not None:
            batch.ops.append(AppendEvent(tenant=tenant, task=task, event=held.event))
            batch.ops.append(UpdateTask(tenant=tenant, id=task, time=now, status=held.status))

    async def _turn(self, batch: Batch) -> None:
        """Commit a batch, then do what it asks for."""
        if batch.ending is not None:
            self._ending = batch.ending
        self._said_the_end = self._said_the_end or batch.said_the_end
        self._hold(batch)
        starts = self._lease(batch)
        over = self._ending is not None and not self._slots and not self._inbox
        if over:
            await self._end(batch)
        answers = await self._commit(batch.ops)
        if batch.fed:
            fault("after-append-before-act")
        self._acknowledge(batch)
        self._shown = dict(self.kernel.published)
        if over:
            self._close()
            return
        for key in batch.untimers:
            self._forget_timer(key)
        for timer in batch.timers.values():
            self._start_timer(timer)
        for step_id in batch.cancels:
            if step_id in self._slots:
                self._slots[step_id].cancel()
        for position, action, work in starts:
            await self._begin(action, work, answers[position])
        self._leases_anew = True
        self._show_status()
        self._say_quiet()

    def _hold(self, batch: Batch) -> None:
        """Keep the new steps of a run that is paused or drained back; give them out once it goes on."""
        for step_id in batch.cancels:
            self._held.pop(step_id, None)
        self._held.update(batch.steps)
        batch.steps, self._held = ({}, self._held) if self.kernel.paused or self._draining else (self._held, {})

    def _say_quiet(self) -> None:
        """Tell who drains that no step runs any more, and all that ended is recorded."""
        if self._draining and not self._slots and not self._inbox:
            self._quiet.set()

    def _lease(self, batch: Batch) -> list[tuple[int, RunStep, Work]]:
        """Add the leases of a batch's steps; return where their answers will be."""
        starts = []
        for step_id, action in batch.steps.items():
            if action.definition.name not in self._parts.steps:
                raise EngineUnavailable(
                    f"no code for step {action.definition.name!r} is registered in this process; "
                    "start it with the module that has it"
                )
            principal, on_behalf_of = self._opened.principal
            work = Work(
                self.row.tenant, self.row.id, action.key, action.definition, action.input, action.input_hash,
                principal, on_behalf_of, batch.cause(step_id), self.row.parent_id,
            )  # fmt: skip
            now = self._parts.clock.now()
            starts.append((len(batch.ops), action, work))
            batch.ops.append(start_op(work, self._parts.owner, now))
            if self._leases_anew:
                batch.ops.append(started_op(work, 1, now))
        return starts

    async def _commit(self, ops: list[Op]) -> tuple[object, ...]:
        """Commit; where storage is in passing trouble, again with backoff for ``STORAGE_SECONDS``."""
        if not ops:
            return ()
        waited, tries = 0.0, 0
        while True:
            try:
                return await self._parts.writer.commit(*ops)
            except StorageError as error:
                if not error.retryable or waited >= STORAGE_SECONDS:
                    raise
                delay = _BACKOFF.delay(tries, random.random())  # noqa: S311 — jitter, no secret
                _log.warning("task %s waits %.2f s for storage: %s", self.row.id, delay, error)
                await self._parts.clock.sleep(delay)
                waited += delay
                tries += 1

    def _acknowledge(self, batch: Batch) -> None:
        for key in batch.acks:
            ack, self._acks[key] = self._acks[key], None
            if ack is not None and not ack.done():
                ack.set_result(None)
        if not self.started.done():
            self.started.set_result(None)

    # --- steps and timers ---

    async def _begin(self, action: RunStep, work: Work, answer: object) -> None:
        if not isinstance(answer, StepStarted):
            raise TypeError(f"StartStep was answered by {type(answer).__name__}")
        if answer.finished is not None:
            value = await stored_value(self._parts.objects, work.tenant, answer.finished)
            self._push(Arrived("result" if isinstance(value, bytes) else "failed", action.id, value))
            return
        slot = Slot(self._parts, self._turns, action.id, work, self._ended, self._broken)
        self._slots[action.id] = slot
        slot.begin(answer, announced=self._leases_anew)

    def _ended(self, slot: Slot, ended: Ended) -> None:
        self._slots.pop(slot.id, None)
        if ended.error is None:
            self._push(Arrived("result", slot.id, ended.value, work=slot.work, ended=ended))
        else:
            self._push(Arrived("failed", slot.id, ended.error, work=slot.work, ended=ended))

    def _broken(self, error: Exception) -> None:
        self._failed = error
        self._rouse()

    def _start_timer(self, timer: StartTimer) -> None:
        def fire() -> None:
            self._timers.pop(timer.key, None)
            self._push(Arrived("timer", timer.key))

        self._timers[timer.key] = self._parts.timers.at(timer.due, fire)

    def _forget_timer(self, key: str) -> None:
        entry = self._timers.pop(key, None)
        if entry is not None:
            entry.cancel()

    def _show_status(self) -> None:
        """Let the task's row say whether it is paused, or waits for somebody."""
        names = () if self._slots or self._inbox else self.kernel.waiting_signals()
        status: TaskStatus = "waiting" if names else "running"
        if self.kernel.paused and self._ending is None:
            status = "paused"
        if status != self._status or status == "paused":  # a step may have said otherwise meanwhile
            now = self._parts.clock.now()
            update = UpdateTask(
                tenant=self.row.tenant, id=self.row.id, time=now, status=status, waits_for=",".join(names)
            )
            try:
                self._parts.writer.queue(update)
            except StorageError as error:  # it is shown at the next turn
                _log.warning("the status of task %s could not be noted: %s", self.row.id, error)
            else:
                self._status = status

    # --- the end ---

    async def _end(self, batch: Batch) -> None:
        """Add the journal's last row, the task's new status and, where the workflow has not said it, its last event."""
        if self._ending is None:
            return
        now = self._feed.tick(self._parts.clock.now())
        closed = self._closed_as = closing(self._ending)
        value = closed.value if closed.failure is None else encode(closed.failure)
        bill = getattr(self.kernel.result, "bill", None)
        if not isinstance(bill, Bill):
            bill = await self._parts.reader.bill(self.row.tenant, self.row.id)
        batch.ops.extend(ending_ops(self.row, closed, bill, now, said=self._said_the_end))
        row = self._feed.end(closed.status, value)
        batch.ops.append(AppendOutcome(tenant=self.row.tenant, task=self.row.id, outcome=row))

    def _close(self) -> None:
        self._quiet.set()
        self._forget_timers()
        if not self.closed.done() and self._closed_as is not None:
            self.closed.set_result(self._closed_as)

    async def _quarantine(self, drift: NonDeterminism) -> None:
        _log.error("task %s is quarantined: %s", self.row.id, drift)
        try:
            await self._commit(quarantine_ops(self.row, drift, self._parts.clock.now()))
        except StorageError as error:
            _log.warning("the quarantine of task %s could not be noted: %s", self.row.id, error)
        self._closed_as = Closed("quarantined", failure=failure(drift))
        await self._put_aside(drift)

    async def _put_aside(self, error: Exception) -> None:
        """Stop everything of this run in this process."""
        self._quiet.set()
        self._forget_timers()
        slots, self._slots = list(self._slots.values()), {}
        await asyncio.gather(*(slot.stop() for slot in slots))
        self.kernel.drop()
        for ack in self._acks.values():
            if ack is not None and not ack.done():
                ack.set_exception(error)
                ack.exception()
        if not self.started.done():
            self.started.set_exception(error)
            self.started.exception()
        if not self.closed.done():
            self.closed.set_result(self._closed_as or Closed("", error=error))

    def _forget_timers(self) -> None:
        for key in list(self._timers):
            self._forget_timer(key)
