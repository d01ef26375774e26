"""One run of the product's own task workflow, recorded through the real engine with scripted steps."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from multiagent.agents import calls as agent
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core import plan as plans
from multiagent.core.principal import Principal
from multiagent.core.settings import TaskSettings
from multiagent.core.step import StepDef
from multiagent.core.task import TaskInput, TaskResult
from multiagent.core.usage import Bill, Usage
from multiagent.engines.base import Engine, Step, StepInfo
from multiagent.engines.factory import EngineParts
from multiagent.orchestrator import calls as task
from multiagent.orchestrator.workflows import TASK
from multiagent.storage.factory import open_storage
from multiagent.testing.replayed import Register, recorded_engine

TENANT: Final = "local"
ID: Final = "product-1"
GUARD_S: Final = 60
SPENT: Final = agent.Spent(Usage(10, 5), 100, 0, "scripted", "model")
PLAN: Final = plans.Plan(
    (
        plans.Node("t1", "count", "count the lines", tools=("python",)),
        plans.Node("t2", "sum", "sum the amounts", tools=("python",)),
        plans.Node("t3", "compare", "compare both", ("t1", "t2"), ("calculator",)),
    )
)
INPUT: Final = TaskInput(ID, Principal(TENANT, "user"), "count, sum and compare", (), TaskSettings(), "seed")


async def _analyze(_info: StepInfo, _given: object) -> task.AnalyzeOutput:
    return task.AnalyzeOutput(0.8, "complex", ("three parts",), ("python", "calculator"))


async def _decompose(_info: StepInfo, given: task.DecomposeInput) -> task.DecomposeOutput:
    if not given.bad:
        return task.DecomposeOutput("head-bad", SPENT, error="no JSON")
    return task.DecomposeOutput("head-plan", SPENT, PLAN)


async def _think(info: StepInfo, given: agent.ThinkInput) -> agent.ThinkOutput:
    if given.head:
        return agent.ThinkOutput(f"{info.key}-head", "stop", SPENT)
    wanted = tuple(agent.CallRef(f"call-{number}", "python", f"hash-{info.key}-{number}") for number in range(2))
    return agent.ThinkOutput(f"{info.key}-head", "tool_calls", SPENT, wanted)


async def _check(_info: StepInfo, given: agent.CheckInput) -> agent.CheckOutput:
    return agent.CheckOutput("allow", f"hash-{given.answer}-{given.position}")


async def _run(info: StepInfo, _given: object) -> agent.RunOutput:
    return agent.RunOutput(f"{info.key}-seen", sources=("table.csv",))


async def _synthesize(_info: StepInfo, _given: object) -> task.SynthesizeOutput:
    return task.SynthesizeOutput("head-answer", SPENT)


async def _finish(_info: StepInfo, given: task.FinishInput) -> TaskResult:
    return TaskResult("the answer", bill=Bill(Usage(10, 5), 100), models=given.models)


async def _never(info: StepInfo, _given: object) -> Any:
    raise AssertionError(f"nobody asks for {info.key}")


def steps() -> list[Step[Any, Any]]:
    """The product's steps, with scripted code."""
    code: list[tuple[StepDef[Any, Any], Any]] = [
        (task.ANALYZE, _analyze), (task.DECOMPOSE, _decompose), (task.SYNTHESIZE, _synthesize), (task.FINISH, _finish),
        (agent.THINK, _think), (agent.CHECK, _check), (agent.RUN, _run), (agent.ASK, _never), (agent.EXPIRE, _never),
    ]  # fmt: skip
    return [Step(definition, run) for definition, run in code]


async def _look_at_nothing(_engine: Engine) -> None:
    return


async def record(
    home: Path,
    register: Register,
    folder: Path,
    look: Callable[[Engine], Awaitable[None]] = _look_at_nothing,
) -> TaskResult:
    """Run the task; keep its recording in a folder, and in the session's register. ``look`` sees it finished."""
    clock, ids = SystemClock(), SystemIds()
    async with open_storage(home, clock=clock, ids=ids, synchronous="NORMAL") as storage:
        parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
        async with recorded_engine(register, home, parts, [TASK], steps()) as engine:
            await engine.start(TENANT, ID, TASK.name, msgspec.json.encode(INPUT))
            async with asyncio.timeout(GUARD_S):
                result = await engine.result(TENANT, ID)
            assert result.status == "completed", result
            await look(engine)
        await Register(folder).record(str(home), ID, storage.reader, storage.objects, TASK, TENANT)
    return msgspec.json.decode(result.value, type=TaskResult)
