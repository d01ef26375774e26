"""What every provider and every gate must do.

A test class of a provider inherits from ``ProviderSuite`` and provides the fixture ``provider``: one that answers the
plain question ``Q`` in words, and a question with the tool ``look`` by calling it. One of a gate inherits from
``GateSuite`` and provides the fixture ``desk``, whose models answer at once.
"""

from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Final

import msgspec
import pytest

from multiagent.core.budget import Amount, Limit, ScopeLimit, ScopeRef
from multiagent.core.clock import Clock
from multiagent.core.errors import BudgetExceeded, InvalidInput, NoModel
from multiagent.core.messages import ToolCall, says
from multiagent.core.principal import Principal
from multiagent.core.tool import ToolSpec
from multiagent.core.usage import Rates, cost
from multiagent.llm.base import (
    Answered,
    AttemptStarted,
    CallContext,
    Gate,
    ModelInfo,
    ModelRequest,
    PartDone,
    Provider,
    StreamEnd,
    TextDelta,
)
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.storage.sql.base import Reader

Q: Final = "What is it?"
TENANT: Final = "acme"
PRINCIPAL: Final = Principal(TENANT, "ada")
TASK: Final = ScopeRef("task", "t1")
LOOK: Final = ToolSpec("look", "Look at a thing.", '{"type":"object","properties":{"thing":{"type":"string"}}}')
_keys = count(1)


def asks(text: str = Q, *, max_output: int = 300, model: str = "", tools: tuple[ToolSpec, ...] = ()) -> ModelRequest:
    """Return a short request."""
    messages = (says("system", "Be brief."), says("user", text))
    return ModelRequest(messages, max_output=max_output, model=model, tools=tools)


def limited(tokens: int | None = None, pico: int | None = None, scope: ScopeRef = TASK) -> ScopeLimit:
    """Return a scope with a limit."""
    return ScopeLimit(scope, Limit(tokens, pico))


def calls(clock: Clock, *scopes: ScopeLimit, key: str = "", within_s: float = 60.0) -> CallContext:
    """Return a call's context: its own key, the task's scope without a limit where none is given."""
    return CallContext(
        principal=PRINCIPAL,
        key=key or f"key-{next(_keys)}",
        scopes=scopes or (limited(),),
        deadline=clock.now() + int(within_s * 1000),
        task="t1",
        step="a1/think/1",
        agent="a1",
    )


@dataclass(frozen=True, slots=True)
class ProviderDesk:
    """A provider under test and a model that it serves."""

    provider: Provider
    model: ModelInfo


@dataclass(frozen=True, slots=True)
class Desk:
    """A gate under test, its clock, and the books behind it."""

    gate: Gate
    reader: Reader
    clock: Clock

    async def booked(self, scope: ScopeRef = TASK) -> tuple[Amount, Amount]:
        """Return what stands used and held in a scope."""
        state = await self.reader.scope(TENANT, scope)
        return (state.used, state.held) if state is not None else (Amount(), Amount())


class ProviderSuite:
    """Every provider streams, ends once, and never uses more than its bound."""

    async def test_it_streams_text_and_says_last_that_it_ended(self, provider: ProviderDesk) -> None:
        """Text comes in pieces; the end comes once, last, with what was used."""
        chunks = [chunk async for chunk in provider.provider.stream(provider.model, asks())]
        ends = [chunk for chunk in chunks if isinstance(chunk, StreamEnd)]
        assert ends == chunks[-1:]
        assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)).strip()

    async def test_it_uses_no_more_than_the_bound(self, provider: ProviderDesk) -> None:
        """Prompt tokens stay within the prompt's bound, completion tokens within the max output."""
        for text in (Q, "在多少天之后？", "a b c d e f " * 50):
            request = asks(text, max_output=400)
            chunks = [chunk async for chunk in provider.provider.stream(provider.model, request)]
            end = chunks[-1]
            assert isinstance(end, StreamEnd)
            assert end.usage is not None
            assert 0 < end.usage.prompt <= prompt_bound(request, provider.model.overhead_tokens)
            assert 0 < end.usage.completion <= request.max_output

    async def test_leaving_a_stream_closes_it(self, provider: ProviderDesk) -> None:
        """A caller may stop after the first piece; the provider answers the next call."""
        async with aclosing(provider.provider.stream(provider.model, asks())) as stream:
            await anext(stream)
        chunks = [chunk async for chunk in provider.provider.stream(provider.model, asks())]
        assert isinstance(chunks[-1], StreamEnd)


