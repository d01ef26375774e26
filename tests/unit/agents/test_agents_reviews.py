"""What a critic and a judge are shown and may do, and how their words become a ruling."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.agents.calls import (
    CheckInput,
    Finding,
    Opening,
    Review,
    ReviewInput,
    Ruling,
    Seat,
    Terms,
    ThinkInput,
    reviewer,
    reviews,
)
from multiagent.agents.memo import link
from multiagent.agents.ruling import CHARS, MOST, RULING, read_ruling
from multiagent.agents.steps import AgentSteps
from multiagent.core.messages import says
from tests.unit.agents.stage import Info, Stage, answer, call, open_stage

YES = '{"accept": true, "reasons": ["recomputed"], "corrections": []}'
OPENING = Opening("the title", "the instruction", 8)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "home", lambda _: answer(YES)) as stage:
        yield stage


async def begin(stage: Stage) -> tuple[Info, str]:
    info = Info(await stage.submit("the whole query"))
    head, messages = link("", says("assistant", "the <answer> is 42"))
    stage.asker.store("local", *messages)
    stage.asker.chains.keep("local", head, messages)
    return info, head


def turn(head: str, role: str, *tools: str, opening: Opening = OPENING) -> ReviewInput:
    review = msgspec.convert({"role": role, "answer": head}, Review)
    seat = Seat(reviewer("t1", review.role, 1), tools)
    return ReviewInput(review, ThinkInput(seat, Terms("small"), opening=opening))


async def test_a_judge_sees_the_task_the_answer_and_its_tools_and_no_more(stage: Stage) -> None:
    info, head = await begin(stage)
    output = await AgentSteps(stage.asker).review(info, turn(head, "judge", "echo"))
    request, _ = stage.gate.asked[0]
    text = request.messages[1].text
    assert '<answer>"the \\u003canswer> is 42"</answer>' in text
    assert '"instruction":"the instruction"' in text
    assert "the whole query" not in text
    assert "<query>" not in text
    assert request.purpose == "judge"
    assert request.response_format == RULING
    assert [tool.name for tool in request.tools] == ["echo"]
    assert output.ruling == Ruling(accept=True, reasons=("recomputed",))


async def test_a_critic_sees_the_query_too(stage: Stage) -> None:
    info, head = await begin(stage)
    await AgentSteps(stage.asker).review(info, turn(head, "critique"))
    request, _ = stage.gate.asked[0]
    assert '<query>"the whole query"</query>' in request.messages[1].text
    assert request.purpose == "critique"


async def test_results_that_a_task_rests_on_are_given_to_its_judge(stage: Stage) -> None:
    info, head = await begin(stage)
    opening = msgspec.structs.replace(OPENING, inputs=(Finding("t0", "Before", head),))
    await AgentSteps(stage.asker).review(info, turn(head, "judge", opening=opening))
    assert '"task":"t0"' in stage.gate.asked[0][0].messages[1].text


async def test_who_reviews_changes_nothing(stage: Stage) -> None:
    """A tool that is not idempotent is neither shown nor run."""
    info, head = await begin(stage)
    code = AgentSteps(stage.asker)
    given = turn(head, "judge", "echo", "send")
    stage.gate.reply = lambda _: answer(call("send", "{}"), finish="tool_calls")
    output = await code.review(info, given)
    assert output.ruling is None
    assert [tool.name for tool in stage.gate.asked[0][0].tools] == ["echo"]
    checked = await code.check(info, CheckInput(given.think.seat, output.think.head, 0))
    assert checked.verdict == "invalid"


async def test_what_is_no_ruling_is_an_output_that_says_so(stage: Stage) -> None:
    info, head = await begin(stage)
    stage.gate.reply = lambda _: answer("looks fine to me")
    output = await AgentSteps(stage.asker).review(info, turn(head, "judge"))
    assert output.ruling is None
    assert "no ruling" in output.error


@pytest.mark.parametrize(
    "text",
    ["", "yes", "[]", '{"reasons": []}', '{"accept": "true"}', '{"accept": true, "reasons": "fine"}', "[" * 100_000],
)
def test_only_a_ruling_is_read_as_one(text: str) -> None:
    ruling, error = read_ruling(text)
    assert ruling is None
    assert error


@given(st.booleans(), st.lists(st.text(), max_size=30), st.lists(st.text(), max_size=30), st.booleans())
def test_a_ruling_is_read_with_or_without_a_fence_and_is_bounded(
    accept: bool, reasons: list[str], corrections: list[str], fenced: bool
) -> None:
    text = json.dumps({"accept": accept, "reasons": reasons, "corrections": corrections})
    ruling, error = read_ruling(f"```json\n{text}\n```" if fenced else text)
    assert ruling is not None, error
    assert ruling.accept is accept
    assert ruling.reasons == tuple(reasons[:MOST])
    assert max(map(len, ruling.corrections), default=0) <= CHARS


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("t1.critic1", True), ("t1.judge12", True), ("judge", False), ("critic.2", False), ("t1", False), ("t1.2", False)],
)
def test_reviewers_are_known_by_their_names(name: str, is_one: bool) -> None:
    assert reviews(name) is is_one
