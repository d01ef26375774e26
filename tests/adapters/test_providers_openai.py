"""Vendors that speak OpenAI's format, over HTTP: how requests are sent, and what becomes of each bad answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from multiagent.core.errors import (
    BudgetExceeded,
    VendorBadResponse,
    VendorError,
    VendorRateLimited,
    VendorRejected,
    VendorTimeout,
    VendorUnauthorized,
    VendorUnavailable,
)
from multiagent.core.messages import Message, Opaque, Text, ToolCall, ToolResult, says
from multiagent.core.usage import Usage
from multiagent.llm.base import Chunk, ModelRequest, PartDone, ResponseFormat, StreamEnd, TextDelta
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.llm.gate_endpoints import Serving
from multiagent.llm.profiles import Profile, Timeouts
from multiagent.llm.providers.http import Connections
from multiagent.llm.providers.openai import OpenAiProvider
from multiagent.testing.scripted import ScriptedVendor
from multiagent.testing.scripted_script import Reply, Rule, Script
from multiagent.testing.suites.llm import LOOK, asks, limited
from multiagent.testing.vendor_stub import stub_model
from tests.adapters.gate_bench import gate_over

MODEL = stub_model(vendor="fake")
KEY = "sk-secret-0123456789"


@asynccontextmanager
async def served(
    script: Script | None = None, *, key: str = KEY, profile: Profile | None = None
) -> AsyncIterator[tuple[ScriptedVendor, OpenAiProvider]]:
    async with ScriptedVendor(script) as vendor, Connections() as connections:
        yield vendor, OpenAiProvider("fake", vendor.url, key, connections, profile or Profile(), Timeouts(connect=0.5))


async def collect(provider: OpenAiProvider, request: ModelRequest | None = None) -> list[Chunk]:
    return [chunk async for chunk in provider.stream(MODEL, request or asks())]


@pytest.mark.requirement("S.scaling.one-interface")
async def test_a_request_arrives_whole(tmp_path: Path) -> None:
    """Messages, calls, results, tools, format and limits are what was asked; opaque parts of others stay behind."""
    request = ModelRequest(
        (
            says("system", "Be brief."),
            says("user", "看一看"),
            Message("assistant", (Text("I look."), ToolCall("c1", "look", '{"thing":"it"}'))),
            Message("tool", (ToolResult("c1", "look", "a thing"), ToolResult("c2", "look", "another", is_error=True))),
            Message("assistant", (Opaque("other", "m", "thinking", b"\0"), Text("Well."))),
        ),
        model="stub",
        tools=(LOOK,),
        response_format=ResponseFormat("plan", '{"type":"object"}'),
        max_output=123,
        temperature=0.25,
    )
    async with served() as (vendor, provider):
        await collect(provider, request)
        got = vendor.requests[0]
    assert [(message.role, message.text) for message in got.messages] == [
        ("system", "Be brief."),
        ("user", "看一看"),
        ("assistant", "I look."),
        ("tool", ""),
        ("tool", ""),
        ("assistant", "Well."),
    ]
    assert got.messages[2].calls == (ToolCall("c1", "look", '{"thing":"it"}'),)
    assert [part.content for message in got.messages for part in message.parts if isinstance(part, ToolResult)] == [
        "a thing",
        "another",
    ]
    assert (got.tools, got.response_format) == ((LOOK,), request.response_format)
    assert (got.model, got.max_output, got.temperature) == ("stub", 123, 0.25)


@pytest.mark.parametrize("shape", ["no_choices", "empty_delta", "bare"])
async def test_every_shape_of_usage_bills_the_same(shape: str) -> None:
    """Vendors put usage in a chunk without choices, beside an empty delta, or in a bare object."""
    reply = Reply(usage="exact", shape=shape)  # type: ignore[arg-type] # the parameter's three values
    async with served(Script(default=reply)) as (vendor, provider):
        end = (await collect(provider))[-1]
    assert isinstance(end, StreamEnd)
    assert end.usage is not None
    assert end.usage.total == vendor.bill.tokens > 0
    assert end.request_id == "chatcmpl-1"


async def test_no_usage_is_said_as_such() -> None:
    async with served(Script(default=Reply(usage="none"))) as (_, provider):
        end = (await collect(provider))[-1]
    assert isinstance(end, StreamEnd)
    assert end.usage is None


STATUSES: list[tuple[int, type[VendorError]]] = [
    (401, VendorUnauthorized),
    (403, VendorUnauthorized),
    (429, VendorRateLimited),
    (400, VendorRejected),
    (404, VendorRejected),
    (408, VendorUnavailable),
    (500, VendorUnavailable),
    (503, VendorUnavailable),
    (302, VendorBadResponse),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
async def test_a_status_has_its_error(status: int, kind: type[VendorError]) -> None:
    """It names the vendor and the status, so that nothing is booked for it."""
    async with served(Script(default=Reply(kind="status", status=status, retry_after_s=7))) as (vendor, provider):
        with pytest.raises(kind, match="fake") as failed:
            await collect(provider)
        assert vendor.bill.billed_calls == 0
    assert failed.value.details["status"] == status
    assert failed.value.details.get("retry_after_s") == (7.0 if status == 429 else None)


async def test_a_vendor_that_quotes_the_refused_key_does_not_reveal_it() -> None:
    async with served(Script(key="another")) as (_, provider):
        with pytest.raises(VendorUnauthorized) as failed:
            await collect(provider)
    assert KEY not in failed.value.message
    assert "[key]" in failed.value.message
    assert KEY not in repr(provider) + repr(failed.value.details)


async def test_a_server_without_a_key_needs_none() -> None:
    """As a model server of one's own."""
    async with served(key="") as (_, provider):
        assert isinstance((await collect(provider))[-1], StreamEnd)


