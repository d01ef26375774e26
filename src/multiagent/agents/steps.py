"""The code of an agent's steps: rendering prompts, asking models, checking and running tools.

Keys, inputs and outputs are in ``calls.py``; what comes next is decided in ``loop.py`` and ``fsm.py``.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from multiagent.agents.asking import Asker, Question
from multiagent.agents.calls import (
    ASK,
    CHECK,
    EXPIRE,
    REVIEW,
    RUN,
    THINK,
    AskInput,
    AskOutput,
    CallRef,
    CheckInput,
    CheckOutput,
    ExpireInput,
    Opening,
    Review,
    ReviewInput,
    ReviewOutput,
    RunInput,
    RunOutput,
    Seat,
    ThinkInput,
    ThinkOutput,
    Word,
    reviews,
)
from multiagent.agents.memo import link
from multiagent.agents.recalled import session_of
from multiagent.agents.render import Section, ShownInput, ShownTask, TurnLimits, clip, sections, shown_attachments
from multiagent.agents.resolving import Observations, Thoughts
from multiagent.agents.ruling import RULING, read_ruling
from multiagent.core.canonical import digest, digest_bytes
from multiagent.core.errors import NotFound
from multiagent.core.events import EventKind
from multiagent.core.facts import ApprovalAsked, ApprovalEnded, ToolChecked, ToolEnded
from multiagent.core.label import Labels, join
from multiagent.core.messages import Message, ToolCall, ToolResult, says
from multiagent.core.principal import Principal, as_agent
from multiagent.core.task import TaskInput
from multiagent.core.tool import ASK_USER, ToolSpec
from multiagent.engines.base import Step, StepInfo
from multiagent.storage.sql.ops import DecideApproval, RequestApproval, UpdateTask
from multiagent.tools.base import Checked, ToolContext, ToolRequest

Steps = tuple[Step[Any, Any], ...]
"""Steps as a process registers them."""

PERMISSIONS: Final[Mapping[str, str]] = {"code": "code_execution", "network": "network_access", "data": "data_access"}
"""The permission that tools of a group need: an agent keeps only those of the tools it was given."""

EDITED: Final = "(A person changed the arguments of this call to {arguments}.)"
"""What an agent is told, so that it does not take the observation for that of its own call."""

OBSERVATION_CHARS: Final = 12_000
INPUT_CHARS: Final = 8_000
ANSWER_CHARS: Final = 16_000
"""The most that a prompt holds of one observation, of one dependency's result, and of an answer under review."""


def steps(asker: Asker) -> Steps:
    """Return the steps of queues ``llm`` (think, review) and ``agent`` (the others)."""
    code = AgentSteps(asker)
    return (
        Step(THINK, code.think, Thoughts(asker, arguments_hash)),
        Step(REVIEW, code.review),
        Step(CHECK, code.check),
        Step(RUN, code.run, Observations(asker)),
        Step(ASK, code.ask),
        Step(EXPIRE, code.expire),
    )


