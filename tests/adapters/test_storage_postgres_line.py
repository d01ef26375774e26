"""The line before a budget's scope that several processes share on PostgreSQL: in order, passed at most eight times."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
import pytest

from multiagent.core.budget import PASSES, Granted, Limit, Refused, ScopeRef, Wait
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.llm.gate_endpoints import Serving
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.line import KeepPlaces, LeaveLine
from multiagent.storage.sql.ops import Reserve, Reserved
from multiagent.storage.sql.postgres.budgets import reserve, settle
from multiagent.storage.sql.postgres.pool import connect
from multiagent.storage.sql.postgres.scribe import Scribe
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.suites.llm import asks, limited
from multiagent.testing.suites.sql import NOW, TENANT, Sql
from multiagent.testing.suites.sql_budgets import TASK, USER, booked, holds, settles
from multiagent.testing.suites.sql_budgets import limited as scope_limited
from multiagent.testing.vendor_stub import VendorStub, stub_model
from tests.adapters.gate_bench import Bench, gate_over

SOON = NOW + 5_000
MODEL = stub_model()


@pytest.fixture
async def sql(tmp_path: Path, postgres: str) -> AsyncIterator[Sql]:
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as storage:
        yield Sql(storage.writer, storage.reader)


def waits(name: str, tokens: int, ticket: str, *, time: int = NOW, expires: int = SOON) -> Reserve:
    """Return a reservation that takes a place in the line."""
    return msgspec.structs.replace(holds(name, tokens), ticket=ticket, time=time, expires=expires)


async def verdict(sql: Sql, op: Reserve) -> Granted | Wait | Refused:
    (answer,) = await sql.writer.commit(op)
    assert isinstance(answer, Reserved)
    return answer.verdict


async def passed_often(sql: Sql, ticket: str = "a", *, expires: int = SOON) -> None:
    """Let one wait that needs 50 where 40 are left, and be passed as often as is fair."""
    await sql.writer.commit(holds("r0", 60))
    assert await verdict(sql, waits("large", 50, ticket, expires=expires)) == Wait((TASK,))
    for number in range(PASSES):
        assert await verdict(sql, holds(f"small{number}", 1)) == Granted()


async def test_who_waits_is_passed_eight_times_then_all_wait_behind_it(sql: Sql) -> None:
    await passed_often(sql)
    assert await verdict(sql, holds("late", 1)) == Wait((TASK,))
    assert await verdict(sql, waits("later", 1, "b")) == Wait((TASK,))
    await sql.writer.commit(settles("r0", 10))
    assert await verdict(sql, holds("late", 1)) == Wait((TASK,))
    assert await verdict(sql, waits("large", 50, "a")) == Granted()
    assert await verdict(sql, waits("later", 1, "b")) == Granted()
    assert await verdict(sql, holds("late", 1)) == Granted()


async def test_an_earlier_ticket_may_always_go_and_does_not_count_as_passing(sql: Sql) -> None:
    await passed_often(sql, "b")
    assert await verdict(sql, waits("first", 1, "a")) == Granted()
    assert await verdict(sql, waits("third", 1, "c")) == Wait((TASK,))


async def test_a_need_over_the_limit_is_refused_and_not_sent_to_the_line(sql: Sql) -> None:
    await passed_often(sql)
    assert await verdict(sql, holds("huge", 101)) == Refused(TASK, Limit(100, 1000))


async def test_scopes_that_nobody_waits_for_are_free_to_pass(sql: Sql) -> None:
    await passed_often(sql)
    assert await verdict(sql, holds("elsewhere", 1, scope_limited(USER))) == Granted()


async def test_one_who_waits_for_two_scopes_is_passed_eight_times_in_all(sql: Sql) -> None:
    both = (scope_limited(), scope_limited(USER))
    await sql.writer.commit(holds("r0", 60, *both))
    large = msgspec.structs.replace(holds("large", 50, *both), ticket="a", expires=SOON)
    assert await verdict(sql, large) == Wait((TASK, USER))
    for number in range(PASSES):
        scope = both[number % 2]
        assert await verdict(sql, holds(f"small{number}", 1, scope)) == Granted()
    for scope in both:
        assert await verdict(sql, holds("late", 1, scope)) == Wait((scope.scope,))


async def test_a_place_that_nobody_keeps_expires(sql: Sql, postgres: str, postgres_server: PostgresServer) -> None:
    """As that of a process which was killed; its row is gone then."""
    await passed_often(sql, expires=NOW + 10)
    late = msgspec.structs.replace(holds("late", 1), time=NOW + 11)
    assert await verdict(sql, late) == Granted()
    assert postgres_server.sql("SELECT count(*) FROM waiters", postgres.rpartition("/")[2]) == "0"


async def test_a_place_that_is_kept_does_not_expire(sql: Sql) -> None:
    await passed_often(sql, expires=NOW + 10)
    await sql.writer.commit(KeepPlaces(tenant=TENANT, tickets=("a", "x"), expires=SOON))
    assert await verdict(sql, msgspec.structs.replace(holds("late", 1), time=NOW + 11)) == Wait((TASK,))


async def test_a_place_that_is_given_up_is_free(sql: Sql) -> None:
    """Whoever waited behind it is told."""
    told: list[int] = []
    await passed_often(sql)
    sql.writer.on_release(lambda: told.append(1))
    await sql.writer.commit(LeaveLine(tenant=TENANT, ticket="a"), LeaveLine(tenant=TENANT, ticket="x"))
    assert told
    assert await verdict(sql, holds("late", 1)) == Granted()


async def test_a_batch_is_served_in_the_order_of_its_tickets(sql: Sql) -> None:
    await passed_often(sql)
    await sql.writer.commit(settles("r0", 0))
    answers = await sql.writer.commit(waits("later", 30, "b"), waits("large", 50, "a"), waits("third", 60, "c"))
    assert answers == (Reserved(Wait((TASK,))), Reserved(Granted(), "large"), Reserved(Wait((TASK,))))
    assert (await booked(sql))[1].tokens == PASSES + 50


class Crowd:
    """Who waits, how often each was passed by later ones, and what is held."""

    def __init__(self, sql: Sql) -> None:
        self.sql = sql
        self.waiting: dict[str, tuple[Reserve, frozenset[ScopeRef]]] = {}
        self.passed: Counter[str] = Counter()
        self.held: list[str] = []

    async def tries(self, op: Reserve) -> None:
        """Reserve; count who was passed."""
        found = await verdict(self.sql, op)
        if isinstance(found, Wait):
            if op.ticket:
                self.waiting[op.ticket] = op, frozenset(found.scopes)
            return
        assert isinstance(found, Granted)
        self.waiting.pop(op.ticket, None)
        self.held.append(op.id)
        for ticket, (_, blocked) in self.waiting.items():
            if (not op.ticket or ticket < op.ticket) and blocked & {one.scope for one in op.scopes}:
                self.passed[ticket] += 1
                assert self.passed[ticket] <= PASSES

    async def ends(self, name: str) -> None:
        """Let go of a hold."""
        self.held.remove(name)
        await self.sql.writer.commit(settles(name, 0))


async def test_whatever_comes_nobody_is_passed_more_than_eight_times_and_all_are_served(sql: Sql) -> None:
    """Random needs in random scopes, with places in the line and without: who waits is passed by later ones eight times
    at the most, over all its scopes; when all holds have ended, everyone is served in order.
    """
    seed = random.randrange(2**32)
    print("seed", seed)
    chance, crowd = random.Random(seed), Crowd(sql)
    pool = [ScopeRef("task", name) for name in "abc"]
    for number in range(300):
        if crowd.waiting and chance.random() < 0.3:
            await crowd.tries(crowd.waiting[chance.choice(sorted(crowd.waiting))][0])
        elif crowd.held and chance.random() < 0.35:
            await crowd.ends(chance.choice(crowd.held))
        else:
            scopes = [scope_limited(one) for one in chance.sample(pool, chance.randint(1, 3))]
            op = holds(f"r{number}", chance.choice((1, 2, 5, 40, 90)), *scopes)
            ticket = f"{number:04}" if chance.random() < 0.6 else ""
            await crowd.tries(msgspec.structs.replace(op, ticket=ticket, expires=SOON))
    assert max(crowd.passed.values()) == PASSES, "too tame"
    while crowd.waiting:
        for name in tuple(crowd.held):
            await crowd.ends(name)
        await crowd.tries(crowd.waiting[min(crowd.waiting)][0])
        assert crowd.held, "the first in the line was not served"


async def test_a_reservation_reads_no_more_rows_the_more_a_tenant_has(
    sql: Sql, postgres: str, postgres_server: PostgresServer
) -> None:
    """Each model call leaves a scope of its own behind: found again by their keys, never by looking through all."""
    database = postgres.rpartition("/")[2]
    postgres_server.sql(
        """INSERT INTO budget_scopes (tenant_id, kind, id, "window", window_start)
        SELECT 'acme', 'request', 'r' || n, 'none', 0 FROM generate_series(1, 20000) AS n""",
        database,
    )
    both = (scope_limited(), scope_limited(USER))
    connection = await connect(postgres)
    scribe = Scribe(connection, iter(()))
    for number in range(10):
        await reserve(scribe, holds(f"r{number}", 1, *both))
        await settle(scribe, settles(f"r{number}", 1))
    await connection.execute("SELECT pg_stat_force_next_flush()")
    read = await connection.fetchval(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'budget_scopes'"
    )
    connection.terminate()
    assert 0 < read < 2_000


def bound(text: str, output: int) -> int:
    return prompt_bound(asks(text), MODEL.overhead_tokens) + output


async def test_a_wait_that_is_cancelled_leaves_no_place_behind(
    pair: "Pair", postgres: str, postgres_server: PostgresServer
) -> None:
    limit = limited(tokens=bound("a", 300) + 100)
    first = asyncio.create_task(pair.one.ask("a", limit))
    await pair.vendor.asked.wait()
    second = asyncio.create_task(pair.two.ask("b", limit))
    await until_waiting(pair.two, 1)
    places = "SELECT count(*) FROM waiters"
    assert postgres_server.sql(places, postgres.rpartition("/")[2]) == "1"
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    await pair.two.storage.writer.commit(LeaveLine(tenant=TENANT, ticket="x"))  # behind what was queued
    assert postgres_server.sql(places, postgres.rpartition("/")[2]) == "0"
    pair.vendor.go_on.set()
    await first


class Pair:
    """Two gates on one database, as of two processes: their clocks stand still, so that neither looks by itself."""

    def __init__(self, one: Bench, two: Bench, vendor: "Held") -> None:
        self.one = one
        self.two = two
        self.vendor = vendor


class Held:
    """Holds back the answer to the first question until it is let go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, number: int) -> None:
        if number == 1:
            self.asked.set()
            await self.go_on.wait()