class ToolProviderSuite:
    """Providers whose model always calls the tool it is given."""

    async def test_a_tool_call_comes_whole(self, provider: ProviderDesk) -> None:
        """One part, with an id, the tool's name and its arguments; the stream finishes for the calls' sake."""
        request = asks(tools=(LOOK,))
        chunks = [chunk async for chunk in provider.provider.stream(provider.model, request)]
        parts = [chunk.part for chunk in chunks if isinstance(chunk, PartDone)]
        end = chunks[-1]
        assert isinstance(end, StreamEnd)
        assert end.finish == "tool_calls"
        assert [part.name for part in parts if isinstance(part, ToolCall)] == ["look"]
        assert all(isinstance(part, ToolCall) and part.id and msgspec.json.decode(part.arguments) for part in parts)


class GateSuite:
    """Every gate settles to the vendor's word, pays a key once, and never overspends."""

    async def test_a_call_is_settled_to_what_the_vendor_reports(self, desk: Desk) -> None:
        """Used is the answer's usage and cost; nothing stays held; the bill says the same."""
        answer = await desk.gate.complete(asks(), calls(desk.clock, limited(tokens=5000)))
        assert answer.text
        assert await desk.booked() == (Amount(answer.usage.total, answer.cost_pico), Amount())
        bill = await desk.reader.bill(TENANT, "t1")
        assert (bill.usage, bill.cost_pico, bill.lost_tokens) == (answer.usage, answer.cost_pico, 0)

    async def test_a_committed_key_is_never_paid_twice(self, desk: Desk) -> None:
        """The second call of a key gets the first one's answer, and nothing is booked."""
        call = calls(desk.clock, limited(tokens=5000))
        first = await desk.gate.complete(asks(), call)
        booked = await desk.booked()
        again = await desk.gate.complete(asks(), call)
        assert again.cached == "completion"
        assert (again.parts, again.usage, again.cost_pico) == (first.parts, first.usage, first.cost_pico)
        assert await desk.booked() == booked

    async def test_a_key_names_one_request(self, desk: Desk) -> None:
        """Another request under a used key is refused instead of answered wrongly or paid."""
        call = calls(desk.clock)
        await desk.gate.complete(asks("What is it?"), call)
        with pytest.raises(InvalidInput, match="idempotency key"):
            await desk.gate.complete(asks("What was it?"), call)

    async def test_an_equal_request_is_answered_from_the_cache(self, desk: Desk) -> None:
        """At no cost, its former cost shown as saved."""
        first = await desk.gate.complete(asks(), calls(desk.clock))
        booked = await desk.booked()
        again = await desk.gate.complete(asks(), calls(desk.clock))
        assert (again.cached, again.text) == ("exact", first.text)
        assert (again.usage.total, again.cost_pico, again.saved_pico) == (0, 0, first.cost_pico)
        assert await desk.booked() == booked
        assert (await desk.reader.bill(TENANT, "t1")).saved_pico == first.cost_pico

    async def test_a_stream_is_the_answer_in_pieces(self, desk: Desk) -> None:
        """First which vendor is asked, then the text, last the settled answer."""
        items = [item async for item in desk.gate.stream(asks(), calls(desk.clock))]
        last = items[-1]
        assert isinstance(items[0], AttemptStarted)
        assert isinstance(last, Answered)
        assert "".join(item.text for item in items if isinstance(item, TextDelta)) == last.answer.text

    async def test_what_cannot_fit_is_refused(self, desk: Desk) -> None:
        """Waiting could not help: the error names the scope and no hold stays behind."""
        with pytest.raises(BudgetExceeded) as refused:
            await desk.gate.complete(asks(), calls(desk.clock, limited(tokens=100)))
        assert refused.value.details["scope"] == "task/t1"
        assert await desk.booked() == (Amount(), Amount())

    async def test_an_unknown_model_is_named(self, desk: Desk) -> None:
        """And the configured ones with it."""
        with pytest.raises(NoModel, match="no-such-model"):
            await desk.gate.complete(asks(model="no-such-model"), calls(desk.clock))

    async def test_costs_follow_the_rates(self, desk: Desk) -> None:
        """Cost is usage at the model's rates."""
        answer = await desk.gate.complete(asks(), calls(desk.clock))
        assert answer.cost_pico == cost(answer.usage, self.rates_of(answer.model))

    def rates_of(self, model: str) -> Rates:
        """Return the rates of a model of this gate."""
        raise NotImplementedError
