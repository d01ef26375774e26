"""Asking the user: the call waits for a person, as policy has every call of this tool approved, and the answer comes
with the approval, in the place of the argument that a model may not give.
"""

from typing import Annotated

import msgspec

from multiagent.core.errors import ToolArguments
from multiagent.core.tool import ASK_USER, ToolSpec
from multiagent.tools.base import Inspected, ToolContext, ToolOutput
from multiagent.tools.schema import decode_arguments, schema_of

_DESCRIPTION = """Ask your user a question that only they can answer, and wait for the answer.

Ask only where the task cannot be done well without it; say in the question what you need to know and why."""


class Question(msgspec.Struct, frozen=True):
    """What the model gives."""

    question: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000, description="one clear question")]


class Answered(Question, frozen=True, forbid_unknown_fields=True):
    """The same with the user's answer."""

    answer: Annotated[str, msgspec.Meta(max_length=20_000)] = ""


class AskUser:
    """The tool."""

    spec = ToolSpec(ASK_USER, _DESCRIPTION, schema_of(Question))

    def inspect(self, arguments: bytes, context: ToolContext) -> Inspected:
        """Check the arguments; ToolArguments where an agent answers itself."""
        given = decode_arguments(arguments, Answered)
        if given.answer and context.step.endswith("/check"):
            raise ToolArguments("only your user can give the answer; ask the question alone")
        return Inspected()

    async def execute(self, arguments: bytes, context: ToolContext) -> ToolOutput:
        """Return the answer."""
        given = decode_arguments(arguments, Answered)
        return ToolOutput(given.answer or "(your user gave no answer)")
