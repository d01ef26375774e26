"""Temporal's own history of a run, replayed by Temporal's own means, and compared with our journal.

It tells whether today's code still does what was recorded, and whether the outcomes were fed in the journal's order.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from temporalio import workflow
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import (
    Interceptor,
    Replayer,
    StartActivityInput,
    UnsandboxedWorkflowRunner,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from multiagent.core.errors import InvalidInput, NonDeterminism, NotFound, PlatformError
from multiagent.core.outcome import Outcome
from multiagent.engines.base import Workflow
from multiagent.engines.temporal.connect import CALL, Link, runtime
from multiagent.engines.temporal.converter import read_payload
from multiagent.engines.temporal.ground import Ground
from multiagent.engines.temporal.pump import Pump
from multiagent.engines.temporal.quarantine import told_by
from multiagent.engines.temporal.records import Begin, Fed
from multiagent.engines.temporal.table import freeze
from multiagent.storage.sql.base import TaskRow

MOST_RUNS: Final = 1000
"""A task's histories that are followed back; each goes on where another was long enough."""


async def verify(ground: Ground, row: TaskRow, journal: Sequence[Outcome]) -> None:
    """Replay what the server has of a task, all of its histories, and compare what they fed with its journal.

    Nothing where the server has none any more. Raises NonDeterminism where today's code does something else or the
    orders differ, InvalidInput for a history that is not this task's or cannot be read, EngineUnavailable.
    """
    fed: dict[int, Outcome] = {}
    first = 1
    try:
        async for history in histories(ground.link, row.id):
            begin = await begin_of(ground.link.converter, history)
            if (begin.tenant, begin.task) != (row.tenant, row.id):
                raise InvalidInput(f"the history that the server has of task {row.id} is that of task {begin.task}")
            fed |= await fed_by(ground.link.converter, history, ground.workflows)
            first = begin.rows + 1
    except NotFound:
        return
    compare_fed(row.id, fed, journal, first)


async def histories(link: Link, task: str) -> AsyncIterator[WorkflowHistory]:
    """Yield a task's histories on the server, the newest first. Raises NotFound where there is none."""
    run = ""
    for _ in range(MOST_RUNS):
        history = await _fetch(link, task, run)
        yield history
        run = _started(history).workflow_execution_started_event_attributes.continued_execution_run_id
        if not run:
            return


async def begin_of(converter: DataConverter, history: WorkflowHistory) -> Begin:
    """Return how a history's run began; InvalidInput where it is none of this platform's."""
    payloads = _started(history).workflow_execution_started_event_attributes.input.payloads
    try:
        (first,) = await converter.payload_codec.decode(payloads) if converter.payload_codec is not None else payloads
        return read_payload(first, Begin)
    except (PlatformError, ValueError) as error:
        raise InvalidInput(f"the history of {history.workflow_id} is none of this platform's: {error}") from error


async def fed_by(
    converter: DataConverter, history: WorkflowHistory, workflows: Mapping[str, Workflow[Any, Any]]
) -> dict[int, Outcome]:
    """Run Temporal's Replayer over a history; return the outcomes that it fed, by number, with no side effect.

    Raises NonDeterminism where today's code does something else, InvalidInput where the history cannot be replayed.
    """
    facts = _Facts()
    replayer = Replayer(
        workflows=[Pump],
        workflow_runner=UnsandboxedWorkflowRunner(),
        unsandboxed_workflow_runner=UnsandboxedWorkflowRunner(),
        interceptors=[facts],
        data_converter=converter,
        runtime=runtime(),
    )
    with freeze(tuple(workflows.values())):
        done = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    if isinstance(done.replay_failure, workflow.NondeterminismError):
        raise told_by(str(done.replay_failure))
    if done.replay_failure is not None:
        raise InvalidInput(f"the history of {history.workflow_id} cannot be replayed: {done.replay_failure}")
    return facts.fed


def compare_fed(task: str, fed: Mapping[int, Outcome], journal: Sequence[Outcome], first: int = 1) -> None:
    """NonDeterminism where a journal does not have, from row ``first`` on, what the server's history fed, in its order.

    The newest outcomes may be on their way to a journal that has not ended.
    """
    stored = {row.n: _plain(row) for row in journal}
    last = journal[-1].n if journal else 0
    ended = bool(journal) and journal[-1].kind == "end"
    for n in range(first, max([last, *fed]) + 1):
        mine, theirs = stored.get(n), _plain(fed[n]) if n in fed else None
        if mine != theirs and not (mine is None and not ended):
            shown = [f"{one.kind} {one.key}" if one is not None else "nothing" for one in (mine, theirs)]
            raise NonDeterminism(
                f"outcome {n} of task {task} is {shown[0]} in the journal, and {shown[1]} in the server's history",
                details={"n": n, "step": (mine or theirs or journal[-1]).key},
            )


def _plain(row: Outcome) -> Outcome:
    """Return what a row must have in common: patches that were not taken are asked for by newer code only."""
    return msgspec.structs.replace(row, event_seq=0, patches=tuple(patch for patch in row.patches if patch.taken))


async def _fetch(link: Link, task: str, run: str) -> WorkflowHistory:
    async def fetch(client: Client) -> WorkflowHistory:
        return await client.get_workflow_handle(task, run_id=run or None).fetch_history(rpc_timeout=CALL)

    return await link.call(f"the history of task {task}", fetch)


def _started(history: WorkflowHistory) -> HistoryEvent:
    if not history.events or not history.events[0].HasField("workflow_execution_started_event_attributes"):
        raise InvalidInput(f"the history of {history.workflow_id} does not begin with its start; it was cut")
    return history.events[0]


class _Facts(Interceptor):
    """Gathers what a replayed run feeds from the riders of what it asks for."""

    def __init__(self) -> None:
        self.fed: dict[int, Outcome] = {}

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002 - the library's name
        fed = self.fed

        class Outbound(WorkflowOutboundInterceptor):
            def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 - the library's name
                riders = getattr(input.args[0], "riders", None)
                if riders is not None:
                    fed.update({fact.outcome.n: fact.outcome for fact in riders.facts if isinstance(fact, Fed)})
                return super().start_activity(input)

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

        return Inbound
