"""Every scope of a budget, through the real gate and SQLite: each alone can refuse, and all are booked to the token."""

from pathlib import Path

import msgspec
import pytest

from multiagent.core.budget import Amount, Limit, ScopeKind, ScopeLimit, ScopeRef, Window, window_start
from multiagent.core.errors import BudgetExceeded
from multiagent.core.fault import set_action
from multiagent.core.usage import Usage
from multiagent.llm.base import ModelInfo
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.llm.gate_endpoints import Serving
from multiagent.storage.sql.ops import PutSession, PutUser
from multiagent.testing.suites.llm import TENANT, asks, calls
from multiagent.testing.vendor_stub import VendorStub, bills_exactly, stub_model
from tests.adapters.gate_bench import Bench, gate_over

MODEL = stub_model()
NOTHING = Limit()
KINDS: tuple[tuple[ScopeKind, Window], ...] = (
    ("request", "none"),
    ("agent", "none"),
    ("task", "none"),
    ("session", "none"),
    ("key", "month"),
    ("user", "day"),
    ("tenant", "day"),
)


def bound(text: str) -> int:
    return prompt_bound(asks(text), MODEL.overhead_tokens) + 300


def scope(bench: Bench, kind: ScopeKind, window: Window) -> ScopeRef:
    return ScopeRef(kind, f"the {kind}", window, window_start(window, bench.clock.now()))


def model_scope(bench: Bench, model: ModelInfo) -> ScopeRef:
    name = f"{model.endpoint.vendor}/{model.endpoint.model}"
    return ScopeRef("model", name, "day", window_start("day", bench.clock.now()))


@pytest.mark.parametrize(("kind", "window"), KINDS)
@pytest.mark.requirement("S.cost.budget")
async def test_each_scope_alone_can_refuse(tmp_path: Path, kind: ScopeKind, window: Window) -> None:
    """Whichever it is, the others without a limit; and the refused call is booked nowhere."""
    vendor = VendorStub(usage=bills_exactly)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:
        limit = Limit(bound("a"))
        scopes = [ScopeLimit(scope(bench, *one), limit if one[0] == kind else NOTHING) for one in KINDS]
        answer = await bench.ask("a", *scopes)
        with pytest.raises(BudgetExceeded, match=f"{kind} the {kind}"):
            await bench.ask("b", *scopes)
        assert len(vendor.requests) == 1
        for one in scopes:
            assert await bench.used(one.scope) == Amount(bound("a"), answer.cost_pico)
            assert await bench.held(one.scope) == Amount()


async def test_the_model_alone_can_refuse_and_another_is_asked_instead(tmp_path: Path) -> None:
    """Its scope is the gate's own: nobody who asks by tier knows which model it will be."""
    first, second = stub_model("first", priority=2.0), stub_model("second", priority=1.0)
    servings = [Serving(one, VendorStub(usage=bills_exactly)) for one in (first, second)]
    async with gate_over(tmp_path, servings, model_day=Limit(bound("a"))) as bench:
        answered = [(await bench.ask(text)).model for text in ("a", "b")]
        assert answered == ["first", "second"]
        with pytest.raises(BudgetExceeded, match=r"model .*second of this day"):
            await bench.ask("c")
        for model in (first, second):
            assert (await bench.used(model_scope(bench, model))).tokens == bound("a")


async def test_scopes_that_never_refuse_are_booked_to_the_token(tmp_path: Path) -> None:
    """Used is what the vendor billed, in every scope, the model's among them, with no limit anywhere."""
    vendor = VendorStub(usage=lambda _model, _request: Usage(21, 9))
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:
        scopes = [ScopeLimit(scope(bench, *one), NOTHING) for one in KINDS]
        answers = [await bench.ask(text, *scopes) for text in ("a", "b", "c")]
        settled = Amount(sum(one.usage.total for one in answers), sum(one.cost_pico for one in answers))
        assert settled.tokens == 90
        refs = [*(one.scope for one in scopes), model_scope(bench, MODEL)]
        assert [await bench.used(ref) for ref in refs] == [settled] * len(refs)
        assert [await bench.held(ref) for ref in refs] == [Amount()] * len(refs)


class Killed(BaseException):
    """Stands for the death of the process at a named place."""


async def session_tokens(bench: Bench) -> int:
    row = await bench.storage.reader.session(TENANT, "s1")
    assert row is not None
    return row.tokens_used


async def in_session(bench: Bench, key: str) -> int:
    call = msgspec.structs.replace(calls(bench.clock, key=key), session="s1", cache=False)
    return (await bench.gate.complete(asks("a"), call)).usage.total


@pytest.mark.parametrize("place", ["gate.after-reserve", "gate.after-answer-before-settle"])
async def test_a_session_counts_each_settled_call_once_whatever_dies_between(tmp_path: Path, place: str) -> None:
    """Killed before the settle, nothing is counted yet; run again, once; asked again after that, no more."""
    vendor = VendorStub(usage=lambda _model, _request: Usage(21, 9))

    def die(name: str) -> None:
        if name == place:
            raise Killed

    async with gate_over(tmp_path, [Serving(MODEL, vendor)], owner="first") as bench:
        await bench.storage.writer.commit(
            PutUser(tenant=TENANT, id="ada", time=1), PutSession(tenant=TENANT, id="s1", user="ada", time=1)
        )
        set_action(die)
        try:
            with pytest.raises(Killed):
                await in_session(bench, "k")
        finally:
            set_action(None)
        assert await session_tokens(bench) == 0
    async with gate_over(tmp_path, [Serving(MODEL, vendor)], owner="second") as bench:
        await bench.gate.recover(TENANT)
        assert await in_session(bench, "k") == 30
        assert await session_tokens(bench) == 30
        asked = len(vendor.requests)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)], owner="third") as bench:
        assert await in_session(bench, "k") == 30
        assert len(vendor.requests) == asked
        assert await session_tokens(bench) == 30


async def test_a_session_that_is_gone_keeps_no_bill_from_being_booked(tmp_path: Path) -> None:
    vendor = VendorStub(usage=lambda _model, _request: Usage(21, 9))
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:
        assert await in_session(bench, "k") == 30
        assert (await bench.used()).tokens == 30
