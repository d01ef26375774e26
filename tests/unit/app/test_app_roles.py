"""A process opens what its services need, registers their steps, and no other service's ever run in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from multiagent.agents.calls import CHECK, EMPLOY, RUN
from multiagent.app.roles import SERVICES, NoGate, NoSandbox, Room, crew, open_room
from multiagent.config.settings import Places, Settings
from multiagent.core.errors import EngineUnavailable
from multiagent.core.step import Queue
from multiagent.llm.gate import ModelGate
from multiagent.sandbox.base import RunRequest
from multiagent.storage.factory import open_storage

STEPS: dict[Queue, set[str]] = {
    "orchestrator": {"analyze", "finish", "planned", "ask_plan"},
    "agent": {"check", "run", "ask", "expire", "employ"},
    "llm": {"think", "review", "decompose", "synthesize"},
}
AGENT = """
from multiagent.agents.custom import AgentAnswer, Health


class Parrot:
    name = "parrot"

    async def execute_task(self, task, desk):
        return AgentAnswer(await desk.ask(task.instruction))

    async def get_capabilities(self):
        return ["repeats"]

    async def health_check(self):
        return Health()
"""


@asynccontextmanager
async def room(home: Path, *services: Queue, load: str = "") -> AsyncIterator[Room]:
    home.mkdir(exist_ok=True)
    members = crew(Places(str(home), str(home / "cache")), Settings(load=load), {}, services)
    async with (
        open_storage(home, clock=members.clock, ids=members.ids, synchronous="NORMAL") as storage,
        open_room(members, storage, home / "scratch") as opened,
    ):
        yield opened


@pytest.mark.parametrize("service", SERVICES)
async def test_a_process_registers_the_steps_of_its_service_and_no_other(service: Queue, tmp_path: Path) -> None:
    async with room(tmp_path, service) as opened:
        assert {step.definition.name for step in opened.steps} == STEPS[service]
        assert {step.definition.queue for step in opened.steps} == {service}


async def test_a_process_of_all_services_registers_every_step(tmp_path: Path) -> None:
    async with room(tmp_path, *SERVICES) as opened:
        names = [step.definition.name for step in opened.steps]
        assert sorted(names) == sorted(set.union(*STEPS.values()))
        assert isinstance(opened.gate, ModelGate)
        assert not isinstance(opened.sandbox, NoSandbox)


async def test_only_processes_that_ask_models_open_the_gate(tmp_path: Path) -> None:
    gates = {}
    for service in SERVICES:
        async with room(tmp_path, service) as opened:
            gates[service] = opened.gate is not None
    assert gates == {"orchestrator": False, "agent": False, "llm": True}


async def test_only_agent_processes_open_the_sandbox(tmp_path: Path) -> None:
    sandboxes = {}
    for service in SERVICES:
        async with room(tmp_path, service) as opened:
            sandboxes[service] = not isinstance(opened.sandbox, NoSandbox)
    assert sandboxes == {"orchestrator": False, "agent": True, "llm": False}


async def test_an_agent_process_opens_the_gate_where_it_has_loaded_agents_that_may_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parrots.py").write_text(AGENT, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    async with room(tmp_path / "home", "agent", load="parrots:Parrot") as opened:
        assert opened.gate is not None
        assert {CHECK.name, RUN.name, EMPLOY.name} <= {step.definition.name for step in opened.steps}


async def test_what_is_not_opened_says_whose_it_is() -> None:
    nothing: Any = None
    with pytest.raises(EngineUnavailable, match="the agent service does"):
        async with NoSandbox() as sandbox:
            await sandbox.run(RunRequest(code="1"))
    with pytest.raises(EngineUnavailable, match="the llm service does"):
        await NoGate().complete(nothing, nothing)
    with pytest.raises(EngineUnavailable, match="the llm service does"):
        NoGate().stream(nothing, nothing)
