"""Assembly of the embedded platform: the only place where ports meet their adapters."""

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from multiagent.agents import steps as agent_steps
from multiagent.agents.asking import Asker
from multiagent.agents.desk import employ_steps
from multiagent.agents.ports import Ports
from multiagent.agents.steps import Steps
from multiagent.app.ask import Ask
from multiagent.app.extensions import Extensions, asked_for, capabilities, load_extensions
from multiagent.app.faults import arm
from multiagent.app.follow import follow
from multiagent.app.intake import open_intake, this_host
from multiagent.app.lifecycle import background
from multiagent.app.models import gate_config, offline_hint
from multiagent.app.offers import Offers
from multiagent.app.record import Record, record
from multiagent.app.sandbox import limits
from multiagent.app.snapshot import scope_limits, task_settings
from multiagent.app.system import SystemClock, SystemIds
from multiagent.config.settings import Places, Settings
from multiagent.core.events import Event
from multiagent.core.principal import Principal
from multiagent.core.task import FINISHED
from multiagent.engines.base import RecoveringEngine, RunResult
from multiagent.engines.factory import EngineParts, open_engine, own_home
from multiagent.llm.factory import open_gate
from multiagent.llm.gate import GateStorage
from multiagent.orchestrator import steps as task_steps
from multiagent.orchestrator.dispatcher import Dispatcher
from multiagent.orchestrator.service import Service, Submission
from multiagent.orchestrator.sessions import Sessions
from multiagent.orchestrator.uploads import Uploads
from multiagent.orchestrator.workflows import TASK
from multiagent.policy.factory import open_policy
from multiagent.sandbox.factory import open_sandbox
from multiagent.storage.factory import Storage, open_storage
from multiagent.tools.base import Runner
from multiagent.tools.factory import ToolOptions, open_tools

TENANT: Final = "local"
LOCAL_USER: Final = Principal(TENANT, "user", permissions=("code_execution", "data_access"))
"""Who the terminal acts for."""


class Platform:
    """The platform of one process, open: submit, follow, look."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        engine: RecoveringEngine,
        service: Service,
        policy_hash: str,
        offers: Offers,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._engine = engine
        self._service = service
        self._policy_hash = policy_hash
        self._offers = offers
        self.offline_hint = ""
        self.resumed: tuple[str, ...] = ()

    async def submit(self, ask: Ask) -> str:
        """Accept a task and return its id. Raises InvalidInput's and StorageError's children."""
        plan = self._offers.read(ask.plan, ask.files)
        created = await self._service.submit(
            Submission(
                LOCAL_USER,
                ask.query,
                ask.files,
                task_settings(self._settings, ask, self._policy_hash),
                session=ask.session,
                session_tokens=self._settings.budget.session_tokens,
                plan=plan,
                recalled=ask.recalled,
            )
        )
        return created.id

    def follow(self, task: str, after: int = 0) -> AsyncIterator[Event]:
        """Yield a task's events, from the first after ``after`` to the last."""
        return follow(self._storage.reader, self._storage.writer, TENANT, task, after)

    async def settled(self, task: str) -> RunResult:
        """Wait until a task's end is stored, also where it was only just accepted."""
        async for _ in self.follow(task):
            pass
        return await self._engine.result(TENANT, task)

    async def busy(self) -> bool:
        """Whether any task is under way here, or waits for a person or a time; paused ones have nothing to do."""
        rows = await self._storage.reader.unfinished()
        return any(row.status != "paused" and not self._service.host.lacks(row.input) for row in rows)

    async def lacks(self, task: str) -> str:
        """Return what this process lacks to go on with a task, and what to do; nothing where it can."""
        row = await self._storage.reader.task(TENANT, task)
        return "" if row is None or row.status in FINISHED else self._service.host.lacks(row.input)

    async def drain(self, seconds: float) -> None:
        """Begin no step any more and give running ones so long to end; the rest stays to be gone on with."""
        await self._engine.drain(seconds)

    async def replay(self, task: str) -> RunResult:
        """Feed a task's journal to today's code; NonDeterminism where it drifts."""
        return await self._engine.replay(TENANT, task)

    async def record(self, task: str) -> Record:
        """Return what is stored of a task; NotFound where there is none."""
        return await record(self._storage.reader, TENANT, task)


@asynccontextmanager
async def open_platform(places: Places, settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Platform]:
    """Open everything, take up what was left unfinished, close it at the end of the block.

    Raises EngineOwned where another process owns the home, StorageError's children, PolicyBroken, ConfigInvalid.
    """
    home, cache = Path(places.home), Path(places.cache)
    clock, ids = SystemClock(), SystemIds()
    arm(environment)
    owner = f"{os.getpid()}-{secrets.token_hex(4)}"
    config = gate_config(settings, owner)
    extensions = load_extensions(asked_for(settings.load), Path.cwd())
    async with AsyncExitStack() as stack:
        stack.enter_context(own_home(home))
        storage = await stack.enter_async_context(
            open_storage(home, clock=clock, ids=ids, synchronous=settings.storage.synchronous)
        )
        policy = open_policy(Path(settings.policy_dir) if settings.policy_dir else None, verdicts=cache)
        gate = await stack.enter_async_context(
            open_gate(
                config,
                GateStorage(storage.writer, storage.reader, storage.kv),
                policy.decide,
                clock,
                ids,
                environment,
            )
        )
        sandbox = await stack.enter_async_context(open_sandbox(cache, size=settings.sandbox.workers))
        runner = open_tools(
            storage.objects,
            sandbox,
            storage.writer,
            policy.decide,
            clock,
            ToolOptions(
                extensions.tools, scratch=str(home / "scratch"), python_limits=limits(settings.sandbox), chance=_chance
            ),
        )
        asker = Asker(
            Ports(storage.writer, storage.reader, storage.objects, gate, runner, clock), scope_limits(settings)
        )
        engine = await stack.enter_async_context(
            open_engine(
                None,
                EngineParts(storage.writer, storage.reader, storage.objects, clock, ids),
                workflows=(TASK,),
                steps=await _steps(asker, extensions),
            )
        )
        host = this_host(config, environment, policy.bundle_hash, extensions.loads)
        dispatcher = Dispatcher(storage.writer, storage.reader, engine, clock, host.lacks)
        uploads = Uploads(storage.objects, settings.attachments.max_mib << 20, settings.attachments.max_count)
        offers = _offers(settings, runner, extensions)
        service = Service(storage.writer, uploads, clock, ids, dispatcher.wake, offers.accept)
        service.recall = Sessions(storage.writer, storage.reader, clock, settings.session.max_tokens).recall
        service.host = host
        platform = Platform(settings, storage, engine, service, policy.bundle_hash, offers)
        platform.offline_hint = offline_hint(config, environment)
        await gate.recover(TENANT)
        await stack.enter_async_context(open_intake(home, asker, service, host))
        platform.resumed = await engine.recover(host.lacks)
        await stack.enter_async_context(background(dispatcher.run()))
        yield platform


async def _steps(asker: Asker, extensions: Extensions) -> Steps:
    """Return every step that this process can do."""
    return (
        *agent_steps.steps(asker),
        *employ_steps(asker, extensions.agents),
        *task_steps.steps(asker, await capabilities(extensions.agents)),
    )


def _offers(settings: Settings, runner: Runner, extensions: Extensions) -> Offers:
    tools = tuple(spec.name for spec in runner.specs(LOCAL_USER) if task_steps.usable(spec, LOCAL_USER))
    return Offers(settings.task.max_nodes, tools, tuple(extensions.agents))


def _chance() -> float:
    return secrets.randbelow(1 << 32) / (1 << 32)
