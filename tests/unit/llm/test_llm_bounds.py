"""Bounds of prompts, and the hashes that name them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.messages import Message, Opaque, Part, Text, ToolCall, ToolResult
from multiagent.core.tool import ToolSpec
from multiagent.llm.base import ModelRequest, ResponseFormat
from multiagent.llm.gate_bounds import (
    foreign_opaques,
    heads,
    message_bound,
    part_bound,
    prompt_bound,
    prompt_bytes,
    request_hash,
)
from multiagent.llm.gate_estimate import estimate_text, estimate_usage

texts = st.text(max_size=60)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, texts),
    st.builds(ToolCall, texts, texts, texts),
    st.builds(ToolResult, texts, texts, texts),
    st.builds(Opaque, texts, texts, texts, st.binary(max_size=20)),
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.lists(parts, max_size=3).map(tuple),
)
tools = st.builds(ToolSpec, texts, texts, texts)
requests = st.builds(
    ModelRequest,
    st.lists(messages, max_size=5).map(tuple),
    tools=st.lists(tools, max_size=2).map(tuple),
    response_format=st.none() | st.builds(ResponseFormat, texts, texts),
    max_output=st.integers(1, 1000),
)


@given(requests)
def test_the_bound_covers_every_byte_that_a_tokenizer_could_see(request: ModelRequest) -> None:
    """A token is at least one byte of its text, or of the structure around it."""
    seen = 0
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Text):
                seen += len(part.text.encode("utf-8", "surrogatepass"))
            elif isinstance(part, ToolCall):
                seen += len((part.name + part.arguments).encode("utf-8", "surrogatepass"))
            elif isinstance(part, ToolResult):
                seen += len(part.content.encode("utf-8", "surrogatepass"))
    seen += sum(
        len((tool.name + tool.description + tool.parameters).encode("utf-8", "surrogatepass")) for tool in request.tools
    )
    assert prompt_bytes(request) >= seen
    assert prompt_bound(request, 64) == prompt_bytes(request) + 64


@given(requests, messages)
def test_a_longer_prompt_has_a_larger_bound_by_just_its_new_message(request: ModelRequest, more: Message) -> None:
    longer = msgspec.structs.replace(request, messages=(*request.messages, more))
    assert prompt_bytes(longer) == prompt_bytes(request) + message_bound(more)
    if request.messages:
        assert prompt_bytes(longer, len(request.messages)) == message_bound(more)


@given(parts)
def test_no_bound_is_negative(part: Part) -> None:
    assert part_bound(part) >= 0


@given(requests)
def test_our_estimate_never_exceeds_the_bound(request: ModelRequest) -> None:
    """What the offline model is said to use is always covered."""
    assert estimate_usage(request, ()).prompt <= prompt_bytes(request)


@given(texts)
def test_an_estimate_is_between_nothing_and_the_bytes(text: str) -> None:
    assert (1 if text else 0) <= estimate_text(text) <= max(len(text.encode("utf-8", "surrogatepass")), 0)


@given(requests, st.lists(messages, max_size=3))
def test_the_head_of_a_prompt_is_found_again_in_its_continuations(request: ModelRequest, more: list[Message]) -> None:
    """Once the model has answered and the conversation went on, the earlier prompt is one of its known prefixes."""
    if not request.messages:
        return
    continued = (*request.messages, Message("assistant", (Text("so"),)), *(m for m in more if m.role != "assistant"))
    before = heads(msgspec.structs.replace(request, messages=continued)).before
    assert (len(request.messages), heads(request).whole) in before


@given(requests, requests)
def test_two_prompts_share_a_hash_only_if_they_are_equal(one: ModelRequest, other: ModelRequest) -> None:
    """Hashes of contents, not of the chains that messages are in."""
    same = request_hash(one) == request_hash(other)
    assert same == (msgspec.json.encode(one) == msgspec.json.encode(other))


@given(requests)
def test_the_chain_and_the_limits_of_a_tool_do_not_enter_the_hash(request: ModelRequest) -> None:
    """Where a message is stored and how long a tool may run are nothing to the model."""
    chained = tuple(msgspec.structs.replace(message, parent="f" * 64) for message in request.messages)
    slower = tuple(msgspec.structs.replace(tool, timeout_s=1.0) for tool in request.tools)
    other = msgspec.structs.replace(request, messages=chained, tools=slower)
    assert request_hash(other) == request_hash(request)
    assert heads(other) == heads(request)


def test_a_named_model_is_asked_whatever_the_tier_says() -> None:
    one = ModelRequest((), model="m", tier="small")
    assert request_hash(one) == request_hash(msgspec.structs.replace(one, tier="large"))


def test_parts_of_another_model_are_counted() -> None:
    """They are dropped on a fallback."""
    request = ModelRequest((Message("assistant", (Opaque("a", "m", "k", b""), Opaque("b", "m", "k", b""))),))
    assert foreign_opaques(request, "a", "m") == 1
