"""The step wrapper that every engine uses: what a step's code is given, how long it may take, what is tried again.

A committed result is never made again. A vendor's or a tool's error ends the step; only the platform's own retryable
``STORAGE_*`` and ``ENGINE_*`` errors are tried again, with backoff, until the step's deadline.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.errors import (
    Cancelled,
    EngineError,
    PlatformError,
    StepDeadline,
    StepPoisoned,
    StepTimeout,
    StorageError,
)
from multiagent.core.events import EventDraft, EventKind
from multiagent.core.facts import StepBegun, StepEnded
from multiagent.core.outcome import Failure, failure
from multiagent.core.step import StepDef
from multiagent.engines.base import Step
from multiagent.engines.kernel import encode
from multiagent.engines.timers import Entry, TimerQueue
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.ops import AppendEvent, StartStep, StepStarted, StoredResult, StoreResult

LARGE: Final = 256 * 1024
"""Results over so many bytes are kept in objects, under their hash."""
ALONE_FROM: Final = 2
POISONED_FROM: Final = 3
GRACE_SECONDS: Final = 1.0
"""How long cancelled code may take to end; then its step ends without it."""

_log = logging.getLogger("multiagent.engine")


class Work(msgspec.Struct, frozen=True, gc=False):
    """One step to be done: whose it is, and everything its wrapper has to write with it."""

    tenant: str
    task: str
    key: str
    definition: StepDef[Any, Any]
    input: object
    input_hash: str
    principal: str = ""
    on_behalf_of: str = ""
    cause: str = ""
    forked_from: str = ""


class Ended(msgspec.Struct, frozen=True):
    """How a step ended. ``value`` is its result as JSON; where that is large, ``ref`` says where it is kept."""

    attempt: int
    next_event: int
    started: int
    value: bytes = b""
    ref: str = ""
    error: Failure | None = None


class Tools(Protocol):
    """What wrappers share in a process."""

    @property
    def writer(self) -> Writer:
        """Where facts are written."""
        ...

    @property
    def objects(self) -> Objects:
        """Where large results are kept."""
        ...

    @property
    def clock(self) -> Clock:
        """What time it is."""
        ...

    @property
    def timers(self) -> TimerQueue:
        """What calls back later."""
        ...

    @property
    def owner(self) -> str:
        """The name of this process in leases."""
        ...


def start_op(work: Work, owner: str, now: int) -> StartStep:
    """Return the operation that looks a step's result up, else leases it."""
    lease = now + round(work.definition.policy.deadline * 1000)
    return StartStep(
        tenant=work.tenant,
        task=work.task,
        key=work.key,
        input_hash=work.input_hash,
        owner=owner,
        time=now,
        lease_until=lease,
    )


def started_op(work: Work, attempt: int, now: int, *, alone: bool = False) -> AppendEvent:
    """Return the first event of an attempt."""
    fact = StepBegun(work.key, work.definition.name, attempt, alone)
    return step_event(work, attempt, 1, EventKind.STEP_STARTED, encode(fact), now)


def ended_ops(work: Work, ended: Ended, owner: str, now: int) -> tuple[StoreResult, AppendEvent]:
    """Return the operations that commit a step's result and its last event."""
    error = ended.error
    kind = EventKind.STEP_COMPLETED if error is None else EventKind.STEP_FAILED
    fact = StepEnded(
        work.key,
        work.definition.name,
        ended.attempt,
        now - ended.started,
        "" if error is None else error.code,
        "" if error is None else error.message,
    )
    store = StoreResult(
        tenant=work.tenant,
        task=work.task,
        key=work.key,
        input_hash=work.input_hash,
        owner=owner,
        time=now,
        value=b"" if ended.ref else ended.value,
        ref=ended.ref,
        error=error,
    )
    return store, step_event(work, ended.attempt, ended.next_event, kind, encode(fact), now)


