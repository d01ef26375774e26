"""The judge sees a task, an answer and its tools. It rejects answers that were spoiled and accepts the others."""

import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from multiagent.agents.asking import Asker
from multiagent.agents.calls import AgentResult, Brief, Opening, Review, Ruling, Seat, Spent, Terms
from multiagent.agents.loop import Agent
from multiagent.agents.memo import link
from multiagent.agents.ports import Limits, Ports
from multiagent.agents.steps import AgentSteps
from multiagent.core.budget import Amount
from multiagent.core.decision import Ask, Decision
from multiagent.core.messages import says
from multiagent.core.step import StepDef
from multiagent.core.usage import Usage
from multiagent.llm.base import Answer, ModelRequest
from multiagent.llm.offline.provider import answer
from multiagent.orchestrator.service import Service, Submission
from multiagent.orchestrator.uploads import Uploads
from multiagent.sandbox.factory import open_sandbox
from multiagent.storage.factory import open_storage
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.tools.factory import open_tools
from tests.e2e.judged import Checkable, arithmetic, spoiled, table
from tests.unit.agents.stage import USER, Info, ScriptedGate

SEED = int(os.environ.get("JUDGE_SEED") or random.SystemRandom().randrange(1 << 30))
SUMS, TABLES = 60, 40
TERMS = Terms("small", max_output=4096)


def reply(request: ModelRequest) -> Answer:
    """The offline model's answer."""
    parts, finish = answer(request)
    return Answer(parts, finish, Usage(10, 5), "offline", "offline-small", estimated=True)


class Purse:
    """Money enough."""

    last = False

    def terms(self) -> Terms:
        return TERMS

    def book(self, spent: Spent) -> None: ...

    def lose(self, lost: Amount) -> None: ...

    def widen(self) -> bool:
        return False

    def spare(self) -> None: ...


@dataclass
class Inline:
    """A context that does each step at once."""

    steps: AgentSteps
    task: str
    events: list[Any] = field(default_factory=list)
    cuts: int = 0
    inherited: bool = False

    async def step(self, definition: StepDef[Any, Any], given: Any, key: str) -> Any:
        return await getattr(self.steps, definition.name)(Info(self.task, key), given)

    def now(self) -> int:
        return 0

    def emit(self, kind: Any, payload: Any) -> None:
        self.events.append((kind, payload))

    def publish(self, name: str, state: Any) -> None: ...


@dataclass
class Court:
    """Proposes and judges, with the real tools and the prompts as they are rendered."""

    asker: Asker
    service: Service

    async def answered(self, task: Checkable) -> tuple[str, AgentResult]:
        files = (task.file,) if task.file is not None else ()
        created = await self.service.submit(Submission(USER, task.instruction, files))
        return created.id, await self._run(created.id, task, "t1", None)

    async def text(self, result: AgentResult) -> str:
        return await self.asker.chains.text("local", result.head)

    async def ruling(self, identity: str, task: Checkable, text: str) -> Ruling | None:
        head, (message,) = link("", says("assistant", text))
        self.asker.store("local", message)
        self.asker.chains.keep("local", head, (message,))
        agent = self._agent(identity, task, "t1.judge", Review("judge", head))
        result = await agent.run()
        assert result.status == "completed", result
        return agent.ruling

    async def _run(self, identity: str, task: Checkable, name: str, review: Review | None) -> AgentResult:
        result = await self._agent(identity, task, name, review).run()
        assert result.status == "completed", result
        return result

    def _agent(self, identity: str, task: Checkable, name: str, review: Review | None) -> Agent:
        attached = (task.file.name,) if task.file is not None else ()
        opening = Opening("a checkable task", task.instruction, 8)
        brief = Brief(Seat(name, task.tools, attached), opening, 8, 3, review)
        context: Any = Inline(AgentSteps(self.asker), identity)
        return Agent(context, brief, Purse())


@pytest.fixture
async def court(tmp_path: Path, sandbox_cache: Path) -> AsyncIterator[Court]:
    clock = ManualClock()

    async def decide(_ask: Ask) -> Decision:
        return Decision(allow=True)

    async with (
        open_storage(tmp_path / "home", clock=clock, ids=CountedIds(), synchronous="NORMAL") as storage,
        open_sandbox(sandbox_cache) as sandbox,
    ):
        runner = open_tools(storage.objects, sandbox, storage.writer, decide, clock)
        ports = Ports(storage.writer, storage.reader, storage.objects, ScriptedGate(reply), runner, clock)
        service = Service(storage.writer, Uploads(storage.objects), clock, CountedIds(start=10**6))
        yield Court(Asker(ports, Limits()), service)


@pytest.mark.requirement("C6.judge")
@pytest.mark.timeout(600)
async def test_the_judge_rejects_spoiled_answers_and_accepts_the_others(court: Court, tmp_path: Path) -> None:
    """Of 100 generated tasks the harness spoils half of the proposer's answers."""
    chance = random.Random(SEED)
    tasks = [arithmetic(chance) for _ in range(SUMS)] + [table(chance, tmp_path) for _ in range(TABLES)]
    spoil = [True] * (len(tasks) // 2) + [False] * (len(tasks) - len(tasks) // 2)
    chance.shuffle(spoil)
    right: list[bool] = []
    wrong: list[str] = []
    for task, bad in zip(tasks, spoil, strict=True):
        identity, result = await court.answered(task)
        good = await court.text(result)
        text = spoiled(good, task, chance) if bad else good
        ruling = await court.ruling(identity, task, text)
        assert ruling is not None
        right.append(ruling.accept is not bad)
        if ruling.accept is bad:
            wrong.append(f"{'spoiled' if bad else 'whole'}: {task.instruction}\n{text}\n{ruling}")
    rejected = sum(ok for ok, bad in zip(right, spoil, strict=True) if bad) / sum(spoil)
    accepted = sum(ok for ok, bad in zip(right, spoil, strict=True) if not bad) / (len(spoil) - sum(spoil))
    print(f"seed {SEED}: {rejected:.0%} of the spoiled answers rejected, {accepted:.0%} of the others accepted")
    assert rejected >= 0.95, "\n\n".join(wrong)
    assert accepted >= 0.95, "\n\n".join(wrong)
