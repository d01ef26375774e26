"""Which function does which operation."""

from collections.abc import Callable
from typing import Any, Final

from multiagent.storage.sql import keeping as kept
from multiagent.storage.sql import ops
from multiagent.storage.sql import schedules as planned
from multiagent.storage.sql.line import KeepPlaces, LeaveLine
from multiagent.storage.sql.sqlite import approvals, budgets, calls, keeping, schedules, steps, tasks
from multiagent.storage.sql.sqlite.scribe import Scribe
from multiagent.storage.sql.sqlite.travel import fork_task, release_task
from multiagent.storage.sql.travel import ForkTask, ReleaseTask

_HANDLERS: Final[dict[type[ops.Op], Callable[[Scribe, Any], object]]] = {
    ops.CreateTask: tasks.create_task,
    ops.UpdateTask: tasks.update_task,
    ops.PutAgentExecution: tasks.put_agent_execution,
    ops.StoreCommand: tasks.store_command,
    ops.DeliverCommand: tasks.deliver_command,
    ops.AppendEvent: tasks.append_event,
    ForkTask: fork_task,
    ReleaseTask: release_task,
    ops.StartStep: steps.start_step,
    ops.StoreResult: steps.store_result,
    ops.AppendOutcome: steps.append_outcome,
    ops.StoreMessage: steps.store_message,
    ops.Reserve: budgets.reserve,
    ops.Settle: budgets.settle,
    ops.Lose: budgets.lose,
    ops.LoseOpen: budgets.lose_open,
    LeaveLine: budgets.keep_order,
    KeepPlaces: budgets.keep_order,
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


def perform(scribe: Scribe, op: ops.Op) -> object:
    """Do one operation; return its answer. LookupError where there is no such operation."""
    return _HANDLERS[type(op)](scribe, op)
