"""Whole tasks, forked at every cut: only later steps run, at their own cost, and no effect happens a second time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from multiagent.agents.calls import Word
from multiagent.core.decision import Decision as Verdict
from multiagent.core.events import Event, EventKind
from multiagent.core.facts import ApprovalAsked
from multiagent.core.outcome import Outcome
from multiagent.core.task import TaskResult
from multiagent.core.tier import Tier
from multiagent.core.tool import ToolSpec
from multiagent.core.travel import AtRow, Changes, Point
from multiagent.engines.travel import step_of
from multiagent.llm.base import Answer, ModelRequest
from multiagent.orchestrator.approvals import Approvals, Decision
from multiagent.testing.replayed import Register
from tests.unit.agents.stage import USER, Echo, answer, call
from tests.unit.orchestrator.task_house import QUERY, House, open_house

NOTHING = Changes()


class Mail(Echo):
    """A tool with an effect that must not happen twice."""

    spec = ToolSpec("mail", "sends a letter", '{"type":"object"}', group="code", idempotent=False)


def mailing(request: ModelRequest) -> Answer:
    """Call the mail once, then answer."""
    if request.tools and not any(one.role == "tool" for one in request.messages):
        return answer(call("mail", '{"to": "ann"}'), finish="tool_calls")
    return answer("sent")


class Person:
    """Answers every approval that a task asks for; ``said`` counts their answers."""

    def __init__(self, house: House, task: str, *, approved: bool) -> None:
        self._house = house
        self._task = task
        self._approved = approved
        self._known: set[str] = set()
        self.said = 0

    async def __call__(self) -> None:
        storage, clock = self._house.stage.storage, self._house.stage.clock
        approvals = Approvals(storage.writer, storage.reader, clock)
        while True:
            for event in await self._house.events(self._task):
                if event.header.kind is EventKind.APPROVAL_REQUESTED:
                    await self._decide(approvals, event)
            await asyncio.sleep(0)

    async def _decide(self, approvals: Approvals, event: Event) -> None:
        approval = msgspec.json.decode(event.payload, type=ApprovalAsked).approval
        if approval in self._known:
            return
        self._known.add(approval)
        found = await self._house.stage.storage.reader.approval_state("local", approval)
        if found == "pending":
            self.said += 1
            word = Decision(approval, Word(approved=self._approved))
            await approvals.decide(USER, f"say/{approval}", self._task, word)
            await self._house.dispatcher.deliver()


@asynccontextmanager
async def person(house: House, task: str, *, approved: bool = True) -> AsyncIterator[Person]:
    someone = Person(house, task, approved=approved)
    watching = asyncio.create_task(someone())
    try:
        yield someone
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def finished(house: House, task: str) -> TaskResult:
    async with asyncio.timeout(30):
        ended = await house.engine.result("local", task)
    assert ended.status == "completed", ended
    return msgspec.json.decode(ended.value, type=TaskResult)


def model_steps(rows: tuple[Outcome, ...]) -> list[str]:
    """The model calls among rows; a step that failed is none here."""
    named = (step_of(row) for row in rows)
    return [key for key in named if key in ("decompose", "synthesize") or "/think/" in key]


async def check_fork(house: House, parent: str, cut: int, rows: tuple[Outcome, ...], expected: TaskResult) -> None:
    fork = f"{parent}-{cut}"
    asked = len(house.stage.gate.asked)
    await house.engine.fork("local", fork, parent, AtRow(cut), NOTHING)
    async with person(house, fork):
        result = await finished(house, fork)
    later = model_steps(rows[cut:])
    keys = [context.key for _, context in house.stage.gate.asked[asked:]]
    assert sorted(keys) == sorted(f"{fork}/{key}" for key in later)
    assert result.text == expected.text
    agents = await house.stage.storage.reader.agents("local", fork)
    thinks = [key for key in later if "/think/" in key]
    assert sum(one.cost_pico for one in agents) == 1000 * len(thinks)
    row = await house.row(fork)
    assert (row.parent_id, row.root_id, row.forked_at) == (parent, parent, min(cut, len(rows) - 1))
    mine = {event.header.id for event in await house.events(fork)}
    assert not mine & {event.header.id for event in await house.events(parent)}


@pytest.mark.requirement("C2.fork")
@pytest.mark.parametrize("query", ["2 + 2", QUERY], ids=["simple", "parallel"])
async def test_a_fork_at_every_cut_runs_what_is_later_and_pays_for_that_alone(
    tmp_path: Path, register: Register, query: str
) -> None:
    async with open_house(tmp_path, register) as house:
        parent = await house.begin(query)
        expected = await finished(house, parent)
        rows = await house.engine.history("local", parent)
        for cut in range(len(rows) + 1):
            await check_fork(house, parent, cut, rows, expected)


@pytest.mark.requirement("C2.fork")
@pytest.mark.parametrize("approved", [True, False])
async def test_a_fork_repeats_no_effect_without_a_persons_word(
    tmp_path: Path, register: Register, *, approved: bool
) -> None:
    """Also where the parent's policy did not ask for one: what came before the cut was not asked about the fork."""
    mail = Mail()
    async with open_house(tmp_path, register, mailing, tools=(mail,)) as house:
        parent = await house.begin("2 + 2")
        assert (await finished(house, parent)).text == "sent"
        rows = await house.engine.history("local", parent)
        sent_at = next(place for place, row in enumerate(rows, 1) if step_of(row).endswith("/run"))
        for cut in range(len(rows) + 1):
            mail.contexts.clear()
            fork = f"fork-{cut}"
            await house.engine.fork("local", fork, parent, AtRow(cut), NOTHING)
            async with person(house, fork, approved=approved) as someone:
                assert (await finished(house, fork)).text == "sent"
            later = cut < sent_at
            assert someone.said == (1 if later else 0), cut
            assert len(mail.contexts) == (1 if later and approved else 0), cut


