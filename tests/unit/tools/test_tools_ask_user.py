"""Asking the user: the question is the agent's, the answer is the user's alone."""

import msgspec
import pytest

from multiagent.core.errors import ToolArguments
from multiagent.core.principal import Principal
from multiagent.tools.base import ToolContext
from multiagent.tools.builtin.ask_user import AskUser

PERSON = Principal("local", "user")


def context(step: str) -> ToolContext:
    return ToolContext(PERSON, "t", step, (), 0)


def test_a_model_is_told_of_the_question_alone() -> None:
    assert list(msgspec.json.decode(AskUser.spec.parameters)["properties"]) == ["question"]


@pytest.mark.parametrize(
    "arguments", [b"{}", b'{"question":""}', b'{"question":"?","more":1}', b'{"question":"?","answer":"mine"}']
)
def test_what_is_no_question_or_answers_itself_is_refused(arguments: bytes) -> None:
    with pytest.raises(ToolArguments):
        AskUser().inspect(arguments, context("a/t1/act/1/0/check"))


async def test_the_answer_is_what_the_agent_reads() -> None:
    tool, run = AskUser(), context("a/t1/act/1/0/run")
    tool.inspect(b'{"question":"?","answer":"blue"}', run)
    assert (await tool.execute(b'{"question":"?","answer":"blue"}', run)).content == "blue"
    assert "no answer" in (await tool.execute(b'{"question":"?"}', run)).content
