"""How every model call of the platform is made: its scopes, its key, its stored message, its event."""

from dataclasses import dataclass
from typing import Final

from multiagent.agents.calls import Spent, Terms
from multiagent.agents.described import Described, Describer
from multiagent.agents.memo import Chains, Tasks, link
from multiagent.agents.news import Asking
from multiagent.agents.ports import Limits, Ports
from multiagent.agents.render import Prompts
from multiagent.core.budget import ScopeLimit, ScopeRef, window_start
from multiagent.core.errors import PlatformError
from multiagent.core.events import EventKind
from multiagent.core.facts import MessageCompleted
from multiagent.core.label import Labels, join
from multiagent.core.messages import Message
from multiagent.core.principal import Principal
from multiagent.core.task import TaskInput
from multiagent.core.tool import ToolSpec
from multiagent.engines.base import StepInfo
from multiagent.llm.base import Answer, CallContext, ModelRequest, Purpose, ResponseFormat
from multiagent.storage.sql.ops import StoreMessage

MARGIN_MS: Final = 2_000
"""A call ends so long before its step would be stopped, so that its own error says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, by whom. ``chain`` is stored already, up to ``head``; ``said`` are new messages that follow."""

    purpose: Purpose
    terms: Terms
    said: tuple[Message, ...]
    head: str = ""
    chain: tuple[Message, ...] = ()
    agent: str = ""
    principal: Principal | None = None
    tools: tuple[ToolSpec, ...] = ()
    response_format: ResponseFormat | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer, the head of the chain that it ends, and what it cost."""

    answer: Answer
    head: str
    message: Message
    spent: Spent


class Asker:
    """Asks models, and keeps what was said. One for a process; its memory holds only what is stored."""

    def __init__(self, ports: Ports, limits: Limits) -> None:
        self.ports = ports
        self.limits = limits
        self.tasks = Tasks(ports.reader)
        self.chains = Chains(ports.reader)
        self.prompts = Prompts()
        self._describer = Describer(ports.objects)

    async def described(self, tenant: str, task: TaskInput, names: tuple[str, ...]) -> tuple[Described, ...]:
        """Return the descriptions of those of a task's attachments."""
        return tuple(
            [await self._describer.describe(tenant, one) for one in task.attachments if one.name in names],
        )

    async def ask(self, info: StepInfo, task: TaskInput, question: Question) -> Asked:
        """Ask and store the messages; raises what ``Gate.complete`` raises.

        The messages are queued ahead of the step's own result, so that whoever sees the result finds them.
        """
        head, said = link(question.head, *question.said)
        transcript = question.chain + said
        labels = join(*(message.labels for message in transcript))
        request = ModelRequest(
            transcript,
            question.terms.tier,
            question.terms.model,
            question.tools,
            question.response_format,
            question.terms.max_output,
            question.terms.temperature,
            question.purpose,
        )
        asked = Asking(info, question.purpose, question.agent)
        try:
            answer = await self.ports.gate.complete(request, self._call(info, task, question, labels))
        except PlatformError as error:
            await asked.failed(error)
            raise
        await asked.answered(answer, question.terms.max_output)
        head, (message,) = link(head, Message("assistant", answer.parts, labels=labels))
        spent = spent_on(answer)
        self.store(info.tenant, *said, message)
        self.chains.keep(info.tenant, head, (*transcript, message))
        await info.event(EventKind.MESSAGE_COMPLETED, _completed(question, answer, head, spent))
        return Asked(answer, head, message, spent)

    def store(self, tenant: str, *messages: Message) -> None:
        """Queue messages to storage, ahead of whatever is committed next."""
        now = self.ports.clock.now()
        self.ports.writer.queue(*(StoreMessage(tenant=tenant, message=one, time=now) for one in messages))

    def _call(self, info: StepInfo, task: TaskInput, question: Question, labels: Labels) -> CallContext:
        return CallContext(
            question.principal or task.principal,
            f"{info.task}/{info.key}",
            self._scopes(info, task, question),
            info.deadline - MARGIN_MS,
            info.task,
            info.key,
            question.agent,
            task.session,
            task.end_user,
            labels,
            question.terms.cache,
        )

    def _scopes(self, info: StepInfo, task: TaskInput, question: Question) -> tuple[ScopeLimit, ...]:
        """Every scope that this call counts in (design §6), but for the model's, which only the gate knows."""
        terms, limits = question.terms, self.limits
        day = window_start("day", self.ports.clock.now())
        scopes = [
            ScopeLimit(ScopeRef("request", f"{info.task}/{info.key}"), terms.request_limit),
            ScopeLimit(ScopeRef("task", info.task), terms.task_limit),
            ScopeLimit(ScopeRef("user", task.principal.user, "day", day), limits.user_day),
            ScopeLimit(ScopeRef("tenant", info.tenant, "day", day), limits.tenant_day),
        ]
        if question.agent:
            scopes.append(ScopeLimit(ScopeRef("agent", f"{info.task}/{question.agent}"), terms.agent_limit))
        if task.session:
            scopes.append(ScopeLimit(ScopeRef("session", task.session), limits.session))
        return tuple(scopes)


def spent_on(answer: Answer) -> Spent:
    """Return what an answer used."""
    return Spent(
        answer.usage,
        answer.cost_pico,
        answer.saved_pico,
        answer.vendor,
        answer.model,
        answer.cached,
        answer.lowered,
        answer.lost_tokens,
        answer.lost_pico,
    )


def _completed(question: Question, answer: Answer, head: str, spent: Spent) -> MessageCompleted:
    return MessageCompleted(
        question.purpose,
        head,
        answer.finish,
        spent.used.total,
        spent.cost_pico,
        spent.vendor,
        spent.model,
        question.agent,
        spent.saved_pico,
        spent.cached,
        spent.lowered,
        answer.estimated,
    )
