"""OpenAI's wire format, without a wire."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import VendorBadResponse, VendorUnavailable
from multiagent.core.messages import ToolCall
from multiagent.core.usage import Usage
from multiagent.llm.base import Chunk, PartDone, ResponseFormat, StreamEnd, TextDelta
from multiagent.llm.profiles import Profile
from multiagent.llm.providers.openai_wire import ChatStream, EventLines, problem_of, wire_body
from multiagent.testing.suites.llm import asks
from multiagent.testing.vendor_stub import stub_model


def fed(*events: object) -> list[Chunk]:
    stream = ChatStream("fake")
    chunks: list[Chunk] = []
    for event in events:
        chunks += stream.feed(event if isinstance(event, bytes) else msgspec.json.encode(event))
    return chunks + stream.end("")


def delta(finish: str | None = None, **fields: object) -> dict[str, object]:
    return {"id": "1", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


@given(
    st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b"").strip())), st.data()
)
def test_events_come_out_whole_however_they_are_cut(datas: list[bytes], data: st.DataObject) -> None:
    """Whatever the pieces in which bytes arrive."""
    raw = b"".join(b"data: " + one + b"\r\n\r\n" for one in datas) + b": a comment\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    lines, got = EventLines(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        got += lines.feed(raw[start:end])
    assert got + lines.rest() == datas


def test_a_last_event_without_a_line_end_is_read() -> None:
    lines = EventLines()
    assert lines.feed(b"data: 1\ndata: 2") == [b"1"]
    assert lines.rest() == [b"2"]


def test_a_line_without_end_is_refused() -> None:
    """So that a vendor can't fill our memory."""
    lines = EventLines()
    assert lines.feed(b"x" * 4_000_000) == []
    with pytest.raises(VendorBadResponse):
        lines.feed(b"x" * 4_000_000)


def test_tool_calls_are_put_together_from_their_pieces() -> None:
    """By index, whatever comes between; a missing id is made up, missing arguments are none."""
    chunks = fed(
        delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"th'}}]),
        delta(tool_calls=[{"index": 1, "function": {"name": "calc"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": 'ing":1}'}}]),
        delta("stop"),
        b"[DONE]",
    )
    assert chunks == [
        PartDone(ToolCall("a", "look", '{"thing":1}')),
        PartDone(ToolCall("call_1", "calc", "{}")),
        StreamEnd("tool_calls", None, "1"),
    ]


def test_usage_tells_cached_and_reasoning_tokens() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    end = fed(delta("stop", content="x"), {"choices": [], "usage": usage})[-1]
    assert end == StreamEnd("stop", Usage(100, 20, cached=64, reasoning=5), "1")


def test_a_usage_that_leaves_a_count_open_is_none() -> None:
    end = fed(delta("stop"), {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": None}})[-1]
    assert end == StreamEnd("stop", None, "1")


def test_the_last_of_growing_usages_counts() -> None:
    """Some vendors report with every chunk."""
    grown = [{**delta(content="x"), "usage": {"prompt_tokens": 9, "completion_tokens": n}} for n in (1, 2, 3)]
    assert fed(*grown, delta("stop"))[-1] == StreamEnd("stop", Usage(9, 3), "1")


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([delta(content="half")], VendorBadResponse),
        ([b"{]"], VendorBadResponse),
        ([{"choices": "none"}], VendorBadResponse),
        ([{"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": 1}}], VendorBadResponse),
        ([delta(tool_calls=[{"index": 0, "id": "a"}]), delta("stop")], VendorBadResponse),
        ([{"error": {"message": "overloaded"}}], VendorUnavailable),
        ([{"error": "overloaded"}], VendorUnavailable),
    ],
)
def test_what_is_no_answer_is_an_error(events: list[object], kind: type[Exception]) -> None:
    with pytest.raises(kind, match="fake"):
        fed(*events)


def test_a_refusal_is_text() -> None:
    assert fed(delta(refusal="I will not."), delta("stop"))[0] == TextDelta("I will not.")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"message":"no","code":"insufficient_quota"}}', ("insufficient_quota", "no")),
        (b'{"error":"no"}', ("", "no")),
        (b'{"message":"no"}', ("", "no")),
        (b"<html>no", ("", "<html>no")),
        (b"", ("", "")),
    ],
)
def test_an_errors_body_says_what_it_says(body: bytes, said: tuple[str, str]) -> None:
    assert problem_of(body) == said


def test_a_profile_names_the_fields() -> None:
    """Vendors differ in what they call max output and in what they refuse."""
    profile = Profile(output_field="max_completion_tokens", fixed_temperature=("st",), stream_usage=False)
    body = msgspec.json.decode(wire_body(stub_model(), asks(max_output=7), profile))
    assert body["max_completion_tokens"] == 7
    assert not {"max_tokens", "temperature", "stream_options"} & set(body)


def test_a_schema_is_sent_only_where_it_is_understood() -> None:
    """Others are asked for a JSON object."""
    request = msgspec.structs.replace(asks(), response_format=ResponseFormat("plan", '{"type":"object"}'))
    by_schema = msgspec.json.decode(wire_body(stub_model(), request, Profile()))["response_format"]
    plain = msgspec.json.decode(wire_body(stub_model(), request, Profile(json_schema=False)))["response_format"]
    assert by_schema["json_schema"]["schema"] == {"type": "object"}
    assert plain == {"type": "json_object"}
