"""Looks at schedules, as workflows of Temporal's own kind: its schedules start one at each of their times.

A look ends once all that has come is decided. Where something waits for the end of a run, one more workflow a schedule
waits for that, and looks again.
"""

import asyncio
from datetime import timedelta
from typing import Final

import msgspec
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from multiagent.core.errors import PlatformError
from multiagent.engines.schedules.book import Book, Kept
from multiagent.engines.schedules.looking import Looked, Looker
from multiagent.engines.temporal.activities import passing
from multiagent.engines.temporal.connect import CALL, Link

LOOK: Final = "__schedule_look"
WAIT: Final = "__schedule_wait"
AGAIN: Final = "again"
SKEW_S: Final = 2.0
"""A time so near is waited for: the server's clock may be ahead of this machine's."""
_LOOK_TIME: Final = timedelta(seconds=60)
_RETRIES: Final = RetryPolicy(initial_interval=timedelta(seconds=0.5), maximum_interval=timedelta(seconds=30))
_WAITING: Final = RetryPolicy(
    initial_interval=timedelta(seconds=0.25), backoff_coefficient=1.3, maximum_interval=timedelta(seconds=2)
)


class LookCall(msgspec.Struct, frozen=True):
    """The schedule to look at; ``waits``: and to wait for the ends of its runs, where something waits for them."""

    tenant: str
    schedule: str
    waits: bool = False


class Said(msgspec.Struct, frozen=True):
    """Whether something waits for the end of a run."""

    waits: bool = False


@workflow.defn(name=LOOK)
class Look:
    """A look, or a wait with looks after it."""

    def __init__(self) -> None:
        self._again = False

    @workflow.run
    async def run(self, call: LookCall) -> None:
        """Look until nothing is left to do."""
        while True:
            self._again = False
            said = await workflow.execute_activity(
                LOOK, call, result_type=Said, start_to_close_timeout=_LOOK_TIME, retry_policy=_RETRIES
            )
            if not call.waits or not (said.waits or self._again):
                return
            if said.waits:
                await workflow.execute_activity(
                    WAIT, call, result_type=Said, start_to_close_timeout=_LOOK_TIME, retry_policy=_WAITING
                )
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(call)

    @workflow.signal(name=AGAIN)
    def again(self) -> None:
        """Something new waits."""
        self._again = True


class Looks:
    """The activities of looks."""

    def __init__(self, link: Link, book: Book, looker: Looker) -> None:
        self._link = link
        self._book = book
        self._looker = looker

    @activity.defn(name=LOOK)
    async def look(self, call: LookCall) -> Said:
        """Decide on what has come of a schedule, and do it; forget one that is not kept any more."""
        try:
            there = await self._book.find(call.tenant, call.schedule)
            if there is None:
                await forget(self._link, call.tenant, call.schedule)
                return Said()
            looked = await self._all(there)
            if looked.waits and not call.waits:
                await begin(self._link, LookCall(call.tenant, call.schedule, waits=True), "wait")
            return Said(looked.waits)
        except PlatformError as error:
            raise passing(error) from error

    @activity.defn(name=WAIT)
    async def wait(self, call: LookCall) -> Said:
        """End once no run of a schedule is under way; until then it fails, and is tried again."""
        try:
            going = await self._book.under_way(call.tenant, call.schedule)
        except PlatformError as error:
            raise passing(error) from error
        if going:
            raise ApplicationError(
                f"{len(going)} runs go on", type="SCHEDULE_WAITS", category=ApplicationErrorCategory.BENIGN
            )
        return Said()

    async def _all(self, there: Kept) -> Looked:
        """Look until all is decided that has come, or comes in a moment."""
        near = True
        while True:
            looked = await self._looker.look(there)
            ahead = None if looked is None or looked.wake is None else (looked.wake - self._book.now()) / 1000
            if looked is not None and (ahead is None or ahead > (SKEW_S if near else 0)):
                return looked
            if ahead is not None and ahead > 0:
                near = False
                await asyncio.sleep(ahead)
            again = await self._book.find(there.tenant, there.schedule.id)
            if again is None:
                return Looked()
            there = again


def name_of(link: Link, tenant: str, schedule: str) -> str:
    """Return a schedule's id on the server."""
    return f"{link.options.queues}/schedule/{tenant}/{schedule}"


async def begin(link: Link, call: LookCall, suffix: str) -> None:
    """Begin a look, or tell the one of that name, where it is under way, that something has changed."""

    async def start(client: Client) -> None:
        await client.start_workflow(
            LOOK,
            call,
            id=f"{name_of(link, call.tenant, call.schedule)}/{suffix}",
            task_queue=link.options.queue("orchestrator"),
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=AGAIN,
            rpc_timeout=CALL,
        )

    await link.call(f"a look at schedule {call.schedule}", start)


async def forget(link: Link, tenant: str, schedule: str) -> None:
    """Let the server keep a schedule's time no more; nothing where it does not."""

    async def delete(client: Client) -> None:
        try:
            await client.get_schedule_handle(name_of(link, tenant, schedule)).delete(rpc_timeout=CALL)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    await link.call(f"the end of schedule {schedule}", delete)
