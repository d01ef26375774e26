"""A tool with an effect that must not happen twice, as a user would load it (``tests.e2e.posting:post``)."""

from multiagent.tools.base import ToolContext
from multiagent.tools.function import FunctionTool

posted: list[tuple[str, str]] = []
"""Each effect there was: the task it was done for, and the text."""


async def _post(text: str, context: ToolContext) -> str:
    """Post a text where everybody sees it."""
    posted.append((context.task, text))
    return f"posted {len(text)} letters"


post = FunctionTool(_post, name="post", idempotent=False)
