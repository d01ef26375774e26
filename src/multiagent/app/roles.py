"""Which steps each service does, and what a process opens for its services: nothing that they do not need."""

import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from multiagent.agents import steps as agent_steps
from multiagent.agents.asking import Asker
from multiagent.agents.desk import employ_steps
from multiagent.agents.ports import Ports
from multiagent.agents.steps import Steps
from multiagent.app.extensions import Extensions, asked_for, capabilities, load_extensions
from multiagent.app.faults import arm
from multiagent.app.models import gate_config
from multiagent.app.policy import chosen_policy
from multiagent.app.sandbox import limits
from multiagent.app.snapshot import scope_limits
from multiagent.app.system import SystemClock, SystemIds
from multiagent.config.settings import Places, Settings
from multiagent.core.breaker import State
from multiagent.core.clock import Clock
from multiagent.core.errors import EngineUnavailable
from multiagent.core.ids import Ids
from multiagent.core.step import Queue
from multiagent.llm.base import Answer, CallContext, ModelRequest, StreamItem
from multiagent.llm.factory import GateConfig, open_gate
from multiagent.llm.gate import GateStorage, ModelGate
from multiagent.orchestrator import steps as task_steps
from multiagent.policy.base import Policy
from multiagent.sandbox.base import RunRequest, RunResult, Sandbox
from multiagent.sandbox.factory import open_sandbox
from multiagent.storage.factory import Storage
from multiagent.tools.base import Runner
from multiagent.tools.factory import ToolOptions, open_tools

SERVICES: Final[tuple[Queue, ...]] = ("orchestrator", "agent", "llm")
"""Every service there is a step of."""

BREAKER: Final[Mapping[State, float]] = {"closed": 0.0, "half_open": 0.5, "open": 1.0}


@dataclass(frozen=True, slots=True)
class Crew:
    """A process before it opens anything: who it is, its settings, what it has loaded, and the services it does.

    ``owner`` names it in reservations.
    """

    settings: Settings
    cache: Path
    environment: Mapping[str, str]
    services: tuple[Queue, ...]
    owner: str
    gate: GateConfig
    extensions: Extensions
    clock: Clock
    ids: Ids

    @property
    def needs_gate(self) -> bool:
        """Whether any of its steps asks a model: those of ``llm`` do, and agents of the user's own may."""
        return "llm" in self.services or ("agent" in self.services and bool(self.extensions.agents))

    @property
    def needs_sandbox(self) -> bool:
        """Whether any of its steps runs a tool."""
        return "agent" in self.services


@dataclass(frozen=True, slots=True)
class Room:
    """What the steps of a process stand on, open. ``gate`` is None where none of them asks a model."""

    policy: Policy
    gate: ModelGate | None
    runner: Runner
    sandbox: Sandbox
    asker: Asker
    steps: Steps

    def workers(self) -> Mapping[str, float]:
        """Return how many workers of the sandbox are busy and idle, and how many runs wait."""
        return self.sandbox.workers()

    def breakers(self) -> Mapping[str, float]:
        """Return each endpoint's breaker: 0 closed, 0.5 half open, 1 open."""
        return {} if self.gate is None else {name: BREAKER[one] for name, one in self.gate.breakers().items()}


def crew(
    places: Places, settings: Settings, environment: Mapping[str, str], services: Sequence[Queue] = SERVICES
) -> Crew:
    """Return this process as it begins. Raises ConfigInvalid."""
    arm(environment)
    owner = f"{os.getpid()}-{secrets.token_hex(4)}"
    config = gate_config(settings, owner)
    extensions = load_extensions(asked_for(settings.load), Path.cwd())
    return Crew(
        settings, Path(places.cache), environment, tuple(services), owner, config, extensions, SystemClock(),
        SystemIds(),
    )  # fmt: skip


@asynccontextmanager
async def open_room(crew: Crew, storage: Storage, scratch: Path) -> AsyncIterator[Room]:
    """Open what the steps of these services need, and close it at the end of the block; ``scratch`` is a folder of
    this process's alone.

    Raises PolicyBroken, ConfigInvalid.
    """
    settings = crew.settings
    async with AsyncExitStack() as stack:
        policy = await stack.enter_async_context(chosen_policy(settings, crew.cache))
        gate = await stack.enter_async_context(_gate(crew, storage, policy)) if crew.needs_gate else None
        sandbox = await stack.enter_async_context(_sandbox(crew))
        options = ToolOptions(
            crew.extensions.tools, scratch=str(scratch), python_limits=limits(settings.sandbox), chance=_chance
        )
        runner = open_tools(storage.objects, sandbox, storage.writer, policy.decide, crew.clock, options)
        ports = Ports(storage.writer, storage.reader, storage.objects, gate or NoGate(), runner, crew.clock)
        asker = Asker(ports, scope_limits(settings))
        yield Room(policy, gate, runner, sandbox, asker, served(await every_step(asker, crew.extensions), crew))


async def every_step(asker: Asker, extensions: Extensions) -> Steps:
    """Return the steps of all services. ConfigInvalid where an agent of the user's own cannot say what it can do."""
    return (
        *agent_steps.steps(asker),
        *employ_steps(asker, extensions.agents),
        *task_steps.steps(asker, await capabilities(extensions.agents)),
    )


def served(steps: Steps, crew: Crew) -> Steps:
    """Return the steps of the services that a process does: another service's never run in it."""
    return tuple(step for step in steps if step.definition.queue in crew.services)


def _gate(crew: Crew, storage: Storage, policy: Policy) -> AbstractAsyncContextManager[ModelGate]:
    stands_on = GateStorage(storage.writer, storage.reader, storage.kv)
    return open_gate(crew.gate, stands_on, policy.decide, crew.clock, crew.ids, crew.environment)


def _sandbox(crew: Crew) -> Sandbox:
    return open_sandbox(crew.cache, size=crew.settings.sandbox.workers) if crew.needs_sandbox else NoSandbox()


class NoGate:
    """Stands for the gate in a process whose steps ask no model."""

    async def complete(self, request: ModelRequest, call: CallContext) -> Answer:
        """Raise EngineUnavailable."""
        raise EngineUnavailable("this process asks no models; the llm service does")

    def stream(self, request: ModelRequest, call: CallContext) -> AsyncGenerator[StreamItem, None]:
        """Raise EngineUnavailable."""
        raise EngineUnavailable("this process asks no models; the llm service does")


class NoSandbox:
    """Stands for the sandbox in a process whose steps run no tool."""

    async def run(self, request: RunRequest) -> RunResult:
        """Raise EngineUnavailable."""
        raise EngineUnavailable("this process runs no programs; the agent service does")

    def workers(self) -> Mapping[str, int]:
        """Return that there are none."""
        return {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


def _chance() -> float:
    return secrets.randbelow(1 << 32) / (1 << 32)
