"""Our own estimate of tokens, for what a vendor does not report: shown, marked, never settled. Pure."""

from collections.abc import Iterable

from multiagent.core.messages import Part, Text, ToolCall, ToolResult
from multiagent.core.usage import Usage
from multiagent.llm.base import ModelRequest


def estimate_text(text: str) -> int:
    """Return about how many tokens a text has: four ASCII characters a token, one of anything else; never more than
    its bytes.
    """
    if text.isascii():
        return (len(text) + 3) // 4
    plain = len(text.encode("ascii", "ignore"))
    return (plain + 3) // 4 + len(text) - plain


def estimate_parts(parts: Iterable[Part]) -> int:
    """Return about how many tokens the parts have."""
    total = 0
    for part in parts:
        if isinstance(part, Text):
            total += estimate_text(part.text)
        elif isinstance(part, ToolCall):
            total += estimate_text(part.name) + estimate_text(part.arguments)
        elif isinstance(part, ToolResult):
            total += estimate_text(part.content)
    return total


def estimate_usage(request: ModelRequest, parts: Iterable[Part]) -> Usage:
    """Return about what a call used: its messages and tools, and its answer."""
    prompt = sum(4 + estimate_parts(message.parts) for message in request.messages)
    prompt += sum(
        8 + estimate_text(tool.name) + estimate_text(tool.description) + estimate_text(tool.parameters)
        for tool in request.tools
    )
    return Usage(prompt, estimate_parts(parts))
