"""What a serving process says of itself: what it waits for, what it depends on, where it listens."""

import asyncio
import json
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from multiagent.app.roles import SERVICES, crew, open_room
from multiagent.app.vitals import SAY_S, Vitals
from multiagent.config.settings import Places, ServeSettings, Settings
from multiagent.core.errors import EngineUnavailable, StorageUnavailable
from multiagent.core.step import Queue
from multiagent.storage.factory import open_storage
from multiagent.testing.clock import ManualClock


def test_what_it_waits_for_is_said_once_and_again_after_some_seconds(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    vitals = Vitals(clock)

    def waits(seconds: float, message: str) -> int:
        clock.advance(seconds)
        vitals.waits(StorageUnavailable(message))
        return len(caplog.records)

    assert [waits(0, "away"), waits(1, "away"), waits(SAY_S, "away"), waits(0, "refused"), waits(1, "refused")] == [
        1, 1, 2, 3, 3,
    ]  # fmt: skip
    assert "waiting: STORAGE_UNAVAILABLE: away" in caplog.text


async def test_it_is_unready_until_it_is_open_and_says_what_it_waits_for() -> None:
    vitals = Vitals(ManualClock())
    assert (await vitals.health.ready()).checks["start"].message == "ENGINE_UNAVAILABLE: it is starting"
    vitals.waits(StorageUnavailable("the database is away"))
    assert (await vitals.health.ready()).checks["start"].message == "ENGINE_UNAVAILABLE: the database is away"
    vitals.opened()
    assert (await vitals.health.ready()).status == "ready"


@pytest.mark.parametrize(
    ("service", "checks", "gauges"),
    [
        ("orchestrator", {"start", "storage", "policy"}, set()),
        ("agent", {"start", "storage", "policy", "sandbox"}, {"multiagent_sandbox"}),
        ("llm", {"start", "storage", "policy"}, {"multiagent_breaker"}),
    ],
)
async def test_it_depends_on_what_its_service_needs(
    service: Queue, checks: set[str], gauges: set[str], tmp_path: Path
) -> None:
    vitals = Vitals(ManualClock())
    members = crew(Places(str(tmp_path), str(tmp_path / "cache")), Settings(), {}, (service,))
    async with AsyncExitStack() as stack:
        opened = open_storage(tmp_path, clock=members.clock, ids=members.ids, synchronous="NORMAL")
        storage = vitals.storage(await stack.enter_async_context(opened))
        room = await stack.enter_async_context(open_room(members, storage, tmp_path / "scratch"))
        assert len(vitals.room(room, members.cache)) == len(room.steps)
        found = await vitals.health.ready()
    assert set(found.checks) == checks
    assert {name for name, one in found.checks.items() if one.status == "failed"} == checks & {"start", "sandbox"}
    text = vitals.metrics.text().decode()
    assert {name for name in ("multiagent_sandbox", "multiagent_breaker") if f"\n{name}{{" in text} == gauges


async def test_the_engine_and_the_commands_that_wait_are_shown_once_they_are_known() -> None:
    async def away() -> None:
        raise EngineUnavailable("not reached yet")

    vitals = Vitals(ManualClock())
    vitals.opened()
    vitals.engine(away)
    vitals.commands(lambda: 7)
    assert (await vitals.health.ready()).checks["engine"].message == "ENGINE_UNAVAILABLE: not reached yet"
    assert 'multiagent_commands_waiting{of="dispatcher"} 7.0' in vitals.metrics.text().decode()


async def test_its_pages_are_where_it_says(tmp_path: Path) -> None:
    vitals = Vitals(ManualClock())
    vitals.opened()
    async with AsyncExitStack() as stack:
        where = ServeSettings(health_port=0, metrics_port=0)
        health, metrics = await vitals.listen(stack, where, len(SERVICES) - 1)

        def read(url: str) -> str:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return str(answer.read().decode())

        told = [await asyncio.to_thread(read, url) for url in (health, metrics)]
    assert json.loads(told[0])["status"] == "ready"
    assert "multiagent_steps_total" in told[1]