@pytest.mark.requirement("C2.fork")
async def test_approvals_never_cross_a_cut(tmp_path: Path, register: Register) -> None:
    """Asked, approved or used: up to the cut it is inherited only where the call itself has run."""
    mail = Mail()
    async with open_house(tmp_path, register, mailing, tools=(mail,)) as house:
        need = Verdict(allow=True, reasons=("it leaves the house",), obligations=("approve",))
        house.stage.decisions.extend([need, need])
        parent = await house.begin("2 + 2")
        async with person(house, parent) as someone:
            await finished(house, parent)
        assert someone.said == 1
        rows = await house.engine.history("local", parent)
        ran_at = next(place for place, row in enumerate(rows, 1) if step_of(row).endswith("/run"))
        seen: set[str] = {await _approval(house, parent)}
        for cut in range(1, len(rows)):
            fork = f"fork-{cut}"
            house.stage.decisions.clear()
            await house.engine.fork("local", fork, parent, AtRow(cut), NOTHING)
            async with person(house, fork) as someone:
                await finished(house, fork)
            assert someone.said == (1 if cut < ran_at else 0), cut
            if cut < ran_at:
                approval = await _approval(house, fork)
                assert approval not in seen
                seen.add(approval)
        assert len(mail.contexts) == 1 + ran_at - 1


async def _approval(house: House, task: str) -> str:
    """The last approval that a task asked for."""
    asked = [event for event in await house.events(task) if event.header.kind is EventKind.APPROVAL_REQUESTED]
    return msgspec.json.decode(asked[-1].payload, type=ApprovalAsked).approval


async def test_another_model_and_tier_hold_from_the_cut_on(tmp_path: Path, register: Register) -> None:
    async with open_house(tmp_path, register) as house:
        parent = await house.begin("2 + 2")
        await finished(house, parent)
        tier: Tier = "large"
        points: tuple[Point, ...] = (0, "a/t1/act/1/0/run")
        for number, point in enumerate(points):
            before = len(house.stage.gate.asked)
            state = (await house.engine.state("local", parent, point)).state
            changed = msgspec.structs.replace(state.settings, model="other", tier=tier)
            await house.engine.fork("local", f"fork-{number}", parent, point, Changes(changed))
            await finished(house, f"fork-{number}")
            asked = [request for request, _ in house.stage.gate.asked[before:]]
            assert len(asked) == 2 - number
            assert {(request.model, request.tier) for request in asked} == {("other", "large")}
