"""Seven processes on PostgreSQL and Temporal, one of them killed every few seconds: every task finishes."""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

import pytest

from multiagent.testing.servers.temporal import TemporalServer
from tests.chaos.fleet import Fleet, fleet, wait

SCALE = float(os.environ.get("CHAOS_SCALE", "0.1"))
"""1 is the whole of it: 300 tasks, three minutes of kills."""
TASKS = max(8, round(300 * SCALE))
KILLING_S = 180 * SCALE
BETWEEN_S = (2.0, 5.0)
AFTER_S = 300.0
"""So long the last task may take after the last kill: a guard against one that is stuck."""
ROLES = ("orchestrator", "orchestrator", "agent", "agent", "agent", "llm", "llm")


async def _harass(ships: Fleet, rng: random.Random, until: float) -> None:
    """Kill one after the other."""
    while time.monotonic() < until:
        await wait(rng.uniform(*BETWEEN_S))
        ships.replace(rng.randrange(len(ROLES)))


async def _submit(ships: Fleet, rng: random.Random) -> list[str]:
    """Hand over all tasks, evenly over the time of the kills; return their ids."""
    began, tasks = time.monotonic(), list[str]()
    for number in range(TASKS):
        tasks.append(await ships.submit(rng))
        await wait(began + (number + 1) * KILLING_S / TASKS - time.monotonic())
    return tasks


@pytest.mark.requirement("T2", "S.scaling.horizontal")
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("chaos-distributed")
async def test_kills_of_any_process_lose_nothing_stick_nothing_and_repeat_nothing(
    tmp_path: Path, sandbox_cache: Path, postgres: str, temporal_server: TemporalServer
) -> None:
    """0 lost, 0 stuck, no committed step again, at least 99.9% succeed, bill at most what is settled and lost."""
    seed = int(os.environ.get("MULTIAGENT_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    sys.stdout.write(f"seed {seed}\n")
    with fleet(tmp_path, sandbox_cache, postgres, temporal_server.address, ROLES) as ships:
        await ships.start()
        began = time.monotonic()
        killing = asyncio.ensure_future(_harass(ships, rng, began + KILLING_S))
        tasks = await _submit(ships, rng)
        await killing
        sys.stdout.write(f"{ships.kills.total()} kills {dict(ships.kills)} in {time.monotonic() - began:.0f} s\n")
        await ships.check(tasks, AFTER_S)
