"""Whole tasks on the embedded engine: real storage, real steps, a scripted model."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from multiagent.agents import steps as agent_steps
from multiagent.core.events import Event, EventKind
from multiagent.engines.factory import EngineParts
from multiagent.llm.base import Answer, ModelRequest
from multiagent.orchestrator import steps as task_steps
from multiagent.orchestrator.dispatcher import Dispatcher
from multiagent.orchestrator.workflows import TASK
from multiagent.storage.sql.base import TaskRow
from multiagent.testing.ids import CountedIds
from multiagent.testing.replayed import RecordedEngine, Register, recorded_engine
from multiagent.tools.base import Tool
from tests.unit.agents.stage import Stage, answer, call, open_stage

QUERY = "Compare the regions, then analyse the trend, find outliers and write a report."
PLAN = json.dumps(
    {
        "reason": "two parts and their sum",
        "tasks": [
            {"id": "north", "title": "North", "instruction": "look north", "tools": ["echo"]},
            {"id": "south", "title": "South", "instruction": "look south", "tools": ["echo"]},
            {"id": "both", "title": "Both", "instruction": "add up", "depends_on": ["north", "south"]},
        ],
    }
)


def good(request: ModelRequest) -> Answer:
    """A plan; each agent with tools calls one once; texts that name what they are."""
    if request.purpose == "decompose":
        return answer(PLAN)
    if request.purpose == "turn" and request.tools and not any(one.role == "tool" for one in request.messages):
        return answer(call(request.tools[0].name, '{"n": 1}'), finish="tool_calls")
    return answer(f"the {request.purpose} answer")


class House:
    """A stage with an engine on it."""

    def __init__(self, stage: Stage, engine: RecordedEngine) -> None:
        self.stage = stage
        self.engine = engine
        self.dispatcher = Dispatcher(stage.storage.writer, stage.storage.reader, engine, stage.clock)

    async def begin(self, query: str = QUERY, *files: Path) -> str:
        task = await self.stage.submit(query, *files)
        await self.dispatcher.deliver()
        return task

    async def row(self, task: str) -> TaskRow:
        row = await self.stage.storage.reader.task("local", task)
        assert row is not None
        return row

    async def events(self, task: str) -> list[Event]:
        return list(await self.stage.storage.reader.events("local", task))

    async def until(self, task: str, kind: EventKind) -> Event:
        """Wait for the first event of a kind."""
        async with asyncio.timeout(30):
            while True:
                found = [event for event in await self.events(task) if event.header.kind is kind]
                if found:
                    return found[0]
                await asyncio.sleep(0)


@asynccontextmanager
async def open_house(
    folder: Path, register: Register, reply: Callable[[ModelRequest], Answer] = good, *, tools: tuple[Tool, ...] = ()
) -> AsyncIterator[House]:
    async with open_stage(folder, reply, tools) as stage:
        storage = stage.storage
        parts = EngineParts(storage.writer, storage.reader, storage.objects, stage.clock, CountedIds(start=10**9))
        steps = (*agent_steps.steps(stage.asker), *task_steps.steps(stage.asker))
        async with recorded_engine(register, folder, parts, (TASK,), steps) as engine:
            yield House(stage, engine)
