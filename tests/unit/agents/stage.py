"""Real storage, a scripted gate, a real runner over two tools: what the code of steps is tried on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from multiagent.agents.asking import Asker
from multiagent.agents.ports import Limits, Ports
from multiagent.core.decision import Ask, Decision
from multiagent.core.events import EventKind
from multiagent.core.messages import Part, Text, ToolCall
from multiagent.core.principal import Principal
from multiagent.core.task import TaskInput
from multiagent.core.tool import ToolSpec
from multiagent.core.usage import Usage
from multiagent.llm.base import Answer, Answered, CallContext, Finish, ModelRequest, StreamItem
from multiagent.orchestrator.service import Service, Submission
from multiagent.orchestrator.uploads import Uploads
from multiagent.storage.factory import Storage, open_storage
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.tools.base import Tool, ToolContext, ToolOutput
from multiagent.tools.registry import Registry
from multiagent.tools.runner import ToolRunner

USER = Principal("local", "user", permissions=("code_execution",))


def answer(*parts: Part | str, finish: Finish = "stop") -> Answer:
    told = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Answer(told, finish, Usage(10, 5), "fake", "fake-small", cost_pico=1000)


def call(name: str, arguments: str, identity: str = "c1") -> ToolCall:
    return ToolCall(identity, name, arguments)


class ScriptedGate:
    """Answers by a function, once ``hold`` is set where there is one; keeps what it was asked."""

    def __init__(self, reply: Callable[[ModelRequest], Answer]) -> None:
        self.reply = reply
        self.asked: list[tuple[ModelRequest, CallContext]] = []
        self.hold: asyncio.Event | None = None

    async def complete(self, request: ModelRequest, call: CallContext) -> Answer:
        self.asked.append((request, call))
        reply = self.reply(request)
        if self.hold is not None:
            await self.hold.wait()
        return reply

    async def stream(self, request: ModelRequest, call: CallContext) -> AsyncGenerator[StreamItem, None]:
        yield Answered(await self.complete(request, call))


class Echo:
    """A tool that says its arguments, and opens the first attachment."""

    spec = ToolSpec("echo", "says its arguments", '{"type":"object"}', group="code")

    def __init__(self) -> None:
        self.contexts: list[ToolContext] = []

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        self.contexts.append(context)
        return ToolOutput(arguments.decode(), sources=tuple(one.name for one in context.attachments[:1]))


class Send(Echo):
    """A tool with an effect."""

    spec = ToolSpec("send", "sends something", '{"type":"object"}', group="network", idempotent=False)


@dataclass
class Info:
    """A step's run, as its code sees it."""

    task: str
    key: str = "a/t1/think/1"
    tenant: str = "local"
    attempt: int = 1
    deadline: int = 1_750_000_600_000
    forked_from: str = ""
    events: list[tuple[EventKind, msgspec.Struct]] = field(default_factory=list)

    def heartbeat(self) -> None: ...

    async def event(self, kind: EventKind, payload: msgspec.Struct) -> None:
        self.events.append((kind, payload))


@dataclass
class Stage:
    storage: Storage
    gate: ScriptedGate
    asker: Asker
    clock: ManualClock
    service: Service
    echo: Echo
    decisions: list[Decision]
    asks: list[Ask]

    async def submit(self, query: str, *files: Path) -> str:
        created = await self.service.submit(Submission(USER, query, files))
        return created.id

    async def input(self, task: str) -> TaskInput:
        return await self.asker.tasks.load("local", task)


@asynccontextmanager
async def open_stage(
    home: Path, reply: Callable[[ModelRequest], Answer] = lambda _: answer("done"), tools: tuple[Tool, ...] = ()
) -> AsyncIterator[Stage]:
    """Everything under one folder. ``decisions`` are policy's next ones; where there are none, it allows."""
    clock = ManualClock()
    decisions: list[Decision] = []
    asks: list[Ask] = []

    async def decide(ask: Ask) -> Decision:
        asks.append(ask)
        return decisions.pop(0) if decisions else Decision(allow=True)

    home.mkdir(exist_ok=True)
    async with open_storage(home, clock=clock, ids=CountedIds(), synchronous="NORMAL") as storage:
        gate, echo = ScriptedGate(reply), Echo()
        runner = ToolRunner(Registry([echo, Send(), *tools]), decide, storage.writer, clock)
        ports = Ports(storage.writer, storage.reader, storage.objects, gate, runner, clock)
        service = Service(storage.writer, Uploads(storage.objects), clock, CountedIds(start=10**6))
        yield Stage(storage, gate, Asker(ports, Limits()), clock, service, echo, decisions, asks)
