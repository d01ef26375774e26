"""What a reservation and its settle take on PostgreSQL, beside a plain ``SELECT … FOR UPDATE`` in the same run.

    python -m benchmarks.postgres [--calls N]

A call is two transactions: hold a need in six scopes (five of which all calls share), then book what it used. Ours goes
through the writer: one call of a function of the database for each. The plain one does what one writes by hand, and as
safely: the rows locked in order, judged here, updated one by one. Prints CPU-milliseconds a call of this process and of
the server, the median and the 99th percentile of a reservation's wall time, and calls a second, at 1, 8 and 32 at once
over eight connections. The server keeps its promises: ``fsync`` is on.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.budget import Amount, Granted, Limit, ScopeLimit, ScopeRef, ScopeState, judge
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.ops import Reserve, Reserved, Settle
from multiagent.testing.servers.postgres import PostgresServer

TENANT: Final = "bench"
CONNECTIONS: Final = 8
NEED: Final = Amount(2_000, 10**9)
USED: Final = Amount(1_000, 10**8)
WIDE: Final = Limit(10**15, 10**17)
_SCOPE: Final = 'tenant_id = $1 AND kind = $2 AND id = $3 AND "window" = $4 AND window_start = $5'
_TICKS: Final = os.sysconf("SC_CLK_TCK")

Connection = asyncpg.pool.PoolConnectionProxy
Call = Callable[[str], Awaitable[float]]


class Cost(msgspec.Struct, frozen=True):
    """Milliseconds a call (CPU here, CPU of the server), milliseconds of a reservation, calls a second."""

    cpu: float
    server: float
    median: float
    p99: float
    rate: float


def scopes(key: str) -> tuple[ScopeLimit, ...]:
    """The scopes of a call; only the first is its own."""
    refs = (
        ScopeRef("request", key),
        ScopeRef("agent", "t1/a1"),
        ScopeRef("task", "t1"),
        ScopeRef("session", "s1"),
        ScopeRef("user", "ada", "day", 86_400_000),
        ScopeRef("tenant", TENANT, "day", 86_400_000),
    )
    return tuple(ScopeLimit(one, WIDE) for one in refs)


def ours(writer: Writer) -> Call:
    """Reserve and settle by the writer; return the seconds that the reservation took."""

    async def call(key: str) -> float:
        reserve = Reserve(
            tenant=TENANT, id=key, key=key, attempt=1, task="t1", scopes=scopes(key), need=NEED, time=1, deadline=1,
            owner="me",
        )  # fmt: skip
        since = time.perf_counter()
        answer = (await writer.commit(reserve))[0]
        took = time.perf_counter() - since
        assert isinstance(answer, Reserved)
        assert isinstance(answer.verdict, Granted)
        await writer.commit(Settle(tenant=TENANT, reservation=key, billed=USED, time=1))
        return took

    return call


def plain(pool: "asyncpg.Pool[asyncpg.Record]") -> Call:
    """Reserve and settle statement by statement; return the seconds that the reservation took."""

    async def call(key: str) -> float:
        since = time.perf_counter()
        async with pool.acquire() as connection, connection.transaction():
            await hold(connection, key)
        took = time.perf_counter() - since
        async with pool.acquire() as connection, connection.transaction():
            await book(connection, key)
        return took

    return call


async def hold(connection: "Connection[asyncpg.Record]", key: str) -> None:
    """Lock each scope's row, made where it is missing; judge; hold."""
    if await connection.fetchrow("SELECT id FROM reservations WHERE tenant_id = $1 AND key = $2", TENANT, key):
        return
    states = []
    for one in sorted(scopes(key), key=lambda one: one.scope):
        place = (TENANT, one.scope.kind, one.scope.id, one.scope.window, one.scope.window_start)
        await connection.execute(
            """INSERT INTO budget_scopes (tenant_id, kind, id, "window", window_start, limit_tokens, limit_pico)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING""",
            *(*place, one.limit.tokens, one.limit.pico),
        )
        row = await connection.fetchrow(
            f"""SELECT used_tokens, used_pico, held_tokens, held_pico, closed FROM budget_scopes
            WHERE {_SCOPE} FOR UPDATE""",
            *place,
        )
        assert row is not None
        states.append(ScopeState(one.scope, one.limit, Amount(row[0], row[1]), Amount(row[2], row[3]), bool(row[4])))
    assert isinstance(judge(states, NEED), Granted)
    await connection.execute(
        """INSERT INTO reservations (tenant_id, id, key, attempt, task, state, need_tokens, need_pico, deadline, owner,
        time) VALUES ($1, $2, $2, 1, 't1', 'held', $3, $4, 1, 'me', 1)""",
        *(TENANT, key, NEED.tokens, NEED.pico),
    )
    for state in states:
        place = (TENANT, state.scope.kind, state.scope.id, state.scope.window, state.scope.window_start)
        await connection.execute(
            f"UPDATE budget_scopes SET held_tokens = held_tokens + $6, held_pico = held_pico + $7 WHERE {_SCOPE}",
            *(*place, NEED.tokens, NEED.pico),
        )
        await connection.execute(
            """INSERT INTO reservation_scopes (tenant_id, kind, id, "window", window_start, reservation)
            VALUES ($1, $2, $3, $4, $5, $6)""",
            *(*place, key),
        )


