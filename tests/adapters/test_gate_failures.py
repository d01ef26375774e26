"""The gate and vendors that fail: retried, passed over, timed out, tripped; never hidden."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from multiagent.core.budget import Amount
from multiagent.core.decision import Ask, Decision, ModelAsk
from multiagent.core.errors import (
    BreakerOpen,
    PolicyDenied,
    StorageFull,
    StorageUnavailable,
    VendorBadResponse,
    VendorError,
    VendorRateLimited,
    VendorRejected,
    VendorTimeout,
    VendorUnauthorized,
    VendorUnavailable,
)
from multiagent.core.messages import Message, Opaque, Text, says
from multiagent.core.usage import Rates, Usage
from multiagent.llm.base import (
    Answer,
    Answered,
    AttemptStarted,
    Chunk,
    Fallback,
    ModelInfo,
    ModelRequest,
    StreamEnd,
    TextDelta,
)
from multiagent.llm.gate_endpoints import Serving
from multiagent.llm.profiles import Profile, Timeouts
from multiagent.storage.sql.ops import Op, Settle, StoreCompletion
from multiagent.testing.suites.llm import asks, calls, limited
from multiagent.testing.vendor_stub import VendorStub, stub_model
from tests.adapters.gate_bench import gate_over

GOOD = stub_model("good", vendor="good", priority=1.0)
BEST = stub_model("best", vendor="best", priority=2.0)


def down(status: int = 503) -> VendorUnavailable:
    return VendorUnavailable("down", details={"vendor": "best", "status": status})


@pytest.mark.requirement("S.reliability.retry")
async def test_a_failing_vendor_is_tried_again_then_the_next_one_answers(tmp_path: Path) -> None:
    """The answer carries what happened on its way, in order, for events."""
    best, good = VendorStub(errors=[down()] * 3), VendorStub("good")
    async with gate_over(tmp_path, [Serving(GOOD, good), Serving(BEST, best)]) as bench:
        answer = await bench.ask()
        assert answer.model == "good"
        assert [one.endpoint for one in answer.fallbacks] == [BEST.endpoint.id] * 3
        assert len(best.requests) == 3
        assert await bench.used() == Amount(answer.usage.total, answer.cost_pico)


async def test_when_all_fail_the_last_error_tells_of_all(tmp_path: Path) -> None:
    """With what may have been billed on the way."""
    vendor = VendorStub(errors=[down(), VendorUnavailable("reset"), down()])
    async with gate_over(tmp_path, [Serving(GOOD, vendor)]) as bench:
        with pytest.raises(VendorUnavailable) as failed:
            await bench.ask()
        told = msgspec.convert(failed.value.details["fallbacks"], list[Fallback])
        assert [(one.endpoint, one.code) for one in told] == [(GOOD.endpoint.id, "VENDOR_UNAVAILABLE")] * 3
        assert [(one.message, one.billed) for one in told] == [("down", False), ("reset", True), ("down", False)]
        assert failed.value.details["lost_tokens"] == (await bench.lost()).tokens > 0


@pytest.mark.parametrize("error", [VendorUnauthorized("no key"), VendorBadResponse("odd")])
async def test_a_refused_key_or_odd_answer_moves_on_to_the_next_vendor(tmp_path: Path, error: VendorError) -> None:
    """A refused key is not tried again; garbage is."""
    best, good = VendorStub(errors=[error] * 3), VendorStub()
    async with gate_over(tmp_path, [Serving(GOOD, good), Serving(BEST, best)]) as bench:
        assert (await bench.ask()).model == "good"
        assert len(best.requests) == (3 if error.retryable else 1)


async def test_a_rejected_request_is_not_sent_elsewhere(tmp_path: Path) -> None:
    """It is the request that is wrong."""
    error = VendorRejected("too long", details={"status": 400})
    best, good = VendorStub(errors=[error]), VendorStub()
    async with gate_over(tmp_path, [Serving(GOOD, good), Serving(BEST, best)]) as bench:
        with pytest.raises(VendorRejected):
            await bench.ask()
        assert not good.requests
        assert await bench.used() == Amount()


async def test_a_long_rate_limit_is_not_waited_for_where_another_can_answer(tmp_path: Path) -> None:
    limit = VendorRateLimited("slow down", details={"status": 429, "retry_after_s": 30.0})
    best, good = VendorStub(errors=[limit]), VendorStub()
    async with gate_over(tmp_path, [Serving(GOOD, good), Serving(BEST, best)]) as bench:
        assert (await bench.ask()).model == "good"
        assert len(best.requests) == 1


async def test_our_own_rate_limit_sends_calls_elsewhere(tmp_path: Path) -> None:
    """An endpoint whose configured rate is used up is passed over; nothing was sent, nothing is booked."""
    best, good = VendorStub(), VendorStub()
    async with gate_over(tmp_path, [Serving(GOOD, good), Serving(BEST, best, per_minute=2)]) as bench:
        assert [(await bench.ask(f"{number}")).model for number in range(3)] == ["best", "good", "good"]


@pytest.mark.requirement("S.reliability.breaker")
async def test_a_broken_endpoint_is_left_alone(tmp_path: Path) -> None:
    """After five failures in a row its breaker opens: calls are refused without a reservation left behind."""
    vendor = VendorStub(errors=[down()] * 5)
    async with gate_over(tmp_path, [Serving(GOOD, vendor)], tries=5) as bench:
        with pytest.raises(VendorUnavailable):
            await bench.ask("a")
        with pytest.raises(BreakerOpen):
            await bench.ask("b")
        assert len(vendor.requests) == 5
        await bench.gate.close()
        assert (await bench.held(), await bench.used()) == (Amount(), Amount())


class Hanging:
    """Sends so many pieces, then nothing."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.closed = 0

    async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        try:
            for number in range(self.pieces):
                yield TextDelta(f"{number}")
            await asyncio.Event().wait()
        finally:
            self.closed += 1

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(("pieces", "said"), [(0, "did not answer"), (2, "stopped sending")])
@pytest.mark.parametrize("limits", [Timeouts(first_byte=0.05, idle=0.05), Timeouts(total=0.05)])
async def test_a_vendor_that_hangs_is_closed_and_counted(
    tmp_path: Path, pieces: int, said: str, limits: Timeouts
) -> None:
    """Before the first piece, between two, or over all: each has its deadline, and what may be billed is lost."""
    vendor = Hanging(pieces)
    async with gate_over(tmp_path, [Serving(GOOD, vendor, timeouts=limits)], tries=1) as bench:
        with pytest.raises(VendorTimeout, match=said):
            await bench.ask()
        assert vendor.closed == 1
        await bench.gate.close()
        assert (await bench.used(), await bench.held()) == (await bench.lost(), Amount())


