"""Accepting tasks and delivering commands."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.agents.calls import Word
from multiagent.core.errors import AttachmentRejected, EngineUnavailable, InvalidInput, NotFound, WorkflowBroken
from multiagent.core.events import EventKind
from multiagent.core.settings import TaskSettings
from multiagent.orchestrator.approvals import Approvals, Decision
from multiagent.orchestrator.dispatcher import Dispatcher
from multiagent.orchestrator.service import QUERY_CHARS, Submission
from multiagent.storage.sql.ops import RequestApproval
from tests.unit.agents.stage import USER, Stage, open_stage


class Engine:
    """Keeps what it is told; fails as often as it should."""

    def __init__(self, failures: int = 0, unknown: bool = False, broken: bool = False) -> None:
        self.started: list[tuple[str, str, bytes]] = []
        self.cancelled: list[tuple[str, str]] = []
        self.signals: list[tuple[str, bytes, str]] = []
        self._failures = failures
        self._unknown = unknown
        self._broken = broken

    async def start(self, tenant: str, task: str, workflow: str, input: bytes) -> None:  # noqa: A002
        if self._failures:
            self._failures -= 1
            raise EngineUnavailable("not yet")
        if self._broken:
            raise WorkflowBroken("no such workflow")
        self.started.append((task, workflow, input))

    async def cancel(self, tenant: str, task: str, reason: str) -> None:
        if self._unknown:
            raise NotFound(f"there is no task {task}")
        self.cancelled.append((task, reason))

    async def signal(self, tenant: str, task: str, name: str, value: bytes, id: str) -> None:  # noqa: A002
        self.signals.append((name, value, id))


def dispatcher(stage: Stage, engine: Engine) -> Dispatcher:
    return Dispatcher(stage.storage.writer, stage.storage.reader, engine, stage.clock)  # type: ignore[arg-type]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "home") as stage:
        yield stage


@pytest.mark.requirement("S.performance.async")
async def test_an_accepted_task_has_its_row_its_first_event_and_its_command(stage: Stage) -> None:
    task = await stage.submit("  what is this?  ")
    row = await stage.storage.reader.task("local", task)
    assert row is not None
    assert (row.status, row.query, row.workflow) == ("queued", "what is this?", "task")
    (event,) = await stage.storage.reader.events("local", task)
    assert event.header.kind is EventKind.TASK_SUBMITTED
    assert [command.kind for command in await stage.storage.reader.commands()] == ["submit"]


async def test_the_settings_are_frozen_with_the_task(stage: Stage) -> None:
    created = await stage.service.submit(Submission(USER, "q", settings=TaskSettings(max_agents=2)))
    assert (await stage.input(created.id)).settings.max_agents == 2


async def test_the_same_idempotency_key_is_the_same_task(stage: Stage) -> None:
    first = await stage.service.submit(Submission(USER, "q", idempotency_key="k"))
    second = await stage.service.submit(Submission(USER, "q", idempotency_key="k"))
    assert (first.created, second.created) == (True, False)
    assert first.id == second.id
    assert len(await stage.storage.reader.tasks("local")) == 1
    assert len(await stage.storage.reader.events("local", first.id)) == 1


@pytest.mark.parametrize("query", ["", "  \n", "x" * (QUERY_CHARS + 1), "a\0b", "bad \udcff"])
async def test_a_query_that_is_empty_too_long_or_no_text_is_refused(stage: Stage, query: str) -> None:
    with pytest.raises(InvalidInput):
        await stage.service.submit(Submission(USER, query))
    assert await stage.storage.reader.tasks("local") == ()


async def test_a_refused_attachment_accepts_nothing(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(AttachmentRejected):
        await stage.submit("q", tmp_path / "none.csv")
    assert await stage.storage.reader.tasks("local") == ()


async def test_a_command_is_delivered_once(stage: Stage) -> None:
    task, engine = await stage.submit("q"), Engine()
    dispatch = dispatcher(stage, engine)
    assert await dispatch.deliver() == 1
    assert await dispatch.deliver() == 0
    assert [(one, workflow) for one, workflow, _ in engine.started] == [(task, "task")]


async def test_a_command_the_engine_could_not_take_is_delivered_later(stage: Stage) -> None:
    await stage.submit("q")
    engine = Engine(failures=1)
    dispatch = dispatcher(stage, engine)
    with pytest.raises(EngineUnavailable):
        await dispatch.deliver()
    assert await dispatch.deliver() == 1


async def test_a_cancellation_reaches_the_engine_with_its_reason(stage: Stage) -> None:
    task, engine = await stage.submit("q"), Engine()
    await stage.service.cancel(USER, task, "enough")
    await dispatcher(stage, engine).deliver()
    assert engine.cancelled == [(task, "enough")]


async def test_a_command_the_engine_refuses_for_good_is_not_delivered_again(stage: Stage) -> None:
    task = await stage.submit("q")
    await stage.service.cancel(USER, task, "enough")
    dispatch = dispatcher(stage, Engine(unknown=True))
    await dispatch.deliver()
    assert await stage.storage.reader.commands() == ()


async def test_a_decision_counts_once_and_reaches_the_workflow(stage: Stage) -> None:
    task = await stage.submit("q")
    now = stage.clock.now()
    await stage.storage.writer.commit(
        RequestApproval(
            tenant="local", id="ap", task=task, step="s", tool="send", args_hash="h", arguments=b"", time=now,
            expires=now + 1000,
        )
    )  # fmt: skip
    approvals = Approvals(stage.storage.writer, stage.storage.reader, stage.clock)
    await approvals.decide(USER, "c1", task, Decision("ap", Word(approved=True)))
    with pytest.raises(InvalidInput, match="approved by user/user already"):
        await approvals.decide(USER, "c2", task, Decision("ap", Word(approved=False)))
    engine = Engine()
    await dispatcher(stage, engine).deliver()
    ((name, value, _),) = engine.signals
    assert name == "approval/ap"
    assert b'"approved":true' in value
    assert b"user/user" in value


async def test_a_task_the_engine_can_never_start_has_failed_and_says_why(stage: Stage) -> None:
    task = await stage.submit("q")
    dispatch = dispatcher(stage, Engine(broken=True))
    await dispatch.deliver()
    row = await stage.storage.reader.task("local", task)
    assert row is not None
    assert row.error is not None
    assert (row.status, row.error.code) == ("failed", "WORKFLOW_BROKEN")
    assert (await stage.storage.reader.events("local", task))[-1].header.kind is EventKind.TASK_FAILED
    assert await stage.storage.reader.commands() == ()
