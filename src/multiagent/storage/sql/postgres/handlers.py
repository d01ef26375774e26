"""Which function does which operation, and what an operation locks."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from multiagent.storage.sql import keeping as kept
from multiagent.storage.sql import ops
from multiagent.storage.sql import schedules as planned
from multiagent.storage.sql.line import KeepPlaces, LeaveLine
from multiagent.storage.sql.postgres import approvals, budgets, calls, keeping, schedules, steps, tasks, travel
from multiagent.storage.sql.postgres.facts import Fact, append_facts
from multiagent.storage.sql.postgres.scribe import Scribe
from multiagent.storage.sql.travel import ForkTask, ReleaseTask

_HANDLERS: Final[dict[type[ops.Op], Callable[[Scribe, Any], Awaitable[object]]]] = {
    ops.CreateTask: tasks.create_task,
    ops.UpdateTask: tasks.update_task,
    ops.PutAgentExecution: tasks.put_agent_execution,
    ops.StoreCommand: tasks.store_command,
    ops.DeliverCommand: tasks.deliver_command,
    ForkTask: travel.fork_task,
    ReleaseTask: travel.release_task,
    ops.StartStep: steps.start_step,
    ops.StoreResult: steps.store_result,
    ops.Reserve: budgets.reserve,
    ops.Settle: budgets.settle,
    ops.Lose: budgets.lose,
    ops.LoseOpen: budgets.lose_open,
    LeaveLine: budgets.leave_line,
    KeepPlaces: budgets.keep_places,
    ops.StoreCompletion: calls.store_completion,
    ops.StoreUsage: calls.store_usage,
    ops.RecordIntent: calls.record_intent,
    ops.ResolveIntent: calls.resolve_intent,
    ops.RequestApproval: calls.request_approval,
    ops.DecideApproval: calls.decide_approval,
    ops.TakeDecision: approvals.take_decision,
    ops.ConsumeApproval: calls.consume_approval,
    ops.PutUser: calls.put_user,
    ops.PutSession: calls.put_session,
    ops.AddSessionTokens: calls.add_session_tokens,
    kept.RememberTurn: keeping.remember_turn,
    kept.ReplaceMemory: keeping.replace_memory,
    kept.ForgetSession: keeping.forget_session,
    kept.PruneTask: keeping.prune_task,
    kept.SweepMessages: keeping.sweep_messages,
    planned.PutSchedule: schedules.put_schedule,
    planned.DropSchedule: schedules.drop_schedule,
}
_LOCK: Final = "SELECT lock_tasks($1, $2)"
_LOCKING: Final = (
    ops.AppendEvent, ops.AppendOutcome, ops.UpdateTask, ops.ConsumeApproval, ops.TakeDecision, ForkTask, ReleaseTask,
    kept.PruneTask,
)  # fmt: skip
"""What holds or needs the lock of a task's row."""

REPEATABLE: Final = (
    ops.Reserve, ops.LoseOpen, LeaveLine, KeepPlaces, ops.StoreMessage, ops.StoreUsage, ops.StoreCommand,
    ops.DeliverCommand, ops.ResolveIntent, ops.RequestApproval,
)  # fmt: skip
"""What is one statement and may be run again when nobody knows whether it took effect: it needs no transaction."""


def task_of(op: ops.Op) -> str:
    """Return the task that an operation is about; empty where it is about none, or about many."""
    if isinstance(op, ops.CreateTask | ops.UpdateTask | ReleaseTask | kept.PruneTask | ForkTask):
        return op.id
    if isinstance(op, ops.TakeDecision):
        return op.command.task
    task: str = getattr(op, "task", "")
    return task


def parent_of(op: ops.Op) -> str:
    """Return the other task that an operation is about: a fork's parent."""
    return op.parent if isinstance(op, ForkTask) else ""


async def perform(scribe: Scribe, given: Sequence[ops.Op]) -> tuple[object, ...]:
    """Do the operations in order, in the transaction that is open; return their answers.

    Rows of tasks are locked before anything else, then those of budgets, each in one order. LookupError where there is
    no such operation.
    """
    await _lock(scribe, given)
    await budgets.lock_budgets(scribe, given)
    answers: list[object] = []
    at = 0
    while at < len(given):
        facts, messages = _facts(given, at), _messages(given, at)
        if facts:
            answers += await append_facts(scribe, facts)
            at += len(facts)
        elif messages:
            answers += await steps.store_messages(scribe, messages)
            at += len(messages)
        else:
            answers.append(await _HANDLERS[type(given[at])](scribe, given[at]))
            at += 1
    return tuple(answers)


async def _lock(scribe: Scribe, given: Sequence[ops.Op]) -> None:
    wanted = {
        (op.tenant, task) for op in given if isinstance(op, _LOCKING) for task in (task_of(op), parent_of(op)) if task
    }
    first = given[0] if given else None
    alone = len(wanted) == 1 and isinstance(first, ops.AppendEvent | ops.AppendOutcome)  # it takes the lock itself
    if wanted and not alone:
        rows = sorted(wanted)
        await scribe.row(_LOCK, [row[0] for row in rows], [row[1] for row in rows])


def _facts(given: Sequence[ops.Op], at: int) -> list[Fact]:
    """Return the facts of one task from there on: the database takes them in one call."""
    found: list[Fact] = []
    for op in given[at:]:
        if not isinstance(op, ops.AppendEvent | ops.AppendOutcome):
            break
        if found and (op.tenant, op.task) != (found[0].tenant, found[0].task):
            break
        found.append(op)
    return found


def _messages(given: Sequence[ops.Op], at: int) -> list[ops.StoreMessage]:
    """Return the messages of one tenant from there on: they go in one statement."""
    found: list[ops.StoreMessage] = []
    for op in given[at:]:
        if not isinstance(op, ops.StoreMessage) or (found and op.tenant != found[0].tenant):
            break
        found.append(op)
    return found
