"""What storage takes for a durable step and for a model call, beside a bare sqlite3 loop in the same run.

    python -m benchmarks.storage [--steps N]

A step is two commits (lease and event; result, event and journal row); a call is two more (a reservation in six
scopes; settle, bill and completion). Prints CPU-milliseconds (user and system, all threads) and wall milliseconds a
step, at 1, 5 and 64 at once, for ``synchronous`` NORMAL and FULL. The bare loop makes two transactions a step with two
plain inserts each, on the main thread.
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Literal

import msgspec

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.budget import Amount, Limit, ScopeLimit, ScopeRef
from multiagent.core.events import EventDraft, EventKind
from multiagent.core.outcome import Outcome
from multiagent.core.usage import Usage
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.ops import (
    AppendEvent,
    AppendOutcome,
    CreateTask,
    Op,
    Reserve,
    Settle,
    StartStep,
    StoreCompletion,
    StoreResult,
    StoreUsage,
)

Synchronous = Literal["FULL", "NORMAL"]
VALUE = msgspec.json.encode({"text": "an answer of a usual length " * 12})
DIGEST = "0" * 64
TENANT = "bench"


class Cost(msgspec.Struct, frozen=True):
    """Milliseconds a step."""

    cpu: float
    wall: float


def measured(count: int, since: tuple[float, float]) -> Cost:
    """Return the cost a step since (process time, wall time)."""
    return Cost((time.process_time() - since[0]) * 1000 / count, (time.perf_counter() - since[1]) * 1000 / count)


def start(task: str, key: str, now: int) -> tuple[Op, ...]:
    """The first commit: lease the step, say that it started."""
    event = EventDraft(f"{key}/1/step.started/1", EventKind.STEP_STARTED, b"{}", now, "agent/a1", "user/u", key)
    lease = StartStep(tenant=TENANT, task=task, key=key, input_hash=DIGEST, owner="me", time=now, lease_until=now)
    return lease, AppendEvent(tenant=TENANT, task=task, event=event)


def end(task: str, key: str, n: int, now: int) -> tuple[Op, ...]:
    """The second: its result, the outcome that is fed, its last event."""
    event = EventDraft(f"{key}/1/step.completed/1", EventKind.STEP_COMPLETED, b"{}", now, "agent/a1", "user/u", key)
    return (
        StoreResult(tenant=TENANT, task=task, key=key, input_hash=DIGEST, owner="me", time=now, value=VALUE),
        AppendEvent(tenant=TENANT, task=task, event=event),
        AppendOutcome(tenant=TENANT, task=task, outcome=Outcome(n, "result", f"{key}~12345678", now, digest=DIGEST)),
    )


async def steps(writer: Writer, task: str, count: int, now: int) -> None:
    """Run ``count`` steps of one task, one after the other."""
    for n in range(1, count + 1):
        key = f"a1/think/{n}"
        await writer.commit(*start(task, key, now))
        await writer.commit(*end(task, key, n, now))


def reserve(task: str, key: str, now: int) -> Reserve:
    """Hold the bound of a call in all its scopes."""
    scopes = (
        ScopeRef("request", key),
        ScopeRef("agent", f"{task}/a1"),
        ScopeRef("task", task),
        ScopeRef("session", "s1"),
        ScopeRef("user", "ada", "day", 86_400_000),
        ScopeRef("tenant", TENANT),
    )
    wide = Limit(10**15, 10**17)
    return Reserve(
        tenant=TENANT,
        id=key,
        key=key,
        attempt=1,
        task=task,
        scopes=tuple(ScopeLimit(scope, wide) for scope in scopes),
        need=Amount(2_000, 10**9),
        time=now,
        deadline=now,
        owner="me",
    )


def settle(task: str, key: str, now: int) -> tuple[Op, ...]:
    """Book what a call used, write its line of the bill, keep its answer."""
    line = StoreUsage(
        tenant=TENANT,
        id=key,
        task=task,
        step=key,
        agent="a1",
        endpoint="e",
        vendor="v",
        model="m",
        user="ada",
        session="s1",
        usage=Usage(900, 100),
        cost_pico=10**8,
        saved_pico=0,
        time=now,
        key=key,
        head_hash=DIGEST,
    )
    return (
        Settle(tenant=TENANT, reservation=key, billed=Amount(1_000, 10**8), time=now),
        line,
        StoreCompletion(tenant=TENANT, key=key, request_hash=DIGEST, answer=VALUE, time=now),
    )


async def calls(writer: Writer, task: str, count: int, now: int) -> None:
    """Run the budget's part of ``count`` model calls, one after the other."""
    for n in range(1, count + 1):
        key = f"{task}/a1/think/{n}"
        await writer.commit(reserve(task, key, now))
        await writer.commit(*settle(task, key, now))


Work = Callable[[Writer, str, int, int], Coroutine[None, None, None]]


async def platform(folder: Path, synchronous: Synchronous, at_once: int, count: int, work: Work) -> Cost:
    """Run ``count`` steps over ``at_once`` tasks through the writer."""
    clock, ids = SystemClock(), SystemIds()
    now = clock.now()
    async with open_storage(folder, clock=clock, ids=ids, synchronous=synchronous) as storage:
        tasks = [ids() for _ in range(at_once)]
        for task in tasks:
            created = CreateTask(
                tenant=TENANT, id=task, workflow="w", input=b"{}", query="q", user="u", principal=b"{}", time=now
            )
            await storage.writer.commit(created)
        each = count // at_once
        since = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work(storage.writer, task, each, now) for task in tasks))
        return measured(each * at_once, since)


def bare(folder: Path, synchronous: Synchronous, count: int) -> Cost:
    """Run the same number of transactions in a plain loop: two inserts each."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE steps (task TEXT, n INTEGER, value BLOB, PRIMARY KEY (task, n)) WITHOUT ROWID")
    connection.execute("CREATE TABLE said (task TEXT, n INTEGER, value BLOB, PRIMARY KEY (task, n)) WITHOUT ROWID")
    since = time.process_time(), time.perf_counter()
    for n in range(2 * count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO steps VALUES (?, ?, ?)", ("task", n, VALUE))
        connection.execute("INSERT INTO said VALUES (?, ?, ?)", ("task", n, b"{}"))
        connection.execute("COMMIT")
    cost = measured(count, since)
    connection.close()
    return cost


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1920, help="steps of each measurement")
    count = parser.parse_args().steps
    levels: tuple[Synchronous, ...] = ("NORMAL", "FULL")
    print(f"{'synchronous':<12}{'what':<24}{'CPU ms/step':>12}{'wall ms/step':>14}")
    with tempfile.TemporaryDirectory() as home:
        for level in levels:
            show(level, "bare sqlite3 loop", bare(Path(home, f"{level}-bare"), level, count))
            for name, work in (("step", steps), ("call", calls)):
                for at_once in (1, 5, 64):
                    cost = asyncio.run(platform(Path(home, f"{level}-{name}{at_once}"), level, at_once, count, work))
                    show(level, f"{name}, {at_once} at once", cost)


def show(level: Synchronous, what: str, cost: Cost) -> None:
    """Print a row."""
    print(f"{level:<12}{what:<24}{cost.cpu:>12.3f}{cost.wall:>14.3f}")


if __name__ == "__main__":
    main()