def step_event(work: Work, attempt: int, n: int, kind: EventKind, payload: bytes, now: int) -> AppendEvent:
    """Return the operation that appends event number ``n`` of an attempt."""
    key = f"{work.key}/{attempt}/{kind.value}/{n}"
    draft = EventDraft(key, kind, payload, now, work.principal, work.on_behalf_of, work.cause)
    return AppendEvent(tenant=work.tenant, task=work.task, event=draft)


class Attempt:
    """One attempt, as the step's code sees it (``StepInfo``)."""

    __slots__ = ("_beat", "_tools", "_work", "attempt", "deadline", "events", "forked_from", "key", "task", "tenant")

    def __init__(self, tools: Tools, work: Work, attempt: int, deadline: int) -> None:
        self._tools = tools
        self._work = work
        self._beat = 0.0
        self.tenant = work.tenant
        self.task = work.task
        self.key = work.key
        self.attempt = attempt
        self.deadline = deadline
        self.events = 1
        self.forked_from = work.forked_from

    @property
    def beat(self) -> float:
        """When the last heartbeat was, in monotonic seconds; 0 where there was none."""
        return self._beat

    def heartbeat(self) -> None:
        """Say that the step is alive."""
        self._beat = self._tools.clock.monotonic()

    async def event(self, kind: EventKind, payload: msgspec.Struct) -> None:
        """Append a step event: it is written before anything that the step writes later."""
        self.events += 1
        now = self._tools.clock.now()
        self._tools.writer.queue(step_event(self._work, self.attempt, self.events, kind, encode(payload), now))


class Limit:
    """Cancels the running task after a time, or when its heartbeat stops; tells that apart from other cancels."""

    __slots__ = ("_entry", "_entry_beat", "_info", "_stuck", "_task", "_tools", "reason")

    def __init__(self, tools: Tools, info: Attempt, stuck: Callable[[], None]) -> None:
        self._tools = tools
        self._info = info
        self._stuck = stuck
        self._task: asyncio.Task[Any] | None = None
        self._entry: Entry | None = None
        self._entry_beat: Entry | None = None
        self.reason = ""

    def start(self, seconds: float, heartbeat: float | None) -> None:
        """Begin to count."""
        self._task = asyncio.current_task()
        self._entry = self._tools.timers.after(seconds, lambda: self._expire(f"took longer than {seconds:g} s"))
        if heartbeat is not None:
            self._info.heartbeat()
            self._watch(heartbeat)

    def _watch(self, heartbeat: float) -> None:
        def check() -> None:
            quiet = self._tools.clock.monotonic() - self._info.beat
            if quiet >= heartbeat:
                self._expire(f"has not sent a heartbeat for {heartbeat:g} s")
            else:
                self._entry_beat = self._tools.timers.after(heartbeat - quiet, check)

        self._entry_beat = self._tools.timers.after(heartbeat, check)

    def _expire(self, reason: str) -> None:
        if self._task is not None and not self.reason:
            self.reason = reason
            self._task.cancel()
            self._tools.timers.after(GRACE_SECONDS, self._stuck)

    def stop(self) -> None:
        """Count no longer."""
        for entry in (self._entry, self._entry_beat):
            if entry is not None:
                entry.cancel()
        if self.reason and self._task is not None:
            self._task.uncancel()


async def perform(
    tools: Tools, step: Step[Any, Any], work: Work, started: StepStarted, stuck: Callable[[Failure], None]
) -> Ended:
    """Do a leased step until it has a result, a final failure, or its deadline has passed.

    ``stuck`` is told the failure where cancelled code does not end; what ``perform`` returns then comes too late.
    Raises asyncio.CancelledError where the caller cancels it.
    """
    clock = tools.clock
    deadline = clock.now() + round(work.definition.policy.deadline * 1000)
    tries = 0
    attempt, began = started.attempt, clock.now()
    while True:
        info = Attempt(tools, work, attempt, deadline)
        try:
            value = await _once(tools, step, work, info, stuck)
            if len(value) <= LARGE:
                return Ended(attempt, info.events + 1, began, value)
            return Ended(attempt, info.events + 1, began, value, await tools.objects.put(work.tenant, value))
        except (Exception, Cancelled) as error:  # noqa: BLE001 — whatever a step's code raises is the step's failure
            if not retryable(error):
                _tell(work, error)
                return Ended(attempt, info.events + 1, began, error=failure(error))
            ended = await _wait_to_retry(tools, work, tries, deadline, error)
            if ended is not None:
                return Ended(attempt, info.events + 1, began, error=ended)
        tries += 1
        attempt = await _again(tools, work, attempt)


