"""Runs on the server: begun, gone on with from what is stored, ended."""

from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from multiagent.core.errors import NotFound
from multiagent.engines.past import signature, start_of
from multiagent.engines.temporal.connect import CALL, Link
from multiagent.engines.temporal.converter import read_payload
from multiagent.engines.temporal.records import FEED, Begin, Sent
from multiagent.storage.sql.base import Reader, TaskRow

OURS: Final = "multiagent: "
"""How the reason begins for which the platform itself ends a run on the server; its task goes on, or waits for us."""


def begin_of(row: TaskRow, rows: int, sent: tuple[Sent, ...] = ()) -> Begin:
    """Return how a task's run begins on the server: with so many rows of its journal as its past."""
    principal, on_behalf_of = signature(row)
    return Begin(row.tenant, row.id, start_of(row), row.created, principal, on_behalf_of, row.parent_id, rows, sent)


async def launch(link: Link, workflow: str, begin: Begin, *, again: bool = False) -> None:
    """Start a run; one that is there already is as good. ``again``: also where an earlier one has ended."""
    reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE if again else WorkflowIDReusePolicy.REJECT_DUPLICATE

    async def start(client: Client) -> None:
        try:
            await client.start_workflow(
                workflow,
                begin,
                id=begin.task,
                task_queue=link.options.queue("orchestrator"),
                id_reuse_policy=reuse,
                rpc_timeout=CALL,
            )
        except WorkflowAlreadyStartedError:
            return

    await link.call(f"the start of task {begin.task}", start)


async def relaunch(link: Link, reader: Reader, row: TaskRow, why: str) -> None:
    """Go on with a task from its journal, in a new run: an earlier one that is under way is ended."""
    await end_run(link, row.id, why)
    journal = await reader.journal(row.tenant, row.id)
    known = {one.key for one in journal if one.kind == "signal"}
    sent = tuple(one for one in await signals_of(link, row.id) if one.key not in known)
    await launch(link, row.workflow, begin_of(row, journal[-1].n if journal else 0, sent), again=True)


async def end_run(link: Link, task: str, why: str) -> None:
    """End a task's run on the server, whatever state it is in; nothing where there is none."""

    async def end(client: Client) -> None:
        await client.get_workflow_handle(task).terminate(reason=OURS + why, rpc_timeout=CALL)

    try:
        await link.call(f"task {task}", end)
    except NotFound:
        return


async def signals_of(link: Link, task: str) -> tuple[Sent, ...]:
    """Return what was sent to a task's newest run, in order, as its history on the server has it."""

    async def fetch(client: Client) -> tuple[Sent, ...]:
        found: dict[str, Sent] = {}
        handle = client.get_workflow_handle(task)
        async for event in handle.fetch_history_events(rpc_timeout=CALL):
            if event.HasField("workflow_execution_started_event_attributes"):
                payloads = event.workflow_execution_started_event_attributes.input.payloads
                (first,) = await codec.decode(payloads)
                found |= {one.key: one for one in read_payload(first, Begin).sent}
            elif event.HasField("workflow_execution_signaled_event_attributes"):
                told = event.workflow_execution_signaled_event_attributes
                if told.signal_name == FEED:
                    (payload,) = await codec.decode(told.input.payloads)
                    one = read_payload(payload, Sent)
                    found.setdefault(one.key, one)
        return tuple(found.values())

    codec = link.codec
    try:
        return await link.call(f"the history of task {task}", fetch)
    except NotFound:
        return ()
