"""The wire format of OpenAI's chat completions, as many vendors speak it: rendering requests, reading streams. Pure.

https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from multiagent.core.errors import VendorBadResponse, VendorError, VendorUnavailable
from multiagent.core.messages import Message, ToolCall, ToolResult
from multiagent.core.usage import Usage
from multiagent.llm.base import Chunk, Finish, ModelInfo, ModelRequest, PartDone, StreamEnd, TextDelta
from multiagent.llm.profiles import Profile

_LONGEST_LINE: Final = 4 << 20
_encode = msgspec.json.Encoder().encode


class Function(msgspec.Struct, frozen=True):
    """The function of a tool call."""

    name: str
    arguments: str


class WireCall(msgspec.Struct, frozen=True):
    """A tool call of an assistant's message."""

    id: str
    function: Function
    type: str = "function"


class WireMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message as it is sent; ``content`` is left out only beside tool calls."""

    role: str
    content: str | None = None
    tool_calls: tuple[WireCall, ...] = ()
    tool_call_id: str = ""


class ToolFunction(msgspec.Struct, frozen=True):
    """What a model is told of a tool; ``parameters`` is its JSON Schema."""

    name: str
    description: str
    parameters: msgspec.Raw


class WireTool(msgspec.Struct, frozen=True):
    """A tool as it is sent."""

    function: ToolFunction
    type: str = "function"


class JsonSchema(msgspec.Struct, frozen=True):
    """A named schema that the answer must fit."""

    name: str
    schema: msgspec.Raw
    strict: bool = False


class WireFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What form the answer must have."""

    type: str
    json_schema: JsonSchema | None = None


def wire_messages(request: ModelRequest) -> list[WireMessage]:
    """Return the messages as they are sent; each tool result is a message of its own, opaque parts stay behind."""
    sent: list[WireMessage] = []
    for message in request.messages:
        sent.extend(_wire_message(message))
    return sent


def _wire_message(message: Message) -> Iterator[WireMessage]:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield WireMessage("tool", result.content, tool_call_id=result.call_id)
    if results and not message.text:
        return
    calls = tuple(WireCall(call.id, Function(call.name, call.arguments)) for call in message.calls)
    role = "user" if message.role == "tool" else message.role
    yield WireMessage(role, message.text or (None if calls else ""), calls)


def wire_body(model: ModelInfo, request: ModelRequest, profile: Profile) -> bytes:
    """Return the JSON body of a request."""
    body: dict[str, object] = {
        "model": model.endpoint.model,
        "messages": wire_messages(request),
        "stream": True,
        profile.output_field: request.max_output,
    }
    if profile.stream_usage:
        body["stream_options"] = {"include_usage": True}
    if not model.endpoint.model.startswith(profile.fixed_temperature):
        body["temperature"] = request.temperature
    if request.tools:
        body["tools"] = [
            WireTool(ToolFunction(tool.name, tool.description, msgspec.Raw(tool.parameters.encode())))
            for tool in request.tools
        ]
    if request.response_format is not None:
        schema = JsonSchema(request.response_format.name, msgspec.Raw(request.response_format.schema.encode()))
        body["response_format"] = (
            WireFormat("json_schema", schema) if profile.json_schema else WireFormat("json_object")
        )
    return _encode(body)


