"""What every relational storage must do with budgets: the rules by example, and any interleaving against a model."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from itertools import permutations
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from multiagent.core.budget import (
    Amount,
    Granted,
    Limit,
    Refused,
    ScopeLimit,
    ScopeRef,
    ScopeState,
    Wait,
    judge,
)
from multiagent.core.errors import InvalidInput, NotFound, StorageError
from multiagent.core.money import LARGEST
from multiagent.core.usage import Bill
from multiagent.storage.sql.ops import Lose, LoseOpen, Reserve, Reserved, Settle, Settled
from multiagent.testing.suites.sql import NOW, TENANT, Sql, creates

T = TypeVar("T")
TASK = ScopeRef("task", "t1")
USER = ScopeRef("user", "ada", "day", 1_000)
NEXT_DAY = ScopeRef("user", "ada", "day", 2_000)


def limited(scope: ScopeRef = TASK, tokens: int | None = 100, pico: int | None = 1000) -> ScopeLimit:
    """Return a scope with its limits."""
    return ScopeLimit(scope, Limit(tokens, pico))


def holds(
    name: str, tokens: int, *scopes: ScopeLimit, pico: int = 0, key: str = "", attempt: int = 1, owner: str = "o1"
) -> Reserve:
    """Return a reservation; its key is its name where none is given."""
    return Reserve(
        tenant=TENANT,
        id=name,
        key=key or name,
        attempt=attempt,
        task="t1",
        scopes=scopes or (limited(),),
        need=Amount(tokens, pico),
        time=NOW,
        deadline=NOW + 100,
        owner=owner,
    )


def settles(name: str, tokens: int, pico: int = 0) -> Settle:
    """Return the settling of a reservation."""
    return Settle(tenant=TENANT, reservation=name, billed=Amount(tokens, pico), time=NOW, vendor_request="req")


def loses(name: str) -> Lose:
    """Return the loss of a reservation."""
    return Lose(tenant=TENANT, reservation=name, time=NOW)


async def booked(sql: Sql, scope: ScopeRef = TASK) -> tuple[Amount, Amount, bool]:
    """Return a scope's used, held and closed."""
    state = await sql.reader.scope(TENANT, scope)
    assert state is not None
    return state.used, state.held, state.closed