class AgentSteps:
    """The code of the steps, over the ports."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._ports = asker.ports

    async def think(self, info: StepInfo, given: ThinkInput) -> ThinkOutput:
        """One turn: render, ask, store. Raises what ``Gate.complete`` raises."""
        return (await self._turn(info, given, None))[0]

    async def review(self, info: StepInfo, given: ReviewInput) -> ReviewOutput:
        """One turn of a critic or judge; where it calls no tool, its text must be a ruling. Raises as ``think``."""
        output, text = await self._turn(info, given.think, given.review)
        if output.calls:
            return ReviewOutput(output)
        ruling, error = read_ruling(text)
        return ReviewOutput(output, ruling, error)

    async def _turn(self, info: StepInfo, given: ThinkInput, review: Review | None) -> tuple[ThinkOutput, str]:
        task = await self._asker.tasks.load(info.tenant, info.task)
        specs = self._specs(task, given.seat)
        chain = await self._asker.chains.load(info.tenant, given.head)
        said = await self._said(info, task, given, review)
        question = Question(
            "turn" if review is None else review.role,
            given.terms,
            said,
            given.head,
            chain,
            given.seat.agent,
            acting(task, given.seat, specs),
            () if given.final else specs,
            None if review is None else RULING,
        )
        asked = await self._asker.ask(info, task, question)
        calls = tuple(CallRef(call.id, call.name, arguments_hash(call.arguments)) for call in asked.message.calls)
        empty = not asked.message.text.strip()
        return ThinkOutput(asked.head, asked.answer.finish, asked.spent, calls, empty), asked.message.text

    async def _said(
        self, info: StepInfo, task: TaskInput, given: ThinkInput, review: Review | None
    ) -> tuple[Message, ...]:
        """The messages that this turn adds before the model's answer."""
        said: list[Message] = []
        if given.opening is not None:
            name = "turn" if review is None else review.role
            said.append(says("system", self._asker.prompts.system(name, given.terms.prompt_version)))
            said.append(await self._opening(info, task, given.seat, given.opening, review))
        said.extend(Message("tool", (ToolResult(note.call, note.name, note.text, True),)) for note in given.notes)
        if given.say:
            said.append(says("user", given.say))
        return tuple(said)

    async def _opening(
        self, info: StepInfo, task: TaskInput, seat: Seat, opening: Opening, review: Review | None
    ) -> Message:
        chains = self._asker.chains
        inputs, labels = [], [one.labels for one in task.attachments if one.name in seat.attachments]
        for one in opening.inputs:
            chain = await chains.load(info.tenant, one.head)
            inputs.append(ShownInput(one.task, one.title, clip(chain[-1].text, INPUT_CHARS)))
            labels.append(chain[-1].labels)
        parts = [Section("task", ShownTask(seat.agent, opening.title, opening.instruction))]
        if review is not None:
            chain = await chains.load(info.tenant, review.answer)
            parts.append(Section("answer", clip(chain[-1].text, ANSWER_CHARS)))
            labels.append(chain[-1].labels)
        if review is None or review.role != "judge":
            parts.append(Section("query", task.query))
        parts += [
            shown_attachments(await self._asker.described(info.tenant, task, seat.attachments)),
            Section("inputs", inputs),
            Section("limits", TurnLimits(opening.turns)),
        ]
        if review is None:
            session, told = await session_of(chains, info.tenant, task)
            parts.extend(session)
            labels.append(told)
        if opening.missing:
            parts.append(Section("missing", opening.missing))
        return says("user", sections(*parts), labels=join(*labels))

    async def check(self, info: StepInfo, given: CheckInput) -> CheckOutput:
        """Check one call: its tool is one the agent was given, then schema and policy."""
        task = await self._asker.tasks.load(info.tenant, info.task)
        call, labels = await self._call(info, given.answer, given.position)
        tools = tuple(spec.name for spec in self._specs(task, given.seat))
        if call.name in tools:
            context = self._context(info, task, given.seat, labels)
            checked = await self._ports.runner.check(ToolRequest(call.name, call.arguments), context)
        else:
            reason = f"there is no tool {call.name!r} here; you have {', '.join(tools) or 'none'}"
            checked = Checked("invalid", arguments_hash(call.arguments), (reason,))
        allowed = checked.verdict in ("allow", "approve")
        fact = ToolChecked(given.seat.agent, call.name, checked.verdict, checked.arguments_hash, checked.reasons)
        await info.event(EventKind.TOOL_CHECKED if allowed else EventKind.TOOL_DENIED, fact)
        return CheckOutput(checked.verdict, checked.arguments_hash, checked.reasons)

    async def run(self, info: StepInfo, given: RunInput) -> RunOutput:
        """Run one call and store its observation. Raises PolicyDenied, EffectUnknown and StorageError's children."""
        task = await self._asker.tasks.load(info.tenant, info.task)
        call, labels = await self._call(info, given.answer, given.position)
        context = self._context(info, task, given.seat, labels)
        checked = Checked(given.checked.verdict, given.checked.hash, given.checked.reasons)
        arguments = given.edited or call.arguments
        output = await self._ports.runner.run(ToolRequest(call.name, arguments), context, checked)
        content = clip(output.content, OBSERVATION_CHARS)
        if given.edited and call.name != ASK_USER:
            content = f"{content}\n{EDITED.format(arguments=clip(given.edited, INPUT_CHARS))}"
        chain = await self._asker.chains.load(info.tenant, given.head)
        observed = Message("tool", (ToolResult(call.id, call.name, content, output.is_error),), labels=output.labels)
        head, (message,) = link(given.head, observed)
        self._asker.store(info.tenant, message)
        self._asker.chains.keep(info.tenant, head, (*chain, message))
        fact = ToolEnded(given.seat.agent, call.name, head, len(output.content), output.sources, output.metrics)
        await info.event(EventKind.TOOL_FAILED if output.is_error else EventKind.TOOL_COMPLETED, fact)
        return RunOutput(head, output.is_error, output.sources)

    async def ask(self, info: StepInfo, given: AskInput) -> AskOutput:
        """Ask for a person's word on one call, bound to its arguments' hash; the task waits for it."""
        call, _ = await self._call(info, given.answer, given.position)
        now = self._ports.clock.now()
        expires = now + self._asker.limits.approval_s * 1000
        approval = digest_bytes("multiagent.approval.v1", f"{info.task} {given.run}".encode())[:26]
        seat, checked = given.seat, given.checked
        fact = ApprovalAsked(
            approval, seat.agent, call.name, checked.hash, checked.reasons, expires, given.answer, given.position,
            seat.tools, seat.attachments, _question(call),
        )  # fmt: skip
        # Queued ahead of the row: whoever finds what waits finds what it was asked for.
        await info.event(EventKind.APPROVAL_REQUESTED, fact)
        await self._ports.writer.commit(
            RequestApproval(
                tenant=info.tenant,
                id=approval,
                task=info.task,
                step=given.run,
                tool=call.name,
                args_hash=given.checked.hash,
                arguments=call.arguments.encode(),
                time=now,
                expires=expires,
            ),
            UpdateTask(tenant=info.tenant, id=info.task, time=now, status="waiting", waits_for=f"approval {approval}"),
        )
        return AskOutput(approval, expires)

    async def expire(self, info: StepInfo, given: ExpireInput) -> Word:
        """Expire an approval nobody decided in time; where a decision was first, that one counts."""
        now = self._ports.clock.now()
        expired, _ = await self._ports.writer.commit(
            DecideApproval(tenant=info.tenant, id=given.approval, state="expired", decided_by="clock", time=now),
            UpdateTask(tenant=info.tenant, id=info.task, time=now, status="running", waits_for=""),
        )
        row = await self._ports.reader.approval(info.tenant, given.approval)
        if row is None:
            raise NotFound(f"the approval {given.approval} is gone")
        if expired or row.state == "expired":
            await info.event(EventKind.APPROVAL_EXPIRED, ApprovalEnded(given.approval, "expired"))
            return Word(approved=False, expired=True)
        approved = row.state in ("approved", "consumed")
        return Word(approved, row.decided_by, row.reason, arguments=row.arguments.decode(), hash=row.args_hash)

    def _specs(self, task: TaskInput, seat: Seat) -> tuple[ToolSpec, ...]:
        """The tools of a seat; who reviews may look and compute, and changes nothing and asks nobody."""
        specs = self._ports.runner.specs(task.principal, seat.tools) if seat.tools else ()
        if not reviews(seat.agent):
            return specs
        return tuple(spec for spec in specs if spec.idempotent and spec.name != ASK_USER)

    def _context(self, info: StepInfo, task: TaskInput, seat: Seat, labels: Labels) -> ToolContext:
        attachments = tuple(one for one in task.attachments if one.name in seat.attachments)
        principal = acting(task, seat, self._specs(task, seat))
        return ToolContext(principal, info.task, info.key, attachments, info.deadline, labels, info.forked_from)

    async def _call(self, info: StepInfo, answer: str, position: int) -> tuple[ToolCall, Labels]:
        """Return a tool call of a stored answer, and the labels of all that led to it."""
        chain = await self._asker.chains.load(info.tenant, answer)
        calls = chain[-1].calls if chain else ()
        if position >= len(calls):
            raise NotFound(f"the message {answer} has no tool call {position}")
        return calls[position], join(*(message.labels for message in chain))


def _question(call: ToolCall) -> str:
    """What an agent asks its user; nothing where the call is of another tool."""
    if call.name != ASK_USER:
        return ""
    try:
        return str(json.loads(call.arguments)["question"])
    except (ValueError, TypeError, KeyError):
        return ""


def acting(task: TaskInput, seat: Seat, specs: tuple[ToolSpec, ...]) -> Principal:
    """Return who an agent acts as: its user, narrowed to what its tools need."""
    grant = tuple(PERMISSIONS[spec.group] for spec in specs if spec.group in PERMISSIONS)
    return as_agent(task.principal, seat.agent, grant)


def arguments_hash(arguments: str) -> str:
    """Return a hash of a call's arguments that is the same for the same JSON value, however it is written."""
    try:
        return digest("multiagent.arguments.v1", json.loads(arguments))
    except (ValueError, TypeError, RecursionError):
        return digest_bytes("multiagent.arguments.v1", arguments.encode("utf-8", "surrogatepass"))