async def test_a_call_ends_by_its_deadline(tmp_path: Path) -> None:
    """Whatever the vendor's own limits are."""
    async with gate_over(tmp_path, [Serving(GOOD, Hanging(1))]) as bench:
        with pytest.raises(VendorTimeout):
            await bench.ask(within_s=0.05)


async def test_a_vendor_known_not_to_bill_broken_streams_costs_nothing_then(tmp_path: Path) -> None:
    """Its profile says so."""
    serving = Serving(GOOD, Hanging(1), Profile(on_disconnect="free"), Timeouts(idle=0.05))
    async with gate_over(tmp_path, [serving], tries=1) as bench:
        with pytest.raises(VendorTimeout):
            await bench.ask()
        await bench.gate.close()
        assert (await bench.used(), await bench.held()) == (Amount(), Amount())


async def test_an_answer_without_an_end_is_no_answer(tmp_path: Path) -> None:
    class Breaks(Hanging):
        async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
            yield TextDelta("half")

    async with gate_over(tmp_path, [Serving(GOOD, Breaks(0))], tries=1) as bench:
        with pytest.raises(VendorBadResponse):
            await bench.ask()


async def test_policy_is_asked_before_anything_is_sent(tmp_path: Path) -> None:
    """With the model and the labels of all that would be sent; a denial carries the reasons."""
    asked: list[Ask] = []

    async def deny(ask: Ask) -> Decision:
        asked.append(ask)
        return Decision(allow=False, reasons=("private content stays here",))

    vendor = VendorStub()
    async with gate_over(tmp_path, [Serving(GOOD, vendor)], decide=deny) as bench:
        with pytest.raises(PolicyDenied, match="private content stays here"):
            await bench.ask(labels=("private",))
        assert not vendor.requests
        assert [(ask.model, ask.labels) for ask in asked if isinstance(ask, ModelAsk)] == [("good", ("private",))]
        assert await bench.used() == Amount()