async def _once(
    tools: Tools, step: Step[Any, Any], work: Work, info: Attempt, stuck: Callable[[Failure], None]
) -> bytes:
    """Run the code once, within its limits; StepTimeout and StepDeadline where it is over them."""
    policy = work.definition.policy
    left = (info.deadline - tools.clock.now()) / 1000
    if left <= 0:
        raise StepDeadline(f"step {work.key} did not end within its {policy.deadline:g} s")

    def over() -> PlatformError:
        text = f"step {work.key} ({work.definition.name}) {limit.reason}"
        return StepDeadline(text) if left < policy.attempt_timeout else StepTimeout(text)

    limit = Limit(tools, info, lambda: stuck(failure(over())))
    limit.start(min(policy.attempt_timeout, left), policy.heartbeat)
    try:
        result = await step.code(info, work.input)
    except asyncio.CancelledError:
        if not limit.reason:
            raise
        raise over() from None
    finally:
        limit.stop()
    if not isinstance(result, work.definition.output):
        raise EngineError(
            f"step {work.key} returned {type(result).__name__}, not {work.definition.output.__name__}; mend its code"
        )
    return encode(result)


def retryable(error: BaseException) -> bool:
    """Whether the engine tries again: the platform's own trouble that may pass, never a limit that was reached."""
    return isinstance(error, StorageError | EngineError) and error.retryable and not isinstance(error, StepTimeout)


async def _wait_to_retry(tools: Tools, work: Work, tries: int, deadline: int, error: BaseException) -> Failure | None:
    """Wait out the backoff; return the failure where the deadline comes first."""
    delay = work.definition.policy.backoff.delay(tries, random.random())  # noqa: S311 — jitter, no secret
    if tools.clock.now() + delay * 1000 >= deadline:
        return failure(
            StepDeadline(
                f"step {work.key} could not be done within its {work.definition.policy.deadline:g} s: {error}",
                details={"cause": getattr(error, "code", "INTERNAL")},
            )
        )
    _log.warning("step %s of task %s is tried again in %.1f s: %s", work.key, work.task, delay, error)
    await tools.clock.sleep(delay)
    return None


async def _again(tools: Tools, work: Work, attempt: int) -> int:
    """Lease the step once more and say so; return the new attempt's number. Where storage fails, the last number
    stands: the attempt itself will meet the same trouble and be retried.
    """
    now = tools.clock.now()
    try:
        answer = (await tools.writer.commit(start_op(work, tools.owner, now)))[0]
        if isinstance(answer, StepStarted):
            attempt = answer.attempt
        tools.writer.queue(started_op(work, attempt, now))
    except StorageError as error:
        if not error.retryable:
            raise
        _log.warning("step %s of task %s: its new attempt could not be noted: %s", work.key, work.task, error)
    return attempt


def _tell(work: Work, error: BaseException) -> None:
    if not isinstance(error, PlatformError | Cancelled):
        _log.error(
            "step %s (%s) of task %s failed unexpectedly", work.key, work.definition.name, work.task, exc_info=error
        )


def poisoned(work: Work, deaths: int) -> Failure:
    """Return the failure of a step that is not run any more."""
    return failure(
        StepPoisoned(
            f"step {work.key} ({work.definition.name}) ended its process {deaths} times, the last time while it ran "
            "alone; it is not run again",
            details={"deaths": deaths},
        )
    )


async def stored_value(objects: Objects, tenant: str, found: StoredResult) -> bytes | Failure:
    """Return what a committed row holds, fetched from objects where it is there."""
    if found.error is not None:
        return found.error
    if found.ref:
        return await objects.get(tenant, found.ref)
    return found.value
