"""Runs a plan: whatever is ready starts, at most so many at once, and each completion decides what comes next.

Workflow code: the order of starts follows from the plan and the order of completions alone.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from multiagent.agents.calls import AgentResult
from multiagent.core.errors import StepFailed, WorkflowBroken
from multiagent.core.plan import Node, Plan
from multiagent.engines.base import Context, Group, Handle
from multiagent.orchestrator.dag import FailedDependency, readiness, waiting

Start = Callable[[Node, Mapping[str, AgentResult]], Coroutine[Any, Any, AgentResult]]
"""Makes the work of one agent task, given the results so far."""

Skip = Callable[[Node, str], AgentResult]
"""Says that an agent task is skipped, and why."""


class Scheduler:
    """One plan's run. ``width`` is asked before each start: how many may run at once, 0 for "start no more"."""

    def __init__(
        self,
        ctx: Context,
        plan: Plan,
        start: Start,
        skip: Skip,
        width: Callable[[], int],
    ) -> None:
        self._ctx = ctx
        self._plan = plan
        self._start = start
        self._skip = skip
        self._width = width
        self._running: list[tuple[str, Handle[AgentResult]]] = []
        self._results: dict[str, AgentResult] = {}

    async def run(self) -> Mapping[str, AgentResult]:
        """Return every task's result, in plan order.

        Where the settings say ``fail_fast``, the first failed task cancels the others and raises StepFailed with
        its code.
        """
        nodes = self._plan.tasks
        async with self._ctx.group() as group:
            while len(self._results) < len(nodes):
                self._fill(group)
                if len(self._results) < len(nodes):
                    await self._next()
        return {node.id: self._results[node.id] for node in nodes}

    def _fill(self, group: Group) -> None:
        """Start and skip until nothing more can be: a skip may make its dependents ready."""
        moved = True
        while moved:
            moved = False
            started = {*self._results, *(name for name, _ in self._running)}
            for node in waiting(self._plan.tasks, started):
                moved = self._try(node, group) or moved

    def _try(self, node: Node, group: Group) -> bool:
        statuses = {name: result.status for name, result in self._results.items()}
        policy: FailedDependency = "skip" if self._ctx.settings.failed_agent == "skip" else "continue"
        state = readiness(node, statuses, policy)
        width = self._width()
        if state == "skip":
            self._results[node.id] = self._skip(node, "what it depends on brought no result")
            return True
        if width == 0:
            self._results[node.id] = self._skip(node, "the budget is nearly used up")
            return True
        if state == "blocked" or len(self._running) >= width:
            return False
        handle = group.spawn(self._start(node, dict(self._results)), contain=True)
        self._running.append((node.id, handle))
        return True

    async def _next(self) -> None:
        if not self._running:
            raise WorkflowBroken("a plan stands still: its tasks wait for each other")
        first = await self._ctx.wait_any([handle for _, handle in self._running])
        position = next(at for at, (_, handle) in enumerate(self._running) if handle is first)
        name, _ = self._running.pop(position)
        result = first.result()
        self._results[name] = result
        settings = self._ctx.settings
        if result.status == "failed" and (settings.fail_fast or settings.failed_agent == "fail_fast"):
            raise StepFailed(
                result.code, f"agent task {name} failed, and this task stops at the first failure: {result.message}"
            )