@pytest.fixture
async def pair(tmp_path: Path, postgres: str) -> AsyncIterator[Pair]:
    held = Held()
    async with AsyncExitStack() as stack:
        benches = [
            await stack.enter_async_context(
                gate_over(
                    tmp_path / name,
                    [Serving(MODEL, VendorStub(before=before))],
                    clock=ManualClock(),
                    owner=name,
                    url=postgres,
                )
            )
            for name, before in (("one", held), ("two", None))
        ]
        yield Pair(benches[0], benches[1], held)


async def until_waiting(bench: Bench, number: int) -> None:
    """Wait until so many have their places in the line that both processes share."""
    budgets = bench.gate._budgets
    async with asyncio.timeout(20):
        while len(budgets._line.tickets) != number or budgets._pump is None or not budgets._pump.done():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_call_goes_on_when_another_process_lets_go_of_its_hold(pair: Pair) -> None:
    """It is woken: its own clock stands still."""
    limit = limited(tokens=bound("a", 300) + 100)
    first = asyncio.create_task(pair.one.ask("a", limit))
    await pair.vendor.asked.wait()
    second = asyncio.create_task(pair.two.ask("b", limit))
    await until_waiting(pair.two, 1)
    pair.vendor.go_on.set()
    async with asyncio.timeout(20):
        assert (await first).lowered == (await second).lowered == 0


