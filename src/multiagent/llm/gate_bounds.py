"""What a prompt may cost at the most, and the hashes that name requests and prompts. Pure.

A token of any byte-level tokenizer covers at least one byte, so the UTF-8 bytes of a text bound its tokens; what chat
templates add around messages, parts and tools is bounded by fixed allowances.
"""

import hashlib
from typing import Final

import msgspec

from multiagent.core.canonical import digest_bytes
from multiagent.core.messages import Message, Opaque, Part, Text, ToolCall, ToolResult
from multiagent.core.tool import ToolSpec
from multiagent.llm.base import ModelRequest

MESSAGE_TOKENS: Final = 16
"""Allowance for the role and the separators of one message."""

PART_TOKENS: Final = 16
"""Allowance for the structure around one tool call, tool result or opaque part."""

TOOL_TOKENS: Final = 32
"""Allowance for the structure around one tool's schema."""

_encode = msgspec.json.Encoder().encode


def part_bound(part: Part) -> int:
    """Return an upper bound of a part's tokens."""
    if isinstance(part, Text):
        return _bytes(part.text)
    if isinstance(part, ToolCall):
        return PART_TOKENS + _bytes(part.id) + _bytes(part.name) + _bytes(part.arguments)
    if isinstance(part, ToolResult):
        return PART_TOKENS + _bytes(part.call_id) + _bytes(part.name) + _bytes(part.content)
    return PART_TOKENS + 2 * len(part.data)


def message_bound(message: Message) -> int:
    """Return an upper bound of a message's tokens."""
    return MESSAGE_TOKENS + sum(part_bound(part) for part in message.parts)


def tools_bound(request: ModelRequest) -> int:
    """Return an upper bound of the tokens of the tools and the response format."""
    bound = sum(
        TOOL_TOKENS + _bytes(tool.name) + _bytes(tool.description) + _bytes(tool.parameters) for tool in request.tools
    )
    if request.response_format is not None:
        bound += TOOL_TOKENS + _bytes(request.response_format.name) + _bytes(request.response_format.schema)
    return bound


def prompt_bytes(request: ModelRequest, start: int = 0) -> int:
    """Return an upper bound of the tokens of the messages from ``start`` on; of the tools too where that is 0."""
    bound = sum(message_bound(message) for message in request.messages[start:])
    return bound + (tools_bound(request) if start == 0 else 0)


def prompt_bound(request: ModelRequest, overhead: int) -> int:
    """Return an upper bound of a whole prompt's tokens when nothing of it was reported before."""
    return prompt_bytes(request) + overhead


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Heads(msgspec.Struct, frozen=True):
    """The hashes of a request's prompt: ``whole`` names all of it; ``before`` are (messages, hash) of the prefixes
    that earlier calls of the conversation have sent, longest first.
    """

    whole: str
    before: tuple[tuple[int, str], ...] = ()


def heads(request: ModelRequest, most: int = 3) -> Heads:
    """Return the hashes of a prompt and of at most ``most`` prefixes of it, each ending before an answer."""
    state = hashlib.sha256(b"multiagent.prompt.v1\0")
    _feed(state, _encode((_shown(request.tools), request.response_format)))
    before: list[tuple[int, str]] = []
    for position, message in enumerate(request.messages):
        if message.role == "assistant" and position:
            before.append((position, state.copy().hexdigest()))
        _feed(state, _encode((message.role, message.parts)))
    return Heads(state.hexdigest(), tuple(reversed(before[-most:])))


def _feed(state: "hashlib._Hash", data: bytes) -> None:
    state.update(len(data).to_bytes(8, "big") + data)


def _shown(tools: tuple[ToolSpec, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple((tool.name, tool.description, tool.parameters) for tool in tools)


def request_hash(request: ModelRequest, prompt: str = "") -> str:
    """Return the hash of what is asked: contents, tools, model or tier, format, parameters; not chain addresses.

    ``prompt`` saves hashing the prompt (``Heads.whole``) again. A field that is added to ModelRequest must enter only
    where it differs from its default: stored completions are found by this hash.
    """
    asked = (
        prompt or heads(request).whole,
        [message.labels for message in request.messages],
        request.tier if not request.model else "",
        request.model,
        request.max_output,
        request.temperature,
        request.purpose,
    )
    return digest_bytes("multiagent.request.v1", _encode(asked))


def foreign_opaques(request: ModelRequest, vendor: str, model: str) -> int:
    """Return how many opaque parts another vendor or model made, and which are not sent to this one."""
    return sum(
        isinstance(part, Opaque) and (part.vendor, part.model) != (vendor, model)
        for message in request.messages
        for part in message.parts
    )
