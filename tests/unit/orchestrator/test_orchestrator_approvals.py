"""Decisions on what waits for a person: each taken once, only by whom, when and for what it may be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from multiagent.agents.calls import Word
from multiagent.agents.recheck import Rechecker
from multiagent.core.decision import Decision as Verdict
from multiagent.core.errors import InvalidInput, NotFound, PlatformError, PolicyDenied
from multiagent.core.events import EventKind
from multiagent.core.facts import ApprovalAsked, ApprovalEnded
from multiagent.core.principal import Principal
from multiagent.core.settings import TaskSettings
from multiagent.llm.base import Answer, ModelRequest
from multiagent.orchestrator.approvals import DECISION, Approvals, Decision
from multiagent.orchestrator.service import Submission
from multiagent.storage.sql.base import ApprovalRow
from multiagent.storage.sql.ops import StoreCommand
from multiagent.testing.replayed import Register
from tests.unit.agents.stage import USER, answer, call
from tests.unit.orchestrator.task_house import House, open_house

NEED = Verdict(allow=True, reasons=("it leaves the house",), obligations=("approve",))
PAYER = Principal("local", "user", permissions=("network_access",))
DAY_S = 24 * 3600


def pays(request: ModelRequest) -> Answer:
    """One call of the tool that has an effect, then an answer."""
    if any(one.role == "tool" for one in request.messages):
        return answer("done")
    return answer(call("send", '{"amount": 1, "to": "ada"}'), finish="tool_calls")


class Desk:
    """A task that waits for a person, in a house."""

    def __init__(self, house: House, task: str, asked: ApprovalAsked) -> None:
        self.house = house
        self.task = task
        self.asked = asked
        stage = house.stage
        self.approvals = Approvals(stage.storage.writer, stage.storage.reader, stage.clock, Rechecker(stage.asker))
        self._commands = 0

    async def row(self) -> ApprovalRow:
        row = await self.house.stage.storage.reader.approval("local", self.asked.approval)
        assert row is not None
        return row

    async def decide(self, word: Word, *, by: Principal = USER, seen: str = "", task: str = "") -> None:
        self._commands += 1
        decision = Decision(self.asked.approval, word, seen)
        await self.approvals.decide(by, f"c{self._commands}", task or self.task, decision)

    async def leave(self, command: str, word: Word) -> None:
        """Leave a decision for the dispatcher, as a terminal does where every process may write."""
        payload = msgspec.json.encode(Decision(self.asked.approval, word))
        stage = self.house.stage
        await stage.storage.writer.commit(
            StoreCommand(
                tenant="local", id=command, task=self.task, kind=DECISION, payload=payload,
                principal=msgspec.json.encode(USER), time=stage.clock.now(),
            )
        )  # fmt: skip

    async def said(self, command: str) -> str:
        """Why a delivered command was refused; nothing where it was not."""
        state = await self.house.stage.storage.reader.command("local", command)
        assert state is not None
        assert state.delivered is not None
        return state.error

    async def end(self) -> str:
        await self.house.dispatcher.deliver()
        async with asyncio.timeout(30):
            return (await self.house.engine.result("local", self.task)).status

    async def sent(self) -> list[str]:
        """What the tool with an effect was given."""
        kinds = (EventKind.TOOL_COMPLETED, EventKind.TOOL_FAILED)
        done = [event for event in await self.house.events(self.task) if event.header.kind in kinds]
        rows = [
            await self.house.stage.storage.reader.chain("local", msgspec.json.decode(e.payload)["head"]) for e in done
        ]
        return [str(chain[-1].parts[0].content) for chain in rows]  # type: ignore[union-attr]


@asynccontextmanager
async def waiting(folder: Path, register: Register) -> AsyncIterator[Desk]:
    """A task whose only call waits for a person."""
    async with open_house(folder, register, pays) as house:
        house.stage.decisions.append(NEED)
        task = (await house.stage.service.submit(Submission(PAYER, "2 + 2"))).id
        await house.dispatcher.deliver()
        asked = msgspec.json.decode((await house.until(task, EventKind.APPROVAL_REQUESTED)).payload, type=ApprovalAsked)
        house.stage.decisions.append(NEED)  # policy is asked again when it runs
        yield Desk(house, task, asked)


@pytest.mark.requirement("C4.edited")
async def test_edited_arguments_are_bound_checked_and_run_as_edited(tmp_path: Path, register: Register) -> None:
    async with waiting(tmp_path, register) as desk:
        desk.house.stage.decisions.insert(0, NEED)  # policy is asked about the edit
        await desk.decide(Word(approved=True, arguments='{"amount":2,"to":"ada"}', reason="two"))
        row = await desk.row()
        assert (row.state, row.arguments) == ("approved", b'{"amount":2,"to":"ada"}')
        assert row.args_hash != desk.asked.arguments_hash
        assert await desk.end() == "completed"
        assert (await desk.row()).state == "consumed"
        (sent,) = await desk.sent()
        assert sent.startswith('{"amount":2,"to":"ada"}')
        assert "A person changed the arguments" in sent
        events = await desk.house.events(desk.task)
        (decided,) = [event for event in events if event.header.kind is EventKind.APPROVAL_DECIDED]
        fact = msgspec.json.decode(decided.payload, type=ApprovalEnded)
        assert (fact.by, fact.reason, fact.arguments_hash) == ("user/user", "two", row.args_hash)


async def test_edited_arguments_that_policy_denies_decide_nothing(tmp_path: Path, register: Register) -> None:
    async with waiting(tmp_path, register) as desk:
        desk.house.stage.decisions.insert(0, Verdict(allow=False, reasons=("too much",)))
        with pytest.raises(PolicyDenied, match="too much"):
            await desk.decide(Word(approved=True, arguments='{"amount":10}'))
        assert (await desk.row()).state == "pending"
        await desk.decide(Word(approved=False))
        assert await desk.end() == "completed"
        assert await desk.sent() == []


@pytest.mark.parametrize("arguments", ["[1]", "{", '"text"'])
async def test_edited_arguments_that_do_not_fit_the_tool_decide_nothing(
    tmp_path: Path, register: Register, arguments: str
) -> None:
    async with waiting(tmp_path, register) as desk:
        with pytest.raises(InvalidInput, match="do not fit"):
            await desk.decide(Word(approved=True, arguments=arguments))
        assert (await desk.row()).state == "pending"


@pytest.mark.requirement("C4.refused")
@pytest.mark.parametrize(
    ("by", "error"),
    [
        (Principal("local", "user", role="guest"), PolicyDenied),
        (Principal("local", "user", authenticated=False), PolicyDenied),
        (Principal("local", "somebody"), PolicyDenied),
        (Principal("local", "user", agent="t1"), PolicyDenied),
        (Principal("other", "user"), NotFound),
        (Principal("other", "root", role="admin"), NotFound),
    ],
)
async def test_only_its_user_or_an_administrator_of_its_tenant_decides(
    tmp_path: Path, register: Register, by: Principal, error: type[PlatformError]
) -> None:
    async with waiting(tmp_path, register) as desk:
        with pytest.raises(error):
            await desk.decide(Word(approved=True), by=by)
        assert (await desk.row()).state == "pending"
        await desk.decide(Word(approved=True), by=Principal("local", "root", role="admin"))
        assert await desk.end() == "completed"


@pytest.mark.requirement("C4.refused")
async def test_what_the_person_saw_is_what_they_approve(tmp_path: Path, register: Register) -> None:
    async with waiting(tmp_path, register) as desk:
        with pytest.raises(InvalidInput, match="not those that were shown"):
            await desk.decide(Word(approved=True), seen="0" * 64)
        await desk.decide(Word(approved=True), seen=desk.asked.arguments_hash)
        assert await desk.end() == "completed"


async def test_an_approval_is_of_its_own_task(tmp_path: Path, register: Register) -> None:
    async with waiting(tmp_path, register) as desk:
        other = await desk.house.stage.submit("another")
        with pytest.raises(NotFound):
            await desk.decide(Word(approved=True), task=other)
        assert (await desk.row()).state == "pending"


@pytest.mark.requirement("C4.refused")
async def test_of_many_decisions_at_once_one_counts(tmp_path: Path, register: Register) -> None:
    async with waiting(tmp_path, register) as desk:
        words = [Word(approved=number % 2 == 0, reason=str(number)) for number in range(10)]
        ends = await asyncio.gather(*(desk.decide(word) for word in words), return_exceptions=True)
        (first,) = [number for number, end in enumerate(ends) if end is None]
        assert all(isinstance(end, InvalidInput) for number, end in enumerate(ends) if number != first)
        assert (await desk.row()).reason == str(first)
        await desk.end()
        assert len(await desk.sent()) == int(words[first].approved)


@pytest.mark.requirement("C4.refused")
async def test_a_used_or_expired_approval_is_decided_no_more(tmp_path: Path, register: Register) -> None:
    async with waiting(tmp_path / "used", register) as desk:
        await desk.decide(Word(approved=True))
        await desk.end()
        with pytest.raises(InvalidInput, match="used already"):
            await desk.decide(Word(approved=True))
    async with waiting(tmp_path / "late", register) as desk:
        desk.house.stage.clock.advance(desk.house.stage.asker.limits.approval_s + 1)
        with pytest.raises(InvalidInput, match="expired already"):
            await desk.decide(Word(approved=True))
        assert await desk.end() == "completed"
        assert await desk.sent() == []


@pytest.mark.requirement("C4.days")
async def test_a_task_that_waits_for_days_goes_on_after_a_restart(tmp_path: Path, register: Register) -> None:
    async with waiting(tmp_path, register) as desk:
        asked, task, limits = desk.asked, desk.task, desk.house.stage.asker.limits
    async with open_house(tmp_path, register, pays) as house:
        assert await house.engine.recover() == (task,)
        days = limits.approval_s // DAY_S
        for _ in range(days - 1):
            house.stage.clock.advance(DAY_S)
        house.stage.decisions.append(NEED)
        again = Desk(house, task, asked)
        assert (await again.row()).state == "pending"
        await again.decide(Word(approved=True))
        assert await again.end() == "completed"
        assert (await again.row()).state == "consumed"


async def test_while_one_agent_waits_the_others_go_on(tmp_path: Path, register: Register) -> None:
    """The waiting one shows as such; the other is finished before anybody decides."""
    async with open_house(tmp_path, register) as house:
        house.stage.decisions.append(NEED)
        task = await house.begin()
        asked = msgspec.json.decode((await house.until(task, EventKind.APPROVAL_REQUESTED)).payload, type=ApprovalAsked)
        await house.until(task, EventKind.AGENT_COMPLETED)
        (pending,) = await house.stage.storage.reader.approvals("local", task=task)
        assert pending.id == asked.approval
        states = [msgspec.json.decode(e.payload) for e in await house.events(task) if e.header.kind == "agent.state"]
        assert (asked.agent, "waiting_approval") in [(one["agent"], one["state"]) for one in states]
        house.stage.decisions.append(NEED)
        desk = Desk(house, task, asked)
        await desk.decide(Word(approved=True))
        assert await desk.end() == "completed"


async def test_a_decision_left_as_a_command_is_taken_where_it_is_delivered(tmp_path: Path, register: Register) -> None:
    """Once, however often it is delivered; edited arguments are checked there."""
    async with waiting(tmp_path, register) as desk:
        desk.house.stage.decisions.insert(0, NEED)  # policy is asked about the edit
        desk.house.dispatcher.approvals = desk.approvals
        word = Word(approved=True, arguments='{"amount":2,"to":"ada"}')
        await desk.leave("c1", word)
        assert await desk.end() == "completed"
        assert ((row := await desk.row()).state, row.decided_by) == ("consumed", USER.name)
        await desk.leave("c2", word)
        await desk.house.dispatcher.deliver()
        assert "was approved and used already" in await desk.said("c2")
        assert not await desk.said("c1")


async def test_a_decision_is_refused_where_none_are_taken(tmp_path: Path, register: Register) -> None:
    async with waiting(tmp_path, register) as desk:
        await desk.leave("c1", Word(approved=True))
        await desk.house.dispatcher.deliver()
        assert "decisions are not taken here" in await desk.said("c1")
        assert (await desk.row()).state == "pending"


@pytest.mark.parametrize(("word", "status"), [(Word(approved=True), "completed"), (Word(approved=False), "failed")])
async def test_a_plan_waits_for_its_approval(tmp_path: Path, register: Register, word: Word, status: str) -> None:
    async with open_house(tmp_path, register) as house:
        given = Submission(USER, "2 + 2", settings=TaskSettings(require_approval=True))
        task = (await house.stage.service.submit(given)).id
        await house.dispatcher.deliver()
        asked = msgspec.json.decode((await house.until(task, EventKind.APPROVAL_REQUESTED)).payload, type=ApprovalAsked)
        assert (asked.tool, asked.agent) == ("plan", "")
        desk = Desk(house, task, asked)
        with pytest.raises(InvalidInput, match="only a tool"):
            await desk.decide(Word(approved=True, arguments="{}"))
        assert EventKind.AGENT_STARTED not in [event.header.kind for event in await house.events(task)]
        await desk.decide(word)
        assert await desk.end() == status
        row = await house.row(task)
        assert (row.error is not None and row.error.code == "PLAN_REJECTED") is not word.approved


async def test_a_plan_that_nobody_approves_in_time_is_not_run(tmp_path: Path, register: Register) -> None:
    async with open_house(tmp_path, register) as house:
        given = Submission(USER, "2 + 2", settings=TaskSettings(require_approval=True))
        task = (await house.stage.service.submit(given)).id
        await house.dispatcher.deliver()
        await house.until(task, EventKind.APPROVAL_REQUESTED)
        house.stage.clock.advance(house.stage.asker.limits.approval_s + 1)
        assert (await house.engine.result("local", task)).code == "PLAN_REJECTED"
