"""Health: live while it runs, ready only while everything that it depends on answers in time."""

import asyncio
import json

from multiagent.core.errors import StorageUnavailable
from multiagent.telemetry.health import Health
from multiagent.testing.clock import ManualClock


async def fine() -> None:
    """Pass."""


async def away() -> None:
    """Fail as a database does that cannot be reached."""
    raise StorageUnavailable("the database does not answer")


async def unreachable() -> None:
    """Fail as a socket does."""
    raise ConnectionRefusedError("refused")


async def hang() -> None:
    """Never answer."""
    await asyncio.get_running_loop().create_future()


def failed(message: str) -> dict[str, object]:
    return {"status": "failed", "seconds": 0.0, "message": message}


async def page(health: Health, path: str) -> tuple[int, dict[str, object]]:
    answer = await health.pages()[path]()
    found: dict[str, object] = json.loads(answer.body)
    return answer.status, found


async def test_a_process_with_nothing_to_depend_on_is_ready() -> None:
    assert await page(Health(ManualClock()), "/health/ready") == (200, {"status": "ready", "checks": {}})


async def test_it_is_ready_while_every_check_passes() -> None:
    health = Health(ManualClock())
    health.register("storage", fine)
    health.register("engine", fine)
    status, found = await page(health, "/health/ready")
    assert (status, found["status"]) == (200, "ready")
    good = {"status": "ok", "seconds": 0.0, "message": ""}
    assert found["checks"] == {"storage": good, "engine": good}


async def test_one_failed_check_makes_it_unready_and_the_page_names_it_and_why() -> None:
    health = Health(ManualClock())
    health.register("storage", away)
    health.register("policy", fine)
    health.register("engine", unreachable)
    status, found = await page(health, "/health/ready")
    assert (status, found["status"]) == (503, "unready")
    assert found["checks"] == {
        "storage": failed("STORAGE_UNAVAILABLE: the database does not answer"),
        "policy": {"status": "ok", "seconds": 0.0, "message": ""},
        "engine": failed("ConnectionRefusedError: refused"),
    }


async def test_a_check_that_hangs_has_failed_after_five_seconds() -> None:
    clock = ManualClock()
    health = Health(clock)
    health.register("engine", hang)
    health.register("storage", fine)
    asking = asyncio.create_task(health.ready())
    for _ in range(5):
        await asyncio.sleep(0)
    clock.advance(4.9)
    await asyncio.sleep(0)
    assert not asking.done()
    clock.advance(0.2)
    found = await asking
    assert found.status == "unready"
    assert found.checks["engine"].message == "no answer within 5 s"
    assert found.checks["storage"].status == "ok"


async def test_readers_that_come_during_a_round_share_it() -> None:
    asked = 0
    gate = asyncio.Event()

    async def counted() -> None:
        nonlocal asked
        asked += 1
        await gate.wait()

    health = Health(ManualClock())
    health.register("storage", counted)
    readers = [asyncio.create_task(health.ready()) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    assert {one.status for one in await asyncio.gather(*readers)} == {"ready"}
    assert asked == 1
    await health.ready()
    assert asked == 2


async def test_one_that_drains_is_never_ready_and_still_live() -> None:
    health = Health(ManualClock())
    health.register("storage", fine)
    health.leave()
    status, found = await page(health, "/health/ready")
    assert (status, found["status"]) == (503, "draining")
    assert await page(health, "/health/live") == (200, {"status": "live"})