class BudgetSuite:
    """Reserve, then settle or lose."""

    async def test_a_reservation_holds_in_every_scope_or_in_none(self, sql: Sql) -> None:
        both = (limited(), limited(USER, 30))
        assert await sql.writer.commit(holds("r1", 20, *both)) == (Reserved(Granted(), "r1"),)
        assert await booked(sql) == await booked(sql, USER) == (Amount(), Amount(20), False)
        assert await sql.writer.commit(holds("r2", 20, *both)) == (Reserved(Wait((USER,))),)
        assert await sql.writer.commit(holds("r3", 31, *both)) == (Reserved(Refused(USER, Limit(30, 1000))),)
        assert await booked(sql) == await booked(sql, USER) == (Amount(), Amount(20), False)

    async def test_the_same_attempt_holds_once_and_the_next_attempt_again(self, sql: Sql) -> None:
        first = await sql.writer.commit(holds("r1", 20, key="k"))
        assert await sql.writer.commit(holds("r2", 20, key="k")) == first
        assert await booked(sql) == (Amount(), Amount(20), False)
        assert await sql.writer.commit(holds("r3", 20, key="k", attempt=2)) == (Reserved(Granted(), "r3"),)
        assert await booked(sql) == (Amount(), Amount(40), False)

    async def test_a_settle_books_what_was_billed_and_releases_the_rest(self, sql: Sql) -> None:
        await sql.writer.commit(holds("r1", 20, pico=500))
        assert await sql.writer.commit(settles("r1", 15, 400), settles("r1", 99)) == (
            Settled(changed=True),
            Settled(changed=False),
        )
        assert await booked(sql) == (Amount(15, 400), Amount(), False)

    async def test_a_settle_goes_to_the_window_it_was_held_in(self, sql: Sql) -> None:
        await sql.writer.commit(holds("r1", 20, limited(USER)), holds("r2", 5, limited(NEXT_DAY)))
        await sql.writer.commit(settles("r1", 12))
        assert await booked(sql, USER) == (Amount(12), Amount(), False)
        assert await booked(sql, NEXT_DAY) == (Amount(), Amount(5), False)

    async def test_an_overrun_is_booked_in_full_and_closes_the_scopes_above_their_limit(self, sql: Sql) -> None:
        await sql.writer.commit(holds("r1", 20, limited(), limited(USER, 30)))
        assert await sql.writer.commit(settles("r1", 40)) == (Settled(changed=True, overrun=True, closed=(USER,)),)
        assert await booked(sql) == (Amount(40), Amount(), False)
        assert await booked(sql, USER) == (Amount(40), Amount(), True)
        refused = Refused(USER, Limit(0, 0))
        assert await sql.writer.commit(holds("r2", 0, limited(USER, 1000))) == (Reserved(refused),)
        assert await sql.writer.commit(holds("r3", 1)) == (Reserved(Granted(), "r3"),)

    async def test_what_is_lost_counts_in_full_until_a_late_settle_replaces_it_once(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), holds("r1", 20, pico=9))
        assert await sql.writer.commit(loses("r1"), loses("r1")) == (True, False)
        assert await booked(sql) == (Amount(20, 9), Amount(), False)
        assert await sql.reader.bill(TENANT, "t1") == Bill(lost_tokens=20, lost_pico=9)
        late = await sql.writer.commit(settles("r1", 7, 3), settles("r1", 8, 3))
        assert late == (Settled(changed=True), Settled(changed=False))
        assert await booked(sql) == (Amount(7, 3), Amount(), False)
        assert await sql.writer.commit(loses("r1")) == (False,)
        assert await sql.reader.bill(TENANT, "t1") == Bill()

    async def test_open_reservations_are_lost_by_key_by_owner_or_by_deadline(self, sql: Sql) -> None:
        wide = limited(tokens=None, pico=None)
        await sql.writer.commit(
            holds("r1", 1, wide, key="a"), holds("r2", 1, wide, key="a", attempt=2), holds("r3", 1, wide, owner="o2")
        )
        mine = LoseOpen(tenant=TENANT, key="a", owner="o1", time=NOW)
        assert await sql.writer.commit(mine) == (0,)
        assert await sql.writer.commit(LoseOpen(tenant=TENANT, owner="o1", time=NOW)) == (1,)
        assert await sql.writer.commit(LoseOpen(tenant=TENANT, owner="o1", time=NOW + 101)) == (2,)
        await sql.writer.commit(holds("r4", 1, wide, key="b"), holds("r5", 1, wide, key="c"))
        assert await sql.writer.commit(LoseOpen(tenant=TENANT, key="b", time=NOW)) == (1,)
        assert await booked(sql) == (Amount(4), Amount(1), False)

    async def test_what_is_held_past_its_deadline_is_found_whoever_holds_it(self, sql: Sql) -> None:
        await sql.writer.commit(holds("r1", 1), holds("r2", 1, owner="o2"), holds("r3", 1), loses("r3"))
        assert await sql.reader.overdue(NOW + 100) == ()
        assert sorted(await sql.reader.overdue(NOW + 101)) == [(TENANT, "r1"), (TENANT, "r2")]
        assert len(await sql.reader.overdue(NOW + 101, 1)) == 1

    async def test_the_newest_limit_counts(self, sql: Sql) -> None:
        assert (await sql.writer.commit(holds("r1", 60)))[0] == Reserved(Granted(), "r1")
        assert (await sql.writer.commit(holds("r2", 60)))[0] == Reserved(Wait((TASK,)))
        assert (await sql.writer.commit(holds("r2", 60, limited(tokens=120))))[0] == Reserved(Granted(), "r2")

    async def test_unknown_reservations_are_not_found(self, sql: Sql) -> None:
        for operation in (settles("r9", 1), loses("r9")):
            with pytest.raises(NotFound, match="r9"):
                await sql.writer.commit(operation)

    async def test_amounts_beyond_a_column_are_refused_not_rounded(self, sql: Sql) -> None:
        wide = limited(tokens=None, pico=None)
        assert await sql.writer.commit(holds("r1", 5, wide, pico=LARGEST - 1)) == (Reserved(Granted(), "r1"),)
        refused = Reserved(Refused(TASK, Limit()))
        assert await sql.writer.commit(holds("r2", 5, wide, pico=2)) == (refused,)
        await sql.writer.commit(holds("r3", 5, wide, pico=1), settles("r1", 5, LARGEST - 1))
        with pytest.raises(StorageError, match="can be booked"):
            await sql.writer.commit(settles("r3", 5, 2))
        assert await booked(sql) == (Amount(5, LARGEST - 1), Amount(5, 1), False)

    async def test_amounts_are_never_negative(self, sql: Sql) -> None:
        with pytest.raises(InvalidInput):
            await sql.writer.commit(holds("r1", -5))
        await sql.writer.commit(holds("r1", 5))
        with pytest.raises(InvalidInput):
            await sql.writer.commit(settles("r1", 5, -1))

    async def test_every_release_is_told(self, sql: Sql) -> None:
        told: list[int] = []
        stop = sql.writer.on_release(lambda: told.append(1))
        await sql.writer.commit(holds("r1", 60), holds("r2", 10), holds("r3", 10))
        assert not told
        await sql.writer.commit(settles("r1", 50))
        await sql.writer.commit(loses("r2"))
        stop()
        await sql.writer.commit(LoseOpen(tenant=TENANT))
        assert len(told) == 2

    async def test_of_64_concurrent_calls_exactly_those_that_fit_are_granted(self, sql: Sql) -> None:
        answers = await asyncio.gather(*(sql.writer.commit(holds(f"r{n}", 10)) for n in range(64)))
        verdicts = [answer[0] for answer in answers]
        assert sum(isinstance(one, Reserved) and isinstance(one.verdict, Granted) for one in verdicts) == 10
        assert await booked(sql) == (Amount(), Amount(100), False)

    async def test_any_interleaving_books_as_the_model_does(self, sql: Sql) -> None:
        loop = asyncio.get_running_loop()

        class Machine(BudgetMachine):
            def run(self, work: Coroutine[object, object, T]) -> T:
                return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=60)

            storage = sql

        quick = settings(max_examples=40, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow])
        await asyncio.to_thread(run_state_machine_as_test, Machine, settings=quick)
        assert min(Machine.seen[what] for what in ("held", "lost", "settled", "late", "overrun", "again")) > 1, (
            f"too tame: {Machine.seen}"
        )