async def test_policy_that_forbids_one_vendor_leaves_the_next(tmp_path: Path) -> None:
    """Also as a fallback: a denied vendor is never asked."""

    async def not_best(ask: Ask) -> Decision:
        return Decision(allow=isinstance(ask, ModelAsk) and ask.vendor != "best", reasons=("not this one",))

    best, good = VendorStub(), VendorStub(errors=[down()] * 3)
    async with gate_over(tmp_path, [Serving(GOOD, good), Serving(BEST, best)], decide=not_best) as bench:
        with pytest.raises(VendorUnavailable):
            await bench.ask()
        assert not best.requests


async def test_a_call_that_a_person_would_have_to_approve_is_denied(tmp_path: Path) -> None:
    async def asks_a_person(ask: Ask) -> Decision:
        return Decision(allow=True, obligations=("approve",))

    async with gate_over(tmp_path, [Serving(GOOD, VendorStub())], decide=asks_a_person) as bench:
        with pytest.raises(PolicyDenied, match="approve"):
            await bench.ask()


@pytest.mark.requirement("S.llm.stream")
async def test_a_retry_starts_the_stream_anew(tmp_path: Path) -> None:
    """What the first attempt streamed is void once the second begins."""

    class BreaksOnce(VendorStub):
        async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
            self.requests.append(request)
            yield TextDelta("half")
            if len(self.requests) == 1:
                raise VendorUnavailable("reset")
            yield TextDelta(" and half")
            yield StreamEnd("stop", None)

    async with gate_over(tmp_path, [Serving(GOOD, BreaksOnce())]) as bench:
        items = [item async for item in bench.gate.stream(asks(), calls(bench.clock))]
        shown = ""
        for item in items:
            if isinstance(item, AttemptStarted):
                shown = ""
            elif isinstance(item, TextDelta):
                shown += item.text
        assert [item.attempt for item in items if isinstance(item, AttemptStarted)] == [1, 2]
        last = items[-1]
        assert isinstance(last, Answered)
        assert shown == last.answer.text == "half and half"


async def test_a_reader_that_leaves_a_stream_closes_the_vendor_call(tmp_path: Path) -> None:
    vendor = Hanging(1)
    async with gate_over(tmp_path, [Serving(GOOD, vendor)]) as bench:
        async with aclosing(bench.gate.stream(asks(), calls(bench.clock, limited()))) as items:
            async for item in items:
                if isinstance(item, TextDelta):
                    break
        assert vendor.closed == 1
        await bench.gate.close()
        assert (await bench.used()) == (await bench.lost())


async def test_a_stream_waits_for_its_reader(tmp_path: Path) -> None:
    """The queue between vendor and reader is bounded; a slow reader loses nothing and is no idle vendor."""
    text = " ".join(f"word{number}" for number in range(500))
    async with gate_over(tmp_path, [Serving(GOOD, VendorStub(text))]) as bench:
        seen = ""
        async for item in bench.gate.stream(asks(), calls(bench.clock)):
            await asyncio.sleep(0)
            seen += item.text if isinstance(item, TextDelta) else ""
        assert seen.split() == text.split()


async def test_an_error_reaches_the_streams_reader(tmp_path: Path) -> None:
    async with gate_over(tmp_path, [Serving(GOOD, VendorStub(errors=[down()] * 3))]) as bench:
        with pytest.raises(VendorUnavailable):
            async for _ in bench.gate.stream(asks(), calls(bench.clock)):
                pass


async def test_a_dearer_model_that_does_not_fit_leaves_the_cheaper_one(tmp_path: Path) -> None:
    """A budget refuses a model, not the call, while another model's need fits."""
    dear = stub_model("dear", vendor="dear", priority=100.0, rates=Rates(10**9, 10**9))
    async with gate_over(tmp_path, [Serving(dear, VendorStub()), Serving(GOOD, VendorStub())]) as bench:
        answer = await bench.ask("a", limited(pico=10**10))
        assert (answer.model, answer.lowered) == ("good", 0)