@pytest.mark.parametrize("after", [0, 2])
async def test_a_reset_is_unavailable_and_may_have_been_billed(after: int) -> None:
    async with served(Script(default=Reply(kind="reset", after=after))) as (_, provider):
        with pytest.raises(VendorUnavailable) as failed:
            await collect(provider)
    assert "status" not in failed.value.details
    assert "sent" not in failed.value.details


async def test_garbage_is_a_bad_response() -> None:
    async with served(Script(default=Reply(kind="garbage", after=1))) as (_, provider):
        with pytest.raises(VendorBadResponse):
            await collect(provider)


async def test_a_vendor_that_is_not_there_was_sent_nothing() -> None:
    async with served() as (vendor, _):
        url = vendor.url
    async with Connections() as connections:
        provider = OpenAiProvider("fake", url, KEY, connections, Profile(), Timeouts())
        with pytest.raises(VendorUnavailable, match="could not be reached") as failed:
            await collect(provider)
    assert failed.value.details["sent"] is False


async def test_an_address_that_is_none_is_said_so() -> None:
    async with Connections() as connections:
        provider = OpenAiProvider("fake", "http://127.0.0.1:0/v1", KEY, connections, Profile(), Timeouts())
        with pytest.raises(VendorError) as failed:
            await collect(provider)
    assert failed.value.details["sent"] is False


async def test_a_server_that_never_answers_is_left_at_the_deadline(tmp_path: Path) -> None:
    """The gate closes the connection; the vendor sees its client go."""
    async with served(Script(default=Reply(kind="hang"))) as (vendor, provider):
        serving = Serving(MODEL, provider, timeouts=Timeouts(first_byte=0.2))
        async with gate_over(tmp_path, [serving], tries=1) as bench:
            with pytest.raises(VendorTimeout):
                await bench.ask()
        await vendor.until(lambda it: it.in_flight == 0)
        assert vendor.bill.undelivered == 1


async def test_leaving_a_stream_closes_the_connection() -> None:
    script = Script(default=Reply(kind="hang", after=1))
    async with served(script) as (vendor, provider):
        async with aclosing(provider.stream(MODEL, asks())) as stream:
            assert isinstance(await anext(stream), TextDelta)
        await vendor.until(lambda it: it.in_flight == 0)


async def test_many_calls_share_the_connections(tmp_path: Path) -> None:
    async with served() as (vendor, provider):
        ends = await asyncio.gather(*(collect(provider, asks(f"{number}")) for number in range(40)))
        assert all(isinstance(chunks[-1], StreamEnd) for chunks in ends)
        assert vendor.bill.billed_calls == 40


@pytest.mark.parametrize("bound", ["exact", "less"])
async def test_what_the_gate_settles_is_what_the_vendor_billed(tmp_path: Path, bound: str) -> None:
    """To the token, the vendor's own bound included: over the wire it counts the same bytes."""
    reply = Reply(usage=bound)  # type: ignore[arg-type] # the parameter's two values
    script = Script(rules=(Rule(Reply(kind="status", status=500), calls=(2,)),), default=reply)
    async with served(script) as (vendor, provider), gate_over(tmp_path, [Serving(MODEL, provider)]) as bench:
        for number in range(4):
            assert not (await bench.ask(f"问题 {number}")).overrun
        assert (await bench.used()).tokens == vendor.bill.tokens


async def test_the_planner_answers_as_the_offline_model_would() -> None:
    """Over HTTP, so that kill tests can run whole tasks against it."""
    async with served(Script(default=Reply(kind="planner"))) as (vendor, provider):
        chunks = await collect(provider, asks("What is 2 + 3?"))
        assert vendor.requests[0].purpose == "chat"
    text = "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))
    assert text or any(isinstance(chunk, PartDone) for chunk in chunks)
    assert isinstance(chunks[-1], StreamEnd)
    assert chunks[-1].usage != Usage()


@pytest.mark.requirement("A4.exact")
async def test_the_vendors_own_ledger_says_that_ten_of_64_were_paid_to_the_limit(tmp_path: Path) -> None:
    """Over HTTP, by a vendor that works out the bound for itself."""
    bound = prompt_bound(asks("question 00"), MODEL.overhead_tokens) + 300
    script = Script(default=Reply(usage="exact"))
    async with served(script) as (vendor, provider), gate_over(tmp_path, [Serving(MODEL, provider)]) as bench:
        asked = [bench.ask(f"question {number:02}", limited(tokens=10 * bound)) for number in range(64)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(one, BudgetExceeded) for one in ended) == 54
        assert vendor.bill.tokens == (await bench.used()).tokens == 10 * bound
        assert vendor.bill.calls == 10
