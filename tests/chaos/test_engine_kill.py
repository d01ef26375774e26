"""Kill -9 of a process that runs durable workflows: nothing is lost, nothing stuck, nothing committed runs again."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from multiagent.core.events import Event, EventKind
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.base import Reader, TaskRow
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.replayed import Register
from multiagent.testing.workflows import STORM, Job
from tests.chaos.engine_worker import TENANT, task_ids

TASKS = 3
POINTS = ("after-append-before-act", "after-start-before-run", "after-run-before-store")
EXPECTED = Job(17)


def start(home: Path, *, fault: str = "", poison: str = "") -> subprocess.Popen[str]:
    """Start a worker."""
    environment = {**os.environ, "MULTIAGENT_FAULT": fault, "PYTHONHASHSEED": "random"}
    script = Path(__file__).with_name("engine_worker.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(home), str(TASKS), poison],
        env=environment, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> int:
    """Wait for a worker; what it complained about fails the test."""
    _, errors = process.communicate(timeout=90)
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode


class Found:
    """What a home holds after everything."""

    def __init__(self, rows: list[TaskRow], events: list[tuple[Event, ...]], ledger: list[str]) -> None:
        self.rows = rows
        self.events = events
        self.ledger = ledger

    def check(self) -> None:
        """Nothing lost, nothing stuck, nothing committed run again."""
        for row, events in zip(self.rows, self.events, strict=True):
            assert row.status == "completed", (row.status, row.error)
            assert msgspec.json.decode(row.result, type=Job) == EXPECTED
            assert [event.header.seq for event in events] == list(range(1, len(events) + 1))
            check_steps(events)
        counts = Counter(line.rsplit(" ", 1)[0] for line in self.ledger)
        attempts = {
            f"{row.id} {key}": count
            for row, events in zip(self.rows, self.events, strict=True)
            for key, count in started(events).items()
        }
        assert set(counts) == set(attempts)
        assert all(counts[name] <= attempts[name] for name in counts)


def started(events: tuple[Event, ...]) -> Counter[str]:
    """How often each step began."""
    return Counter(
        event.header.key.rsplit("/", 3)[0] for event in events if event.header.kind is EventKind.STEP_STARTED
    )


def check_steps(events: tuple[Event, ...]) -> None:
    """Each step has one committed result, and no attempt of it begins afterwards."""
    done: set[str] = set()
    for event in events:
        key = event.header.key.rsplit("/", 3)[0]
        if event.header.kind is EventKind.STEP_STARTED:
            assert key not in done, f"{key} ran again after its result was committed"
        elif event.header.kind is EventKind.STEP_COMPLETED:
            assert key not in done, f"{key} was committed twice"
            done.add(key)
    assert done == set(started(events))


async def look(home: Path, register: Register, *, record: bool = True) -> Found:
    """Read the home; hand its runs over to be replayed."""
    async with open_storage(home, clock=ManualClock(), ids=CountedIds(), synchronous="NORMAL") as storage:
        rows, events = [], []
        for task in task_ids(TASKS):
            row = await storage.reader.task(TENANT, task)
            assert row is not None
            rows.append(row)
            events.append(await all_events(storage.reader, task))
            if record:
                await register.record(str(home), task, storage.reader, storage.objects, STORM, TENANT)
    ledger = await asyncio.to_thread((home / "ledger").read_text)
    return Found(rows, events, ledger.splitlines())


async def all_events(reader: Reader, task: str) -> tuple[Event, ...]:
    """Every event of a task."""
    return await reader.events(TENANT, task, 0, 100_000)


@pytest.mark.requirement("S.reliability.durable")
async def test_kills_at_random_moments_lose_nothing(tmp_path: Path, register: Register) -> None:
    """One home, killed again and again at moments drawn over the length of an undisturbed run."""
    began = time.monotonic()
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    assert finish(start(undisturbed)) == 0
    length = time.monotonic() - began
    (await look(undisturbed, register)).check()

    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    home = tmp_path / "home"
    home.mkdir()
    kills = 0
    for _ in range(6):
        process = start(home)
        try:
            process.wait(moments.uniform(length / 3, length))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        finish(process)
    assert finish(start(home)) == 0
    print(f"kills that hit a running process: {kills}")
    (await look(home, register)).check()


@pytest.mark.requirement("S.reliability.durable")
@pytest.mark.parametrize("point", POINTS)
async def test_kills_at_named_points_lose_nothing(tmp_path: Path, register: Register, point: str) -> None:
    """Between commit and act, between lease and run, between run and commit."""
    hit = 0
    for passes in (1, 8):  # a third death could rightly poison a step that is under way at all of them
        hit += finish(start(tmp_path, fault=f"{point}:{passes}")) == -signal.SIGKILL
    assert hit == 2, "a kill hit nothing"
    assert finish(start(tmp_path)) == 0
    (await look(tmp_path, register)).check()


async def test_a_step_that_kills_its_process_is_poisoned_at_the_third_death_and_the_others_finish(
    tmp_path: Path, register: Register
) -> None:
    """It runs side by side twice, alone the third time, and no more after that."""
    deaths = 0
    while finish(start(tmp_path, poison="a1/act/0/1")) != 0:
        deaths += 1
        assert deaths < 12, "the poison is never found"
    found = await look(tmp_path, register)
    for row, events in zip(found.rows, found.events, strict=True):
        assert row.status == "completed", row.error
        failed = [event for event in events if event.header.kind is EventKind.STEP_FAILED]
        assert any(b"STEP_POISONED" in event.payload for event in failed)
        runs = [line for line in found.ledger if line.startswith(f"{row.id} a1/act/0/1 ")]
        # A death counts also where another task's poison was quicker; the third comes while the step is alone.
        assert 1 <= len(runs) <= 3
        assert any(b'"alone":true' in event.payload for event in events)
    assert deaths >= 3
