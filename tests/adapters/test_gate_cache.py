"""What the exact cache serves, to whom, and what it never keeps."""

from pathlib import Path

import msgspec
import pytest

from multiagent.core.budget import Amount
from multiagent.core.messages import ToolCall, says
from multiagent.core.principal import Principal
from multiagent.core.usage import Usage
from multiagent.llm.base import CallContext, Finish, ModelRequest, PartDone, ResponseFormat, StreamEnd
from multiagent.llm.gate_endpoints import Serving
from multiagent.storage.sql.ops import Reserve
from multiagent.testing.suites.llm import LOOK, asks, calls
from multiagent.testing.vendor_stub import VendorStub, stub_model
from tests.adapters.gate_bench import Bench, gate_over

MODEL = stub_model()


async def cached(bench: Bench, request: ModelRequest, call: CallContext | None = None) -> str:
    return (await bench.gate.complete(request, call or calls(bench.clock))).cached


CHANGES: dict[str, dict[str, object]] = {
    "the question": {"messages": (says("system", "Be brief."), says("user", "What was it?"))},
    "the system prompt": {"messages": (says("system", "Be long."), says("user", "What is it?"))},
    "a label of the content": {
        "messages": (says("system", "Be brief."), says("user", "What is it?", labels=("private",)))
    },
    "the tier": {"tier": "large"},
    "the model": {"model": "stub"},
    "the tools": {"tools": (LOOK,)},
    "the format": {"response_format": ResponseFormat("plan", "{}")},
    "the requested max output": {"max_output": 299},
    "the temperature": {"temperature": 0.1},
    "the purpose": {"purpose": "synthesize"},
}


@pytest.mark.requirement("S.cost.exact-cache")
@pytest.mark.parametrize("change", CHANGES)
async def test_a_request_that_differs_is_asked(tmp_path: Path, change: str) -> None:
    """Whatever differs, it is another request."""
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub())]) as bench:
        assert await cached(bench, asks()) == ""
        assert await cached(bench, msgspec.structs.replace(asks(), **CHANGES[change])) == ""
        assert await cached(bench, asks()) == "exact"


@pytest.mark.parametrize(
    "change",
    [
        {"principal": Principal("acme", "bob")},
        {"principal": Principal("other", "ada")},
        {"labels": ("private",)},
        {"cache": False},
    ],
)
async def test_an_answer_belongs_to_its_user_and_labels(tmp_path: Path, change: dict[str, object]) -> None:
    """Neither another user nor another tenant is served it, nor content of other labels, nor who opts out."""
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub())]) as bench:
        assert await cached(bench, asks()) == ""
        assert await cached(bench, asks(), msgspec.structs.replace(calls(bench.clock), **change)) == ""


async def test_the_chain_that_a_message_is_in_does_not_matter(tmp_path: Path) -> None:
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub())]) as bench:
        assert await cached(bench, asks()) == ""
        chained = tuple(msgspec.structs.replace(message, parent="a" * 64) for message in asks().messages)
        assert await cached(bench, msgspec.structs.replace(asks(), messages=chained)) == "exact"


@pytest.mark.parametrize("finish", ["length", "content_filter", "tool_calls"])
async def test_an_answer_that_is_not_whole_is_not_kept(tmp_path: Path, finish: Finish) -> None:
    """Cut by length, filtered, or a tool call: it is asked for again."""
    call = PartDone(ToolCall("1", "look", "{}"))
    ends = (call, StreamEnd(finish, Usage(1, 1))) if finish == "tool_calls" else (StreamEnd(finish, Usage(1, 1)),)
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(finish=ends))]) as bench:
        assert await cached(bench, asks()) == ""
        assert await cached(bench, asks()) == ""


async def test_a_request_for_variety_is_asked_every_time(tmp_path: Path) -> None:
    """High temperature: the answer is meant to differ."""
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub())]) as bench:
        warm = msgspec.structs.replace(asks(), temperature=0.9)
        assert await cached(bench, warm) == ""
        assert await cached(bench, warm) == ""


async def test_a_hit_is_committed_under_its_key(tmp_path: Path) -> None:
    """The same key finds it again, also when the cache has forgotten it."""
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub())]) as bench:
        await cached(bench, asks())
        call = calls(bench.clock)
        assert await cached(bench, asks(), call) == "exact"
        answer = await bench.gate.complete(asks(), call)
        assert (answer.cached, answer.cost_pico) == ("completion", 0)
        assert answer.saved_pico > 0


async def test_a_hit_closes_what_a_run_of_the_call_held_that_died(tmp_path: Path) -> None:
    """Its process is gone, and this one needs no reservation: nobody else would come by that one again."""
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub())]) as bench:
        await cached(bench, asks())
        call, used = calls(bench.clock), await bench.used()
        await bench.storage.writer.commit(
            Reserve(
                tenant=call.principal.tenant, id="r-gone", key=call.key, attempt=1, task="t1", scopes=call.scopes,
                need=Amount(40), time=bench.clock.now(), deadline=call.deadline, owner="gone",
            )
        )  # fmt: skip
        assert await bench.held() == Amount(40)
        assert await cached(bench, asks(), call) == "exact"
        assert (await bench.held(), await bench.lost()) == (Amount(), Amount(40))
        assert (await bench.used()).tokens == used.tokens + 40
