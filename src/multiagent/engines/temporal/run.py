"""One run inside its Temporal workflow: a kernel, what it has under way, and the facts that ride along.

Everything here happens in workflow code: only what it asks of Temporal takes effect, and nothing it asks for takes
effect before the server has it. So facts leave it in one way, as riders of activities.
"""

import asyncio

import msgspec
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.exceptions import TimeoutError as TemporalTimeout

from multiagent.core.errors import NonDeterminism
from multiagent.core.outcome import Failure
from multiagent.core.usage import Bill
from multiagent.engines.actions import Complete, Fail, RunStep, StartTimer
from multiagent.engines.asked import Asked
from multiagent.engines.context import begin as begin_run
from multiagent.engines.ending import Closed, closed_by, closing, held_by
from multiagent.engines.feeding import Feed
from multiagent.engines.kernel import encode
from multiagent.engines.replay import replay
from multiagent.engines.temporal.asking import RECALLING, STORING, Handle, ask_ours, ask_step, broken_by, now_ms
from multiagent.engines.temporal.converter import read
from multiagent.engines.temporal.faults import from_temporal
from multiagent.engines.temporal.inbox import Arrived, Inbox
from multiagent.engines.temporal.records import (
    FINISH,
    FLUSH,
    GIVE_UP,
    RECALL,
    Begin,
    FinishCall,
    FlushCall,
    GiveUpCall,
    Past,
    RecallCall,
)
from multiagent.engines.temporal.riders import Carriage
from multiagent.engines.temporal.table import find