async def book(connection: "Connection[asyncpg.Record]", key: str) -> None:
    """Lock the reservation, book in each scope, mark it settled."""
    rows = await connection.fetch(
        """SELECT kind, id, "window", window_start FROM reservation_scopes WHERE tenant_id = $1 AND reservation = $2
        ORDER BY 1, 2, 3, 4""",
        *(TENANT, key),
    )
    for row in rows:
        await connection.execute(
            f"""UPDATE budget_scopes SET used_tokens = used_tokens + $6, used_pico = used_pico + $7,
            held_tokens = held_tokens - $8, held_pico = held_pico - $9 WHERE {_SCOPE}""",
            *(TENANT, *row, USED.tokens, USED.pico, NEED.tokens, NEED.pico),
        )
    state = await connection.fetchval(
        "SELECT state FROM reservations WHERE tenant_id = $1 AND id = $2 FOR UPDATE", TENANT, key
    )
    assert state == "held"
    await connection.execute(
        """UPDATE reservations SET state = 'settled', billed_tokens = $3, billed_pico = $4, settled_at = 1
        WHERE tenant_id = $1 AND id = $2""",
        *(TENANT, key, USED.tokens, USED.pico),
    )


def server_cpu(port: int) -> float:
    """Return the CPU seconds of all processes of the server on a port: those of its own, and of those that ended."""
    total = 0.0
    ours: set[str] = set()
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda one: int(one.name)):
        try:
            command = (folder / "cmdline").read_bytes()
            fields = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if f"\0{port}\0".encode() in command and b"postgres\0" in command:
            ours.add(folder.name)
            total += sum(int(fields[at]) for at in (11, 12, 13, 14)) / _TICKS
        elif fields[1] in ours:
            total += sum(int(fields[at]) for at in (11, 12)) / _TICKS
    return total


async def measured(call: Call, name: str, port: int, at_once: int, count: int) -> Cost:
    """Run ``count`` calls, so many at once."""
    took: list[float] = []

    async def lane(number: int) -> None:
        took.extend([await call(f"{name}-{at_once}-{number}-{n}") for n in range(count // at_once)])

    await call(f"{name}-{at_once}-warm")
    since = time.process_time(), server_cpu(port), time.perf_counter()
    await asyncio.gather(*(lane(number) for number in range(at_once)))
    here, there, wall = (
        now - before
        for now, before in zip((time.process_time(), server_cpu(port), time.perf_counter()), since, strict=True)
    )
    took.sort()
    done = len(took)
    return Cost(
        here * 1000 / done, there * 1000 / done, took[done // 2] * 1000, took[int(done * 0.99)] * 1000, done / wall
    )


async def run(server: PostgresServer, home: Path, levels: Sequence[int], count: int) -> None:
    """Measure ours and the plain one, level by level."""
    url = server.empty_database()
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(
            open_storage(home, clock=SystemClock(), ids=SystemIds(), url=url, connections=CONNECTIONS)
        )
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS))
        for at_once in levels:
            for name, call in (("plain", plain(pool)), ("ours", ours(storage.writer))):
                cost = await measured(call, name, server.port, at_once, count)
                print(
                    f"{f'{name}, {at_once} at once':<20}{cost.cpu:>10.2f}{cost.server:>12.2f}{cost.median:>12.2f}"
                    f"{cost.p99:>10.2f}{cost.rate:>10.0f}"
                )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=960, help="calls of each measurement")
    count = parser.parse_args().calls
    print(f"{'':<20}{'CPU ms':>10}{'server ms':>12}{'p50 ms':>12}{'p99 ms':>10}{'calls/s':>10}")
    server = PostgresServer(durable=True)
    try:
        with tempfile.TemporaryDirectory() as home:
            asyncio.run(run(server, Path(home), (1, 8, 32), count))
    finally:
        server.close()


if __name__ == "__main__":
    main()
