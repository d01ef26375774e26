"""Drives the task workflow on the real kernel: a script answers each step, in an order that the test chooses."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from multiagent.agents.calls import CallRef, CheckOutput, RunOutput, Spent, ThinkInput, ThinkOutput
from multiagent.core.budget import Limit
from multiagent.core.events import EventKind
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.plan import Node, Plan
from multiagent.core.principal import Principal
from multiagent.core.settings import TaskSettings
from multiagent.core.task import Attachment, TaskInput, TaskResult
from multiagent.core.usage import Bill, Usage
from multiagent.engines.actions import CancelStep, Complete, Emit, Fail, RunStep, StartTimer
from multiagent.engines.context import begin
from multiagent.engines.kernel import encode
from multiagent.engines.replay import Start, replay
from multiagent.orchestrator.calls import (
    AnalyzeOutput,
    DecomposeOutput,
    FinishInput,
    SynthesizeOutput,
)
from multiagent.orchestrator.workflows import TASK

Answer = msgspec.Struct | Failure
Script = Callable[[RunStep], Answer | None]
"""What a step answers; None: it is never answered."""
START = 1_750_000_000_000


def spent(tokens: int = 100, pico: int = 1000, cached: str = "") -> Spent:
    return Spent(Usage(tokens, 0), pico, 0, "fake", "fake-small", cached)


def node(name: str, *depends_on: str) -> Node:
    return Node(name, f"title {name}", f"do {name}", depends_on, ("python",))


def task(**settings: Any) -> TaskInput:
    files = (Attachment("a.csv", "text/csv", 100, "0"),)
    chosen = TaskSettings(**{"limit": Limit(100_000, None), **settings})
    return TaskInput("task", Principal("local", "user"), "the query", files, chosen, "seed")


def script(
    plan: Sequence[Node] = (node("t1"), node("t2"), node("t3", "t1", "t2")),
    mode: str = "standard",
    acts: int = 1,
    **keys: Answer | Callable[[RunStep], Answer | None] | None,
) -> Script:
    """A good run: each agent makes ``acts`` tool calls, then answers. ``keys`` are answers to other than good ones,
    by step key with ``__`` for ``/``.
    """
    special = {name.replace("__", "/"): answer for name, answer in keys.items()}

    def answer(step: RunStep) -> Answer | None:
        if step.key in special:
            given = special[step.key]
            return given(step) if callable(given) else given
        return usual(step, plan, mode, acts)

    return answer


def usual(step: RunStep, plan: Sequence[Node], mode: str, acts: int) -> Answer:
    name = step.definition.name
    if name == "think":
        assert isinstance(step.input, ThinkInput)
        turn = int(step.key.split("/")[3])
        calls = (CallRef("c", "python", f"{turn}"),) if turn <= acts and not step.input.final else ()
        return ThinkOutput(f"head of {step.key}", "tool_calls" if calls else "stop", spent(), calls, bool(calls))
    if name == "finish":
        given = step.input
        assert isinstance(given, FinishInput)
        return TaskResult(f"text of {given.answer}", bill=Bill(), partial=given.partial, missing=given.missing)
    answers: dict[str, Answer] = {
        "analyze": AnalyzeOutput(0.5, mode, ("why",), ("python", "calculator")),  # type: ignore[arg-type]
        "decompose": DecomposeOutput("plan head", spent(), Plan(tuple(plan), "reason")),
        "check": CheckOutput("allow", "hash"),
        "run": RunOutput(f"head of {step.key}", sources=("a.csv",)),
        "synthesize": SynthesizeOutput("the answer", spent()),
    }
    return answers[name]


class TaskDrive:
    """One run. ``choose`` picks which of the pending steps ends next."""

    def __init__(
        self, given: TaskInput, answers: Script, choose: Callable[[int], int] = lambda _: 0, most: int = 10_000
    ) -> None:
        self.start = Start("task", encode(given), START)
        self.answers = answers
        self.journal: list[Outcome] = []
        self.results: dict[str, bytes | Failure] = {}
        self.steps: dict[str, RunStep] = {}
        self.emits: list[Emit] = []
        self.timers: list[StartTimer] = []
        self.pending: list[RunStep] = []
        self.widest = 0
        self.ending: Complete | Fail | None = None
        self.kernel = begin(TASK, "task", self.start.data, START)
        self._take()
        self.go(choose, most)

    def go(self, choose: Callable[[int], int] = lambda _: 0, most: int = 10_000) -> None:
        """Answer steps until the end, or until nothing is answered, or until so many steps are answered."""
        while self.ending is None and most > 0:
            ready = [step for step in self.pending if self.answers(step) is not None]
            if not ready:
                return
            step = ready[choose(len(ready)) % len(ready)]
            answer = self.answers(step)
            assert answer is not None
            self.pending.remove(step)
            failed = isinstance(answer, Failure)
            value = answer if isinstance(answer, Failure) else encode(answer)
            self.results[step.key] = value
            self.feed("failed" if failed else "result", step.id, value)
            most -= 1

    def feed(self, kind: Any, key: str, value: Any = None, carried: bytes = b"") -> None:
        row = Outcome(len(self.journal) + 1, kind, key, self.kernel.time + 1, carried, self._digest, self._patches)
        self.journal.append(row)
        self.kernel.feed(row, value)
        self._take()

    def _take(self) -> None:
        yielded = self.kernel.take()
        self._digest, self._patches = yielded.digest, yielded.patches
        for action in yielded.actions:
            if isinstance(action, RunStep):
                self.pending.append(action)
                self.steps[action.key] = action
            elif isinstance(action, CancelStep):
                self.pending = [step for step in self.pending if step.id != action.id]
            elif isinstance(action, Emit):
                self.emits.append(action)
            elif isinstance(action, StartTimer):
                self.timers.append(action)
            elif isinstance(action, Complete | Fail):
                self.ending = action
        if self.ending is not None and self.journal[-1].kind != "end":
            value = self.ending.value if isinstance(self.ending, Complete) else encode(self.ending.failure)
            row = Outcome(len(self.journal) + 1, "end", "", self.kernel.time, value, self._digest, self._patches)
            self.journal.append(row)
        self.widest = max(self.widest, len(self.pending))

    def replayed(self) -> bool:
        """Replay the journal on a fresh kernel; NonDeterminism where it drifts."""
        return replay(TASK, self.start, self.journal, self.results).ended

    @property
    def result(self) -> TaskResult:
        assert isinstance(self.ending, Complete), self.ending
        return msgspec.json.decode(self.ending.value, type=TaskResult)

    @property
    def failure(self) -> Failure:
        assert isinstance(self.ending, Fail), self.ending
        return self.ending.failure

    @property
    def kinds(self) -> list[EventKind]:
        return [emit.kind for emit in self.emits]

    def facts(self, kind: EventKind, record: type[Any]) -> list[Any]:
        return [msgspec.json.decode(emit.payload, type=record) for emit in self.emits if emit.kind is kind]

    @property
    def finish(self) -> FinishInput:
        given = self.steps["finish"].input
        assert isinstance(given, FinishInput)
        return given