async def test_a_received_answer_is_settled_however_long_storage_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor is not asked again: the settle is tried in place until it holds."""
    vendor = VendorStub()
    async with gate_over(tmp_path, [Serving(GOOD, vendor)]) as bench:
        commit, failures = bench.storage.writer.commit, [StorageFull("full"), StorageUnavailable("busy")]

        async def failing(*ops: Op) -> tuple[object, ...]:
            if ops and isinstance(ops[0], Settle) and failures:
                raise failures.pop()
            return await commit(*ops)

        monkeypatch.setattr(bench.storage.writer, "commit", failing)
        answer = await bench.ask()
        assert not failures
        assert len(vendor.requests) == 1
        assert (await bench.used(), await bench.held()) == (Amount(15, answer.cost_pico), Amount())


async def test_a_caller_cancelled_while_its_answer_is_stored_finds_it_when_it_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A received answer is never paid twice, nor lost."""
    vendor = VendorStub()
    storing, go_on = asyncio.Event(), asyncio.Event()
    async with gate_over(tmp_path, [Serving(GOOD, vendor)]) as bench:
        commit = bench.storage.writer.commit

        async def slow(*ops: Op) -> tuple[object, ...]:
            if ops and isinstance(ops[0], Settle):
                storing.set()
                await go_on.wait()
            return await commit(*ops)

        monkeypatch.setattr(bench.storage.writer, "commit", slow)
        call = calls(bench.clock)
        first = asyncio.create_task(bench.gate.complete(asks(), call))
        await storing.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        again = asyncio.create_task(bench.gate.complete(asks(), call))
        go_on.set()
        assert (await again).cached == "completion"
        assert len(vendor.requests) == 1
        assert await bench.lost() == Amount()


async def test_the_first_stored_answer_of_a_key_stands_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that ran the same call both get the answer that was stored first; both bills are booked."""
    async with gate_over(tmp_path, [Serving(GOOD, VendorStub("mine"))]) as bench:
        commit, call = bench.storage.writer.commit, calls(bench.clock)

        async def beaten(*ops: Op) -> tuple[object, ...]:
            for op in ops:
                if isinstance(op, StoreCompletion):
                    theirs = Answer((Text("theirs"),), "stop", Usage(1, 1), "v", "m")
                    await commit(msgspec.structs.replace(op, answer=msgspec.json.encode(theirs)))
            return await commit(*ops)

        monkeypatch.setattr(bench.storage.writer, "commit", beaten)
        assert (await bench.gate.complete(asks(), call)).text == "theirs"
        assert (await bench.used()).tokens == 15


async def test_opaque_parts_of_another_model_are_dropped_and_counted(tmp_path: Path) -> None:
    parts = (Opaque("good", "good", "thinking", b"a"), Opaque("best", "best", "thinking", b"b"), Text("So."))
    request = ModelRequest((says("user", "a"), Message("assistant", parts), says("user", "b")), max_output=300)
    async with gate_over(tmp_path, [Serving(GOOD, VendorStub())]) as bench:
        assert (await bench.gate.complete(request, calls(bench.clock))).dropped == 1


async def test_a_second_run_of_a_key_waits_for_the_first_and_gets_its_answer(tmp_path: Path) -> None:
    """One vendor call for both; one whose own deadline comes first is told so."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def before(number: int) -> None:
        asked.set()
        await go_on.wait()

    vendor = VendorStub(before=before)
    async with gate_over(tmp_path, [Serving(GOOD, vendor)]) as bench:
        call = calls(bench.clock)
        first = asyncio.create_task(bench.gate.complete(asks(), call))
        await asked.wait()
        hurried = msgspec.structs.replace(call, deadline=bench.clock.now() + 20)
        with pytest.raises(VendorTimeout, match="earlier run"):
            await bench.gate.complete(asks(), hurried)
        second = asyncio.create_task(bench.gate.complete(asks(), call))
        go_on.set()
        assert ((await first).cached, (await second).cached) == ("", "completion")
        assert len(vendor.requests) == 1
