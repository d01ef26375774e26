"""In which order commands reach the engine, and how many tasks get theirs side by side."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.core.errors import EngineUnavailable
from multiagent.orchestrator.dispatcher import Dispatcher
from multiagent.storage.sql.ops import StoreCommand
from tests.unit.agents.stage import Stage, open_stage


class Engine:
    """Is away for some tasks, and takes its time where a test says so."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.away: set[str] = set()
        self.inside = 0
        self.widest = 0
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def _take(self, task: str, told: str) -> None:
        self.inside += 1
        self.widest = max(self.widest, self.inside)
        try:
            await self.may_go.wait()
            if task in self.away:
                raise EngineUnavailable("not now")
            self.told.append(told)
        finally:
            self.inside -= 1

    async def start(self, tenant: str, task: str, workflow: str, input: bytes) -> None:  # noqa: A002
        await self._take(task, f"start {task}")

    async def pause(self, tenant: str, task: str, reason: str, id: str) -> None:  # noqa: A002
        await self._take(task, f"pause {task}")

    async def resume(self, tenant: str, task: str, id: str) -> None:  # noqa: A002
        await self._take(task, f"resume {task}")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "home") as stage:
        yield stage


def dispatcher(stage: Stage, engine: Engine, width: int = 1) -> Dispatcher:
    return Dispatcher(stage.storage.writer, stage.storage.reader, engine, stage.clock, width=width)  # type: ignore[arg-type]


async def steer(stage: Stage, task: str, *kinds: str) -> None:
    for number, kind in enumerate(kinds, 1):
        await stage.storage.writer.commit(
            StoreCommand(
                tenant="local", id=f"{task}-{number}", task=task, kind=kind, payload=b"", principal=b"",
                time=stage.clock.now() + number,
            )
        )  # fmt: skip


@pytest.mark.parametrize("width", [1, 4])
async def test_a_command_that_has_to_wait_holds_up_those_of_its_own_task_only(stage: Stage, width: int) -> None:
    engine = Engine()
    held, free = await stage.submit("q"), await stage.submit("q")
    for task in (held, free):
        await steer(stage, task, "pause", "resume")
    engine.away = {held}
    dispatch = dispatcher(stage, engine, width)
    with pytest.raises(EngineUnavailable):
        await dispatch.deliver()
    assert engine.told == [f"{kind} {free}" for kind in ("start", "pause", "resume")]
    engine.away = set()
    assert await dispatch.deliver() == 3
    assert engine.told[3:] == [f"{kind} {held}" for kind in ("start", "pause", "resume")]


@pytest.mark.parametrize("width", [1, 3])
async def test_so_many_tasks_get_their_commands_side_by_side_and_no_more(stage: Stage, width: int) -> None:
    engine = Engine()
    engine.may_go.clear()
    tasks = [await stage.submit("q") for _ in range(5)]
    delivering = asyncio.create_task(dispatcher(stage, engine, width).deliver())
    async with asyncio.timeout(30):
        while engine.inside < width:  # noqa: ASYNC110 - nothing says so
            await asyncio.sleep(0)
        engine.may_go.set()
        assert await delivering == 5
    assert engine.widest == width
    assert sorted(engine.told) == sorted(f"start {task}" for task in tasks)


async def test_it_tells_how_many_commands_it_last_saw_waiting(stage: Stage) -> None:
    engine = Engine()
    dispatch = dispatcher(stage, engine)
    held = await stage.submit("q")
    await steer(stage, held, "pause")
    engine.away = {held}
    with pytest.raises(EngineUnavailable):
        await dispatch.deliver()
    assert dispatch.waiting() == 2
    engine.away = set()
    await dispatch.deliver()
    assert dispatch.waiting() == 0


async def test_more_commands_than_one_look_shows_are_all_delivered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiagent.orchestrator.dispatcher.MOST", 2)
    tasks = [await stage.submit("q") for _ in range(7)]
    engine = Engine()
    assert await dispatcher(stage, engine).deliver() == 7
    assert engine.told == [f"start {task}" for task in tasks]
