"""A process that is killed at any moment loses nothing that was acknowledged, and its log is made whole again."""

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from multiagent.storage.factory import DATABASE, open_storage
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import TENANT, appends, creates

COMMITS = """
import asyncio, pathlib, sys
from multiagent.core.outcome import Outcome
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.ops import AppendOutcome
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import NOW, TENANT, appends, creates

home, synchronous, start = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

async def main():
    ids = CountedIds(start=start * 1_000_000)
    async with open_storage(home, clock=ManualClock(), ids=ids, synchronous=synchronous) as storage:
        async def task(name):
            await storage.writer.commit(creates(name))
            n = len(await storage.reader.journal(TENANT, name))
            while True:
                n += 1
                storage.writer.queue(appends(f"q/{start}/{n}", name))
                outcome = AppendOutcome(tenant=TENANT, task=name, outcome=Outcome(n, "signal", "s", NOW, b"x" * 300))
                await storage.writer.commit(outcome, appends(f"a/{start}/{n}", name))
                print(name, n, flush=True)
        await asyncio.gather(*(task(f"t{number}") for number in range(4)))

asyncio.run(main())
"""


def killed_after(home: Path, synchronous: str, start: int, lines: int) -> dict[str, int]:
    """Commit in another process, kill it once it has acknowledged some; return the last number by task."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITS, str(home), synchronous, str(start)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged: dict[str, int] = {}
    try:
        for number, line in enumerate(process.stdout):
            if number == lines:
                process.send_signal(signal.SIGKILL)
            if line.endswith("\n"):
                name, _, n = line.strip().partition(" ")
                acknowledged[name] = int(n)
    finally:
        process.kill()
        process.wait(timeout=30)
        process.stdout.close()
    return acknowledged


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
async def test_every_acknowledged_commit_is_there_after_each_kill(tmp_path: Path, synchronous: str) -> None:
    chance = random.Random(7)
    for start in range(1, 5):
        acknowledged = killed_after(tmp_path, synchronous, start, chance.randrange(40, 400))
        assert len(acknowledged) == 4
        async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()) as storage:
            for name, last in acknowledged.items():
                journal = await storage.reader.journal(TENANT, name)
                assert [row.n for row in journal] == list(range(1, len(journal) + 1))
                assert len(journal) in {last, last + 1}
                events = await storage.reader.events(TENANT, name, limit=10_000)
                assert [one.header.seq for one in events] == list(range(1, len(events) + 1))
                steps = [one for one in events if not one.header.key.startswith("after")]
                assert len(steps) in {2 * len(journal), 2 * len(journal) + 1}
            await storage.writer.commit(appends(f"after/{start}", "t0"))
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        unlogged = "SELECT count(*) FROM (SELECT task, seq FROM events EXCEPT SELECT task, seq FROM log)"
        assert connection.execute(unlogged).fetchone() == (0,)
        once = "SELECT count(*), count(DISTINCT task || '/' || seq), max(position) FROM log"
        assert len(set(connection.execute(once).fetchone())) == 1
    connection.close()


FORGETS = """
import asyncio, os, pathlib, sys
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.ops import UpdateTask
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import NOW, TENANT, appends, creates

async def main():
    async with open_storage(pathlib.Path(sys.argv[1]), clock=ManualClock(), ids=CountedIds()) as storage:
        await storage.writer.commit(creates("t1"), creates("t2"), appends("w/1", "t1"), appends("w/1", "t2"))
        over = UpdateTask(tenant=TENANT, id="t2", time=NOW, status="completed")
        await storage.writer.commit(appends("w/2", "t2"), over)
        await storage.writer.commit(appends("w/2", "t1"))
        os._exit(0)

asyncio.run(main())
"""


def forgets(home: Path) -> None:
    """End a process between a commit and the log."""
    subprocess.run([sys.executable, "-c", FORGETS, str(home)], check=True, timeout=60)


async def test_what_a_crash_kept_out_of_the_log_gets_its_place_at_the_next_start(tmp_path: Path) -> None:
    forgets(tmp_path)
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(start=100)) as storage:
        before = await storage.reader.log(TENANT)
        assert [(row.task, row.seq) for row in before] == [("t1", 1), ("t2", 1), ("t2", 2)]
        await storage.writer.commit(appends("w/3", "t1"))
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(start=200)) as storage:
        after = await storage.reader.log(TENANT)
        assert [(row.task, row.seq) for row in after[3:]] == [("t1", 2), ("t1", 3)]
        assert after[:3] == before
        assert after[-1].position == 5


async def test_the_log_is_filled_when_nothing_more_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiagent.storage.sql.sqlite.writer.IDLE_S", 0.01)
    async with (
        asyncio.timeout(30),
        open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()) as storage,
    ):
        await storage.writer.commit(creates(), appends("w/1", "t1"))
        while not (log := await storage.reader.log(TENANT)):
            pass
        assert [(row.task, row.seq) for row in log] == [("t1", 1)]
