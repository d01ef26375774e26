"""What workers do: steps, by their names, and what the engine has to store or to recall for a run."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from multiagent.core.errors import EngineError, EngineUnavailable, NonDeterminism, NotFound, PlatformError
from multiagent.core.events import EventDraft, EventKind
from multiagent.core.facts import StepEnded
from multiagent.core.outcome import Failure, failure
from multiagent.engines.attempt import stored_value
from multiagent.engines.ending import closed_by, ending_ops
from multiagent.engines.kernel import encode
from multiagent.engines.temporal.converter import ENCODING, read
from multiagent.engines.temporal.faults import Carried, to_temporal
from multiagent.engines.temporal.means import Means
from multiagent.engines.temporal.records import (
    FINISH,
    FLUSH,
    GIVE_UP,
    RECALL,
    Fed,
    FinishCall,
    FlushCall,
    GiveUpCall,
    Past,
    RecallCall,
    StepCall,
)
from multiagent.engines.temporal.wrapper import Wrapper, fact_ops, status_ops
from multiagent.engines.turns import Turns
from multiagent.storage.sql.ops import AppendEvent, AppendOutcome, StoredResult, StoreResult

if TYPE_CHECKING:
    from multiagent.engines.temporal.looks import Looks

T = TypeVar("T")
HELD: Final = timedelta(seconds=1)
"""How often a step that lost its worker looks whether its paused task goes on."""
STOPPED: Final = timedelta(milliseconds=100)
"""How soon a step begins again that was stopped with its process: others wait for work meanwhile."""
BEAT_SECONDS: Final = 0.5
"""How often a running step is said to be alive, and its worker learns that it is cancelled."""


class Ran(msgspec.Struct, frozen=True):
    """The task that an end is written for."""

    tenant: str
    id: str
    created: int


class Activities:
    """The activities of one process; ``looks`` are those that keep the time of schedules."""

    def __init__(self, means: Means, looks: "Looks | None" = None) -> None:
        self.looks = looks
        self._means = means
        self._turns = Turns()

    @activity.defn(dynamic=True)
    async def step(self, args: Sequence[RawValue]) -> RawValue:
        """Do a step; answer its result as JSON."""
        call = read(args[0], StepCall)
        info = activity.info()
        beat = _Beat()
        beat.start()
        try:
            if info.attempt > 1:
                await self._check_not_held(call)
            wrapper = Wrapper(self._means, self._turns, call, info.activity_type, _wanted)
            found = await wrapper.run(first=info.attempt == 1)
        except PlatformError as error:
            raise passing(error) from error
        finally:
            beat.stop()
        return _answered(found)

    @activity.defn(name=FLUSH)
    async def flush(self, call: FlushCall) -> None:
        """Store facts that no step carries."""
        ops = fact_ops(call.tenant, call.task, call.riders)
        ops += status_ops(call.tenant, call.task, call.riders, self._means.clock.now())
        await _passing_on(self._means.writer.commit(*ops))

    @activity.defn(name=FINISH)
    async def finish(self, call: FinishCall) -> None:
        """End a task: its row, its last event, its last row of the journal, and whatever was not stored before."""
        await _passing_on(self._finish(call))

    @activity.defn(name=GIVE_UP)
    async def give_up(self, call: GiveUpCall) -> RawValue:
        """Make a failure the result of a step that has none; answer the result that stands."""
        return _answered(await _passing_on(self._give_up(call)))

    @activity.defn(name=RECALL)
    async def recall(self, call: RecallCall) -> Past:
        """Answer a run's past."""
        return await _passing_on(self._recall(call))

    async def _check_not_held(self, call: StepCall) -> None:
        """Put off a step that lost its worker where its task was paused meanwhile: it begins again once it goes on."""
        row = await self._means.reader.task(call.tenant, call.task)
        if row is not None and row.status == "paused":
            raise ApplicationError(
                f"task {call.task} is paused; step {call.key} begins again once it goes on",
                Carried(retryable=True),
                type=EngineUnavailable.code,
                next_retry_delay=HELD,
                category=ApplicationErrorCategory.BENIGN,
            )

    async def _finish(self, call: FinishCall) -> None:
        *facts, last = call.riders.facts
        if not isinstance(last, Fed):
            raise EngineError("the last fact of a run is not its end")
        end = last.outcome
        bill = call.bill or await self._means.reader.bill(call.tenant, call.task)
        whose = Ran(call.tenant, call.task, call.created)
        before = msgspec.structs.replace(call.riders, facts=tuple(facts))
        await self._means.writer.commit(
            *fact_ops(call.tenant, call.task, before),
            *ending_ops(whose, closed_by(end.key, end.value), bill, end.time, said=call.said),
            AppendOutcome(tenant=call.tenant, task=call.task, outcome=end, again=True),
        )

    async def _give_up(self, call: GiveUpCall) -> bytes | Failure:
        now = self._means.clock.now()
        fact = StepEnded(call.key, call.name, 0, code=call.failure.code, message=call.failure.message)
        store = StoreResult(
            tenant=call.tenant, task=call.task, key=call.key, input_hash=call.input_hash, owner=self._means.owner,
            time=now, error=call.failure,
        )  # fmt: skip
        stands = (await self._means.writer.commit(store))[0]
        if not isinstance(stands, StoredResult):
            raise TypeError(f"StoreResult was answered by {type(stands).__name__}")
        if stands.error == call.failure:
            draft = EventDraft(
                f"{call.key}/0/{EventKind.STEP_FAILED.value}/0", EventKind.STEP_FAILED, encode(fact), now
            )
            await self._means.writer.commit(AppendEvent(tenant=call.tenant, task=call.task, event=draft))
        return await stored_value(self._means.objects, call.tenant, stands)

    async def _recall(self, call: RecallCall) -> Past:
        reader = self._means.reader
        journal = (await reader.journal(call.tenant, call.task))[: call.rows]
        if len(journal) < call.rows:
            raise NotFound(f"task {call.task} has {len(journal)} rows in its journal, not {call.rows}")
        keys = {row.key.rpartition("~")[0] for row in journal if row.kind in ("result", "failed")}
        values: dict[str, msgspec.Raw] = {}
        failures: dict[str, Failure] = {}
        for key, found in (await reader.results(call.tenant, call.task)).items():
            if key not in keys:
                continue
            value = await stored_value(self._means.objects, call.tenant, found)
            if isinstance(value, Failure):
                failures[key] = value
            else:
                values[key] = msgspec.Raw(value)
        return Past(journal, values, failures)