class Run:
    """See the module. ``drive`` it until it returns."""

    def __init__(self, begin: Begin, inbox: Inbox) -> None:
        self._begin = begin
        self._inbox = inbox
        self._feed: Feed | None = None
        self._carriage = Carriage(begin.rows)
        self._signals: set[str] = set()
        self._steps: dict[str, Handle] = {}
        self._held: dict[str, tuple[RunStep, str]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._flushing = ""
        self._flushes = 0
        self._ending: Complete | Fail | None = None
        self._said_the_end = False
        self._moving_on = False
        self._broken: Exception | None = None

    def published(self, name: str) -> bytes | None:
        """Return what the run has published under a name, as JSON."""
        return None if self._feed is None else self._feed.kernel.query(name)

    async def drive(self) -> Closed | Begin:
        """Run to the end; return it, or the beginning with which the run goes on in a new history.

        Raises NonDeterminism where today's code does something else than was recorded.
        """
        over = await self._first()
        if over is not None:
            return over
        while self._ending is None or not self._over:
            if self._at_a_stop:
                return self._next_beginning()
            await self._inbox.wait(whatever_is_there=not self._standing)
            if self._broken is not None:
                raise self._broken
            asked = self._asked()
            self._turn(asked, fed=self._drain(asked))
        return await self._finish(self._ending)

    def drop(self) -> None:
        """Let go of everything; nothing is asked for any more."""
        if self._feed is not None:
            self._feed.kernel.drop()

    # --- turns ---

    async def _first(self) -> Closed | None:
        """Begin, or bring the run up to the last row of its past; return its end where it had ended by then."""
        begin, definition = self._begin, find(workflow.info().workflow_type)
        asked = self._asked()
        if begin.rows:
            past = await self._recalled()
            again = replay(definition, begin.start, past.journal, {**past.values, **past.failures})
            again.kernel.decide = workflow.patched  # as the server's history has it
            self._feed = Feed(again.kernel, again.tail, past.journal[-1].n, past.journal[-1].time)
            self._signals = {row.key for row in past.journal if row.kind == "signal"}
            if again.ended:
                last = past.journal[-1]
                return closed_by(last.key, last.value)
        else:
            kernel = begin_run(
                definition, begin.start.task, begin.start.data, begin.start.time, decide=workflow.patched
            )
            self._feed = Feed(kernel, kernel.take(), 0, begin.start.time)
        self._inbox.push_first(begin.sent)
        asked.absorb(self._feed.tail, "")
        asked.absorb_pending(self._feed.kernel)
        self._turn(asked, fed=False)
        return None

    async def _recalled(self) -> Past:
        call = RecallCall(self._begin.tenant, self._begin.task, self._begin.rows)
        try:
            return read(await ask_ours(RECALL, call, RECALL, RECALLING), Past)
        except ActivityError as error:
            raise broken_by(error) from error

    def _asked(self) -> Asked:
        return Asked((self._begin.principal, self._begin.on_behalf_of), self._carriage.tell)

    @property
    def _standing(self) -> bool:
        """Whether nothing is fed any more, since the run is about to go on in a new history."""
        return self._moving_on and not self._steps

    def _drain(self, asked: Asked) -> bool:
        """Feed what has arrived; return whether there was anything."""
        fed = False
        while not self._standing and (arrived := self._inbox.pop()) is not None:
            if arrived.kind == "timer" and not self._fed.kernel.waits_for(arrived.key):
                continue
            if arrived.kind == "signal" and arrived.key in self._signals:
                continue
            self._take(arrived, asked)
            fed = True
        return fed

    def _take(self, arrived: Arrived, asked: Asked) -> None:
        feed = self._fed
        now = feed.tick(now_ms())
        if arrived.kind == "signal":
            self._signals.add(arrived.key)
            held = held_by(feed.kernel, arrived.key, arrived.carried, now)
            if held is not None:
                self._carriage.tell(held.event)
        row = feed.feed(arrived.kind, arrived.key, arrived.carried, arrived.value)
        self._carriage.feed(row)
        asked.absorb(feed.tail, arrived.key)

    def _turn(self, asked: Asked, *, fed: bool) -> None:
        """Do what is asked for; ``fed``: outcomes led to it."""
        self._ending = asked.ending or self._ending
        self._said_the_end = self._said_the_end or asked.said_the_end
        for key in asked.untimers:
            self._forget_timer(key)
        for timer in asked.timers.values():
            self._start_timer(timer)
        for step_id in asked.cancels:
            if step_id in self._steps:
                self._steps[step_id].cancel()
        begins = self._released(asked)
        self._show(busy=bool(self._steps or begins), fed=fed)
        for action, cause in begins:
            self._start_step(action, cause)
        self._flush_where_needed()

    def _released(self, asked: Asked) -> list[tuple[RunStep, str]]:
        """Return the steps that may begin now: those of a run that is paused or about to go on in a new history, and
        those behind facts too many to be carried, are held back.
        """
        for step_id in asked.cancels:
            self._held.pop(step_id, None)
        self._held |= {step_id: (action, asked.cause(step_id)) for step_id, action in asked.steps.items()}
        self._moving_on = self._moving_on or self._should_move_on()
        if self._fed.kernel.paused or self._moving_on or self._carriage.heavy:
            return []
        begins = list(self._held.values())
        self._held.clear()
        return begins

    def _show(self, *, busy: bool, fed: bool) -> None:
        kernel = self._fed.kernel
        if self._ending is not None:
            return
        names = () if busy else kernel.waiting_signals()
        if kernel.paused:  # said again: a step may have said otherwise meanwhile
            self._carriage.show("paused", ",".join(names), again=fed)
        else:
            self._carriage.show("waiting" if names and not self._held else "running", ",".join(names))

    # --- steps and timers ---

    def _start_step(self, action: RunStep, cause: str) -> None:
        handle = ask_step(self._begin, action, cause, self._carriage.load(action.id))
        self._steps[action.id] = handle
        handle.add_done_callback(lambda done: self._answered(action, done))

    def _answered(self, action: RunStep, done: "asyncio.Task[RawValue]") -> None:
        if done.cancelled() or done.exception() is not None:
            self._carriage.lost(action.id)
        else:
            self._carriage.arrived(action.id)
        self._step_ended(action, done)

    def _step_ended(self, action: RunStep, done: "asyncio.Task[RawValue]") -> None:
        del self._steps[action.id]
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._step_failed(action, error)
        else:
            self._inbox.push(Arrived("result", action.id, done.result().payload.data))

    def _step_failed(self, action: RunStep, error: BaseException | None) -> None:
        """Tell a failure that its worker has stored from one that Temporal alone knows of."""
        cause = error.__cause__ if isinstance(error, ActivityError) else error
        if error is None or isinstance(cause, CancelledError):  # stopped by its workflow before anything was stored
            self._inbox.rouse()
        elif isinstance(cause, TemporalTimeout):
            self._give_up(action, from_temporal(error))
        elif isinstance(cause, ApplicationError):
            failure = from_temporal(error)
            if failure.code == NonDeterminism.code:
                self._break(NonDeterminism(failure.message, details=failure.details))
            else:
                self._inbox.push(Arrived("failed", action.id, failure))
        else:
            self._break(ApplicationError(f"step {action.id}: {cause}", type="ENGINE_FAILED", non_retryable=True))

    def _give_up(self, action: RunStep, failed: Failure) -> None:
        """Let the failure of a step be stored whose worker did not end it."""
        begin = self._begin
        call = GiveUpCall(begin.tenant, begin.task, action.key, action.definition.name, action.input_hash, failed)
        handle = self._steps[action.id] = ask_ours(GIVE_UP, call, f"{GIVE_UP}/{action.id}", STORING)
        handle.add_done_callback(lambda done: self._step_ended(action, done))

    def _break(self, error: Exception) -> None:
        self._broken = self._broken or error
        self._inbox.rouse()

    def _start_timer(self, timer: StartTimer) -> None:
        def fire() -> None:
            self._timers.pop(timer.key, None)
            self._inbox.push(Arrived("timer", timer.key))

        seconds = max(0, timer.due - now_ms()) / 1000
        self._timers[timer.key] = asyncio.get_running_loop().call_later(seconds, fire)

    def _forget_timer(self, key: str) -> None:
        handle = self._timers.pop(key, None)
        if handle is not None:
            handle.cancel()

    # --- facts that nothing carries ---

    def _flush_where_needed(self) -> None:
        needed = self._carriage.stranded or (bool(self._held) and self._carriage.heavy)
        if self._ending is not None or self._flushing or not needed:  # the end takes the last ones along
            return
        self._flushes += 1
        self._flushing = f"{FLUSH}/{self._flushes}"
        call = FlushCall(self._begin.tenant, self._begin.task, self._carriage.load(self._flushing))
        ask_ours(FLUSH, call, self._flushing, STORING).add_done_callback(self._flushed)

    def _flushed(self, done: "asyncio.Task[RawValue]") -> None:
        carrier, self._flushing = self._flushing, ""
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._carriage.lost(carrier)
            self._break(broken_by(error))
        else:
            self._carriage.arrived(carrier)
            self._inbox.rouse()

    # --- the end, and going on in a new history ---

    @property
    def _over(self) -> bool:
        return self._ending is not None and not self._steps and not self._flushing

    async def _finish(self, ending: Complete | Fail) -> Closed:
        """Store the end with everything that is not stored yet."""
        for key in list(self._timers):
            self._forget_timer(key)
        feed, closed = self._fed, closing(ending)
        feed.tick(now_ms())
        value = closed.value if closed.failure is None else encode(closed.failure)
        self._carriage.feed(feed.end(closed.status, value))
        bill = getattr(feed.kernel.result, "bill", None)
        call = FinishCall(
            self._begin.tenant,
            self._begin.task,
            self._begin.created,
            self._carriage.load(FINISH),
            bill if isinstance(bill, Bill) else None,
            self._said_the_end,
        )
        try:
            await ask_ours(FINISH, call, FINISH, STORING)
        except ActivityError as error:
            raise broken_by(error) from error
        return closed

    def _should_move_on(self) -> bool:
        if self._ending is not None or self._fed.n == self._begin.rows:  # a history that fed nothing is no progress
            return False
        info, most = workflow.info(), self._begin.most_events
        if most:
            return info.get_current_history_length() >= most
        return info.is_continue_as_new_suggested()

    @property
    def _at_a_stop(self) -> bool:
        """Whether the run stands still and everything of it is stored."""
        return self._standing and not self._flushing and self._carriage.empty

    def _next_beginning(self) -> Begin:
        for key in list(self._timers):
            self._forget_timer(key)
        return msgspec.structs.replace(self._begin, rows=self._fed.n, sent=self._inbox.signals())

    @property
    def _fed(self) -> Feed:
        if self._feed is None:
            raise RuntimeError("the run has not begun")
        return self._feed
