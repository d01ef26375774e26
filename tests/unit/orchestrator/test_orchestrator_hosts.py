"""Which process may do which task, and what the dispatcher does with the commands of one that may not."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.core.errors import EngineUnavailable
from multiagent.core.settings import TaskSettings
from multiagent.core.task import TaskInput
from multiagent.orchestrator.dispatcher import Dispatcher
from multiagent.orchestrator.handover import Host
from multiagent.storage.sql.ops import StoreCommand
from tests.unit.agents.stage import USER, Stage, open_stage


class Engine:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    async def start(self, tenant: str, task: str, workflow: str, input: bytes) -> None:  # noqa: A002
        self.told.append(("start", task))

    async def cancel(self, tenant: str, task: str, reason: str) -> None:
        self.told.append(("cancel", task, reason))

    async def pause(self, tenant: str, task: str, reason: str, id: str) -> None:  # noqa: A002
        self.told.append(("pause", task, reason, id))

    async def resume(self, tenant: str, task: str, id: str) -> None:  # noqa: A002
        self.told.append(("resume", task, id))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "home") as stage:
        yield stage


def given(vendors: tuple[str, ...] = (), loads: tuple[str, ...] = ()) -> bytes:
    return msgspec.json.encode(TaskInput("t", USER, "q", (), TaskSettings(), "s", vendors=vendors, loads=loads))


@pytest.mark.parametrize(
    ("task", "word"),
    [
        (given(), ""),
        (given(("openai",)), ""),
        (given(("other", "openai")), "no key for other"),
        (given((), ("mine:tools",)), ""),
        (given((), ("yours:tools",)), "not loaded yours:tools"),
        (b"{", ""),
        (b'{"task":"t"}', ""),
    ],
)
def test_a_process_says_what_it_lacks_for_a_task(task: bytes, word: str) -> None:
    lacks = Host(7, frozenset({"openai"}), "p", frozenset({"mine:tools"})).lacks(task)
    assert word in lacks
    assert bool(word) == bool(lacks)


async def test_a_task_carries_what_the_process_had_that_accepted_it(stage: Stage) -> None:
    stage.service.host = Host(7, frozenset({"openai", "another"}), "p", frozenset({"mine:tools"}))
    task = await stage.input(await stage.submit("q"))
    assert (task.vendors, task.loads) == (("another", "openai"), ("mine:tools",))


async def test_a_task_that_this_process_may_not_do_stays_and_others_are_delivered(stage: Stage) -> None:
    storage, engine = stage.storage, Engine()
    stage.service.host = Host(7, frozenset({"openai"}))
    held = await stage.submit("q")
    stage.service.host = Host()
    free = await stage.submit("q")
    dispatch = Dispatcher(storage.writer, storage.reader, engine, stage.clock, Host().lacks)  # type: ignore[arg-type]
    with pytest.raises(EngineUnavailable, match="no key for openai"):
        await dispatch.deliver()
    assert engine.told == [("start", free)]
    assert [command.id for command in await storage.reader.commands()] == [held]
    able = Dispatcher(storage.writer, storage.reader, engine, stage.clock)  # type: ignore[arg-type]
    assert await able.deliver() == 1
    assert engine.told[-1] == ("start", held)


async def test_steering_reaches_the_engine_with_reason_and_id_in_the_order_it_was_given(stage: Stage) -> None:
    storage, engine = stage.storage, Engine()
    task = await stage.submit("q")
    now = stage.clock.now()
    for number, kind in enumerate(("pause", "resume", "cancel"), 1):
        await storage.writer.commit(
            StoreCommand(
                tenant="local", id=f"c{number}", task=task, kind=kind, payload=b"why \xff", principal=b"",
                time=now + number,
            )
        )  # fmt: skip
    await Dispatcher(storage.writer, storage.reader, engine, stage.clock).deliver()  # type: ignore[arg-type]
    assert engine.told == [
        ("start", task),
        ("pause", task, "why \ufffd", "c1"),
        ("resume", task, "c2"),
        ("cancel", task, "why \ufffd"),
    ]