class _Held:
    """A reservation in the model."""

    def __init__(self, need: Amount, scopes: tuple[ScopeRef, ...]) -> None:
        self.need = need
        self.scopes = scopes
        self.state = "held"


_LIMITS = st.sampled_from((None, 0, 10, 40, 60, 2**62))
_REFS = st.sampled_from(tuple(ScopeRef(kind, name) for kind in ("task", "user") for name in "ab"))
_SCOPES = st.dictionaries(_REFS, st.builds(Limit, _LIMITS, _LIMITS), min_size=1, max_size=3).map(
    lambda found: tuple(ScopeLimit(scope, limit) for scope, limit in found.items())
)
_PICKS = st.integers(0, 1000)
_AMOUNTS = st.builds(Amount, st.integers(0, 30), st.integers(0, 30))


class BudgetMachine(RuleBasedStateMachine):
    """Random reservations, settles and losses, alone and many at once; every answer and every row as in the model."""

    storage: Sql
    seen: ClassVar[Counter[str]] = Counter()
    _machines = 0

    def __init__(self) -> None:
        super().__init__()
        BudgetMachine._machines += 1
        self.tenant = f"m{BudgetMachine._machines}"
        self.scopes: dict[ScopeRef, ScopeState] = {}
        self.held: dict[str, _Held] = {}
        self.keys: dict[tuple[str, int], str] = {}
        self.count = 0

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run on the event loop of the storage."""
        raise NotImplementedError

    def _wants(self, key: str, attempt: int, scopes: tuple[ScopeLimit, ...], need: Amount) -> Reserve:
        """Return an operation with an id of its own."""
        self.count += 1
        return Reserve(
            tenant=self.tenant, id=f"r{self.count}", key=key, attempt=attempt, task="t", scopes=scopes, need=need,
            time=NOW, deadline=NOW, owner="o",
        )  # fmt: skip

    def _reserve(self, operation: Reserve) -> Reserved:
        """Return what the model answers."""
        standing = self.keys.get((operation.key, operation.attempt))
        if standing is not None:
            self.seen["again"] += 1
            return Reserved(Granted(), standing)
        states, need = [], operation.need
        for one in sorted(operation.scopes, key=lambda one: one.scope):
            before = self.scopes.get(one.scope, ScopeState(one.scope, one.limit))
            states.append(ScopeState(one.scope, one.limit, before.used, before.held, before.closed))
        self.scopes.update({state.scope: state for state in states})
        verdict = judge(states, need)
        if not isinstance(verdict, Granted):
            return Reserved(verdict)
        self.seen["held"] += 1
        self.keys[operation.key, operation.attempt] = operation.id
        self.held[operation.id] = _Held(need, tuple(state.scope for state in states))
        self._book(operation.id, Amount(), need)
        assert isinstance(judge([self.scopes[state.scope] for state in states], Amount()), Granted), "over a limit"
        return Reserved(verdict, operation.id)

    def _book(self, name: str, used: Amount, held: Amount) -> None:
        for scope in self.held[name].scopes:
            old = self.scopes[scope]
            self.scopes[scope] = ScopeState(scope, old.limit, old.used + used, old.held + held, old.closed)

    @rule(key=st.sampled_from("klm"), attempt=st.integers(1, 3), scopes=_SCOPES, need=_AMOUNTS)
    def reserve(self, key: str, attempt: int, scopes: tuple[ScopeLimit, ...], need: Amount) -> None:
        """Reserve once."""
        operation = self._wants(key, attempt, scopes, need)
        assert self.run(self.storage.writer.commit(operation)) == (self._reserve(operation),)

    @rule(wanted=st.lists(st.tuples(st.integers(4, 99), _SCOPES, _AMOUNTS), min_size=2, max_size=5))
    def reserve_together(self, wanted: list[tuple[int, tuple[ScopeLimit, ...], Amount]]) -> None:
        """Reserve several at once: the answers, and what is booked, are those of some order, one after the other."""
        operations = [self._wants("many", attempt, scopes, need) for attempt, scopes, need in wanted]

        touched = sorted({one.scope for operation in operations for one in operation.scopes})

        async def commit() -> tuple[list[object], list[ScopeState | None]]:
            answers = await asyncio.gather(*(self.storage.writer.commit(one) for one in operations))
            return [answer[0] for answer in answers], [await self._stored(scope) for scope in touched]

        answers, stored = self.run(commit())
        before = dict(self.scopes), dict(self.held), dict(self.keys), Counter(self.seen)
        for order in permutations(range(len(operations))):
            self.scopes, self.held, self.keys = dict(before[0]), dict(before[1]), dict(before[2])
            expected = {position: self._reserve(operations[position]) for position in order}
            booked = [self.scopes.get(scope) for scope in touched]
            if [expected[position] for position in range(len(operations))] == answers and booked == stored:
                return
            self.seen.clear()
            self.seen.update(before[3])
        raise AssertionError(f"no order gives {answers} and {stored}")

    async def _stored(self, scope: ScopeRef) -> ScopeState | None:
        return await self.storage.reader.scope(self.tenant, scope)

    def _any(self, pick: int) -> str:
        """Return any reservation; empty where there is none. What is drawn must not depend on who won a race."""
        names = sorted(self.held)
        return names[pick % len(names)] if names else ""

    @rule(pick=_PICKS, billed=_AMOUNTS)
    def settle(self, pick: int, billed: Amount) -> None:
        """Settle any, held, lost or settled."""
        if not (name := self._any(pick)):
            return
        (answer,) = self.run(
            self.storage.writer.commit(Settle(tenant=self.tenant, reservation=name, billed=billed, time=NOW))
        )
        held = self.held[name]
        if held.state == "settled":
            assert answer == Settled(changed=False)
            return
        minus = Amount(-held.need.tokens, -held.need.pico)
        self.seen["settled"] += 1
        if held.state == "lost":
            self.seen["late"] += 1
            self._book(name, billed + minus, Amount())
        else:
            self._book(name, billed, minus)
        held.state = "settled"
        overrun = billed.tokens > held.need.tokens or billed.pico > held.need.pico
        self.seen["overrun"] += overrun
        over = tuple(scope for scope in held.scopes if overrun and self._is_over(scope))
        for scope in over:
            old = self.scopes[scope]
            self.scopes[scope] = ScopeState(scope, old.limit, old.used, old.held, closed=True)
        assert answer == Settled(changed=True, overrun=overrun, closed=over)

    def _is_over(self, scope: ScopeRef) -> bool:
        state = self.scopes[scope]
        tokens, pico = state.limit.tokens, state.limit.pico
        return (tokens is not None and state.used.tokens > tokens) or (pico is not None and state.used.pico > pico)

    @rule(pick=_PICKS)
    def lose(self, pick: int) -> None:
        """Lose any."""
        if not (name := self._any(pick)):
            return
        (answer,) = self.run(self.storage.writer.commit(Lose(tenant=self.tenant, reservation=name, time=NOW)))
        assert answer == (self.held[name].state == "held")
        if answer:
            self._lost(name)

    @rule(key=st.sampled_from(("k", "l", "m", "k", "l", "m", "many", "")))
    def lose_open(self, key: str) -> None:
        """Lose all that are held under a key, or all."""
        names = [name for (of, _), name in self.keys.items() if key in {"", of} and self.held[name].state == "held"]
        for name in names:
            self._lost(name)
        assert self.run(self.storage.writer.commit(LoseOpen(tenant=self.tenant, key=key, time=NOW))) == (len(names),)

    def _lost(self, name: str) -> None:
        self.seen["lost"] += 1
        need = self.held[name].need
        self.held[name].state = "lost"
        self._book(name, need, Amount(-need.tokens, -need.pico))

    @invariant()
    def books_are_equal(self) -> None:
        """Every scope's row is the model's, no hold leaks, and nothing is over its limit that was not told so."""

        async def read() -> list[ScopeState | None]:
            return [await self._stored(scope) for scope in self.scopes]

        assert self.run(read()) == list(self.scopes.values())
        for scope, state in self.scopes.items():
            open_ = [one.need for one in self.held.values() if one.state == "held" and scope in one.scopes]
            assert state.held == sum(open_, Amount())

    def teardown(self) -> None:
        """Lose what is open: no hold may be left."""
        self.lose_open("")
        self.books_are_equal()
        assert all(state.held == Amount() for state in self.scopes.values())
