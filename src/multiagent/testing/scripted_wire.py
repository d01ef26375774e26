"""OpenAI's chat completions from the vendor's side: reading requests back, writing streams."""

import re
from collections.abc import Iterator

import msgspec

from multiagent.core.messages import Message, Part, Role, Text, ToolCall, ToolResult
from multiagent.core.tool import ToolSpec
from multiagent.core.usage import Usage
from multiagent.llm.base import Chunk, ModelRequest, PartDone, Purpose, ResponseFormat, TextDelta
from multiagent.testing.scripted_script import Reply


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""
    description: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class _Call(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | None = None
    tool_calls: tuple[_Call, ...] = ()
    tool_call_id: str = ""


class _Schema(msgspec.Struct):
    name: str
    schema: msgspec.Raw = msgspec.Raw(b"{}")


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _Body(msgspec.Struct):
    model: str
    messages: tuple[_Message, ...]
    tools: tuple[_Call, ...] = ()
    response_format: _Format | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float = 0.0


def read_request(body: bytes) -> ModelRequest:
    """Return what was asked; ``purpose`` by the sections that the platform's prompts have. Raises MsgspecError."""
    read = msgspec.json.decode(body, type=_Body)
    response_format = None
    if read.response_format is not None and read.response_format.json_schema is not None:
        schema = read.response_format.json_schema
        response_format = ResponseFormat(schema.name, bytes(schema.schema).decode())
    names = {call.id: call.function.name for message in read.messages for call in message.tool_calls}
    messages = tuple(_message(message, names) for message in read.messages)
    return ModelRequest(
        messages=messages,
        model=read.model,
        tools=tuple(
            ToolSpec(tool.function.name, tool.function.description, bytes(tool.function.parameters).decode())
            for tool in read.tools
        ),
        response_format=response_format,
        max_output=read.max_completion_tokens or read.max_tokens or 4096,
        temperature=read.temperature,
        purpose=_purpose(messages, response_format),
    )


def _message(message: _Message, names: dict[str, str]) -> Message:
    if message.role == "tool":
        name = names.get(message.tool_call_id, "")
        return Message("tool", (ToolResult(message.tool_call_id, name, message.content or ""),))
    parts: list[Part] = [Text(message.content)] if message.content else []
    parts += [ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
    return Message(msgspec.convert(message.role, Role), tuple(parts))


def _purpose(messages: tuple[Message, ...], response_format: ResponseFormat | None) -> Purpose:
    users = [message.text for message in messages if message.role == "user"]
    first, last = (users[0], users[-1]) if users else ("", "")
    if response_format is not None and response_format.name == "plan":
        return "repair" if re.match(r"\s*<error>", last) else "decompose"
    if "<task>" in first:
        return "turn"
    return "synthesize" if "<results>" in first else "chat"


def render(chunk: Chunk, identity: str, calls: Iterator[int]) -> bytes:
    """Return a text or a tool call as one event."""
    if isinstance(chunk, TextDelta):
        return _event(identity, {"content": chunk.text})
    if isinstance(chunk, PartDone) and isinstance(chunk.part, ToolCall):
        call = {
            "index": next(calls),
            "id": chunk.part.id,
            "type": "function",
            "function": {"name": chunk.part.name, "arguments": chunk.part.arguments},
        }
        return _event(identity, {"tool_calls": [call]})
    return b""


def render_end(finish: str, usage: Usage | None, shape: str, identity: str) -> bytes:
    """Return the events that end a stream: the finish reason, the usage in one of its three shapes, ``[DONE]``."""
    events = _event(identity, {}, finish)
    if usage is not None:
        counts = {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
        }
        if shape == "bare":
            events += _line(counts)
        else:
            choices = [] if shape == "no_choices" else [{"index": 0, "delta": {}}]
            events += _line({"id": identity, "choices": choices, "usage": counts})
    return events + b"data: [DONE]\n\n"


def _event(identity: str, delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _line({"id": identity, "object": "chat.completion.chunk", "choices": [choice]})


def _line(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def pieces(reply: Reply) -> list[Chunk]:
    """Return the scripted text, word by word, and the scripted tool calls."""
    words: list[Chunk] = [TextDelta(word) for word in re.findall(r"\S+\s*|\s+", reply.text)]
    calls: list[Chunk] = [
        PartDone(ToolCall(f"call_{number}", call.name, call.arguments)) for number, call in enumerate(reply.calls)
    ]
    return words + calls