async def test_a_large_need_is_passed_at_most_eight_times_by_another_process(pair: Pair) -> None:
    """Then the other process's calls wait, and go on after it."""
    order: list[str] = []
    limit = limited(tokens=2 * bound("first", 300) + 400)

    async def one(bench: Bench, text: str, output: int) -> None:
        await bench.ask(text, limit, max_output=output)
        order.append(text)

    first = asyncio.create_task(one(pair.one, "first", 300))
    await pair.vendor.asked.wait()
    large = asyncio.create_task(one(pair.one, "large", 800))
    await until_waiting(pair.one, 1)
    for number in range(PASSES):
        await one(pair.two, f"small{number}", 1)
    late = [asyncio.create_task(one(pair.two, f"late{number}", 1)) for number in range(3)]
    await until_waiting(pair.two, 3)
    pair.vendor.go_on.set()
    async with asyncio.timeout(20):
        await asyncio.gather(first, large, *late)
    assert order.index("large") < min(order.index(f"late{number}") for number in range(3))


async def test_who_waits_behind_one_that_must_not_be_passed_keeps_its_place(
    pair: Pair, postgres: str, postgres_server: PostgresServer
) -> None:
    """It is not asked for meanwhile, and its process lives: its place does not expire."""
    clock = pair.one.clock
    assert isinstance(clock, ManualClock)
    limit = limited(tokens=2 * bound("first", 300) + 400)
    first = asyncio.create_task(pair.one.ask("first", limit))
    await pair.vendor.asked.wait()
    large = [asyncio.create_task(pair.one.ask(name, limit, max_output=800)) for name in ("large", "other")]
    await until_waiting(pair.one, 2)
    for number in range(PASSES):
        await pair.one.ask(f"small{number}", limit, max_output=1)
    for _ in range(8):
        await until_waiting(pair.one, 2)
        asleep = clock.sleepers
        clock.advance(1)
        async with asyncio.timeout(20):
            while clock.sleepers < asleep:  # noqa: ASYNC110 — turns of the loop
                await asyncio.sleep(0)
    await until_waiting(pair.one, 2)
    await pair.one.storage.writer.commit(LeaveLine(tenant=TENANT, ticket="x"))  # behind what was queued
    soonest = postgres_server.sql("SELECT count(*), min(expires) FROM waiters", postgres.rpartition("/")[2])
    assert soonest.startswith("2|")
    assert int(soonest[2:]) > clock.now()
    pair.vendor.go_on.set()
    async with asyncio.timeout(20):
        await asyncio.gather(first, *large)