class _Beat:
    """Says from time to time that the activity is alive: by the loop's own time, whatever clock its code has."""

    def __init__(self) -> None:
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        self._next = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """End."""
        if self._next is not None:
            self._next.cancel()

    def _beat(self) -> None:
        activity.heartbeat()
        self.start()


def _wanted() -> bool:
    """Whether the step is still wanted where its activity is cancelled: unless its workflow has cancelled it."""
    details = activity.cancellation_details()
    return details is None or not details.cancel_requested


def _answered(found: bytes | Failure) -> RawValue:
    if isinstance(found, Failure):
        raise to_temporal(found)
    return RawValue(Payload(metadata={ENCODING: b"json/plain"}, data=found))


async def _passing_on(work: Awaitable[T]) -> T:
    beat = _Beat()
    beat.start()
    try:
        return await work
    except PlatformError as error:
        raise passing(error) from error
    finally:
        beat.stop()


def passing(error: PlatformError) -> ApplicationError:
    """Return trouble of the platform's own as Temporal takes it: it is tried again for ever, unless it cannot pass."""
    found = failure(error)
    carried = Carried(found.retryable, found.details)
    lasting = isinstance(error, NonDeterminism | NotFound)
    soon = STOPPED if isinstance(error, EngineUnavailable) and activity.is_worker_shutdown() else None
    return ApplicationError(found.message, carried, type=found.code, non_retryable=lasting, next_retry_delay=soon)
