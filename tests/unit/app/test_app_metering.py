"""What a serving process counts: its steps as they run, and the bills and tasks that it was the first to write."""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import pytest

from multiagent.agents.calls import CHECK, CheckInput, CheckOutput
from multiagent.app.metering import Meter
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.budget import Amount, Granted, Limit, ScopeLimit, ScopeRef
from multiagent.core.errors import ToolError
from multiagent.core.events import EventDraft, EventKind
from multiagent.core.usage import Usage
from multiagent.engines.base import Step, StepInfo
from multiagent.storage.factory import Storage, open_storage
from multiagent.storage.sql.ops import AppendEvent, CreateTask, Reserve, Reserved, Settle, StoreUsage
from multiagent.telemetry.metrics import Metrics

NOW = 1_750_000_000_000


def usage(name: str) -> StoreUsage:
    return StoreUsage(
        tenant="local", id=name, task="t", step="s", agent="a", endpoint="e", vendor="acme", model="m", user="u",
        session="", usage=Usage(10, 5), cost_pico=7, saved_pico=0, time=NOW,
    )  # fmt: skip


async def reserved(storage: Storage) -> str:
    scope = ScopeLimit(ScopeRef("task", "t"), Limit(1000, None))
    (answer,) = await storage.writer.commit(
        Reserve(
            tenant="local", id="r", key="k", attempt=1, task="t", scopes=(scope,), need=Amount(100, 100), time=NOW,
            deadline=NOW + 1000, owner="me",
        )
    )  # fmt: skip
    assert isinstance(answer, Reserved)
    assert isinstance(answer.verdict, Granted)
    return answer.id


async def test_a_bill_is_counted_once_however_often_its_settle_is_sent(tmp_path: Path) -> None:
    metrics = Metrics()
    async with open_storage(tmp_path, clock=SystemClock(), ids=SystemIds(), synchronous="NORMAL") as plain:
        storage = Meter(metrics, SystemClock()).storage(plain)
        settle = Settle(tenant="local", reservation=await reserved(storage), billed=Amount(15, 7), time=NOW)
        for _ in range(3):
            await storage.writer.commit(settle, usage("u1"))
    assert b'multiagent_model_calls_total{model="m",vendor="acme"} 1.0' in metrics.text()
    assert b'multiagent_tokens_total{kind="prompt",model="m",vendor="acme"} 10.0' in metrics.text()


async def test_a_task_is_counted_by_the_process_whose_event_was_new(tmp_path: Path) -> None:
    metrics = Metrics()
    async with open_storage(tmp_path, clock=SystemClock(), ids=SystemIds(), synchronous="NORMAL") as plain:
        storage = Meter(metrics, SystemClock()).storage(plain)
        made = CreateTask(
            tenant="local", id="t", workflow="w", input=b"{}", query="q", user="u", principal=b"{}", time=NOW
        )
        event = EventDraft("submitted", EventKind.TASK_SUBMITTED, b"{}", NOW)
        for _ in range(2):
            await storage.writer.commit(made, AppendEvent(tenant="local", task="t", event=event))
    assert b'multiagent_tasks_total{status="submitted"} 1.0' in metrics.text()


@pytest.mark.parametrize(
    ("error", "status"), [(None, "completed"), (ToolError("no"), "failed"), (asyncio.CancelledError(), "cancelled")]
)
async def test_a_step_is_counted_by_how_it_ended_and_is_in_flight_no_more(
    error: BaseException | None, status: str
) -> None:
    metrics = Metrics()

    async def code(info: StepInfo, given: CheckInput) -> CheckOutput:
        assert b'multiagent_steps_in_flight{queue="agent",step="check"} 1.0' in metrics.text()
        if error is not None:
            raise error
        return CheckOutput("allow", "")

    (step,) = Meter(metrics, SystemClock()).steps((Step(CHECK, code),))
    with nullcontext() if error is None else pytest.raises(type(error)) as raised:
        await step.code(None, None)  # type: ignore[arg-type]
    assert error is (None if raised is None else raised.value)
    assert f'multiagent_steps_total{{queue="agent",status="{status}",step="check"}} 1.0' in metrics.text().decode()
    assert b'multiagent_steps_in_flight{queue="agent",step="check"} 0.0' in metrics.text()
