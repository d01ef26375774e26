"""What happens on the way to an answer, or to an error, is told by events of the step."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.agents.calls import Opening, Seat, Terms, ThinkInput, ThinkOutput
from multiagent.agents.steps import AgentSteps
from multiagent.core.budget import Amount
from multiagent.core.errors import BudgetBusy, BudgetExceeded, PlatformError, PolicyDenied, VendorUnavailable
from multiagent.core.events import EventKind
from multiagent.core.facts import BudgetLowered, BudgetOverrun, BudgetRefused, CacheHit, ModelDenied, ModelFallback
from multiagent.core.usage import Bill, Usage
from multiagent.llm.base import Answer, Fallback, ModelRequest
from tests.unit.agents.stage import Info, Stage, answer, open_stage

ASKED = ThinkInput(Seat("t1"), Terms("small", max_output=4096), opening=Opening("title", "instruction", 8))
FIRST = Fallback("v/default/-/best", "VENDOR_TIMEOUT", "did not answer in time")
SECOND = Fallback("v/default/-/good", "BREAKER_OPEN", "is out of order", billed=False)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "home") as stage:
        yield stage


async def thought(stage: Stage, told: Answer) -> tuple[ThinkOutput, list[tuple[EventKind, msgspec.Struct]]]:
    stage.gate.reply = lambda _: told
    info = Info(await stage.submit("a query"))
    return await AgentSteps(stage.asker).think(info, ASKED), info.events


async def test_each_fallback_is_one_event_in_order_before_the_answers_own(stage: Stage) -> None:
    _, events = await thought(stage, msgspec.structs.replace(answer("done"), fallbacks=(FIRST, SECOND)))
    assert events[:-1] == [
        (EventKind.MODEL_FALLBACK, ModelFallback("turn", FIRST.endpoint, FIRST.code, FIRST.message, True, "t1")),
        (EventKind.MODEL_FALLBACK, ModelFallback("turn", SECOND.endpoint, SECOND.code, SECOND.message, False, "t1")),
    ]
    assert events[-1][0] is EventKind.MESSAGE_COMPLETED


async def test_a_lowered_answer_and_an_overrun_are_told(stage: Stage) -> None:
    _, events = await thought(stage, msgspec.structs.replace(answer("done"), lowered=700, overrun=True))
    assert events[:-1] == [
        (EventKind.BUDGET_LOWERED, BudgetLowered("turn", 4096, 700, "t1")),
        (EventKind.BUDGET_OVERRUN, BudgetOverrun("turn", "fake", "fake-small", 15, 1000, "t1")),
    ]


async def test_a_cache_hit_is_told_with_what_it_saved_and_a_completion_found_again_is_none(stage: Stage) -> None:
    hit = msgspec.structs.replace(answer("done"), cached="exact", usage=Usage(), cost_pico=0, saved_pico=1000)
    _, events = await thought(stage, hit)
    assert events[:-1] == [(EventKind.CACHE_HIT, CacheHit("turn", "exact", "fake", "fake-small", 1000, "t1"))]
    _, events = await thought(stage, msgspec.structs.replace(answer("done"), cached="completion"))
    assert [kind for kind, _ in events] == [EventKind.MESSAGE_COMPLETED]


async def test_what_was_lost_on_the_way_counts_in_the_bill_and_in_what_is_used(stage: Stage) -> None:
    output, _ = await thought(stage, msgspec.structs.replace(answer("done"), lost_tokens=50, lost_pico=7))
    assert output.spent.bill == Bill(Usage(10, 5), 1000, lost_tokens=50, lost_pico=7, model_calls=1)
    assert output.spent.amount == Amount(65, 1007)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            BudgetExceeded("nothing left", details={"scope": "user/ada"}),
            [(EventKind.BUDGET_REFUSED, BudgetRefused("turn", "BUDGET_EXCEEDED", "nothing left", "user/ada", "t1"))],
        ),
        (
            BudgetBusy("held", details={"scope": "task/1"}),
            [(EventKind.BUDGET_REFUSED, BudgetRefused("turn", "BUDGET_BUSY", "held", "task/1", "t1"))],
        ),
        (
            PolicyDenied("no", details={"reasons": ["not for guests"]}),
            [(EventKind.MODEL_DENIED, ModelDenied("turn", ("not for guests",), "t1"))],
        ),
        (
            VendorUnavailable("down", details={"fallbacks": [msgspec.to_builtins(FIRST)]}),
            [
                (
                    EventKind.MODEL_FALLBACK,
                    ModelFallback("turn", FIRST.endpoint, FIRST.code, FIRST.message, True, "t1"),
                )
            ],
        ),
    ],
)
async def test_a_call_that_fails_tells_what_led_to_it(
    stage: Stage, error: PlatformError, told: list[tuple[EventKind, msgspec.Struct]]
) -> None:
    """And its error goes on to the step."""

    def reply(_request: ModelRequest) -> Answer:
        raise error

    stage.gate.reply = reply
    info = Info(await stage.submit("a query"))
    with pytest.raises(type(error)):
        await AgentSteps(stage.asker).think(info, ASKED)
    assert info.events == told