Count = Annotated[int, msgspec.Meta(ge=0)]


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None

    def usage(self) -> Usage | None:
        """What was used; None where the vendor leaves a count open."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            self.prompt_tokens,
            self.completion_tokens,
            cached=(prompt.cached_tokens or 0) if prompt else 0,
            reasoning=(completion.reasoning_tokens or 0) if completion else 0,
        )


class _FunctionDelta(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(msgspec.Struct, frozen=True):
    index: int = 0
    id: str | None = None
    function: _FunctionDelta | None = None


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[_CallDelta, ...] | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    message: str | None = None
    code: str | int | None = None
    type: str | None = None


class _Chunk(msgspec.Struct, frozen=True):
    id: str | None = None
    choices: tuple[_Choice, ...] | None = None
    usage: _Usage | None = None
    error: _Problem | str | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class _Refusal(msgspec.Struct, frozen=True):
    error: _Problem | str | None = None
    message: str | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode
_FINISH: Final[dict[str, Finish]] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


def problem_of(body: bytes) -> tuple[str, str]:
    """Return (code, message) of an error's body; its text's beginning where it is not of the known shape."""
    try:
        refusal = _decode_refusal(body)
    except msgspec.MsgspecError:
        return "", body[:200].decode("utf-8", "replace").strip()
    problem = refusal.error
    if isinstance(problem, _Problem):
        return str(problem.code or problem.type or ""), (problem.message or "")[:500]
    return "", (problem or refusal.message or "")[:500]


class EventLines:
    """Splits a stream of bytes into the data of its server-sent events (WHATWG HTML §9.2, the ``data`` field only)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data lines that are whole now. Raises VendorBadResponse on a line that never ends."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            raise VendorBadResponse("the vendor sent a line that does not end")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]

    def rest(self) -> list[bytes]:
        """Return the last line where the stream ended without a line end."""
        line, self._rest = self._rest, b""
        return [line[5:].strip()] if line.startswith(b"data:") else []


class ChatStream:
    """Turns the data of events into chunks; ``end`` gives the last ones."""

    def __init__(self, vendor: str) -> None:
        self._vendor = vendor
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._id = ""
        self._calls: dict[int, list[str]] = {}
        self.done = False

    def feed(self, data: bytes) -> list[Chunk]:
        """Return the chunks of one event. Raises VendorBadResponse, or VendorUnavailable for an error in the stream."""
        if data == b"[DONE]":
            self.done = True
            return []
        try:
            chunk = _decode_chunk(data)
        except msgspec.MsgspecError as error:
            raise self._error(VendorBadResponse, f"sent what is not a chat completion chunk ({error})") from None
        if chunk.error is not None:
            said = chunk.error if isinstance(chunk.error, str) else chunk.error.message or "no reason given"
            raise self._error(VendorUnavailable, f"broke off its answer: {said[:300]}")
        self._id = self._id or chunk.id or ""
        self._take_usage(chunk)
        chunks: list[Chunk] = []
        for choice in (chunk.choices or ())[:1]:
            if choice.finish_reason:
                self._finish = _FINISH.get(choice.finish_reason, "stop")
            if choice.delta is not None:
                chunks.extend(self._delta(choice.delta))
        return chunks

    def end(self, request_id: str) -> list[Chunk]:
        """Return the tool calls and the end. Raises VendorBadResponse where the answer never said that it ended."""
        if self._finish is None:
            raise self._error(VendorBadResponse, "ended its answer without a finish reason")
        chunks: list[Chunk] = []
        for index in sorted(self._calls):
            identity, name, arguments = self._calls[index]
            if not name:
                raise self._error(VendorBadResponse, "sent a tool call without a name")
            chunks.append(PartDone(ToolCall(identity or f"call_{index}", name, arguments or "{}")))
        finish = "tool_calls" if self._calls and self._finish == "stop" else self._finish
        chunks.append(StreamEnd(finish, self._usage, request_id or self._id))
        return chunks

    def _take_usage(self, chunk: _Chunk) -> None:
        """Vendors report usage in a chunk without choices, beside an empty delta, or as a bare object."""
        if chunk.usage is not None:
            self._usage = chunk.usage.usage() or self._usage
        elif chunk.choices is None and chunk.prompt_tokens is not None:
            self._usage = Usage(chunk.prompt_tokens, chunk.completion_tokens or 0)

    def _delta(self, delta: _Delta) -> Iterator[Chunk]:
        text = delta.content or delta.refusal
        if text:
            yield TextDelta(text)
        for call in delta.tool_calls or ():
            known = self._calls.setdefault(call.index, ["", "", ""])
            known[0] = known[0] or call.id or ""
            if call.function is not None:
                known[1] += call.function.name or ""
                known[2] += call.function.arguments or ""

    def _error(self, kind: type[VendorError], what: str) -> VendorError:
        return kind(f"{self._vendor} {what}", details={"vendor": self._vendor})
